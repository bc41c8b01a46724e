import { describe, expect, test } from 'vitest'
import { allPhenomena, checkHistory, forbiddenAt, type History, judgeTwice, phenomena, serialOrder, type TransactionRecord } from '../../isolation/anomaly/index.js'
import { consumedBy, contains } from '../../isolation/anomaly/checker/history.js'
import { history } from './adya.js'

const namesIn = (judged: History): string[] => judgeTwice(judged).findings.map(({ phenomenon }) => phenomenon).sort()
const unknownIn = (judged: History): string[] => checkHistory(judged).doubts.map(({ phenomenon }) => phenomenon).sort()
/** Without the places in the commit order. */
const unordered = (judged: History): History => ({ ...judged, transactions: judged.transactions.map(({ commit: _, ...rest }): TransactionRecord => rest) })

describe('each phenomenon is found in a history that contains it, and nothing else is', () => {
  const cases: [title: string, judged: History, expected: string[]][] = [
    ['a write cycle', history('x0 y0', 'w1(x1) w2(x2) w2(y2) c2 w1(y1) c1', 'x2 y1'), ['G0']],
    ['a write cycle that only the final state reveals', history('x0 y0', 'w1(x1) w1(y1) w2(x2) w2(y2) c1 c2', 'x2 y1'), ['G0']],
    ['an aborted read', history('x0', 'w1(x1) r2(x1) a1 c2', 'x0'), ['G1a']],
    ['an aborted read of a delete', history('x0', 'd1(x1) r2(x-) a1 c2', 'x0'), ['G1a']],
    ['an aborted read by a range', history('a0', 'w1(b1) s2([a,c]: a0 b1) a1 c2', 'a0'), ['G1a']],
    ['an intermediate read', history('x0', 'w1(x1) r2(x1) w1(x1b) c1 c2', 'x1b'), ['G1b']],
    ['an intermediate read of a delete', history('x0', 'd1(x1) r2(x-) w1(x1b) c1 c2', 'x1b'), ['G1b']],
    ['circular information', history('x0 y0', 'w1(x1) w2(y2) r1(y2) r2(x1) c1 c2', 'x1 y2'), ['G1c']],
    ['a write followed by a read, in a circle', history('x0 y0', 'w1(x1) w2(x2) w2(y2) r1(y2) c1 c2', 'x2 y2'), ['G1c']],
    ['a lost update', history('x0', 'r1(x0) r2(x0) w1(x1) c1 w2(x2) c2', 'x2'), ['G-single', 'P4']],
    ['a lost insert', history('', 'r1(x-) r2(x-) w1(x1) c1 w2(x2) c2', 'x2'), ['G-single', 'P4']],
    ['a lost update found by a range', history('x0', 's1([a,z]: x0) w2(x2) c2 w1(x1) c1', 'x1'), ['G-single', 'P4']],
    ['read skew', history('x0 y0', 'r1(x0) w2(x2) w2(y2) c2 r1(y2) c1', 'x2 y2'), ['G-single']],
    ['a row read twice that changed', history('x0', 'r1(x0) w2(x2) c2 r1(x2) c1', 'x2'), ['G-single']],
    ['a phantom that appears', history('a0', 's1([a,c]: a0) w2(b2) c2 s1([a,c]: a0 b2) c1', 'a0 b2'), ['G-single', 'PMP']],
    ['a phantom that vanishes', history('a0 b0', 's1([a,c]: a0 b0) d2(b2) c2 s1([b,c]:) c1', 'a0'), ['G-single', 'PMP']],
    ['a row that was deleted and came back between two ranges', history('b0', 's1([a,c]: b0) d2(b2) c2 w3(b3) s1([a,c]: b3) c3 c1', 'b3'), ['G-single', 'PMP', 'strictness']],
    ['a row that disappears', history('x0', 'r1(x0) d2(x2) c2 r1(x-) c1', ''), ['G-single']],
    ['write skew', history('x0 y0', 'r1(x0) r1(y0) r2(x0) r2(y0) w1(x1) w2(y2) c1 c2', 'x1 y2'), ['G2-item']],
    ['write skew on absent rows', history('', 'r1(x-) r2(y-) w1(y1) w2(x2) c1 c2', 'x2 y1'), ['G2-item']],
    ['write skew on an empty range', history('', 's1([a,c]:) s2([a,c]:) w1(a1) w2(b2) c1 c2', 'a1 b2'), ['G2']],
    ['write skew in the gap before the first row', history('b0', 's1([a,c] 1: b0) s2([a,c] -1: b0) w1(c1) w2(a2) c1 c2', 'a2 b0 c1'), ['G2']],
    ['write skew by a row and a range', history('x0', 'r1(x0) s2([a,c]:) w1(a1) w2(x2) c1 c2', 'a1 x2'), ['G2']],
    ['an own write missed', history('x0', 'w1(x1) r1(x0) c1', 'x1'), ['own-write-missed']],
    ['a range that misses an own write', history('', 'w1(b1) s1([a,c]:) c1', 'b1'), ['own-write-missed']],
    ['a version that nobody wrote', history('x0', 'r1(x9) c1', 'x0'), ['impossible-read']],
    ['a row that is missing although nobody deleted it', history('x0', 'r1(x-) c1', 'x0'), ['impossible-read']],
    ['a row that is missing before its reader deletes it', history('x0', 'r1(x-) d1(x1) c1', ''), ['impossible-read']],
    ['an update lost to a delete', history('', 's1([a,c]:) w2(a2) c2 d1(a1) c1', ''), ['G-single', 'P4']],
    ['a range out of order', history('a0 b0', 's1([a,c]: b0 a0) c1', 'a0 b0'), ['impossible-read']],
    ['a range beyond its bounds', history('a0 x0', 's1([a,c]: a0 x0) c1', 'a0 x0'), ['impossible-read']],
    ['a commit that left nothing', history('x0', 'w1(x1) c1', 'x0'), ['impossible-state']],
    ['an abort that left something', history('x0', 'w1(x1) a1', 'x1'), ['impossible-state']],
  ]
  test.each(cases)('%s', (_title, judged, expected) => {
    expect(namesIn(judged)).toEqual(expected)
    expect(serialOrder(judged)).toBeNull()
  })

  test('the cases contain every phenomenon that a serial order excludes', () => {
    expect(new Set([...cases.flatMap(([, , names]) => names), 'strictness'])).toEqual(new Set(allPhenomena))
  })
})

