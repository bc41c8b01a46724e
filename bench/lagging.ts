/**
 * A store's commits and the transactions that are validated against them, without the store: the conflict index holds what others wrote, and a transaction looks for what it read.
 * Keys that are read and keys that are written lie among each other, eight of one kind and then eight of the other, so that nothing is ever found and everything has to be looked for.
 */
import { ConflictIndex } from '../isolation/conflict-index.js'
import { ReadSet } from '../isolation/read-set.js'
import { asKey, asTs, type CommitTs, type Key, type KeyRange } from '../isolation/types.js'
import { findConflict, type Conflict } from '../isolation/validate.js'
import { integersFrom } from './random.js'

export const points = 16
export const ranges = 2
export const writesPerCommit = 2

const blocks = 2 ** 20
const blockSize = 16
const readOfBlock = 8

/** As long as the keys of a table with one number are. */
function keyOf(block: number, place: number): Key {
  const bytes = Buffer.alloc(11)
  bytes.writeUInt8(3, 0)
  bytes.writeDoubleBE(1 + block * blockSize + place, 2)
  return asKey(bytes.toString('latin1'))
}

export class Lagging {
  readonly #integer: (bound: number) => number
  readonly #index = new ConflictIndex()
  readonly #stamps: number
  #ts: CommitTs = asTs(0)

  /** Holds as many stamps as that from the beginning on, and not more. */
  constructor(stamps: number, seed: number) {
    this.#integer = integersFrom(seed)
    this.#stamps = stamps
    while (this.#index.writes < stamps) this.commit(this.writtenKeys())
  }

  /** As the commit path does: the stamps enter, and the oldest leave where there are too many. */
  commit(keys: readonly Key[]): void {
    this.#ts = asTs(this.#ts + 1)
    this.#index.add({ ts: this.#ts, label: undefined, keys, kinds: keys.map(() => 'put') })
    while (this.#index.writes > this.#stamps) this.#index.trim(this.#index.oldestTs)
  }

  /** What a transaction writes. */
  writtenKeys(): Key[] {
    return Array.from({ length: writesPerCommit }, () => keyOf(this.#integer(blocks), readOfBlock + this.#integer(blockSize - readOfBlock)))
  }

  /** What a transaction has read. Its strings are new, as those of a transaction are. */
  readSet(): ReadSet {
    const reads = new ReadSet(Infinity)
    for (let i = 0; i < points; i++) reads.addPoint(keyOf(this.#integer(blocks), this.#integer(readOfBlock)))
    for (let i = 0; i < ranges; i++) reads.addRange(this.#readRange(), false).exhausted()
    return reads
  }

  /** What the commit path asks about a transaction whose snapshot is `lag` commits old. */
  validate(reads: ReadSet, lag: number): Conflict | undefined {
    return findConflict(reads, this.#index, asTs(this.#ts - lag), () => false)
  }

  #readRange(): KeyRange {
    const block = this.#integer(blocks)
    return { lo: keyOf(block, 0), hi: keyOf(block, readOfBlock) }
  }
}
