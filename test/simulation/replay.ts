/** Runs the operations of one attempt again on states of the model, and tells where a result differs. */
import { idOf, isIn, rowsIn, valueAt, withWrites, type Key, type Range, type Row, type State, type TableName, type Value, type Writes } from './model.js'
import type { KeyValue, Operation } from './records.js'

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

/** `stateAt` gives what an operation sees; at most levels it is one state for all of them. */
export function replay(operations: readonly Operation[], stateAt: (at: number) => State): Replayed {
  const own: Mark['own'] = new Map()
  const conditions: Condition[] = []
  const deletedRanges: { table: TableName; range: Range }[] = []
  const marks: Mark[] = []
  const iterators = new Map<number, Row[]>()

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
        iterators.set(operation.iterator, rowsIn(state, operation.table, operation.range))
        return undefined
      case 'next': {
        const row = iterators.get(operation.iterator)!.shift()
        return row && keyValue(row)
      }
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
    const wanted = JSON.stringify(expected(operation))
    const got = JSON.stringify('result' in operation ? operation.result : undefined)
    if (wanted !== got) return { difference: `operation ${i} ${JSON.stringify(operation)} should have given ${wanted}`, own, conditions, deletedRanges }
  }
  return { own, conditions, deletedRanges }
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

const keyValue = ({ key, value }: Row): KeyValue => [key, value]