describe('a history without an anomaly is judged clean by both opinions', () => {
  const cases: [title: string, judged: History, order: string[]][] = [
    ['nothing at all', history('x0', '', 'x0'), []],
    ['one after the other', history('x0', 'r1(x0) w1(x1) c1 r2(x1) w2(x2) c2', 'x2'), ['T1', 'T2']],
    ['an old snapshot, read-only', history('x0 y0', 'r2(x0) w1(x1) w1(y1) c1 r2(y0) c2', 'x1 y1'), ['T2', 'T1']],
    ['blind writes that overlap', history('x0 y0', 'w1(x1) w2(x2) w1(y1) w2(y2) c1 c2', 'x2 y2'), ['T1', 'T2']],
    ['an aborted transaction that read anything', history('x0', 'w1(x1) r2(x1) c1 a2', 'x1'), ['T1']],
    ['own writes read back', history('x0', 'w1(x1) r1(x1) w1(x1b) s1([a,z]: x1b) d1(x1c) r1(x-) c1', ''), ['T1']],
    ['a row beyond the limit of a scan', history('a0', 's1([a,c] 1: a0) s2([a,c] 1: a0) w1(b1) w2(c2) c1 c2', 'a0 b1 c2'), ['T1', 'T2']],
    ['a write in another range', history('', 's1([a,b]:) s2([c,d]:) w1(a1) w2(c2) c1 c2', 'a1 c2'), ['T1', 'T2']],
    ['a row deleted twice, absence read before', history('x0 y0', 'd1(x1) c1 r4(x-) w2(x2) w2(y2) c2 d3(x3) c3 r4(y0) c4', 'y2'), ['T1', 'T4', 'T2', 'T3']],
    ['a final state that nobody looked at', history('x0', 'w1(x1) c1'), ['T1']],
  ]
  test.each(cases)('%s', (_title, judged, order) => {
    expect(judgeTwice(judged)).toMatchObject({ findings: [], serialOrder: order, agreed: true })
    expect(unknownIn(judged)).toEqual(judged.final ? [] : ['impossible-state'])
  })
})

