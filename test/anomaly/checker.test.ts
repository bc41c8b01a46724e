import { describe, expect, test } from 'vitest'
import { checkHistory, type History, phenomena, serialOrder } from '../../isolation/anomaly/index.js'
import { consumedBy, contains } from '../../isolation/anomaly/checker/history.js'
import { history } from './adya.js'

const namesIn = (judged: History): string[] => checkHistory(judged).findings.map(({ phenomenon }) => phenomenon).sort()

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
    ['a phantom that appears', history('a0', 's1([a,c]: a0) w2(b2) c2 s1([a,c]: a0 b2) c1', 'a0 b2'), ['G-single']],
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

  test('the cases contain every phenomenon that has a name', () => {
    expect(new Set(cases.flatMap(([, , names]) => names))).toEqual(new Set(Object.keys(phenomena)))
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
    expect(checkHistory(judged)).toEqual({ findings: [], serialOrder: order, agreed: true })
  })
})

test('a cycle over versions that nobody can tell apart is found, and the opinions are said to differ', () => {
  // T3 overwrites x blindly, so T1 after T2 or before it makes no difference to anyone.
  const verdict = checkHistory(history('x0', 'r1(x0) w2(x2) c2 w1(x1) c1 w3(x3) c3', 'x3'))
  expect(verdict.findings.map(({ phenomenon }) => phenomenon).sort()).toEqual(['G-single', 'P4'])
  expect(verdict).toMatchObject({ serialOrder: ['T1', 'T2', 'T3'], agreed: false })
})

test('a finding has the shortest cycle, with a sentence for each edge', () => {
  const events = 'r1(x0) r1(y0) r2(x0) r2(y0) w1(x1) w2(y2) c1 c2 r3(z0) r4(x1) w3(x3) w4(z4) c3 c4'
  const { findings } = checkHistory(history('x0 y0 z0', events, 'x3 y2 z4'))
  const finding = findings.find(({ phenomenon }) => phenomenon === 'G2-item')
  expect(finding?.transactions).toHaveLength(2)
  expect(finding?.sentences).toEqual([
    'T1 before T2, because T1 read y as it was before T2 wrote it.',
    'T2 before T1, because T2 read x as it was before T1 wrote it.',
  ])
})

test('a cycle of three transactions is found', () => {
  const judged = history('x0 y0', 'r2(x0) r2(y0) r1(y0) w1(y1) c1 r3(x0) r3(y1) c3 w2(x2) c2', 'x2 y1')
  expect(checkHistory(judged).findings).toMatchObject([{ phenomenon: 'G2-item', transactions: ['T2', 'T1', 'T3'] }])
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
