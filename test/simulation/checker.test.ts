/** The checker of histories as the second judge of random histories: what it is told, and that it alone sees what is wrong. */
import { describe, expect, test } from 'vitest'
import type { Level } from '../../engine/index.js'
import { newTally, playBatch, ViolationError } from './batch.js'
import { toldHistory } from './checker/history.js'
import { namePhenomena } from './checker/phenomena.js'
import type { Commit, History, Operation, TransactionRecord } from './records.js'

type Bare = Operation extends infer O ? (O extends unknown ? Omit<O, 'at' | 'event'> : never) : never

const table = 'strings'
const put = (key: string, value: number): Bare => ({ op: 'put', table, key, value })
const remove = (key: string): Bare => ({ op: 'delete', table, key })
const get = (key: string, result?: number): Bare => ({ op: 'get', table, key, result })
const range = (result: readonly (readonly [string, number])[], more: { readonly limit?: number; readonly reverse?: boolean } = {}): Bare => ({ op: 'range', table, range: more, result })
const index = 'byThird#1'
const inIndex = (third: number, result: readonly (readonly [string, number])[]): Bare => ({
  op: 'index range', table, index, range: { prefix: [third] }, keysOnly: false, result: result.map(([key, value]) => [[third], key, value] as const),
})
const keysInIndex = (third: number, result: readonly string[]): Bare => ({
  op: 'index range', table, index, range: { prefix: [third] }, keysOnly: true, result: result.map(key => [[third], key] as const),
})
const count = (result: number): Bare => ({ op: 'count', table, range: {}, result })

interface Part extends Partial<TransactionRecord> {
  readonly does: readonly Bare[]
  /** Rows that its commit deleted, whatever its operations say. */
  readonly deletes?: readonly string[]
  /** False where it committed nothing. */
  readonly commits?: boolean
  readonly beganTs?: number
}

/** Transactions that overlap, and commit in this order. */
function historyOf(parts: readonly Part[], rows: Readonly<Record<string, number>>): History {
  const commits: Commit[] = []
  const transactions = parts.map(({ does, deletes, commits: isCommitted = true, beganTs = 0, ...more }, i): TransactionRecord => {
    const label = `T${i + 1}`
    const named = does.flatMap(operation => (operation.op === 'delete' ? [operation.key as string] : []))
    if (isCommitted) commits.push({ ts: commits.length + 1, label, deleted: (deletes ?? named).map(key => ({ table, key })) })
    const operations = does.map((operation, event) => ({ ...operation, at: 0, event }) as Operation)
    return {
      label, level: 'serializable', readOnly: false, durability: 'durable', oneShot: false, startedAt: 0, endedAt: 100, outcome: 'done', visibleTs: 9, durableTs: 9,
      attempts: [{ beganTs, operations }], ...more,
    }
  })
  return { transactions, commits, baseTs: 0, interruption: undefined, finally: Object.entries(rows).map(([key, value]) => ({ table, key, value })) }
}

const namesIn = (parts: readonly Part[], rows: Readonly<Record<string, number>>): readonly string[] => namePhenomena(historyOf(parts, rows)).phenomena
const toldOf = (part: Part, ...others: readonly Part[]): unknown[] =>
  toldHistory(historyOf([...others, part], {})).history.transactions.find(({ id }) => id === `T${others.length + 1}`)!.operations.map(operation =>
    operation.op === 'range' ? [operation.bounds.gte, operation.bounds.lte, ...operation.rows.map(({ key }) => key)].join(' ') : `${operation.op} ${operation.key}`,
  )

