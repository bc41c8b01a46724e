/**
 * Window, epochs, live snapshots and cursors, without files: whatever is committed, checkpointed and trimmed meanwhile, every live snapshot reads exactly the state
 * that the commits up to its timestamp made. Checked against a map that keeps every version.
 */
import { describe, expect, test } from 'vitest'
import { Checkpointer, type CheckpointParts } from '../../engine/store/checkpoint.js'
import { Epochs, type Snapshot } from '../../engine/store/epochs.js'
import { KeyOrder } from '../../engine/store/key-order.js'
import { LiveSnapshots } from '../../engine/store/live-snapshots.js'
import { SnapshotCursor } from '../../engine/store/snapshot-cursor.js'
import { versionIn, Window } from '../../engine/store/window.js'
import { defaultLimits } from '../../engine/limits.js'
import type { Root, RowBatch, RowFile, StoredRow } from '../../engine/lmdb/row-file.js'
import { asKey, asTs, successor, type CommitTs, type Key, type KeyRange } from '../../isolation/types.js'
import { seededRandom } from '../crash/simulated-files.js'
import { turns } from '../support/databases.js'
import { testEnvironment } from '../support/test-environment.js'

interface Tagged {
  readonly ts: CommitTs
  readonly value: Uint8Array | undefined
}

/** Every version of every key. */
class EveryVersion {
  readonly versions = new Map<Key, Tagged[]>()

  put(key: Key, tagged: Tagged): void {
    const versions = this.versions.get(key) ?? []
    versions.push(tagged)
    this.versions.set(key, versions)
  }

  /** The rows at a timestamp, in key order. */
  at(ts: number, { lo, hi }: KeyRange = everything): StoredRow[] {
    return [...this.versions]
      .flatMap(([key, versions]) => {
        const newest = versions.findLast(version => version.ts <= ts)
        return newest?.value !== undefined && lo <= key && key < hi ? [{ key, ts: newest.ts, value: newest.value }] : []
      })
      .toSorted((a, b) => (a.key < b.key ? -1 : 1))
  }
}

const everything: KeyRange = { lo: asKey(''), hi: asKey('~') }
const keyOf = (n: number): Key => asKey(`k${String(n).padStart(2, '0')}`)

function mustBe<T>(actual: T, expected: T, what: string): void {
  expect(actual, what).toBe(expected)
}

/** A pinned root as the row file would give it. Refuses to be read once it is released. */
class MemoryRoot {
  readonly appliedTs: CommitTs
  readonly incarnation = 1
  readonly rows: readonly StoredRow[]
  released = false

  constructor(appliedTs: CommitTs, rows: readonly StoredRow[]) {
    this.appliedTs = appliedTs
    this.rows = rows
  }

  get(key: Key): StoredRow | undefined {
    mustBe(this.released, false, 'the root is pinned')
    return this.rows.find(row => row.key === key)
  }

  chunk({ lo, hi }: KeyRange, reverse: boolean, maxRows: number): { rows: readonly StoredRow[]; complete: boolean } {
    mustBe(this.released, false, 'the root is pinned')
    const all = this.rows.filter(({ key }) => lo <= key && key < hi)
    if (reverse) all.reverse()
    const rows = all.slice(0, maxRows)
    return { rows, complete: rows.length < maxRows }
  }

  release(): void {
    mustBe(this.released, false, 'released once')
    this.released = true
  }

  asRoot(): Root {
    return this as unknown as Root
  }
}

const plain = (rows: readonly { key: Key; ts: number; value: Uint8Array }[]): string[] => rows.map(({ key, ts, value }) => `${key}@${ts}=${value.join()}`)

function* rowsOf(cursor: SnapshotCursor): Generator<{ key: Key; ts: CommitTs; value: Uint8Array }> {
  for (let row = cursor.peek(); row !== undefined; row = cursor.peek()) {
    if (row === 'moved') throw new Error('nobody moves it')
    cursor.take()
    yield row
  }
}

