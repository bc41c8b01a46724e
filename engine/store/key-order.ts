/**
 * The window's keys in order, in parts that are dropped as a whole, for taking keys out of a tree one by one would cost as much as entering them: those that entered lately stand in a B+ tree,
 * those that a checkpoint is about in a list, as long as anybody may need them there, and those that old snapshots keep beyond that in a tree of their own.
 *
 *   Q-1  Whatever key has a version in the window that somebody can read is in one of the parts, perhaps in several.
 *   Q-2  Keys may be here that have left the window: whoever looks one up asks the window whether it is there.
 */
import { lowerBound, type CommitTs, type Key } from '../../isolation/types.js'
import { sortedMap } from './sorted-map.js'

/** Of the checkpoint up to `ts`. */
interface Frozen {
  readonly ts: CommitTs
  readonly keys: readonly Key[]
}

export class KeyOrder {
  #recent = sortedMap<undefined>()
  #frozen: readonly Frozen[] = []
  #kept = sortedMap<undefined>()

  /** Keys that are kept for old snapshots, also those that need it no longer. */
  get keptCount(): number {
    return this.#kept.size
  }

  enter(key: Key): void {
    this.#recent.set(key, undefined)
  }

  /** The list that the key is in is about to be dropped, and the key stays. */
  keep(key: Key): void {
    this.#kept.set(key, undefined)
  }

  /** The least key that is at least `key` and, in lists, is still `there`. */
  from(key: Key, there: ReadonlyMap<Key, unknown>): Key | undefined {
    let least = this.#recent.getPairOrNextHigher(key)?.[0]
    for (const { keys } of this.#frozen) {
      let at = lowerBound(keys, key)
      while (at < keys.length && !there.has(keys[at]!)) at++
      least = lesser(least, keys[at])
    }
    return this.#kept.size === 0 ? least : lesser(least, this.#kept.getPairOrNextHigher(key)?.[0])
  }

  /** The greatest key less than `key` that, in lists, is still `there`. */
  before(key: Key, there: ReadonlyMap<Key, unknown>): Key | undefined {
    let greatest = this.#recent.nextLowerKey(key)
    for (const { keys } of this.#frozen) {
      let at = lowerBound(keys, key) - 1
      while (at >= 0 && !there.has(keys[at]!)) at--
      greatest = greater(greatest, keys[at])
    }
    return this.#kept.size === 0 ? greatest : greater(greatest, this.#kept.nextLowerKey(key))
  }

  /**
   * Moves the keys that entered lately to a list, for a checkpoint from `appliedTs` to `ts`, and returns the keys that it is about: those, and those of checkpoints that were begun in vain.
   */
  freeze(ts: CommitTs, appliedTs: CommitTs): readonly Key[] {
    const inVain = this.#frozen.filter(list => list.ts > appliedTs)
    const keys = inVain.reduce<readonly Key[]>((all, list) => merged(all, list.keys), this.#recent.keysArray())
    this.#frozen = [...this.#frozen.filter(list => list.ts <= appliedTs), { ts, keys }]
    this.#recent = sortedMap()
    return keys
  }

  /** Drops the lists of checkpoints up to `ts`: who can still read their keys has them elsewhere. */
  dropFrozen(ts: CommitTs): void {
    if (this.#frozen.length > 0) this.#frozen = this.#frozen.filter(list => list.ts > ts)
  }

  dropKept(): void {
    if (this.#kept.size > 0) this.#kept = sortedMap()
  }
}

const lesser = (a: Key | undefined, b: Key | undefined): Key | undefined => (a === undefined || (b !== undefined && b < a) ? b : a)
const greater = (a: Key | undefined, b: Key | undefined): Key | undefined => (a === undefined || (b !== undefined && b > a) ? b : a)

/** Each key of two sorted lists once. */
function merged(a: readonly Key[], b: readonly Key[]): Key[] {
  const all: Key[] = []
  for (let i = 0, j = 0; i < a.length || j < b.length; ) {
    const next = lesser(a[i], b[j])!
    all.push(next)
    if (a[i] === next) i++
    if (b[j] === next) j++
  }
  return all
}