describe('where a history is wrong, the checker says so', () => {
  const cases: [title: string, parts: readonly Part[], rows: Record<string, number>, expected: readonly string[]][] = [
    ['write skew', [{ does: [get('a'), put('b', 1)] }, { does: [get('b'), put('a', 2)] }], { a: 2, b: 1 }, ['G2-item']],
    ['write skew over a count of none', [{ does: [count(0), put('b', 1)] }, { does: [get('b'), put('a', 2)] }], { a: 2, b: 1 }, ['G2']],
    ['a lost update', [{ does: [put('a', 1)] }, { does: [put('a', 2)] }, { does: [get('a', 1), put('a', 3)] }], { a: 3 }, ['P4', 'G-single']],
    ['a row that is only said to be there', [{ does: [put('a', 1), put('b', 2)] }, { does: [remove('a'), put('b', 3)] }, { does: [{ op: 'has', table, key: 'a', result: true }, get('b', 3)], commits: false }], { b: 3 }, ['G-single']],
    ['rows that are counted, and all there', [{ does: [put('a', 1), put('b', 2)] }, { does: [remove('a'), remove('b'), put('b', 3)], deletes: ['a'] }, { does: [count(2), get('b', 3)], commits: false }], { b: 3 }, ['G-single']],
    ['a read of what a savepoint took back', [{ does: [{ op: 'savepoint' }, put('a', 1), { op: 'undo' }, put('b', 2)] }, { does: [get('a', 1)], commits: false }], { b: 2 }, ['G1a']],
    ['a read of what was given up', [{ does: [put('a', 1)], commits: false, outcome: 'Own' }, { does: [get('a', 1)], commits: false }], {}, ['G1a']],
    ['a read of what its writer replaced', [{ does: [put('a', 1), put('a', 2)] }, { does: [get('a', 1)], commits: false }], { a: 2 }, ['G1b']],
    ['what nobody wrote', [{ does: [put('a', 1)] }, { does: [get('a', 7)], commits: false }], { a: 1 }, ['impossible-read']],
    ['a row that nobody ever wrote', [{ does: [range([['b', 7]])], commits: false }], {}, ['impossible-read']],
    ['an own write that is missed', [{ does: [put('a', 1)] }, { does: [put('a', 2), get('a', 1)] }], { a: 2 }, ['own-write-missed']],
    ['what somebody saw who then gave up', [{ does: [put('a', 1), put('b', 1)] }, { does: [get('a'), get('b', 1)], commits: false, outcome: 'CONFLICT' }], { a: 1, b: 1 }, ['G-single']],
    ['an order against real time', [{ does: [put('a', 1)], endedAt: 5 }, { does: [get('a')], commits: false, startedAt: 6 }], { a: 1 }, ['strictness']],
    ['a row that is lost at the end', [{ does: [put('a', 1)] }, { does: [remove('a')] }, { does: [put('a', 3)] }], {}, ['impossible-state']],
    ['another row at the end', [{ does: [put('a', 1)] }, { does: [put('a', 2)] }], { a: 1 }, ['impossible-state']],
  ]
  const inIndexes: typeof cases = [
    ['write skew over a key of an index that no row had', [{ does: [inIndex(1, []), put('b', 2)] }, { does: [inIndex(2, []), put('a', 1)] }], { a: 1, b: 2 }, ['G2']],
    ['write skew over a row that moves into a key', [{ does: [put('a', 0), put('b', 3)] }, { does: [keysInIndex(1, []), put('b', 5)] }, { does: [keysInIndex(2, []), put('a', 1)] }], { a: 1, b: 5 }, ['G2']],
    ['a row that an index no longer holds for another', [{ does: [put('a', 1), put('b', 3)] }, { does: [put('a', 2), put('b', 6)] }, { does: [keysInIndex(1, ['a']), get('b', 6)], commits: false }], { a: 2, b: 6 }, ['G-single']],
    ['an entry that nobody made', [{ does: [put('a', 1)] }, { does: [keysInIndex(2, ['a'])], commits: false }], { a: 1 }, ['impossible-read']],
    ['an entry of who gave up', [{ does: [put('a', 1)], commits: false, outcome: 'Own' }, { does: [inIndex(1, [['a', 1]])], commits: false }], {}, ['G1a', 'impossible-read']],
    ['a row that lags behind its entry', [{ does: [put('a', 1)] }, { does: [put('a', 2)] }, { does: [inIndex(2, [['a', 1]])], commits: false }], { a: 2 }, ['G-single']],
  ]
  test.each([...cases, ...inIndexes])('%s', (_title, parts, rows, expected) => {
    expect(namesIn(parts, rows)).toEqual(expected)
  })
})

