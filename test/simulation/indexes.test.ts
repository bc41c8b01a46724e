/** Histories with indexes and versions of rows: what the replay accuses and what it accepts, and that random ones come out as they should at every level. */
import { describe, expect, test } from 'vitest'
import type { Level } from '../../engine/index.js'
import { newTally, playBatch } from './batch.js'
import { judge, type Verdict } from './judge.js'
import { entriesIn, indexText, type IndexKey, type IndexRange, type State } from './model.js'
import type { Catalog, Commit, History, IndexId, IndexRow, IndexState, Operation, TransactionRecord } from './records.js'

type Bare = Operation extends infer O ? (O extends unknown ? Omit<O, 'at' | 'event'> : never) : never

const table = 'strings'
const put = (key: string, value: number): Bare => ({ op: 'put', table, key, value })
const get = (key: string, result?: number): Bare => ({ op: 'get', table, key, result })
const read = (index: IndexId, range: IndexRange, result: readonly IndexRow[]): Bare => ({ op: 'index range', table, index, range, keysOnly: false, result })
const refused = (index: IndexId, result: 'INDEX_BUILDING' | 'TABLE_DROPPED'): Bare => ({ op: 'index refused', table, index, result })
const holds = (key: string, holder: string) => ({ outcome: 'UNIQUE_VIOLATION', violation: { table, index: 'uniqueValue', key, holder } })

interface Part extends Partial<TransactionRecord> {
  readonly does: readonly Bare[]
  readonly beganTs?: number
}

interface Setting {
  readonly rows?: Readonly<Record<string, number>>
  readonly states?: readonly (readonly [ts: number, states: Readonly<Partial<Record<IndexId, IndexState>>>])[]
  readonly contents?: History['contents']
  readonly buildings?: History['buildings']
}

const ready: Setting['states'] = [[0, { 'byThird#1': 'ready', 'uniqueValue#2': 'ready' }]]

/** Transactions that commit in this order; those that end in an error do not. */
function judged(parts: readonly Part[], { rows = {}, states = ready, ...ends }: Setting = {}): Verdict {
  const commits: Commit[] = []
  const transactions = parts.map(({ does, beganTs = 0, ...more }, i): TransactionRecord => {
    const label = `T${i + 1}`
    if ((more.outcome ?? 'done') === 'done' && does.some(({ op }) => op === 'put')) commits.push({ ts: commits.length + 1, label, deleted: [] })
    const operations = does.map((operation, event) => ({ ...operation, at: 0, event }) as Operation)
    return {
      label, level: 'serializable', readOnly: false, durability: 'durable', oneShot: false, startedAt: 0, endedAt: 100, outcome: 'done', visibleTs: commits.length, durableTs: commits.length,
      attempts: [{ beganTs, operations }], ...more,
    }
  })
  const catalogs = (states ?? []).map(([ts, of]): Catalog => ({ ts, states: new Map(Object.entries(of).map(([id, state]) => [id as IndexId, { table, state: state! }])) }))
  const end = Object.entries(rows).map(([key, value]) => ({ table, key, value }) as const)
  return judge({ transactions, commits, baseTs: 0, interruption: undefined, finally: end, catalogs, ...ends } as History)
}

const accusation = (parts: readonly Part[], setting: Setting = {}): string => judged(parts, setting).violations[0] ?? 'none'

describe('reads through an index', () => {
  const two = { rows: { a: 1, b: 4 } }
  test('show the rows that have the key, in order', () => {
    expect(accusation([{ does: [put('a', 1), put('b', 4)] }, { does: [read('byThird#1', { prefix: [1] }, [[[1], 'a', 1], [[1], 'b', 4]])] }], two)).toBe('none')
    expect(accusation([{ does: [put('a', 1), put('b', 4)] }, { does: [read('byThird#1', { prefix: [1], reverse: true, limit: 1 }, [[[1], 'b', 4]])] }], two)).toBe('none')
    expect(accusation([{ does: [put('a', 1), put('b', 4)] }, { does: [read('byThird#1', {}, [[[1], 'b', 4], [[1], 'a', 1]])] }], two)).toMatch(/saw no single state/)
    expect(accusation([{ does: [put('a', 1), put('b', 4)] }, { does: [put('c', 0), read('byThird#1', { gte: [1] }, [[[1], 'a', 1]])] }], { rows: { a: 1, b: 4, c: 0 } })).toMatch(/commit 2 at serializable/)
  })

  test('show own writes under their new keys', () => {
    const does = [put('a', 2), read('byThird#1', {}, [[[1], 'b', 4], [[2], 'a', 2]])]
    expect(accusation([{ does: [put('a', 1), put('b', 4)] }, { does }], { rows: { a: 2, b: 4 } })).toBe('none')
  })

  test('a phantom in an index', () => {
    const late: Part = { does: [read('byThird#1', { prefix: [1] }, []), put('b', 0)] }
    expect(accusation([{ does: [put('a', 1)] }, late], { rows: { a: 1, b: 0 } })).toMatch(/commit 2 at serializable/)
    expect(judged([{ does: [put('a', 1)] }, { ...late, level: 'snapshot' }], { rows: { a: 1, b: 0 } })).toMatchObject({ violations: [], notSerial: false })
    const first: Part = { does: [read('byThird#1', { prefix: [0] }, []), put('a', 1)], level: 'snapshot' }
    expect(judged([first, { ...late, level: 'snapshot' }], { rows: { a: 1, b: 0 } })).toMatchObject({ violations: [], notSerial: true })
  })
})

