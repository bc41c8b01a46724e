/**
 * The keys that a transaction read one by one. Hashing each as it is read would cost a tenth of reading it, and a transaction that writes nothing is never asked for them: so they
 * stand in a list, and are hashed when somebody asks, or when the list becomes long.
 */
import type { Key } from './types.js'

/** A list may hold a key again and again. Up to these it may grow, and no further. */
const listMax = 16_384
const listSizeMaxBytes = 1_048_576
/** A list of up to this many holds each key once: it is searched faster than it is hashed. */
const searchMax = 16

export class Points implements Iterable<Key> {
  #list: Key[] = []
  #listSizeBytes = 0
  /** In the place of the list, once there is one. */
  #set: Set<Key> | undefined

  get size(): number {
    return this.#list.length <= searchMax ? (this.#set?.size ?? this.#list.length) : this.#hash().size
  }

  /** At least `size`, and costs nothing. */
  get sizeMax(): number {
    return this.#set?.size ?? this.#list.length
  }

  add(key: Key): void {
    if (this.#set !== undefined) this.#set.add(key)
    else if (this.#list.length > searchMax || !this.#list.includes(key)) this.#enlist(key)
  }

  has(key: Key): boolean {
    if (this.#set === undefined && this.#list.length <= searchMax) return this.#list.includes(key)
    return this.#hash().has(key)
  }

  clear(): void {
    this.#list = []
    this.#listSizeBytes = 0
    this.#set = undefined
  }

  /** Each key once. */
  [Symbol.iterator](): IterableIterator<Key> {
    return (this.#set === undefined && this.#list.length <= searchMax ? this.#list : this.#hash()).values()
  }

  #enlist(key: Key): void {
    this.#listSizeBytes += key.length
    if (this.#list.push(key) > listMax || this.#listSizeBytes > listSizeMaxBytes) this.#hash()
  }

  #hash(): Set<Key> {
    if (this.#set === undefined) {
      this.#set = new Set(this.#list)
      this.#list = []
    }
    return this.#set
  }
}