describe('what cannot be told is left out, and accuses nobody', () => {
  test('a value that several versions have: the row was changed and is the same again', () => {
    const parts = (back: number): Part[] => [{ does: [put('a', 1)] }, { does: [put('a', 2)] }, { does: [put('a', back), put('b', 4)] }, { does: [get('b', 4), get('a', 1)] }]
    expect(namesIn(parts(1), { a: 1, b: 4 })).toEqual([])
    expect(namesIn(parts(3), { a: 3, b: 4 })).toEqual(['G-single'])
    expect(toldHistory(historyOf(parts(1), { a: 1, b: 4 })).looks).toEqual({ all: 2, told: 1, vague: 0, shared: 1, presence: 0, own: 0 })
  })

  test('a row that is said to be there and was put there twice', () => {
    const has: Bare = { op: 'has', table, key: 'a', result: true }
    expect(toldOf({ does: [has] }, { does: [put('a', 1)] }, { does: [put('a', 2)] })).toEqual([])
    expect(toldOf({ does: [has] }, { does: [put('a', 1)] })).toEqual(['get a'])
  })

  test('an absence may be any of several', () => {
    const parts = (end: Bare): Part[] => [{ does: [put('a', 1)] }, { does: [remove('a')] }, { does: [get('a')], commits: false }, { does: [end, put('b', 2)] }, { does: [get('b', 2), get('a')], commits: false }]
    expect(namesIn(parts(remove('a')), { b: 2 })).toEqual([])
    expect(namesIn(parts(put('a', 3)), { a: 3, b: 2 })).toEqual(['G-single'])
    expect(toldHistory(historyOf(parts(remove('a')), { b: 2 })).looks).toMatchObject({ all: 3, told: 3, vague: 2 })
  })

  test('a value that was written in vain too: the installed version explains it', () => {
    expect(namesIn([{ does: [put('a', 1)], commits: false, outcome: 'Own' }, { does: [put('a', 1)] }, { does: [get('a', 1)], commits: false }], { a: 1 })).toEqual([])
  })

  test('own writes that a savepoint took back, and those of who gave up', () => {
    const undone: Bare[] = [{ op: 'savepoint' }, put('a', 1), get('a', 1), range([['a', 1]]), { op: 'undo' }, get('a')]
    expect(toldOf({ does: undone })).toEqual(['get a'])
    expect(toldOf({ does: [put('a', 1), get('a', 1), get('b')], commits: false, outcome: 'Own' }, { does: [put('b', 2)] })).toEqual(['get b'])
  })

  test('own writes that stand are told as they were read', () => {
    expect(toldOf({ does: [put('a', 1), get('a', 1), remove('a'), get('a')] })).toEqual(['put a', 'get a', 'delete a', 'get a'])
  })

  test('rows in a range that the transaction deleted, of which nothing says that they were there', () => {
    const clears: Bare = { op: 'deleteRange', table, range: {}, result: 1 }
    expect(toldOf({ does: [clears, get('a'), get('b')], deletes: ['a'] }, { does: [put('a', 1)] }, { does: [put('b', 2)] })).toEqual(['delete a'])
    expect(toldOf({ does: [{ ...clears, result: 2 }, get('a')], deletes: ['a', 'b'] }, { does: [put('a', 1), put('b', 2)] })).toEqual(['a b a b', 'delete a', 'delete b'])
    expect(toldOf({ does: [clears, put('a', 3), get('a', 3)], deletes: ['b'] }, { does: [put('a', 1)] }, { does: [put('b', 2)] })).toEqual(['put a', 'get a', 'delete b'])
  })

  test('of a range the stretches beside a row that cannot be told', () => {
    const others: Part[] = [{ does: [put('a', 1), put('b', 1), put('c', 1), put('d', 1)] }, { does: [put('b', 2)] }, { does: [put('b', 1)] }]
    expect(toldOf({ does: [range([['a', 1], ['b', 1], ['d', 1]])] }, ...others)).toEqual(['a a a', 'c d d'])
    expect(toldOf({ does: [range([['a', 1], ['b', 2], ['d', 1]])] }, ...others)).toEqual(['a d a b d'])
  })

  test('what lies beyond the last row of a scan that was stopped', () => {
    const others: Part[] = [{ does: [put('a', 1), put('b', 1), put('c', 1)] }, { does: [put('b', 2)] }, { does: [put('b', 1)] }]
    expect(toldOf({ does: [range([['a', 1]], { limit: 1 })] }, ...others)).toEqual(['a c a'])
    expect(toldOf({ does: [range([['c', 1], ['b', 1]], { limit: 2, reverse: true })] }, ...others)).toEqual(['c c c'])
    const iteration = (...steps: (readonly [string, number] | undefined)[]): Bare[] => [{ op: 'open', table, range: {}, iterator: 0 }, put('b', 9), ...steps.map((result): Bare => ({ op: 'next', iterator: 0, result }))]
    expect(toldOf({ does: iteration() }, ...others)).toEqual(['put b'])
    expect(toldOf({ does: iteration(['a', 1]) }, ...others)).toEqual(['a c a', 'put b'])
    expect(toldOf({ does: iteration(['a', 1], ['b', 2], ['c', 1], undefined) }, ...others)).toEqual(['a c a b c', 'put b'])
  })

  test('entries of rows that the transaction itself has written, and what an index counts beside them', () => {
    const others: Part[] = [{ does: [put('a', 1), put('b', 4), put('c', 2)] }]
    const counted = (result: number): Bare => ({ op: 'index count', table, index, range: {}, keysOnly: false, result })
    expect(toldOf({ does: [inIndex(1, [['a', 1], ['b', 4]])] }, ...others).slice(1)).toEqual(['get a', 'get b'])
    expect(toldOf({ does: [put('a', 7), keysInIndex(1, ['a', 'b'])] }, ...others).map(text => String(text).split(' ')[0])).toEqual(['put', expect.stringMatching(/b$/)])
    expect(toldOf({ does: [counted(3)] }, ...others)).toHaveLength(1)
    expect(toldOf({ does: [counted(2)] }, ...others)).toEqual([])
    expect(toldOf({ does: [put('d', 3), counted(3)] }, ...others)).toEqual(['put d', expect.stringMatching(/^put .*d$/)])
  })

  test('at snapshot, a row that was absent and is again, whoever wrote it meanwhile', () => {
    const parts = (level: Level, beganTs: number): Part[] => [
      { does: [put('x', 1)] },
      { does: [put('a', 1)] },
      { does: [remove('a'), put('x', 2)] },
      { does: [get('x', 1), put('a', 3)], level, beganTs },
    ]
    expect(namesIn(parts('snapshot', 1), { a: 3, x: 2 })).toEqual([])
    expect(namesIn(parts('snapshot', 2), { a: 3, x: 2 })).toEqual(['G-single'])
    expect(namesIn(parts('serializable', 1), { a: 3, x: 2 })).toEqual(['G-single'])
  })

  test('the end, where the disk failed and the last commits may be gone', () => {
    const history = historyOf([{ does: [put('a', 1)], outcome: 'POISONED' }], {})
    expect(namePhenomena(history).phenomena).toEqual(['impossible-state'])
    expect(namePhenomena({ ...history, interruption: 'failure' }).phenomena).toEqual([])
  })

  test('real time, where nobody was told the outcome', () => {
    const parts = (outcome: string): Part[] => [{ does: [put('a', 1)], endedAt: 5, outcome }, { does: [get('a')], commits: false, startedAt: 6 }]
    expect(namesIn(parts('COMMIT_UNKNOWN'), { a: 1 })).toEqual([])
    expect(namesIn(parts('done'), { a: 1 })).toEqual(['strictness'])
  })
})

