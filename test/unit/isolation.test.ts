/** Concurrency control without a store: what is recorded, who wrote what lately, and what a level makes of it. Checked against lists that know everything. */
import { describe, expect, test } from 'vitest'
import { ConflictIndex, type CommittedWrites, type Overwrite } from '../../isolation/conflict-index.js'
import { Points } from '../../isolation/points.js'
import { policies } from '../../isolation/policy.js'
import { RangeRead, ReadSet } from '../../isolation/read-set.js'
import { asKey, asTs, levels, noTs, successor, type CommitTs, type Key, type KeyRange, type WriteKind } from '../../isolation/types.js'
import { findConflict, findWriteWrite } from '../../isolation/validate.js'
import { seededRandom } from '../crash/simulated-files.js'

const k = asKey
const range = (lo: string, hi: string): KeyRange => ({ lo: k(lo), hi: k(hi) })
const changed = (): boolean => false

/** A commit of `put`s, or of the kinds that are said. */
const commit = (ts: number, keys: readonly string[], kinds: readonly WriteKind[] = keys.map(() => 'put'), label?: string): CommittedWrites => ({
  ts: asTs(ts),
  label,
  keys: keys.map(k),
  kinds,
})

/** All commits, for ever. */
class EveryWrite {
  readonly commits: CommittedWrites[] = []

  after(ts: number): CommittedWrites[] {
    return this.commits.filter(one => one.ts > ts)
  }

  newest(key: Key, after: number): Overwrite | undefined {
    for (const { ts, keys, kinds, label } of this.after(after).toReversed()) {
      const at = keys.indexOf(key)
      if (at !== -1) return { key, commitTs: ts, write: kinds[at]!, label }
    }
    return undefined
  }

  has({ key, commitTs, write, label }: Overwrite): boolean {
    const one = this.commits.find(({ ts }) => ts === commitTs)
    return one !== undefined && one.label === label && one.keys.some((other, i) => other === key && one.kinds[i] === write)
  }

  keysIn({ lo, hi }: KeyRange, after: number): Set<Key> {
    return new Set(this.after(after).flatMap(({ keys }) => keys.filter(key => lo <= key && key < hi)))
  }
}

/** Random keys over an alphabet so small that they meet. */
function chance(seed: number, spread = 400) {
  const random = seededRandom(seed)
  const pick = (n: number): number => Math.floor(random() * n)
  const key = (): Key => k(String(pick(spread)).padStart(3, '0'))
  return {
    pick,
    key,
    keys: (count: number): Key[] => [...new Set(Array.from({ length: count }, key))],
    /** Narrow, wide, empty, or with its ends exchanged. */
    range: (): KeyRange => {
      const lo = key()
      const width = pick(4)
      return width === 0 ? { lo, hi: key() } : { lo, hi: k(String(Number(lo) + [0, 1, 5, 60][width]!).padStart(3, '0')) }
    },
  }
}

const kindsOf = (keys: readonly Key[], pick: (n: number) => number): WriteKind[] => keys.map(() => (['put', 'insert', 'delete'] as const)[pick(3)]!)

function add(index: ConflictIndex, all: EveryWrite, keys: readonly Key[], pick: (n: number) => number): void {
  const one: CommittedWrites = { ts: asTs((all.commits.at(-1)?.ts ?? 0) + 1), label: pick(2) === 0 ? undefined : `label ${pick(9)}`, keys, kinds: kindsOf(keys, pick) }
  all.commits.push(one)
  index.add(one)
}

function checkRange(index: ConflictIndex, all: EveryWrite, asked: KeyRange, after: number): number {
  const found: Overwrite[] = []
  expect(index.someOverwriteIn(asked, asTs(after), overwrite => (found.push(overwrite), false))).toBe(false)
  const expected = all.keysIn(asked, after)
  expect(new Set(found.map(({ key }) => key))).toEqual(expected)
  for (const overwrite of found) if (overwrite.commitTs <= after || !all.has(overwrite)) expect.unreachable(`no such write: ${JSON.stringify(overwrite)}`)
  let visits = 0
  expect(index.someOverwriteIn(asked, asTs(after), () => (visits++, true))).toBe(expected.size > 0)
  expect(visits).toBe(Math.min(1, expected.size))
  return expected.size
}