test('a cycle over versions that nobody can tell apart is found, and the opinions are said to differ', () => {
  // T3 overwrites x blindly, so T1 after T2 or before it makes no difference to anyone.
  const verdict = judgeTwice(history('x0', 'r1(x0) w2(x2) c2 w1(x1) c1 w3(x3) c3', 'x3'))
  expect(verdict.findings.map(({ phenomenon }) => phenomenon).sort()).toEqual(['G-single', 'P4'])
  expect(verdict).toMatchObject({ serialOrder: ['T1', 'T2', 'T3'], agreed: false })
})

test('a finding has the shortest cycle, with a sentence for each edge', () => {
  const events = 'r1(x0) r1(y0) r2(x0) r2(y0) w1(x1) w2(y2) c1 c2 r3(z0) r4(x1) w3(x3) w4(z4) c3 c4'
  const { findings } = judgeTwice(history('x0 y0 z0', events, 'x3 y2 z4'))
  const finding = findings.find(({ phenomenon }) => phenomenon === 'G2-item')
  expect(finding?.transactions).toHaveLength(2)
  expect(finding?.sentences).toEqual([
    'T1 before T2, because T1 read y as it was before T2 wrote it.',
    'T2 before T1, because T2 read x as it was before T1 wrote it.',
  ])
})

test('a cycle of three transactions is found', () => {
  const judged = history('x0 y0', 'r2(x0) r2(y0) r1(y0) w1(y1) c1 r3(x0) r3(y1) c3 w2(x2) c2', 'x2 y1')
  expect(judgeTwice(judged).findings).toMatchObject([
    { phenomenon: 'G2-item', transactions: ['T2', 'T1', 'T3'] },
    { phenomenon: 'strictness', transactions: ['T3', 'T2', 'T1'] },
  ])
})