/** A store's middle, driven by chance. */
class World {
  readonly all = new EveryVersion()
  readonly epochs: Epochs
  readonly live: { readonly snapshot: Snapshot; readonly cursors: { readonly rows: Iterator<StoredRow>; readonly expected: string[] }[] }[] = []
  visibleTs = asTs(0)
  durableTs = asTs(0)
  readonly pick: (n: number) => number
  readonly count = { commits: 0, checkpoints: 0, moved: 0, joined: 0, checked: 0, stepped: 0, oldReaders: 0 }

  constructor(seed: number) {
    const random = seededRandom(seed)
    this.pick = n => Math.floor(random() * n)
    this.epochs = new Epochs(new MemoryRoot(asTs(0), []).asRoot(), { snapshotAgeMs: 1e9, readerSlots: 1e9 })
  }

  commit(): void {
    const ts = asTs(this.visibleTs + 1)
    const keys = new Set(Array.from({ length: 1 + this.pick(4) }, () => keyOf(this.pick(20))))
    const writes = Array.from(keys, key => ({ key, value: this.pick(3) === 0 ? undefined : Uint8Array.of(ts % 256, this.pick(256)) }))
    for (const { key, value } of writes) this.all.put(key, { ts, value })
    this.epochs.install(this.epochs.window.install(ts, writes, this.durableTs))
    this.visibleTs = ts
    if (this.pick(2) === 0) this.durableTs = asTs(this.durableTs + this.pick(ts - this.durableTs + 1))
    this.count.commits++
  }

  begin(): void {
    const ts = asTs(this.durableTs + this.pick(this.visibleTs - this.durableTs + 1))
    this.live.push({ snapshot: this.epochs.acquire(ts, this.pick(2) === 0), cursors: [] })
  }

  release(): void {
    const [one] = this.live.splice(this.pick(this.live.length), 1)
    if (one) this.epochs.release(one.snapshot)
    if (one && this.pick(4) === 0) this.epochs.release(one.snapshot)
  }

  move(): void {
    const one = this.live[this.pick(this.live.length)]
    if (one === undefined || one.snapshot.ts > this.visibleTs) return
    this.epochs.move(one.snapshot, this.visibleTs)
    one.cursors.length = 0
    this.count.moved++
  }

  /** One snapshot moves to where another one is, whose root may be an older one than the current. */
  join(): void {
    const one = this.live[this.pick(this.live.length)]
    const later = this.live[this.pick(this.live.length)]
    if (one === undefined || later === undefined || one === later || one.snapshot.ts > later.snapshot.ts) return
    this.epochs.join(one.snapshot, later.snapshot)
    one.cursors.length = 0
    this.count.joined++
  }

  advance(): void {
    if (this.durableTs <= this.epochs.appliedTs) return
    const target = asTs(this.epochs.appliedTs + 1 + this.pick(this.durableTs - this.epochs.appliedTs))
    this.epochs.advance(new MemoryRoot(target, this.all.at(target)).asRoot(), 0)
    this.count.checkpoints++
  }

  openCursor(): void {
    const one = this.live[this.pick(this.live.length)]
    if (one === undefined) return
    const { range, reverse } = this.#stretch()
    const expected = plain(this.all.at(one.snapshot.ts, range))
    one.cursors.push({ rows: rowsOf(new SnapshotCursor(this.epochs.window, one.snapshot, range, reverse)), expected: reverse ? expected.reverse() : expected })
  }

  stepCursors(): void {
    for (const { cursors } of this.live) {
      for (const { rows, expected } of cursors) {
        const { value, done } = rows.next() as IteratorResult<StoredRow, undefined>
        mustBe(done ? undefined : plain([value])[0], expected.shift(), 'the next row of a cursor')
        this.count.stepped++
      }
    }
  }

