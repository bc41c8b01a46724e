/** What the database is compared with: rows in a sorted array, ranges by filtering it. Shares nothing with the engine. */

/** A key of the table of strings, or of the table of pairs; or a bound, which may be the first element of a pair. */
export type Key = string | readonly (string | number)[]
export type Value = number
export type TableName = 'strings' | 'pairs'

export interface Row {
  readonly table: TableName
  readonly key: Key
  readonly value: Value
}

export interface Range {
  readonly gt?: Key
  readonly gte?: Key
  readonly lt?: Key
  readonly lte?: Key
  readonly prefix?: Key
  readonly reverse?: boolean
  readonly limit?: number
}

/** All rows, in order of table and key. */
export type State = readonly Row[]

/** A transaction's writes by table and key; an undefined value deletes. */
export type Writes = ReadonlyMap<string, { readonly table: TableName; readonly key: Key; readonly value: Value | undefined }>

export const idOf = (table: TableName, key: Key): string => `${table} ${JSON.stringify(key)}`

export function valueAt(state: State, table: TableName, key: Key): Value | undefined {
  const id = idOf(table, key)
  return state.find(row => idOf(row.table, row.key) === id)?.value
}

export function withWrites(state: State, writes: Writes): State {
  if (writes.size === 0) return state
  const kept = state.filter(({ table, key }) => !writes.has(idOf(table, key)))
  const written = [...writes.values()].filter((write): write is Row => write.value !== undefined)
  return [...kept, ...written].sort((a, b) => (a.table === b.table ? compare(a.key, b.key) : a.table < b.table ? -1 : 1))
}

export function rowsIn(state: State, table: TableName, range: Range): Row[] {
  const found = state.filter(row => row.table === table && isIn(row.key, range))
  if (range.reverse) found.reverse()
  return found.slice(0, range.limit ?? Infinity)
}

export function isIn(key: Key, { gt, gte, lt, lte, prefix }: Range): boolean {
  return (
    (gt === undefined || compare(key, gt) > 0) &&
    (gte === undefined || compare(key, gte) >= 0) &&
    (lt === undefined || compare(key, lt) < 0) &&
    (lte === undefined || compare(key, lte) <= 0) &&
    (prefix === undefined || begins(key, prefix))
  )
}

const begins = (key: Key, prefix: Key): boolean =>
  typeof key === 'string' ? key.startsWith(prefix as string) : (prefix as readonly unknown[]).every((element, i) => key[i] === element)

/** Strings here are ASCII. Of pairs, what is shorter comes first. */
function compare(a: Key, b: Key): number {
  if (typeof a === 'string' || typeof b === 'string') return a < b ? -1 : a > b ? 1 : 0
  for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) return a[i]! < b[i]! ? -1 : 1
  return a.length - b.length
}

/** A key or a bound as text, whose characters are in the order of the keys; a bound of one element comes before all pairs that begin with it. */
export const keyText = (key: Key): string => (typeof key === 'string' ? key : key.length === 1 ? `${key[0]}!` : `${key[0]}!${Number(key[1]) + 1}`)