describe('what nearly is a phenomenon is none', () => {
  const cases: [phenomenon: string, judged: History, found: string[]][] = [
    ['G0: both rows end with the same writer', history('x0 y0', 'w1(x1) w2(x2) w2(y2) w1(y1) c1 c2', 'x2 y2'), []],
    ['G0: the one who overwrote aborted', history('x0 y0', 'w1(x1) w2(x2) w2(y2) w1(y1) c1 a2', 'x1 y1'), []],
    ['G1a: the reader aborted too', history('x0', 'w1(x1) r2(x1) a1 a2', 'x0'), []],
    ['G1a: the version before the aborted one is read', history('x0', 'w1(x1) r2(x0) a1 c2', 'x0'), []],
    ['G1b: the last of two versions is read', history('x0', 'w1(x1) w1(x1b) r2(x1b) c1 c2', 'x1b'), []],
    ['G1b: a transaction reads its own first version', history('x0', 'w1(x1) r1(x1) w1(x1b) c1', 'x1b'), []],
    ['G1c: only one of two reads what the other wrote', history('x0 y0', 'w1(x1) w2(y2) r1(y0) r2(x1) c1 c2', 'x1 y2'), []],
    ['G1c: one of the two is a read of something older', history('x0 y0', 'w1(x1) w2(y2) r1(y0) r2(x0) c1 c2', 'x1 y2'), ['G2-item']],
    ['PMP: the two ranges do not overlap', history('', 's1([a,b]:) w2(c2) c2 s1([c,d]: c2) c1', 'c2'), []],
    ['PMP: what appears was written by the reader itself', history('', 's1([a,c]:) w1(b1) s1([a,c]: b1) c1', 'b1'), []],
    ['PMP: a row changes and stays', history('b0', 's1([a,c]: b0) w2(b2) c2 s1([a,c]: b2) c1', 'b2'), ['G-single']],
    ['PMP: the row lies beyond the limit of one range', history('a0', 's1([a,c] 1: a0) w2(b2) c2 s1([a,c]: a0 b2) c1', 'a0 b2'), []],
    ['PMP: a range and a get disagree', history('', 's1([a,c]:) w2(b2) c2 r1(b2) c1', 'b2'), ['G-single']],
    ['P4: the second saw the first', history('x0', 'r1(x0) w1(x1) c1 r2(x1) w2(x2) c2', 'x2'), []],
    ['P4: the second did not read', history('x0', 'r1(x0) w1(x1) w2(x2) c1 c2', 'x2'), []],
    ['P4: the other aborted', history('x0', 'r1(x0) r2(x0) w1(x1) a1 w2(x2) c2', 'x2'), []],
    ['G-single: both reads are from before', history('x0 y0', 'r1(x0) w2(x2) w2(y2) c2 r1(y0) c1', 'x2 y2'), []],
    ['G-single: the two rows were written by different transactions', history('x0 y0', 'r1(x0) w2(x2) c2 w3(y3) c3 r1(y3) c1', 'x2 y3'), ['strictness']],
    ['G2-item: only one of the two read what the other wrote', history('x0 y0', 'r1(x0) r2(x0) w1(x1) w2(y2) c1 c2', 'x1 y2'), []],
    ['G2: the second saw the insert of the first', history('', 's1([a,c]:) w1(a1) s2([a,c]: a1) w2(b2) c1 c2', 'a1 b2'), []],
    ['G2: the rows were there and were overwritten', history('a0 b0', 's1([a,c]: a0 b0) s2([a,c]: a0 b0) w1(a1) w2(b2) c1 c2', 'a1 b2'), ['G2-item']],
    ['strictness: they overlapped', history('x0', 'r2(x0) w1(x1) c1 c2', 'x1'), []],
    ['strictness: the first had aborted', history('x0', 'w1(x1) a1 r2(x0) c2', 'x0'), []],
    ['own-write-missed: the read came first', history('x0', 'r1(x0) w1(x1) c1', 'x1'), []],
    ['impossible-state: the final row is an older version, written in place', history('x0', 'w1(x1) w2(x2) c1 c2', 'x1'), []],
  ]
  test.each(cases)('%s', (_title, judged, found) => {
    expect(namesIn(judged)).toEqual(found)
    expect(unknownIn(judged)).toEqual([])
  })

  test('each phenomenon that is an interleaving has one', () => {
    const near = new Set(cases.map(([title]) => title.slice(0, title.indexOf(':'))))
    expect(allPhenomena.filter(phenomenon => !near.has(phenomenon))).toEqual(['impossible-read'])
  })
})

describe('strictness is order in real time', () => {
  test('a stale read is found, with the two transactions and why', () => {
    const { findings, serialOrder: order } = judgeTwice(history('x0', 'w1(x1) c1 r2(x0) c2', 'x1'))
    expect(order).toEqual(['T2', 'T1'])
    expect(findings).toMatchObject([{ phenomenon: 'strictness', transactions: ['T2', 'T1'] }])
    expect(findings[0]!.sentences).toEqual([
      'T2 before T1, because T2 read x as it was before T1 wrote it.',
      'T1 before T2, because T1 was acknowledged before T2 began.',
    ])
  })

  test('transactions of the same instant are not ordered', () => {
    const { transactions, ...rest } = history('x0', 'w1(x1) c1 r2(x0) c2', 'x1')
    const touching = transactions.map(transaction => ({ ...transaction, begin: transaction.id === 'T2' ? 1 : 0, end: transaction.id === 'T1' ? 1 : 2 }))
    expect(namesIn({ ...rest, transactions: touching })).toEqual([])
  })

  test('without times it is unknown, unless those that are known show it', () => {
    const { transactions, ...rest } = history('x0', 'w1(x1) c1 r2(x0) c2 r3(x1) c3', 'x1')
    const untimed = (id: string): History => ({ ...rest, transactions: transactions.map(({ begin, end, ...left }) => (left.id === id ? left : { ...left, begin: begin!, end: end! })) })
    expect(checkHistory(untimed('T1')).status.strictness).toBe('unknown')
    expect(checkHistory(untimed('T3')).status.strictness).toBe('occurred')
  })
})

