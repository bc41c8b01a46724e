/**
 * Who wrote what, lately: the stamps of recent commits, kept for as long as some tracked snapshot may ask. Only validated commits enter.
 *
 *   C-1  Every write stamped later than `floor` is here. At or below the floor stamps may be missing, so a snapshot below it must not ask.
 *   C-2  The floor moves before the first stamp at or below it leaves (a history pruned under a live snapshot is how several engines lost anomalies).
 *   C-3  Work per commit and per call of `trim` is bounded by what the newest commit wrote, whatever is kept; the cost of a question follows how far its snapshot lags.
 *
 * Points are answered by one Map from key to newest stamp, behind a filter that says at once of most keys that nobody wrote them. Ranges are answered by time-sliced sorted runs, newest first, built
 * only when somebody who lags asks (a transaction that lags a few commits reads them as they stand), and merged so that their number stays logarithmic. Their keys are searched by the numbers that
 * their first bytes make, for comparing numbers costs a fifth of comparing strings.
 */
import { asTs, noTs, type CommitTs, type Key, type KeyRange, type WriteKind } from './types.js'

export interface CommittedWrites {
  readonly ts: CommitTs
  readonly label: string | undefined
  readonly keys: readonly Key[]
  readonly kinds: readonly WriteKind[]
}

/** One write that a premise did not know of. */
export interface Overwrite {
  readonly key: Key
  readonly commitTs: CommitTs
  readonly write: WriteKind
  readonly label: string | undefined
}

/** Writes looked at one by one before a sorted run is worth building. */
const unsortedMax = 32
/** Places of the filter, a power of two. */
const filterSize = 16_384
/** Runs larger than this are not merged further. */
const runMax = 16_384
/** Stamps that a call of `trim` may always drop; it may also drop twice what the newest commit added, so the index shrinks as fast as it may. */
const trimMin = 64
/** In the place of a commit that is dropped: a commit can be large. */
const dropped: CommittedWrites = { ts: noTs, label: undefined, keys: [], kinds: [] }

/** Keys of consecutive commits in key order, each with its newest stamp among them. */
interface Run {
  readonly size: number
  readonly keys: readonly Key[]
  /** What the keys begin with (`beginningOf`). */
  readonly beginnings: Float64Array
  /** Commit timestamps. */
  readonly stamps: Float64Array
  /** The newest stamp in the run. */
  readonly lastTs: CommitTs
}

export class ConflictIndex {
  readonly #newest = new Map<Key, CommitTs>()
  /** For each key, at the place that its hash gives, the newest stamp of whatever has the same place. Stamps of what was dropped may linger. */
  readonly #filter = new Float64Array(filterSize)
  /** Commits in order, timestamps consecutive; those before `#first` are dropped. */
  #history: CommittedWrites[] = []
  #first = 0
  /** Keys already dropped of the commit at `#first`. */
  #dropped = 0
  #writes = 0
  /** Of them, those that came after the newest run. */
  #unsorted = 0
  #runs: Run[] = []
  #floor: CommitTs = noTs

  /** Stamps at or below this may be missing. */
  get floor(): CommitTs {
    return this.#floor
  }

  /** Stamps kept. */
  get writes(): number {
    return this.#writes
  }

  /** Starts empty at `ts`: nothing before it can be asked. */
  constructor(ts: CommitTs = noTs) {
    this.#floor = ts
  }

  add(commit: CommittedWrites): void {
    this.#history.push(commit)
    for (const key of commit.keys) {
      this.#newest.set(key, commit.ts)
      this.#filter[hashOf(key)] = commit.ts
    }
    this.#writes += commit.keys.length
    this.#unsorted += commit.keys.length
  }