describe('the conflict index', () => {
  test('answers as a list of all writes would, through adding, asking and trimming in any order', () => {
    const total = { present: 0, absent: 0, inRanges: 0, emptyRanges: 0, trims: 0 }
    for (let seed = 1; seed <= 25; seed++) {
      const { pick, key, keys, range: anyRange } = chance(seed, [12, 400][seed % 2])
      const index = new ConflictIndex()
      const all = new EveryWrite()
      for (let step = 0; step < 250; step++) {
        const newest = all.commits.at(-1)?.ts ?? 0
        const after = index.floor + pick(newest - index.floor + 1)
        const action = pick(10)
        if (action < 5) add(index, all, keys([1, 1, 2, 5, 40][pick(5)]!), pick)
        else if (action < 6) {
          index.trim(asTs(index.floor + pick(newest - index.floor + 1)))
          total.trims++
        } else if (action < 8) {
          const asked = key()
          const expected = all.newest(asked, after)
          expect(index.overwriteOf(asked, asTs(after))).toEqual(expected)
          total[expected ? 'present' : 'absent']++
        } else if (checkRange(index, all, anyRange(), after) > 0) total.inRanges++
        else total.emptyRanges++
      }
    }
    for (const count of Object.values(total)) expect(count).toBeGreaterThan(50)
  })

  test('with more than 20,000 writes: runs are built, merged, left behind, and answer the same', () => {
    const { pick, key, keys, range: anyRange } = chance(7, 900)
    const index = new ConflictIndex()
    const all = new EveryWrite()
    let writes = 0
    for (let step = 0; step < 700; step++) {
      const large = pick(20) === 0
      const more = keys(large ? 500 : 20)
      add(index, all, more, pick)
      writes += more.length
      const newest = all.commits.at(-1)!.ts
      if (step % 7 === 0) {
        const lag = [3, 30, 200, 700][pick(4)]!
        const after = Math.max(index.floor, newest - pick(lag))
        checkRange(index, all, anyRange(), after)
        checkRange(index, all, range('', 'z'), Math.max(after, newest - 20))
        const asked = key()
        expect(index.overwriteOf(asked, asTs(after))).toEqual(all.newest(asked, after))
      }
      if (step > 400 && step % 11 === 0) index.trim(asTs(newest - 350))
    }
    expect(writes).toBeGreaterThan(20_000)
    expect(index.writes).toBeLessThan(writes)
    checkRange(index, all, range('', 'z'), index.floor)
  })

  test('a question from far behind finds the oldest and the newest of many thousand writes', () => {
    const index = new ConflictIndex()
    index.add(commit(1, ['first'], ['insert'], 'the first'))
    for (let ts = 2; ts <= 30_001; ts++) index.add(commit(ts, [`x${String((ts * 7_919) % 30_000).padStart(5, '0')}`]))
    index.add(commit(30_002, ['y'], ['delete'], 'the last'))
    const found: Overwrite[] = []
    index.someOverwriteIn(range('a', 'g'), noTs, one => (found.push(one), false))
    index.someOverwriteIn(range('y', 'z'), noTs, one => (found.push(one), false))
    expect(found).toEqual([
      { key: 'first', commitTs: 1, write: 'insert', label: 'the first' },
      { key: 'y', commitTs: 30_002, write: 'delete', label: 'the last' },
    ])
    let count = 0
    index.someOverwriteIn(range('x', 'y'), noTs, () => (count++, false))
    expect(count).toBeGreaterThanOrEqual(30_000)
    expect(index.someOverwriteIn(range('x', 'y'), asTs(30_001), () => true)).toBe(false)
    expect(index.someOverwriteIn(range('x', 'y'), asTs(30_000), () => true)).toBe(true)
  })

  test('keys that begin alike, or are shorter than what is compared first, are found all the same', () => {
    const index = new ConflictIndex()
    const names = Array.from({ length: 400 }, (_, n) => `customers/${String((n * 173) % 400).padStart(3, '0')}`)
    for (const [n, name] of ['', 'c', 'cus', 'custom', ...names].entries()) index.add(commit(n + 1, [name]))
    const found = (lo: string, hi: string, after: number): string[] => {
      const keys = new Set<string>()
      index.someOverwriteIn(range(lo, hi), asTs(after), ({ key }) => (keys.add(key), false))
      return [...keys].sort()
    }
    expect(found('', 'd', 0)).toHaveLength(404)
    expect(found('customers/100', 'customers/110', 0)).toEqual(names.filter(name => name >= 'customers/100' && name < 'customers/110').sort())
    expect(found('', 'custom', 0)).toEqual(['', 'c', 'cus'])
    expect(found('custom', 'customers/001', 0)).toEqual(['custom', 'customers/000'])
    expect(found('customers/', 'customers0', 204)).toEqual(names.slice(200).sort())
    expect(names.every((name, n) => index.overwriteOf(k(name), asTs(n + 4))?.commitTs === n + 5)).toBe(true)
    expect(index.overwriteOf(k('customers/400'), noTs)).toBeUndefined()
  })

  test('C-1: a commit at the timestamp that is asked from is not after it', () => {
    const index = new ConflictIndex(asTs(4))
    index.add(commit(5, ['a']))
    index.add(commit(6, ['a']))
    expect(index.floor).toBe(4)
    expect([4, 5, 6].map(after => index.overwriteOf(k('a'), asTs(after))?.commitTs)).toEqual([6, 6, undefined])
    expect([4, 5, 6].map(after => index.someOverwriteIn(range('a', 'b'), asTs(after), () => true))).toEqual([true, true, false])
  })

  test('C-2: the floor moves before a stamp leaves, and never back', () => {
    const index = new ConflictIndex()
    for (let ts = 1; ts <= 100; ts++) index.add(commit(ts, [`k${ts}`]))
    index.trim(asTs(60))
    expect(index.floor).toBe(60)
    index.trim(asTs(30))
    expect(index.floor).toBe(60)
    for (let ts = 61; ts <= 100; ts++) expect(index.overwriteOf(k(`k${ts}`), asTs(60))?.commitTs).toBe(ts)
    expect(index.oldestTs).toBe(61)
  })

  test('C-3: a call of trim drops a bounded number of stamps, and calls that follow drop the rest', () => {
    const index = new ConflictIndex()
    index.add(commit(1, Array.from({ length: 1_000 }, (_, i) => `k${i}`)))
    index.add(commit(2, ['k0', 'z']))
    index.trim(asTs(1))
    expect(index.floor).toBe(1)
    expect(index.writes).toBeGreaterThan(800)
    for (let i = 0; i < 20; i++) index.trim(asTs(1))
    expect(index.writes).toBe(2)
    expect(index.overwriteOf(k('k0'), asTs(1))).toEqual({ key: 'k0', commitTs: 2, write: 'put', label: undefined })
  })

  test('a stamp that leaves does not take a newer one of the same key with it', () => {
    const index = new ConflictIndex()
    for (let ts = 1; ts <= 3_000; ts++) index.add(commit(ts, ['hot', `cold${ts}`]))
    for (let ts = 1; ts < 3_000; ts++) index.trim(asTs(ts))
    expect(index.writes).toBe(2)
    expect(index.overwriteOf(k('hot'), asTs(2_999))?.commitTs).toBe(3_000)
    expect(index.commitsSince(asTs(2_999), 10)).toHaveLength(1)
  })

  test('the commits since a timestamp come whole or, where they hold more than is asked for, not at all', () => {
    const index = new ConflictIndex()
    for (let ts = 1; ts <= 10; ts++) index.add(commit(ts, [`a${ts}`, `b${ts}`]))
    expect(index.commitsSince(asTs(7), 6)!.map(({ ts }) => ts)).toEqual([8, 9, 10])
    expect(index.commitsSince(asTs(7), 5)).toBeUndefined()
    expect(index.commitsSince(asTs(10), 0)).toEqual([])
  })

  test('an empty or inverted range holds nothing', () => {
    const index = new ConflictIndex()
    for (let ts = 1; ts <= 300; ts++) index.add(commit(ts, ['m']))
    for (const asked of [range('m', 'm'), range('n', 'm'), range('z', 'a')]) expect(index.someOverwriteIn(asked, noTs, () => true)).toBe(false)
  })

  test('a large run that merged keeps the newer stamp of a key', () => {
    const index = new ConflictIndex()
    const ask = (after: number): number | undefined => {
      let newest: number | undefined
      index.someOverwriteIn(range('m', 'n'), asTs(after), ({ commitTs }) => ((newest = Math.max(newest ?? 0, commitTs)), false))
      return newest
    }
    for (let ts = 1; ts <= 1_000; ts++) {
      index.add(commit(ts, ['m', `x${ts}`]))
      if (ts % 100 === 0) expect(ask(0)).toBe(ts)
    }
    expect(ask(999)).toBe(1_000)
    expect(ask(1_000)).toBeUndefined()
  })
})