test('each level is held to what it rules out, and mixed ones to the weakest', () => {
  const skewed = (...levels: Level[]): readonly string[] => {
    const [first = 'serializable', second = 'serializable'] = levels
    return namePhenomena(historyOf([{ does: [get('a'), put('b', 1)], level: first }, { does: [get('b'), put('a', 2)], level: second }], { a: 2, b: 1 })).violations
  }
  expect(skewed('snapshot', 'snapshot')).toEqual([])
  expect(skewed('serializable', 'snapshot')).toEqual([])
  expect(skewed('serializable', 'serializable')).toEqual([
    'T1 and T2 take part in G2-item: T1 before T2, because T1 read a as it was before T2 wrote it. T2 before T1, because T2 read b as it was before T1 wrote it.',
  ])
})

describe('without the replay', () => {
  test.each([
    ['snapshot', ['G2-item', 'G2'], ['P4', 'G-single', 'PMP']],
    ['read-committed', ['P4', 'G-single', 'G2-item', 'G2', 'PMP'], []],
  ] as const)('random histories at %s contain what the level allows', async (level, allowed, others) => {
    const tally = newTally()
    for (let seed = 1; seed <= 8; seed++) await playBatch({ seed, histories: 25, levels: [level] }, tally)
    for (const phenomenon of allowed) expect(tally.phenomena[phenomenon], phenomenon).toBeGreaterThan(0)
    for (const phenomenon of [...others, 'G0', 'G1a', 'G1b', 'G1c']) expect(tally.phenomena, phenomenon).not.toHaveProperty(phenomenon)
  }, 60_000)

  test.each(['snapshot', 'read-committed'] as const)('a history at %s that is not serial is a violation where its transactions claim to be', async level => {
    const found: string[] = []
    for (let seed = 14; seed < 24; seed++) {
      const failure: unknown = await playBatch({ seed, histories: 24, levels: [level], serial: true }, newTally()).catch((error: unknown) => error)
      if (failure === undefined) continue
      expect(failure).toBeInstanceOf(ViolationError)
      const history = (failure as ViolationError).history!
      expect(namePhenomena(history).violations).toEqual([])
      const claimed = { ...history, transactions: history.transactions.map(transaction => ({ ...transaction, level: 'serializable' as const })) }
      found.push(...namePhenomena(claimed).violations.slice(0, 1))
    }
    expect(found.length, 'of at most 10 batches').toBeGreaterThan(4)
    for (const violation of found) expect(violation).toMatch(/^\S+( and \S+)* take part in (P4|PMP|G-single|G2-item|G2|strictness): \S/)
  }, 60_000)
})
