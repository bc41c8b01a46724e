/**
 * The keys that a transaction read one by one. Most are only ever walked through, once, at the commit; hashing each as it is read would cost a tenth of reading it. So
 * they stand in a list, and are hashed when they grow many or when somebody asks for one of them.
 */
import type { Key } from './types.js'

/** A list may hold a key again and again; a longer one is hashed, so that it does not grow without end. */
const listMax = 16_384
/** A list of up to this many is searched faster than it is hashed. */
const searchMax = 16

export class Points implements Iterable<Key> {
  #list: Key[] = []
  /** In the place of the list, once there is one. */
  #set: Set<Key> | undefined

  /** At least as many as there are different keys. */
  get size(): number {
    return this.#set?.size ?? this.#list.length
  }

  add(key: Key): void {
    if (this.#set !== undefined) this.#set.add(key)
    else if (this.#list.push(key) > listMax) this.#hash()
  }

  has(key: Key): boolean {
    if (this.#set === undefined && this.#list.length <= searchMax) return this.#list.includes(key)
    return (this.#set ?? this.#hash()).has(key)
  }

  clear(): void {
    this.#list = []
    this.#set = undefined
  }

  /** Every key at least once. */
  [Symbol.iterator](): IterableIterator<Key> {
    return (this.#set ?? this.#list).values()
  }

  #hash(): Set<Key> {
    this.#set = new Set(this.#list)
    this.#list = []
    return this.#set
  }
}