  check(): void {
    for (const { snapshot } of this.live) {
      this.count.checked++
      if (snapshot.appliedTs < this.epochs.appliedTs) this.count.oldReaders++
      const state = new Map(this.all.at(snapshot.ts).map(row => [row.key, row]))
      for (let n = 0; n < 20; n++) {
        const key = keyOf(n)
        const seen = versionIn(this.epochs.window.newest(key), snapshot.appliedTs, snapshot.ts) ?? snapshot.root.get(key)
        const expected = state.get(key)
        if (seen?.value === undefined ? expected !== undefined : seen.ts !== expected?.ts || Buffer.compare(seen.value, expected.value) !== 0) {
          expect.unreachable(`${key} at ${snapshot.ts} is ${JSON.stringify(seen)} and should be ${JSON.stringify(expected)}`)
        }
      }
      for (const { range, reverse } of [{ range: everything, reverse: false }, { range: everything, reverse: true }, this.#stretch()]) {
        const rows = plain([...rowsOf(new SnapshotCursor(this.epochs.window, snapshot, range, reverse))])
        const expected = plain(this.all.at(snapshot.ts, range))
        mustBe(rows.join(' '), (reverse ? expected.reverse() : expected).join(' '), 'the rows of a range')
      }
    }
  }

  #stretch(): { range: KeyRange; reverse: boolean } {
    const bound = (): Key => asKey(keyOf(this.pick(21)) + (this.pick(2) === 0 ? '' : '\0'))
    return { range: { lo: bound(), hi: bound() }, reverse: this.pick(2) === 0 }
  }
}

describe('every live snapshot reads its state', () => {
  test('through random commits, snapshots, moves, checkpoints and trims', () => {
    const total = { commits: 0, checkpoints: 0, moved: 0, joined: 0, checked: 0, stepped: 0, oldReaders: 0 }
    for (let seed = 1; seed <= 60; seed++) {
      const world = new World(seed)
      for (let step = 0; step < 120; step++) {
        const action = world.pick(20)
        if (action < 8) world.commit()
        else if (action < 11) world.begin()
        else if (action < 13) world.release()
        else if (action < 14) {
          if (world.pick(3) === 0) world.move()
          else world.join()
        } else if (action < 15) world.advance()
        else if (action < 17) world.epochs.trim(1 + world.pick(4))
        else if (action < 18) world.openCursor()
        else world.stepCursors()
        if (step % 6 === 0) world.check()
      }
      world.check()
      for (const name of Object.keys(total) as (keyof typeof total)[]) total[name] += world.count[name]

      while (world.live.length > 0) world.release()
      world.durableTs = world.visibleTs
      world.epochs.advance(new MemoryRoot(world.visibleTs, world.all.at(world.visibleTs)).asRoot(), 0)
      while (world.epochs.trim(3)) continue
      const { window, live, tracked, pinnedRoots } = world.epochs
      expect([window.keyCount, window.sizeBytes, live.oldest, tracked.oldest, pinnedRoots], 'nothing is kept for nobody').toEqual([0, 0, undefined, undefined, 1])
    }
    for (const count of Object.values(total)) expect(count).toBeGreaterThan(60)
  })

  test('while a checkpointer takes its steps between commits (K-1, K-2, K-3)', async () => {
    let steps = 0
    for (let seed = 1; seed <= 25; seed++) {
      const world = new World(seed)
      const environment = testEnvironment()
      let rows = new Map<Key, StoredRow>()
      let appliedTs = asTs(0)
      const rowFile: Pick<RowFile, 'write' | 'pin'> = {
        write(fill) {
          const next = new Map(rows)
          const batch: RowBatch = {
            put: (key, ts, value) => next.set(key, { key, ts, value }),
            remove: key => next.delete(key),
            setMetadata: metadata => (appliedTs = metadata.appliedTs),
          }
          fill(batch)
          rows = next
          steps++
        },
        pin: () => new MemoryRoot(appliedTs, [...rows.values()].toSorted((a, b) => (a.key < b.key ? -1 : 1))).asRoot(),
      }
      const parts: CheckpointParts = {
        directory: { path: '/' },
        rowFile: rowFile as RowFile,
        epochs: world.epochs,
        environment,
        limits: { ...defaultLimits, stepSizeBytes: 1 + (seed % 3) * 8 },
        incarnation: 1,
        whenDurable: ts => {
          world.durableTs = asTs(Math.max(world.durableTs, ts))
          return Promise.resolve()
        },
        onApplied: ts => {
          expect(ts).toBe(world.epochs.appliedTs)
          expect(plain([...rows.values()].toSorted((a, b) => (a.key < b.key ? -1 : 1))), 'the root holds the target and nothing newer').toEqual(plain(world.all.at(ts)))
        },
        onStarved: () => expect.unreachable('there is space'),
        onFailure: error => expect.unreachable(String(error)),
      }
      const checkpointer = new Checkpointer(parts)
      environment.holdDeferred = true
      for (let step = 0; step < 100; step++) {
        const action = world.pick(12)
        if (action < 4) world.commit()
        else if (action < 6) world.begin()
        else if (action < 7) world.release()
        else if (action < 8) world.move()
        else if (action < 9) world.openCursor()
        else if (action < 10) world.stepCursors()
        else if (world.visibleTs > 0) {
          checkpointer.request(world.visibleTs, true)
          await Promise.resolve()
          await Promise.resolve()
          if (environment.heldDeferred > 0) environment.runDeferred()
        }
        if (step % 8 === 0) world.check()
      }
      if (seed % 2 === 0) {
        world.durableTs = world.visibleTs
        checkpointer.runSync(world.visibleTs)
      }
      while (environment.heldDeferred > 0) environment.runDeferred()
      await turns(1)
      while (environment.heldDeferred > 0) environment.runDeferred()
      world.check()
      if (seed % 2 === 0) expect(world.epochs.appliedTs).toBe(world.visibleTs)
    }
    expect(steps).toBeGreaterThan(100)
  })
})

