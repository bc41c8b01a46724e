/**
 * The window's keys in order, in parts that are dropped as a whole, for taking keys out of a tree one by one would cost as much as entering them: those that entered lately stand in a B+ tree,
 * those that the checkpoint under way is about in a list, until the window has been trimmed behind it, and those that old snapshots keep beyond that in a tree of their own.
 *
 *   Q-1  Whatever key has a version in the window is in one of the parts, perhaps in several.
 *   Q-2  Keys may be here that have left the window: whoever looks one up asks the window whether it is there.
 */
import { lowerBound, type Key } from '../../isolation/types.js'
import { sortedMap } from './sorted-map.js'

export class KeyOrder {
  #recent = sortedMap<undefined>()
  #frozen: readonly Key[] = []
  #kept = sortedMap<undefined>()

  enter(key: Key): void {
    this.#recent.set(key, undefined)
  }

  /** The list is about to be dropped, and the key stays. */
  keep(key: Key): void {
    this.#kept.set(key, undefined)
  }

  /** The least key that is at least `key`. */
  from(key: Key): Key | undefined {
    const recent = this.#recent.getPairOrNextHigher(key)?.[0]
    const frozen = this.#frozen[lowerBound(this.#frozen, key)]
    const kept = this.#kept.size === 0 ? undefined : this.#kept.getPairOrNextHigher(key)?.[0]
    return lesser(lesser(recent, frozen), kept)
  }

  /** The greatest key less than `key`. */
  before(key: Key): Key | undefined {
    const recent = this.#recent.nextLowerKey(key)
    const frozen = this.#frozen[lowerBound(this.#frozen, key) - 1]
    const kept = this.#kept.size === 0 ? undefined : this.#kept.nextLowerKey(key)
    return greater(greater(recent, frozen), kept)
  }

  /** Moves the keys that entered lately to the list, with those of an earlier list that are still `there`, and returns it. */
  freeze(there: ReadonlyMap<Key, unknown>): readonly Key[] {
    for (const key of this.#frozen) if (there.has(key)) this.enter(key)
    this.#frozen = this.#recent.keysArray()
    this.#recent = sortedMap()
    return this.#frozen
  }

  /** Drops the list. Its keys have left the window, were entered again, or are kept. */
  dropFrozen(): void {
    this.#frozen = []
  }

  /** No old snapshot keeps anything. */
  dropKept(): void {
    if (this.#kept.size > 0) this.#kept = sortedMap()
  }
}

const lesser = (a: Key | undefined, b: Key | undefined): Key | undefined => (a === undefined || (b !== undefined && b < a) ? b : a)
const greater = (a: Key | undefined, b: Key | undefined): Key | undefined => (a === undefined || (b !== undefined && b > a) ? b : a)
