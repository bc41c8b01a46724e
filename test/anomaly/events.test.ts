import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type History, jsonLines, type ListOperation, type Operation, toListAppendEvents, toRegisterEvents, type TransactionRecord } from '../../isolation/anomaly/index.js'
import { history } from './adya.js'
import { program, runSerially } from './serial-history.js'

/** Initial rows come first, in a transaction of their own. */
const ended = <T>(events: readonly { readonly type: string; readonly value: readonly T[] }[]): (readonly T[])[] => events.filter(({ type }) => type !== 'invoke').map(({ value }) => value)
const lines = (events: Parameters<typeof jsonLines>[0]): string[] => [...jsonLines(events)]

describe('lists', () => {
  test('a read returns all that was appended up to what it saw', () => {
    const { events, leftOut } = toListAppendEvents(history('x0', 'w1(x1) w1(x2) c1 r2(x2) w2(x3) r2(x3) c2', 'x3'))
    expect(leftOut).toEqual([])
    expect(lines(events)).toEqual([
      '{"index":0,"type":"invoke","process":0,"f":"txn","value":[["append","x","x0"]]}\n',
      '{"index":1,"type":"ok","process":0,"f":"txn","value":[["append","x","x0"]]}\n',
      '{"index":2,"type":"invoke","process":0,"f":"txn","value":[["append","x","x1"],["append","x","x2"]]}\n',
      '{"index":3,"type":"ok","process":0,"f":"txn","value":[["append","x","x1"],["append","x","x2"]]}\n',
      '{"index":4,"type":"invoke","process":0,"f":"txn","value":[["r","x",null],["append","x","x3"],["r","x",null]]}\n',
      '{"index":5,"type":"ok","process":0,"f":"txn","value":[["r","x",["x0","x1","x2"]],["append","x","x3"],["r","x",["x0","x1","x2","x3"]]]}\n',
    ])
  })

  test('an intermediate read ends at the version that was replaced', () => {
    const { events } = toListAppendEvents(history('', 'w1(x1) r2(x1) w1(x2) c1 c2', 'x2'))
    expect(ended(events)).toEqual([[['append', 'x', 'x1'], ['append', 'x', 'x2']], [['r', 'x', ['x1']]]])
  })

  test('a delete is appended too, and a list that ends with it is an absence', () => {
    const { events, leftOut } = toListAppendEvents(history('x0', 'r0(y-) d1(x1) r1(x-) c1 r2(x-) c0 c2', ''))
    expect(leftOut).toEqual([])
    expect(ended(events).slice(1)).toEqual([[['append', 'x', 'x1'], ['r', 'x', ['x0', 'x1']]], [['r', 'y', []]], [['r', 'x', ['x0', 'x1']]]])
  })

  test('what no list expresses is left out and listed', () => {
    const judged = history('x0', 's1([a,z]: x0) w1(y1) a1 r2(y1) r2(x9) d3(x3) c3 w4(x4) c4 d5(x5) c5 r6(x-) c6 c2', '')
    const reasons = toListAppendEvents(judged).leftOut.map(({ transaction, operation, reason }) => `${transaction}.${operation} ${reason}`)
    expect(reasons).toEqual([
      'T1.0 a range read: events of this kind read one row at a time',
      'T2.0 a read of what an aborted transaction wrote: it has no place in the version order',
      'T2.1 a read of a version that nobody wrote, or of an absence that nobody left',
      'T6.0 an absence that several deletes explain',
    ])
    const blind: History = { initial: [], transactions: ['T1', 'T2', 'T3'].map((id): TransactionRecord => ({ id, outcome: 'committed', operations: [id === 'T3' ? { op: 'get', table: 't', key: 'x', version: 'xT1' } : { op: 'put', table: 't', key: 'x', version: `x${id}` }] })) }
    expect(toListAppendEvents(blind).leftOut).toMatchObject([{ transaction: 'T3', reason: expect.stringContaining('version order is not known') as string }])
  })
})

