/** Runs the operations of one attempt again on states of the model, and tells where a result differs. */
import { functionOf, indexNames, type IndexName } from './index-functions.js'
import { entriesIn, idOf, indexText, isIn, rowsIn, valueAt, withWrites, type Entry, type Key, type Range, type Row, type State, type TableName, type Value, type Writes } from './model.js'
import { nameOf, type Catalog, type IndexQuery, type IndexRow, type KeyValue, type Operation } from './records.js'

interface Condition {
  readonly table: TableName
  readonly key: Key
  readonly holds: (value: Value | undefined) => boolean
}

interface Mark {
  readonly own: Map<string, Row | { table: TableName; key: Key; value: undefined }>
  readonly conditions: number
  readonly deletedRanges: number
}

export interface Replayed {
  /** The first result that differs, in words. */
  readonly difference?: string
  readonly own: Writes
  /** Conditions on rows that the attempt had not written itself. */
  readonly conditions: readonly Condition[]
  readonly deletedRanges: readonly { readonly table: TableName; readonly range: Range }[]
}

/**
 * `stateAt` gives what an operation sees; at most levels it is one state for all of them. `catalogAt` says so of the indexes; without it every index is taken to be as whoever read it
 * met it.
 */
export function replay(operations: readonly Operation[], stateAt: (at: number) => State, catalogAt?: (at: number) => Catalog['states']): Replayed {
  const own: Mark['own'] = new Map()
  const conditions: Condition[] = []
  const deletedRanges: { table: TableName; range: Range }[] = []
  const marks: Mark[] = []
  const iterators = new Map<number, (KeyValue | IndexRow)[]>()

  const write = (table: TableName, key: Key, value: Value | undefined): void => void own.set(idOf(table, key), { table, key, value } as Row)
  const demand = (table: TableName, key: Key, holds: Condition['holds']): void => {
    if (!own.has(idOf(table, key))) conditions.push({ table, key, holds })
  }

  const expected = (operation: Operation): unknown => {
    const state = withWrites(stateAt(operation.at), own)
    switch (operation.op) {
      case 'get':
        return valueAt(state, operation.table, operation.key)
      case 'has':
        return valueAt(state, operation.table, operation.key) !== undefined
      case 'getMany':
        return operation.keys.map(key => valueAt(state, operation.table, key))
      case 'range':
        return rowsIn(state, operation.table, operation.range).map(keyValue)
      case 'count':
        return rowsIn(state, operation.table, operation.range).length
      case 'first':
      case 'last': {
        const { limit = 1, reverse = false, ...bounds } = operation.range
        const row = rowsIn(state, operation.table, { ...bounds, reverse: operation.op === 'last' ? !reverse : reverse, limit: Math.min(1, limit) })[0]
        return row && keyValue(row)
      }
      case 'open':
        iterators.set(operation.iterator, rowsIn(state, operation.table, operation.range).map(keyValue))
        return undefined
      case 'next':
        return iterators.get(operation.iterator)!.shift()
      case 'index get': {
        // A transaction may have given the key to other rows; its commit will decide, and until then its own come first.
        const holders = entriesIn(state, operation.table, nameOf(operation.index), { gte: operation.indexKey, lte: operation.indexKey })
        const first = holders.find(({ row }) => own.has(idOf(row.table, row.key))) ?? holders[0]
        return first && indexRow(first, false)
      }
      case 'index range':
        return indexRows(state, operation)
      case 'index count':
        return indexRows(state, operation).length
      case 'index first':
      case 'index last': {
        const { limit = 1, reverse = false } = operation.range
        return indexRows(state, { ...operation, range: { ...operation.range, reverse: operation.op === 'index last' ? !reverse : reverse, limit: Math.min(1, limit) } })[0]
      }
      case 'index open':
        iterators.set(operation.iterator, indexRows(state, operation))
        return undefined
      case 'index refused':
        return operation.result
      case 'put':
        return write(operation.table, operation.key, operation.value)
      case 'delete':
        return write(operation.table, operation.key, undefined)
      case 'insert': {
        const { table, key, value } = operation
        if (valueAt(state, table, key) !== undefined) return 'ROW_EXISTS'
        demand(table, key, present => present === undefined)
        write(table, key, value)
        return 'done'
      }
      case 'update': {
        const { table, key, value } = operation
        const present = valueAt(state, table, key)
        if (present === undefined) return 'ROW_ABSENT'
        demand(table, key, later => later !== undefined)
        write(table, key, value)
        return present
      }
      case 'compareAndSet': {
        const { table, key, value, expected: wanted } = operation
        if (valueAt(state, table, key) !== wanted) return false
        demand(table, key, later => later === wanted)
        write(table, key, value)
        return true
      }
      case 'deleteRange': {
        const { table, range } = operation
        const rows = rowsIn(state, table, range)
        for (const row of rows) write(table, row.key, undefined)
        if (range.limit === undefined) deletedRanges.push({ table, range })
        return rows.length
      }
      case 'savepoint':
        marks.push({ own: new Map(own), conditions: conditions.length, deletedRanges: deletedRanges.length })
        return undefined
      case 'keep':
        marks.pop()
        return undefined
      case 'undo': {
        const mark = marks.pop()!
        own.clear()
        for (const [id, before] of mark.own) own.set(id, before)
        conditions.length = mark.conditions
        deletedRanges.length = mark.deletedRanges
        return undefined
      }
    }
  }

  for (const [i, operation] of operations.entries()) {
    const refusal = catalogAt && 'index' in operation ? refusalOf(catalogAt(operation.at).get(operation.index)?.state) : undefined
    const wanted = catalogAt && isMistaken(operation, refusal) ? (refusal ?? 'no refusal') : JSON.stringify(expected(operation))
    const got = JSON.stringify('result' in operation ? operation.result : undefined)
    if (wanted !== got) return { difference: `operation ${i} ${JSON.stringify(operation)} should have given ${wanted}`, own, conditions, deletedRanges }
  }
  return { own, conditions, deletedRanges }
}