  /** The newest write of `key` stamped later than `after`. `after` is at or above the floor. */
  overwriteOf(key: Key, after: CommitTs): Overwrite | undefined {
    if (this.#filter[hashOf(key)]! <= after) return undefined
    const ts = this.#newest.get(key)
    return ts !== undefined && ts > after ? this.#describe(key, ts) : undefined
  }

  /** Calls `visit` for keys in the range written later than `after` until it returns true; returns whether it did. A key may come twice. */
  someOverwriteIn(range: KeyRange, after: CommitTs, visit: (overwrite: Overwrite) => boolean): boolean {
    if (range.lo >= range.hi) return false
    const sortedTo = this.#sortIfWorthwhile(after)
    for (let i = this.#history.length - 1; i >= this.#first; i--) {
      const commit = this.#history[i]!
      if (commit.ts <= after || commit.ts <= sortedTo) break
      for (const key of commit.keys) {
        if (range.lo <= key && key < range.hi && visit(this.#describe(key, commit.ts))) return true
      }
    }
    const beginning = beginningOf(range.lo)
    for (let r = this.#runs.length - 1; r >= 0; r--) {
      const run = this.#runs[r]!
      if (run.lastTs <= after) break
      for (let i = firstFrom(run, range.lo, beginning); i < run.size; i++) {
        const key = run.keys[i]!
        if (key >= range.hi) break
        const ts = asTs(run.stamps[i]!)
        if (ts > after && visit(this.#describe(key, ts))) return true
      }
    }
    return false
  }

  /** The commits after `after`, or undefined where they hold more than `max` writes. */
  commitsSince(after: CommitTs, max: number): readonly CommittedWrites[] | undefined {
    let start = this.#history.length
    let writes = 0
    while (start > this.#first && this.#history[start - 1]!.ts > after) {
      writes += this.#history[--start]!.keys.length
      if (writes > max) return undefined
    }
    return this.#history.slice(start)
  }

  /** Nobody will ask below `ts` any more (or must not): moves the floor and drops a bounded number of stamps. */
  trim(ts: CommitTs): void {
    if (ts > this.#floor) this.#floor = ts
    let budget = Math.max(trimMin, 2 * (this.#history.at(-1)?.keys.length ?? 0))
    while (this.#first < this.#history.length && budget > 0) {
      const commit = this.#history[this.#first]!
      if (commit.ts > this.#floor) break
      while (this.#dropped < commit.keys.length && budget-- > 0) {
        const key = commit.keys[this.#dropped++]!
        if (this.#newest.get(key) === commit.ts) this.#newest.delete(key)
        this.#writes--
      }
      if (this.#dropped < commit.keys.length) break
      this.#history[this.#first++] = dropped
      this.#dropped = 0
    }
    while (this.#runs.length > 0 && this.#runs[0]!.lastTs <= this.#floor) this.#runs.shift()
    if (this.#first > 1_024 && this.#first * 2 > this.#history.length) {
      this.#history = this.#history.slice(this.#first)
      this.#first = 0
    }
  }

  /** The oldest commit still here, so that the caller can give it up when there are too many stamps. */
  get oldestTs(): CommitTs {
    return this.#history[this.#first]?.ts ?? this.#floor
  }

  /** Sorts the unsorted tail into a run where a question from `after` would have to read much of it. Returns up to where runs reach. */
  #sortIfWorthwhile(after: CommitTs): CommitTs {
    const sortedTo = this.#runs.at(-1)?.lastTs ?? this.#floor
    if (this.#unsorted <= unsortedMax) return sortedTo
    let writes = 0
    for (let i = this.#history.length - 1; i >= this.#first && writes <= unsortedMax; i--) {
      const commit = this.#history[i]!
      if (commit.ts <= sortedTo || commit.ts <= after) return sortedTo
      writes += commit.keys.length
    }
    if (writes <= unsortedMax) return sortedTo
    const from = this.#firstAfter(sortedTo)
    let run = sortRun(this.#history.slice(from))
    for (let last = this.#runs.at(-1); last && last.size <= run.size * 2; last = this.#runs.at(-1)) {
      if (last.size + run.size > runMax) break
      this.#runs.pop()
      run = mergeRuns(last, run)
    }
    this.#runs.push(run)
    this.#unsorted = 0
    return run.lastTs
  }

  /** Position in the history of the first commit after `ts`. */
  #firstAfter(ts: CommitTs): number {
    const oldest = this.#history[this.#first]
    return oldest === undefined || oldest.ts > ts ? this.#first : this.#first + (ts - oldest.ts) + 1
  }

  #describe(key: Key, commitTs: CommitTs): Overwrite {
    const commit = this.#history[this.#firstAfter(asTs(commitTs - 1))]!
    return { key, commitTs, write: commit.kinds[commit.keys.indexOf(key)]!, label: commit.label }
  }
}

/** Sorts the writes of the commits; of several to one key the newest stays. */
function sortRun(commits: readonly CommittedWrites[]): Run {
  const keys: Key[] = []
  const stamps: CommitTs[] = []
  for (let c = commits.length - 1; c >= 0; c--) {
    for (const key of commits[c]!.keys) {
      keys.push(key)
      stamps.push(commits[c]!.ts)
    }
  }
  const beginnings = Float64Array.from(keys, beginningOf)
  // Newest first, and sorting keeps the order of equal ones.
  const order = Array.from(keys.keys()).sort((a, b) => beginnings[a]! - beginnings[b]! || (keys[a]! < keys[b]! ? -1 : keys[a]! > keys[b]! ? 1 : 0))
  const run = new RunBuilder(keys.length)
  for (const i of order) run.add(keys[i]!, beginnings[i]!, stamps[i]!)
  return run.finish(commits.at(-1)!.ts)
}

/** `older` holds only stamps before those of `newer`, so where both have a key the newer stamp stands. */
function mergeRuns(older: Run, newer: Run): Run {
  const run = new RunBuilder(older.size + newer.size)
  let o = 0
  let n = 0
  while (o < older.size || n < newer.size) {
    if (n < newer.size && (o === older.size || !isBefore(older, o, newer, n))) {
      run.add(newer.keys[n]!, newer.beginnings[n]!, newer.stamps[n]!)
      n++
    } else {
      run.add(older.keys[o]!, older.beginnings[o]!, older.stamps[o]!)
      o++
    }
  }
  return run.finish(newer.lastTs)
}

function isBefore(a: Run, i: number, b: Run, j: number): boolean {
  const difference = a.beginnings[i]! - b.beginnings[j]!
  return difference < 0 || (difference === 0 && a.keys[i]! < b.keys[j]!)
}

/** Makes a run of keys that come in order; of equal ones only the first is taken. */
class RunBuilder {
  readonly #keys: Key[] = []
  readonly #beginnings: Float64Array
  readonly #stamps: Float64Array
  #size = 0

  constructor(sizeMax: number) {
    this.#beginnings = new Float64Array(sizeMax)
    this.#stamps = new Float64Array(sizeMax)
  }

  add(key: Key, beginning: number, ts: number): void {
    const at = this.#size
    if (at > 0 && this.#beginnings[at - 1] === beginning && this.#keys[at - 1] === key) return
    this.#keys.push(key)
    this.#beginnings[at] = beginning
    this.#stamps[at] = ts
    this.#size++
  }

  finish(lastTs: CommitTs): Run {
    return { size: this.#size, keys: this.#keys, beginnings: this.#beginnings, stamps: this.#stamps, lastTs }
  }
}

/** Position of the first key of the run that is at least `key`, which has this beginning. */
function firstFrom({ size, keys, beginnings }: Run, key: Key, beginning: number): number {
  let lo = 0
  let hi = size
  while (lo < hi) {
    const middle = (lo + hi) >>> 1
    const other = beginnings[middle]!
    if (other < beginning || (other === beginning && keys[middle]! < key)) lo = middle + 1
    else hi = middle
  }
  return lo
}

/** A key's first six bytes as a number (missing ones count as 0): keys have the order of these numbers, where the numbers differ. */
const beginningOf = (key: Key): number =>
  ((key.charCodeAt(0) << 16) | (key.charCodeAt(1) << 8) | key.charCodeAt(2)) * 0x100_0000 + ((key.charCodeAt(3) << 16) | (key.charCodeAt(4) << 8) | key.charCodeAt(5))

/** A place in the filter: FNV-1a over the key's bytes (Fowler, Noll & Vo). */
function hashOf(key: Key): number {
  let hash = 0x811c_9dc5
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x0100_0193)
  return (hash ^ (hash >>> 15)) & (filterSize - 1)
}
