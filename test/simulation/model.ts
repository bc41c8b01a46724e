/** What the database is compared with: rows in a sorted array, ranges by filtering it, indexes by asking every row. Shares nothing with the engine. */
import { functionOf, type IndexName } from './index-functions.js'

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

/** An element of an index key, in words that JSON has. */
export type Element = null | boolean | number | string | { readonly bigint: string } | { readonly date: number } | { readonly bytes: string } | readonly Element[]
export type IndexKey = readonly Element[]

/** `beginning` is a prefix that is no tuple: the first element begins with it. */
export interface IndexRange {
  readonly gt?: IndexKey
  readonly gte?: IndexKey
  readonly lt?: IndexKey
  readonly lte?: IndexKey
  readonly prefix?: IndexKey
  readonly beginning?: string | { readonly bytes: string }
  readonly reverse?: boolean
  readonly limit?: number
}

/** What an index holds: one for each key that a row's value gives. */
export interface Entry {
  readonly indexKey: IndexKey
  readonly row: Row
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

/** All entries of an index in a range, in order of index key and row key. */
export function entriesIn(state: State, table: TableName, index: IndexName, range: IndexRange): Entry[] {
  const { keysOf } = functionOf(index)
  const found: { readonly entry: Entry; readonly text: string }[] = []
  for (const row of state) {
    if (row.table !== table) continue
    const own = new Map(keysOf(row.value).map(indexKey => [entryText(indexKey, row.key), indexKey]))
    for (const [text, indexKey] of own) if (isInIndex(indexKey, range)) found.push({ entry: { indexKey, row }, text })
  }
  found.sort((a, b) => (a.text < b.text ? -1 : 1))
  if (range.reverse) found.reverse()
  return found.slice(0, range.limit ?? Infinity).map(({ entry }) => entry)
}

export function isInIndex(indexKey: IndexKey, { gt, gte, lt, lte, prefix, beginning }: IndexRange): boolean {
  const text = indexText(indexKey)
  return (
    (gt === undefined || text > indexText(gt)) &&
    (gte === undefined || text >= indexText(gte)) &&
    (lt === undefined || text < indexText(lt)) &&
    (lte === undefined || text <= indexText(lte)) &&
    (prefix === undefined || text.startsWith(indexText(prefix))) &&
    (beginning === undefined || text.startsWith(elementText(beginning).slice(0, -1)))
  )
}

/** Index keys that more than one row holds, with the rows. */
export function sharedKeys(state: State, table: TableName, index: IndexName): ReadonlyMap<string, readonly Row[]> {
  const holders = new Map<string, Row[]>()
  for (const { indexKey, row } of entriesIn(state, table, index, {})) {
    const text = indexText(indexKey)
    const others = holders.get(text)
    if (others) others.push(row)
    else holders.set(text, [row])
  }
  return new Map([...holders].filter(([, rows]) => rows.length > 1))
}

/** An index key as text, whose characters are in the order of the keys: by type, and what is shorter first. Numbers here are integers between -1,000 and 9,998,999. */
export const indexText = (key: IndexKey): string => key.map(elementText).join('')

/** An entry as text. */
export const entryText = (indexKey: IndexKey, key: Key): string => `${indexText(indexKey)}\x00${keyText(key)}`

function elementText(element: Element): string {
  if (element === null) return '1'
  if (typeof element === 'boolean') return element ? '3' : '2'
  if (typeof element === 'number') return `4${numberText(element)}`
  if (typeof element === 'string') return `7${element}\x01`
  if (Array.isArray(element)) return `9${indexText(element)}\x01`
  if ('bigint' in element) return `5${numberText(Number(element.bigint))}`
  if ('date' in element) return `6${numberText(element.date)}`
  return `8${(element as { readonly bytes: string }).bytes}\x01`
}

const numberText = (number: number): string => `${number + 1_000}`.padStart(7, '0')

/** A key or a bound as text, whose characters are in the order of the keys; a bound of one element comes before all pairs that begin with it. */
export const keyText = (key: Key): string => (typeof key === 'string' ? key : key.length === 1 ? `${key[0]}!` : `${key[0]}!${Number(key[1]) + 1}`)