describe('a read set', () => {
  test('a range begins with nothing and grows with each step, from either end', () => {
    const whole = range('b', 'y')
    const forward = new RangeRead(whole, false)
    expect(forward.lo >= forward.hi).toBe(true)
    forward.consumedTo(k('d'))
    expect([forward.lo, forward.hi]).toEqual(['b', successor(k('d'))])
    forward.exhausted()
    expect([forward.lo, forward.hi]).toEqual(['b', 'y'])
    const backward = new RangeRead(whole, true)
    expect(backward.lo >= backward.hi).toBe(true)
    backward.consumedTo(k('t'))
    expect([backward.lo, backward.hi]).toEqual(['t', 'y'])
    backward.exhausted()
    expect([backward.lo, backward.hi]).toEqual(['b', 'y'])
  })

  test('says what a key was read as: a point, the range that holds it, or not at all', () => {
    const reads = new ReadSet(200_000)
    reads.addPoint(k('p'))
    reads.addRange(range('a', 'c'), false)
    const read = reads.addRange(range('m', 'z'), false)
    read.consumedTo(k('q'))
    expect(reads.reading(k('p'))).toEqual({ key: 'p' })
    expect(reads.reading(k('q'))).toEqual({ range: read })
    expect(reads.reading(k('m'))).toEqual({ range: read })
    for (const key of ['b', 'r', 'q\0', 'l']) expect(reads.reading(k(key))).toBeUndefined()
    expect(reads.size).toBe(3)
  })

  test.each([3, 16, 17, 2_000, 16_384, 16_385, 40_000])('%i points, each read twice, are all there and no others, listed or hashed', total => {
    const points = new Points()
    const key = (i: number): Key => k(`point ${i}`)
    for (let i = 0; i < total * 2; i++) points.add(key(i % total))
    expect(points.sizeMax).toBeGreaterThanOrEqual(total)
    expect(points.sizeMax).toBeLessThanOrEqual(Math.max(total, 16_384))
    expect([points.size, [...points].length]).toEqual([total, total])
    expect(new Set(points)).toEqual(new Set(Array.from({ length: total }, (_, i) => key(i))))
    expect([points.has(key(0)), points.has(key(total - 1)), points.has(key(total))]).toEqual([true, true, false])
    points.add(key(total))
    expect([points.has(key(0)), points.has(key(total))]).toEqual([true, true])
    expect(new Set(points).size).toBe(total + 1)
    points.clear()
    expect([points.size, points.has(key(0)), [...points].length]).toEqual([0, false, 0])
  })

  test('points that are read again and again take no more room than those read once', () => {
    const points = new Points()
    const long = k('p'.repeat(1_500))
    for (let i = 0; i < 100_000; i++) points.add(i % 2 === 0 ? long : k(`${long}${i % 50}`))
    expect(points.sizeMax).toBeLessThan(1_000)
    expect(points.size).toBe(26)
  })

  test('a very large one becomes coarser and never smaller', () => {
    const reads = new ReadSet(200_000)
    const total = 200_500
    const key = (i: number): Key => k(String((i * 7_919) % 1_000_003).padStart(7, '0'))
    for (let i = 0; i < total; i++) reads.addPoint(key(i))
    expect(reads.size).toBeLessThan(10_000)
    const ranges = reads.ranges.toSorted((a, b) => (a.lo < b.lo ? -1 : 1))
    const covers = (asked: Key): boolean => {
      let lo = 0
      let hi = ranges.length
      while (lo < hi) {
        const middle = (lo + hi) >>> 1
        if (ranges[middle]!.hi <= asked) lo = middle + 1
        else hi = middle
      }
      return reads.points.has(asked) || (lo < ranges.length && ranges[lo]!.lo <= asked)
    }
    let missing = 0
    for (let i = 0; i < total; i++) if (!covers(key(i))) missing++
    expect(missing).toBe(0)
    for (let i = 0; i < total; i += 20_011) expect(reads.reading(key(i))).toBeDefined()
  })
})