describe('the window', () => {
  const value = Uint8Array.of(1)
  const install = (window: Window, ts: number, key: string, durableTs: number) => window.install(asTs(ts), [{ key: asKey(key), value }], asTs(durableTs))
  const chain = (window: Window, key: string): number[] => {
    const stamps: number[] = []
    for (let version = window.newest(asKey(key)); version; version = version.older) stamps.push(version.ts)
    return stamps
  }

  test('W-3: the chain of a hot row stays short where nobody reads between its versions', () => {
    const live = new LiveSnapshots()
    const window = new Window(live)
    for (let ts = 1; ts <= 500; ts++) install(window, ts, 'hot', ts - 1)
    expect(chain(window, 'hot')).toHaveLength(2)
    expect(window.keyCount).toBe(1)
  })

  test('W-3: a version that a live snapshot needs, or that may be read by who begins at the durable timestamp, stays', () => {
    const live = new LiveSnapshots()
    const window = new Window(live)
    live.enter(asTs(5))
    for (let ts = 1; ts <= 20; ts++) install(window, ts, 'hot', Math.min(ts - 1, 15))
    const stamps = chain(window, 'hot')
    expect(stamps).toContain(5)
    expect(stamps).toContain(15)
    expect(stamps.filter(ts => ts > 15)).toEqual([20, 19, 18, 17, 16])
    expect(versionIn(window.newest(asKey('hot')), asTs(0), asTs(5))!.ts).toBe(5)
    live.leave(asTs(5))
    for (let ts = 21; ts <= 40; ts++) install(window, ts, 'hot', ts - 1)
    expect(chain(window, 'hot')).toHaveLength(2)
  })

  test('the versions of a commit leave one by one, in any order, and their size with them', () => {
    const live = new LiveSnapshots()
    live.enter(asTs(1))
    live.enter(asTs(2))
    live.enter(asTs(3))
    const window = new Window(live)
    const commits = [1, 2, 3].map(ts => install(window, ts, 'a', 0))
    for (const i of [1, 0, 2]) {
      const [version] = commits[i]!.versions
      window.remove(version!)
      window.remove(version!)
      expect(version!.gone).toBe(true)
    }
    expect([window.keyCount, window.sizeBytes, window.keyFrom(asKey('')), window.keyBefore(asKey('~'))]).toEqual([0, 0, undefined, undefined])
  })
})

