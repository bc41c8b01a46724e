/**
 * Where each table ends in the file, so that rows put behind its end, as a load does and whatever counts its keys up, need not be looked for first.
 *
 *   T-1  No row of a table is beyond its end. (It may end earlier: rows are removed.)
 */
import { tablePrefixOf, tableRange } from '../encoding/keys.js'
import type { Key, KeyRange } from '../../isolation/types.js'

export class TableEnds {
  readonly #of = new Map<string, Key>()
  readonly #lastKeyIn: (range: KeyRange) => Key | undefined

  /** `lastKeyIn` gives the last key that the file has in a range. */
  constructor(lastKeyIn: (range: KeyRange) => Key | undefined) {
    this.#lastKeyIn = lastKeyIn
  }

  /** Whether `key`, which is about to be put, is beyond its table's end. The table then ends there. */
  passes(key: Key): boolean {
    const prefix = tablePrefixOf(key)
    const end = this.#of.get(prefix) ?? this.#find(prefix)
    const passes = key > end
    this.#of.set(prefix, passes ? key : end)
    return passes
  }

  #find(prefix: string): Key {
    const range = tableRange(prefix)
    return this.#lastKeyIn(range) ?? range.lo
  }
}