describe('validation', () => {
  test('finds a conflict exactly where a list of all writes has one, looking from the reads or from the writes', () => {
    const total = { conflicts: 0, none: 0, saved: 0, fromWrites: 0, fromReads: 0 }
    for (let seed = 1; seed <= 600; seed++) {
      const { pick, key, keys, range: anyRange } = chance(seed, 150)
      const index = new ConflictIndex()
      const all = new EveryWrite()
      const commits = [2, 10, 200][pick(3)]!
      for (let i = 0; i < commits; i++) add(index, all, keys(1 + pick(3)), pick)
      const reads = new ReadSet(200_000)
      for (let i = pick(3) * pick(20); i > 0; i--) reads.addPoint(key())
      for (let i = pick(3); i > 0; i--) {
        const whole = anyRange()
        const read = reads.addRange(whole, pick(2) === 0)
        if (pick(3) === 0) read.exhausted()
        else if (pick(2) === 0 && whole.lo < whole.hi) read.consumedTo(whole.lo)
      }
      const after = asTs(pick(commits + 1))
      const sameKeys = new Set(keys([0, 40, 1_000][pick(3)]!))
      const same = (asked: Key): boolean => sameKeys.has(asked)

      const relevant = all.after(after).flatMap(({ keys: written }) => written.filter(one => reads.reading(one)))
      const expected = relevant.some(one => !sameKeys.has(one))
      // Second looks are bounded; these cases stay below the bound.
      const looks = relevant.length
      const found = findConflict(reads, index, after, same)
      if (looks <= 64 || found === undefined) expect(found !== undefined).toBe(expected)
      total[expected ? 'conflicts' : 'none']++
      if (!expected && relevant.length > 0) total.saved++
      total[index.commitsSince(after, reads.size / Math.max(1, reads.ranges.length)) ? 'fromWrites' : 'fromReads']++
      if (found === undefined) continue
      const { read, overwrite } = found
      expect(overwrite.commitTs).toBeGreaterThan(after)
      expect(all.has(overwrite)).toBe(true)
      if ('key' in read) expect(read.key).toBe(overwrite.key)
      else expect(read.range.lo <= overwrite.key && overwrite.key < read.range.hi).toBe(true)
    }
    for (const count of Object.values(total)) expect(count).toBeGreaterThan(30)
  })

  test('what was written with the same bytes is no conflict, as long as the second looks last', () => {
    for (const reader of ['point', 'range'] as const) {
      for (const writes of [64, 65]) {
        const index = new ConflictIndex()
        const reads = new ReadSet(200_000)
        for (let i = 0; i < writes; i++) {
          index.add(commit(i + 1, [`k${i}`]))
          if (reader === 'point') reads.addPoint(k(`k${i}`))
        }
        if (reader === 'range') reads.addRange(range('k', 'l'), false).exhausted()
        expect(findConflict(reads, index, noTs, () => true) === undefined).toBe(writes === 64)
      }
    }
  })

  test('a commit at the snapshot itself is none', () => {
    const index = new ConflictIndex()
    index.add(commit(1, ['a']))
    const reads = new ReadSet(200_000)
    reads.addPoint(k('a'))
    expect(findConflict(reads, index, asTs(1), changed)).toBeUndefined()
    expect(findConflict(reads, index, noTs, changed)).toEqual({ read: { key: 'a' }, overwrite: { key: 'a', commitTs: 1, write: 'put', label: undefined } })
    expect(findWriteWrite([k('a')], index, asTs(1))).toBeUndefined()
    expect(findWriteWrite([k('b'), k('a')], index, noTs)?.overwrite.commitTs).toBe(1)
  })
})