/** The error that an index in this state answers with. One that is not declared yet is not ready either. */
const refusalOf = (state: 'building' | 'ready' | 'dropped' | undefined): 'INDEX_BUILDING' | 'TABLE_DROPPED' | undefined =>
  state === 'ready' ? undefined : state === 'dropped' ? 'TABLE_DROPPED' : 'INDEX_BUILDING'

/**
 * Whether an index answered where it had to refuse, or the other way round. That it is gone may be told to whoever sees a state in which it was not: then the caller's program is wrong. Who saw a state
 * before its declaration was told that it is not ready, and where it is gone again, nothing has changed.
 */
function isMistaken(operation: Operation, refusal: 'INDEX_BUILDING' | 'TABLE_DROPPED' | undefined): boolean {
  if (operation.op === 'index refused') return operation.result === 'INDEX_BUILDING' && refusal === undefined
  return 'index' in operation && refusal !== undefined
}

/** The writes that take effect on `present`: where ranges were deleted as such, what others put there goes too. */
export function effectOn(present: State, { own, deletedRanges }: Replayed): Writes {
  const writes = new Map(own)
  for (const { table, range } of deletedRanges) {
    for (const row of present) {
      if (row.table === table && isIn(row.key, range) && !writes.has(idOf(table, row.key))) writes.set(idOf(table, row.key), { table, key: row.key, value: undefined })
    }
  }
  return writes
}

/** A row that claims a key of a unique index, and another that has it. */
export interface Claim {
  readonly table: TableName
  readonly index: IndexName
  readonly key: Key
  readonly holder: Key
}

/**
 * Claims of a transaction that cannot be met on `present`: of keys that its rows had not, and that other rows have where its writes have taken effect. While an index is being built, rows may have
 * shared a key before; then a row that keeps its key may be held against the others as well.
 */
export function clashes(present: State, replayed: Replayed, indexes: readonly { readonly table: TableName; readonly index: IndexName; readonly isReady: boolean }[]): Claim[] {
  const after = withWrites(present, effectOn(present, replayed))
  return indexes.flatMap(({ table, index, isReady }) => {
    const holders = new Map<string, Row[]>()
    for (const { indexKey, row } of entriesIn(after, table, index, {})) {
      const text = indexText(indexKey)
      holders.set(text, [...(holders.get(text) ?? []), row])
    }
    const claims: Claim[] = []
    for (const { text, key } of newKeys(isReady ? present : [], replayed.own, table, index)) {
      for (const { key: holder } of holders.get(text) ?? []) if (idOf(table, holder) !== idOf(table, key)) claims.push({ table, index, key, holder })
    }
    return claims
  })
}

/** The index keys of rows that were written and had not those keys on `present`. */
export function newKeys(present: State, own: Writes, table: TableName, index: IndexName): { readonly text: string; readonly key: Key }[] {
  const { keysOf } = functionOf(index)
  return [...own.values()].flatMap(write => {
    if (write.table !== table || write.value === undefined) return []
    const before = valueAt(present, table, write.key)
    const had = new Set(before === undefined ? [] : keysOf(before).map(indexText))
    const has = new Set(keysOf(write.value).map(indexText))
    return [...has].filter(text => !had.has(text)).map(text => ({ text, key: write.key }))
  })
}

export const uniqueNames: readonly IndexName[] = indexNames.filter(name => functionOf(name).unique)

const indexRows = (state: State, { table, index, range, keysOnly }: IndexQuery): IndexRow[] => entriesIn(state, table, nameOf(index), range).map(entry => indexRow(entry, keysOnly))
export const indexRow = ({ indexKey, row: { key, value } }: Entry, keysOnly: boolean): IndexRow => (keysOnly ? [indexKey, key] : [indexKey, key, value])
const keyValue = ({ key, value }: Row): KeyValue => [key, value]