describe('the order of the window', () => {
  const key = (name: string) => asKey(name)
  const all = new Map('abcdef'.split('').map(name => [key(name), undefined]))
  const forwards = (order: KeyOrder, there = all): string[] => {
    const found: string[] = []
    for (let next = order.from(key(''), there); next !== undefined; next = order.from(successor(next), there)) found.push(next)
    return found
  }
  const backwards = (order: KeyOrder, there = all): string[] => {
    const found: string[] = []
    for (let next = order.before(key('~'), there); next !== undefined; next = order.before(next, there)) found.unshift(next)
    return found
  }

  test('is one, whatever part a key stands in, and each key is met once', () => {
    const order = new KeyOrder()
    for (const name of ['d', 'a', 'c']) order.enter(key(name))
    expect(order.freeze(asTs(3), asTs(0))).toEqual(['a', 'c', 'd'])
    for (const name of ['b', 'c', 'e']) order.enter(key(name))
    for (const name of ['a', 'f']) order.keep(key(name))
    expect(forwards(order)).toEqual(['a', 'b', 'c', 'd', 'e', 'f'])
    expect(backwards(order)).toEqual(['a', 'b', 'c', 'd', 'e', 'f'])
  })

  test('loses what was frozen as a whole, and nothing that was entered again or is kept', () => {
    const order = new KeyOrder()
    for (const name of ['a', 'b', 'c', 'd']) order.enter(key(name))
    order.freeze(asTs(4), asTs(0))
    order.enter(key('b'))
    order.keep(key('c'))
    order.dropFrozen(asTs(3))
    expect(forwards(order)).toEqual(['a', 'b', 'c', 'd'])
    order.dropFrozen(asTs(4))
    expect(forwards(order)).toEqual(['b', 'c'])
    order.dropKept()
    expect([forwards(order), backwards(order)]).toEqual([['b'], ['b']])
  })

  test('frozen again, hands out what a checkpoint in vain was about too, and of a complete one nothing', () => {
    const order = new KeyOrder()
    for (const name of ['a', 'c', 'e']) order.enter(key(name))
    order.freeze(asTs(3), asTs(0))
    for (const name of ['b', 'c']) order.enter(key(name))
    expect(order.freeze(asTs(5), asTs(0)), 'the first was in vain').toEqual(['a', 'b', 'c', 'e'])
    order.enter(key('d'))
    expect(order.freeze(asTs(6), asTs(5))).toEqual(['d'])
    expect([forwards(order), backwards(order)]).toEqual([['a', 'b', 'c', 'd', 'e'], ['a', 'b', 'c', 'd', 'e']])
    order.dropFrozen(asTs(5))
    expect(forwards(order)).toEqual(['d'])
  })

  test('passes over keys of a list that have left the window', () => {
    const order = new KeyOrder()
    for (const name of ['a', 'b', 'c', 'd', 'e']) order.enter(key(name))
    order.freeze(asTs(5), asTs(0))
    const there = new Map(['b', 'e'].map(name => [key(name), undefined]))
    expect([forwards(order, there), backwards(order, there)]).toEqual([['b', 'e'], ['b', 'e']])
  })
})