describe('the levels', () => {
  test('are the three that are named, and each knows what it is', () => {
    expect(Object.keys(policies)).toEqual(levels)
    for (const level of levels) expect(policies[level].level).toBe(level)
    const traits = levels.map(level => policies[level]).map(({ oneSnapshot, tracksReads, conditionsAtCommit }) => [oneSnapshot, tracksReads, conditionsAtCommit])
    expect(traits).toEqual([
      [false, false, true],
      [true, false, false],
      [true, true, false],
    ])
  })

  test.each([
    { level: 'read-committed', readOverwritten: false, writtenOverwritten: false },
    { level: 'snapshot', readOverwritten: false, writtenOverwritten: true },
    { level: 'serializable', readOverwritten: true, writtenOverwritten: false },
  ] as const)('$level: a read that was overwritten is a conflict: $readOverwritten; a write: $writtenOverwritten', ({ level, readOverwritten, writtenOverwritten }) => {
    const index = new ConflictIndex()
    index.add(commit(1, ['r', 'w']))
    const validate = (read: string, written: string, snapshotTs: CommitTs, same = changed): string | undefined => {
      const reads = new ReadSet(200_000)
      reads.addPoint(k(read))
      return policies[level].validate({ snapshotTs, reads, writtenKeys: () => [k(written)], same }, index)?.overwrite.key
    }
    expect(validate('r', 'x', noTs)).toBe(readOverwritten ? 'r' : undefined)
    expect(validate('x', 'w', noTs)).toBe(writtenOverwritten ? 'w' : undefined)
    expect(validate('r', 'w', asTs(1))).toBeUndefined()
    expect(validate('r', 'x', noTs, () => true), 'the same bytes').toBeUndefined()
    expect(validate('x', 'w', noTs, () => true), 'who commits first wins, whatever was written').toBe(writtenOverwritten ? 'w' : undefined)
  })
})