describe('an index that is built', () => {
  const states: Setting['states'] = [[0, {}], [1, { 'byThird#1': 'building' }], [3, { 'byThird#1': 'ready' }]]
  const three = [{ does: [put('a', 1)] }, { does: [put('a', 2)] }, { does: [put('a', 3)] }]
  const told = (part: Part): string => accusation([...three, part], { rows: { a: 3 }, states })
  test('refuses until it is ready, and not later', () => {
    expect(told({ does: [refused('byThird#1', 'INDEX_BUILDING'), get('a', 2)], outcome: 'Own', beganTs: 2 })).toBe('none')
    expect(told({ does: [refused('byThird#1', 'INDEX_BUILDING')], outcome: 'Own', beganTs: 2 })).toBe('none')
    expect(told({ does: [refused('byThird#1', 'INDEX_BUILDING')], outcome: 'Own', beganTs: 3 })).toMatch(/saw no single state/)
    expect(told({ does: [refused('byThird#1', 'INDEX_BUILDING'), get('a', 3)], outcome: 'Own', beganTs: 2 })).toMatch(/saw no single state/)
    expect(told({ does: [read('byThird#1', {}, [[[2], 'a', 2]])], outcome: 'Own', beganTs: 2 })).toMatch(/saw no single state/)
    expect(told({ does: [read('byThird#1', {}, [[[0], 'a', 3]])], outcome: 'Own', beganTs: 2 })).toBe('none')
  })

  test('could not be built only where two rows have had one key', () => {
    const failed = (unready: 'uniqueValue' | 'byThird', outcome = 'UNIQUE_VIOLATION'): Setting => ({ rows: { a: 1, b: 1 }, states: [[0, {}]], buildings: [{ table, outcome, unready: [unready] }] })
    const doubles = [{ does: [put('a', 1), put('b', 1)] }]
    expect(accusation(doubles, failed('uniqueValue'))).toBe('none')
    expect(accusation(doubles, failed('byThird'))).toMatch(/ended with UNIQUE_VIOLATION/)
    expect(accusation(doubles, failed('uniqueValue', 'done'))).toMatch(/should be ready and are not/)
    expect(accusation([{ does: [put('a', 1), put('b', 2)] }], { ...failed('uniqueValue'), rows: { a: 1, b: 2 } })).toMatch(/ended with UNIQUE_VIOLATION/)
  })
})

describe('a unique index', () => {
  const first: Part = { does: [put('a', 1)] }
  test('has one row for each key', () => {
    expect(accusation([first, { does: [put('b', 1)] }], { rows: { a: 1, b: 1 } })).toMatch(/rows "a" and "b" of strings have one key in the unique index uniqueValue/)
    expect(accusation([first, { does: [put('b', 1)] }], { rows: { a: 1, b: 1 }, states: [[0, { 'uniqueValue#1': 'building' }]] })).toBe('none')
    expect(accusation([first, { does: [put('b', 2)] }, { does: [put('a', 2), put('b', 1)] }], { rows: { a: 2, b: 1 } })).toBe('none')
  })

  test('tells who holds a key, and of nobody who does not', () => {
    const ends = { rows: { a: 1 } }
    expect(accusation([first, { does: [put('b', 1)], ...holds('b', 'a'), beganTs: 1 }], ends)).toBe('none')
    expect(accusation([first, { does: [put('b', 1)], ...holds('b', 'c'), beganTs: 1 }], ends)).toMatch(/no state from 1 to 1 says so/)
    expect(accusation([first, { does: [put('b', 2)], ...holds('b', 'a'), beganTs: 1 }], ends)).toMatch(/was told UNIQUE_VIOLATION/)
    expect(accusation([first, { does: [put('b', 1), put('a', 3)], ...holds('b', 'a'), beganTs: 1 }], ends)).toMatch(/was told UNIQUE_VIOLATION/)
  })

  test('tells it at a moment when the reads hold, where reads are validated', () => {
    const second: Part = { does: [put('a', 2)] }
    const late = (level: Level): Part => ({ does: [get('a', 1), put('b', 2)], ...holds('b', 'a'), level })
    const parts = (level: Level): Part[] => [first, second, { ...late(level), beganTs: 1 }]
    expect(accusation(parts('serializable'), { rows: { a: 2 } })).toMatch(/which is so at 2, where its reads do not hold/)
    expect(accusation(parts('snapshot'), { rows: { a: 2 } })).toMatch(/claimed after its snapshot, which is a conflict/)
  })

  test('at snapshot, goes to the first who claims a key or gives it up', () => {
    const claim: Part = { does: [put('b', 1)], level: 'snapshot', beganTs: 1 }
    const parts = [first, { does: [put('a', 2)], beganTs: 1 }, claim]
    expect(accusation(parts, { rows: { a: 2, b: 1 } })).toMatch(/which commit 2 had won/)
    expect(accusation([parts[0]!, parts[1]!, { ...claim, beganTs: 2 }], { rows: { a: 2, b: 1 } })).toBe('none')
    expect(accusation([parts[0]!, parts[1]!, { ...claim, level: 'serializable' }], { rows: { a: 2, b: 1 } })).toBe('none')
  })
})