describe('registers', () => {
  test('reads and writes are as they were, aborted reads too', () => {
    const { events, leftOut } = toRegisterEvents(history('x0', 'w1(x1) r2(x1) r2(y-) a1 d2(x2) r2(x-) c2 r3(x-) c3', ''))
    expect(leftOut).toEqual([])
    expect(events.map(({ type, process }) => `${type} ${process}`)).toEqual(['invoke 0', 'ok 0', 'invoke 0', 'invoke 1', 'fail 0', 'ok 1', 'invoke 1', 'ok 1'])
    expect(ended(events).slice(1)).toEqual([[['w', 'x', 'x1']], [['r', 'x', 'x1'], ['r', 'y', null], ['w', 'x', 'x2'], ['r', 'x', 'x2']], [['r', 'x', 'x2']]])
  })

  test('ranges are left out and listed', () => {
    expect(toRegisterEvents(history('', 's1([a,c]:) w1(a1) c1', 'a1'))).toMatchObject({ leftOut: [{ transaction: 'T1', operation: 0 }], events: [{ value: [['w', 'a', 'a1']] }, {}] })
  })
})

describe('events are in time', () => {
  const writer = (id: string, rest: Partial<TransactionRecord>): TransactionRecord => ({ id, outcome: 'committed', operations: [{ op: 'put', table: 't', key: id, version: id }], ...rest })
  const shown = (...transactions: TransactionRecord[]): string[] => toRegisterEvents({ initial: [], transactions }).events.map(({ type, process, value }) => `${type} ${process} ${value[0]![1]}`)

  test('transactions that overlap have processes of their own', () => {
    expect(shown(writer('a', { begin: 1, end: 3 }), writer('b', { begin: 2, end: 4 }), writer('c', { begin: 5, end: 6 }))).toEqual([
      'invoke 0 a', 'invoke 1 b', 'ok 0 a', 'ok 1 b', 'invoke 1 c', 'ok 1 c',
    ])
  })

  test('one that ends as another begins overlaps it', () => {
    expect(shown(writer('a', { begin: 1, end: 2 }), writer('b', { begin: 2, end: 3 }))).toEqual(['invoke 0 a', 'invoke 1 b', 'ok 0 a', 'ok 1 b'])
  })

  test('one whose times or outcome are not known overlaps everything after it, and keeps its process', () => {
    expect(shown(writer('a', {}), writer('b', { begin: 1, end: 2, outcome: 'unknown' }), writer('c', { begin: 3, end: 4 }))).toEqual([
      'invoke 0 a', 'invoke 1 b', 'invoke 2 c', 'ok 2 c', 'ok 0 a', 'info 1 b',
    ])
  })

  test('rows of several tables are named by table and key', () => {
    const two: Operation[] = [{ op: 'put', table: 'a/b', key: 'c', version: '1' }, { op: 'put', table: 'a', key: 'b/c', version: '2' }]
    expect(ended(toRegisterEvents({ initial: [], transactions: [writer('T', { operations: two })] }).events)).toEqual([[['w', '["a/b","c"]', '1'], ['w', '["a","b/c"]', '2']]])
  })
})

test('nothing is lost but what is listed: the item operations come back from both kinds of events', () => {
  fc.assert(
    fc.property(program, asked => {
      const serial = runSerially(asked)
      const deletes = new Set(serial.transactions.flatMap(({ operations }) => operations.flatMap(operation => (operation.op === 'delete' ? [operation.version] : []))))
      const seen = (version: string | null | undefined): string | null => (version === undefined || version === null || deletes.has(version) ? null : version)
      const restore = (kind: string, key: string, value: string | null | readonly string[]): string =>
        kind === 'r' ? `get ${key} ${seen(Array.isArray(value) ? (value as string[]).at(-1) : (value as string | null))}` : `${deletes.has(value as string) ? 'delete' : 'put'} ${key} ${value as string}`
      for (const { events, leftOut } of [toListAppendEvents(serial), toRegisterEvents(serial)]) {
        const missing = new Set(leftOut.map(({ transaction, operation }) => `${transaction} ${operation}`))
        const kept = serial.transactions.map(({ id, operations }) => operations.filter((_, index) => !missing.has(`${id} ${index}`)).map(operation => (operation.op === 'range' ? 'range' : `${operation.op} ${operation.key} ${operation.version}`)))
        const back = ended<ListOperation | readonly [string, string, string | null]>(events).slice(asked.initial.length > 0 ? 1 : 0)
        expect(back.map(value => value.map(([kind, key, result]) => restore(kind, key, result)))).toEqual(kept)
        for (const { transaction, operation, reason } of leftOut) {
          const what = serial.transactions.find(({ id }) => id === transaction)!.operations[operation]!
          expect(what.op === 'range' || (what.op === 'get' && (what.version === null || reason.includes('aborted')))).toBe(true)
        }
      }
    }),
    { numRuns: 500 },
  )
})