describe('a version order that nothing shows', () => {
  const cycles = ['G0', 'G1c', 'G-single', 'G2', 'G2-item', 'P4', 'PMP', 'strictness']

  test('blind writes of one row make no cycle in any order', () => {
    const judged = unordered(history('x0', 'w1(x1) w2(x2) c1 c2'))
    expect(checkHistory(judged).findings).toEqual([])
    expect(unknownIn(judged)).toEqual(['impossible-state'])
  })

  test('blind writes of two rows may be a write cycle: unknown', () => {
    const judged = unordered(history('x0 y0', 'w1(x1) w2(x2) w2(y2) w1(y1) c1 c2'))
    expect(checkHistory(judged).findings).toEqual([])
    expect(unknownIn(judged)).toEqual(['G0', 'impossible-state'])
    expect(checkHistory(judged).doubts[0]?.sentence).toBe('Nothing shows in which order the versions of x were installed.')
  })

  test('the final state decides between two', () => {
    expect(checkHistory(unordered(history('x0 y0', 'w1(x1) w2(x2) w2(y2) w1(y1) c1 c2', 'x2 y2'))).status.G0).toBe('absent')
    expect(checkHistory(unordered(history('x0 y0', 'w1(x1) w2(x2) w2(y2) w1(y1) c1 c2', 'x2 y1'))).status.G0).toBe('occurred')
  })

  test('a list decides, whatever the commits say', () => {
    const judged = history('x0 y0', 'w1(x1) w2(x2) w2(y2) w1(y1) c1 c2')
    const listed = { ...judged, versionOrders: [{ table: 'rows', key: 'x', versions: ['x2', 'x1'] }] }
    expect([checkHistory(judged).status.G0, checkHistory(listed).status.G0]).toEqual(['absent', 'occurred'])
  })

  test('updates that each saw the one before are in order', () => {
    const judged = unordered(history('x0', 'r1(x0) w1(x1) c1 r2(x1) w2(x2) c2 r3(x2) w3(x3) c3', 'x3'))
    expect(checkHistory(judged)).toMatchObject({ findings: [], doubts: [] })
  })

  test('an update beside a blind write may be lost: unknown', () => {
    const judged = unordered(history('x0', 'r1(x0) w1(x1) w2(x2) c1 c2 w3(x3) c3', 'x3'))
    expect(checkHistory(judged).status).toMatchObject({ 'P4': 'unknown', 'G-single': 'unknown', 'G1c': 'absent', 'G2': 'absent' })
  })

  test('of two updates of one version one is lost in any order', () => {
    const judged = unordered(history('x0', 'r1(x0) r2(x0) w1(x1) w2(x2) c1 c2'))
    expect(checkHistory(judged).status).toMatchObject({ 'P4': 'occurred', 'G-single': 'occurred', 'G0': 'absent' })
    expect(checkHistory(judged).findings[0]?.sentences).toEqual([
      'T1 and T2 read the same version of x and both wrote it: whichever was second overwrote the other unseen.',
    ])
  })

  test('a cycle that needs no version order occurs without one', () => {
    const judged = unordered(history('x0 y0', 'w1(x1) w2(y2) r1(y2) r2(x1) c1 c2 w3(x3) c3 w4(y4) c4'))
    expect(checkHistory(judged).status.G1c).toBe('occurred')
    expect(cycles.filter(name => unknownIn(judged).includes(name))).not.toContain('G1c')
  })
})