test('live snapshots: the oldest is exact, and nobody who reads between two timestamps is overlooked', () => {
  const random = seededRandom(3)
  const pick = (n: number): number => Math.floor(random() * n)
  const live = new LiveSnapshots()
  const held: number[] = []
  let newest = 0
  let between = 0
  for (let step = 0; step < 20_000; step++) {
    const action = pick(10)
    if (action < 4) {
      newest += pick(3)
      const ts = Math.max(0, newest - (pick(4) === 0 ? pick(200) : 0))
      live.enter(asTs(ts))
      held.push(ts)
    } else if (action < 8 && held.length > (step % 4_000 < 2_000 ? 300 : 0)) {
      const [ts] = held.splice(pick(2) === 0 ? 0 : pick(held.length), 1)
      live.leave(asTs(ts!))
    } else {
      const from = Math.max(0, newest - pick(250))
      const to = from + pick(20)
      if (held.some(ts => from <= ts && ts < to)) {
        between++
        expect(live.someIn(asTs(from), asTs(to))).toBe(true)
      }
    }
    if (live.oldest !== (held.length === 0 ? undefined : Math.min(...held))) expect.unreachable(`the oldest is ${Math.min(...held)}, not ${live.oldest}`)
  }
  expect(between).toBeGreaterThan(500)
  for (const ts of held) live.leave(asTs(ts))
  expect(live.oldest).toBeUndefined()
  expect(live.someIn(asTs(0), asTs(newest + 1))).toBe(false)
})

describe('epochs', () => {
  test('E-1, E-4: an old root is pinned as long as somebody reads through it, and released once', () => {
    const roots = [0, 1, 2, 3].map(ts => new MemoryRoot(asTs(ts), []))
    const epochs = new Epochs(roots[0]!.asRoot(), { snapshotAgeMs: 100, readerSlots: 126 })
    const first = epochs.acquire(asTs(0), false)
    const second = epochs.acquire(asTs(0), false)
    epochs.advance(roots[1]!.asRoot(), 0)
    const third = epochs.acquire(asTs(1), true)
    epochs.advance(roots[2]!.asRoot(), 50)
    expect(roots.map(root => root.released)).toEqual([false, false, false, false])
    epochs.release(first)
    epochs.release(first)
    expect(roots[0]!.released).toBe(false)
    epochs.move(second, asTs(2))
    expect(roots[0]!.released).toBe(true)
    expect(second.appliedTs).toBe(2)
    epochs.advance(roots[3]!.asRoot(), 151)
    expect(roots[1]!.released, 'outdated for longer than the age limit').toBe(true)
    expect(() => third.root).toThrow(expect.objectContaining({ code: 'SNAPSHOT_TOO_OLD' }) as Error)
    expect(roots[2]!.released, 'outdated just now').toBe(false)
    epochs.release(third)
    epochs.release(second)
    epochs.close()
    expect(roots.map(root => root.released)).toEqual([true, true, true, true])
  })

  test('E-4: where reader slots run out the oldest root is given up, not the newest', () => {
    const roots = Array.from({ length: 20 }, (_, ts) => new MemoryRoot(asTs(ts), []))
    const epochs = new Epochs(roots[0]!.asRoot(), { snapshotAgeMs: 1e9, readerSlots: 10 })
    const snapshots = roots.slice(1).map(root => {
      const snapshot = epochs.acquire(epochs.appliedTs, false)
      epochs.advance(root.asRoot(), 0)
      return snapshot
    })
    expect(epochs.pinnedRoots).toBeLessThan(10)
    const kept = roots.map(root => !root.released)
    expect(kept).toEqual(roots.map((_, ts) => ts >= 20 - epochs.pinnedRoots))
    expect(() => snapshots[0]!.root).toThrow(expect.objectContaining({ code: 'SNAPSHOT_TOO_OLD' }) as Error)
    expect(snapshots.at(-1)!.root).toBe(roots[18])
    for (const snapshot of snapshots) epochs.release(snapshot)
    expect(epochs.pinnedRoots).toBe(1)
  })

  test('E-2: a snapshot that was released is not moved', () => {
    const epochs = new Epochs(new MemoryRoot(asTs(0), []).asRoot(), { snapshotAgeMs: 100, readerSlots: 126 })
    const snapshot = epochs.acquire(asTs(0), true)
    epochs.release(snapshot)
    expect(() => epochs.move(snapshot, asTs(1))).toThrow('E-2')
  })
})