test('what an index holds at the end is compared with the rows', () => {
  const verdict = (keysOnly: readonly IndexRow[], index: 'byThird' | 'uniqueValue' = 'byThird'): Verdict =>
    judged([{ does: [put('a', 1), put('b', 4)] }], { rows: { a: 1, b: 4 }, contents: [{ table, index, keysOnly, rows: index === 'byThird' ? [[[1], 'a', 1], [[1], 'b', 4]] : [] }] })
  expect(verdict([[[1], 'a'], [[1], 'b']])).toMatchObject({ violations: [], indexEntries: 2, danglingEntries: 0, missingEntries: 0, duplicateUniqueKeys: 0 })
  expect(verdict([[[1], 'a'], [[2], 'b']])).toMatchObject({ danglingEntries: 1, missingEntries: 1, violations: [expect.stringMatching(/no row has/), expect.stringMatching(/lacks entries/)] })
  expect(verdict([[[1], 'a'], [[1], 'b'], [[4], 'b']], 'uniqueValue')).toMatchObject({ danglingEntries: 1, missingEntries: 0, duplicateUniqueKeys: 1 })
})

test('index keys of every type have an order', () => {
  const keys: IndexKey[] = [
    [null], [false], [true], [-1], [2], [2, 'a'], [10], [{ bigint: '-3' }], [{ bigint: '7' }], [{ date: 5 }], ['a'], ['a', null], ['a', 1], ['a', 1, 'x'], ['ab'], ['ab', [1, null]], ['b'], [{ bytes: '00' }],
    [{ bytes: '00ff' }], [[1], 2],
  ]
  expect(keys.toSorted((a, b) => (indexText(a) < indexText(b) ? -1 : 1))).toEqual(keys)
  const state: State = [['a', 6], ['b', 8], ['c', 11]].map(([key, value]) => ({ table, key: key as string, value: value as number }))
  const found = (range: IndexRange): string[] => entriesIn(state, table, 'byLength', range).map(({ indexKey, row }) => `${JSON.stringify(indexKey)} ${String(row.key)}`)
  expect(found({})).toEqual(['["a"] a', '["a",0,"b"] b', '["a",1,"b"] c'])
  expect(found({ gt: ['a'] })).toEqual(['["a",0,"b"] b', '["a",1,"b"] c'])
  expect(found({ lte: ['a'] })).toEqual(['["a"] a'])
  expect(found({ prefix: ['a', 1] })).toEqual(['["a",1,"b"] c'])
  expect(found({ beginning: 'a', reverse: true, limit: 1 })).toEqual(['["a",1,"b"] c'])
})

describe('random histories', () => {
  test.each([
    [['serializable'], 8],
    [['snapshot'], 2],
    [['read-committed'], 2],
    [['serializable', 'snapshot', 'read-committed'], 2],
  ] as const)('at %s', async (levels, batches) => {
    const tally = newTally()
    for (let seed = 1; seed <= batches; seed++) await playBatch({ seed, histories: 25, levels, indexes: true }, tally)
    expect(tally).toMatchObject({ danglingEntries: 0, missingEntries: 0, duplicateUniqueKeys: 0 })
    expect(tally.indexed).toBeGreaterThan(tally.histories / 2)
    expect(tally.indexEntries).toBeGreaterThan(tally.histories)
    expect(tally.outcomes['UNIQUE_VIOLATION']).toBeGreaterThan(0)
    if (levels.length === 1 && levels[0] === 'serializable') {
      expect(tally.notSerial).toEqual([])
      for (const outcome of ['INDEX_BUILDING', 'TABLE_MISMATCH']) expect(tally.outcomes[outcome], outcome).toBeGreaterThan(0)
    }
  }, 120_000)
})