describe('an absence that several deletes explain', () => {
  const deletedTwice = 'd1(x1) c1 w2(x2) w2(y2) c2 d3(x3) c3'

  test('gets the benefit of the doubt', () => {
    expect(namesIn(history('x0 y0', `${deletedTwice} r4(x-) r4(y2) c4`, 'y2'))).toEqual([])
    expect(unknownIn(history('x0 y0', `${deletedTwice} r4(x-) r4(y2) c4`, 'y2'))).toEqual([])
  })

  test('is no excuse where no reading helps', () => {
    // Before T2 it is the first delete or none, and T4 has read what T5 wrote after the second.
    const events = `${deletedTwice} w5(z5) c5 r4(x-) r4(y0) r4(z5) c4`
    expect(namesIn(history('x0 y0', events, 'y2 z5'))).toContain('strictness')
  })

  test('who has not committed moves none of the others away from the likeliest', () => {
    const judged = (end: string): History => history('', `r3(x-) r2(x-) w1(x1) c1 w4(y4) ${end} d3(x3) c3 d2(x2) c2`)
    expect(unknownIn(judged('a4'))).toEqual(['G-single', 'P4', 'impossible-state'])
  })
})

describe('an outcome that nobody was told', () => {
  const withUnknown = (judged: History, id: string): History => ({
    ...judged,
    transactions: judged.transactions.map(({ commit, ...rest }) => (rest.id === id ? { ...rest, outcome: 'unknown' } : commit === undefined ? rest : { ...rest, commit })),
  })

  test('counts as a commit where a committed transaction saw it', () => {
    expect(checkHistory(withUnknown(history('x0 y0', 'r2(y0) w1(x1) w1(y1) c1 r2(x1) c2', 'x1 y1'), 'T1')).status['G-single']).toBe('occurred')
  })

  test('counts as a commit where that vouches for it in turn', () => {
    const judged = withUnknown(withUnknown(history('x0', 'w1(x1) c1 r2(x1) w2(y2) c2 r3(y2) c3', 'x1 y2'), 'T1'), 'T2')
    expect(checkHistory(judged).findings).toEqual([])
  })

  test('counts as an abort where nobody saw it', () => {
    expect(checkHistory(withUnknown(history('x0', 'w1(x1) c1 r2(x0) c2', 'x0'), 'T1')).findings).toEqual([])
  })
})

test('every phenomenon has a definition and a source, and each level rules out more than the one below', () => {
  for (const { summary, definition, source } of Object.values(phenomena)) {
    for (const text of [summary, definition, source]) expect(text).not.toBe('')
  }
  expect(Object.keys(phenomena)).toEqual(allPhenomena)
  const [weak, middle, strong] = [forbiddenAt['read-committed'], forbiddenAt['snapshot'], forbiddenAt['serializable']]
  expect([...weak].every(phenomenon => middle.has(phenomenon)) && [...middle].every(phenomenon => strong.has(phenomenon))).toBe(true)
  expect(strong.size).toBe(allPhenomena.length)
})

test('a limited scan consumes what lies before its last row and nothing beyond', () => {
  const bounds = { gte: 'b', lt: 'y' }
  const scan = (keys: string, limit: number, reverse: boolean) =>
    consumedBy({ op: 'range', table: 'rows', bounds, limit, reverse, rows: keys.split('').map(key => ({ key, version: key })) })
  expect(scan('cd', 2, false)).toEqual({ gte: 'b', lte: 'd' })
  expect(scan('xw', 2, true)).toEqual({ gte: 'w', lt: 'y' })
  expect(scan('c', 2, false)).toEqual(bounds)
  expect(scan('', 2, true)).toEqual(bounds)
  expect(['a', 'b', 'y'].filter(key => contains(bounds, key))).toEqual(['b'])
})

test('a history survives JSON', () => {
  const judged = history('a0', 's1([a,c] 1: a0) r2(x-) w1(b1) d2(a2) c1 c2', 'b1')
  expect(JSON.parse(JSON.stringify(judged))).toEqual(judged)
})
