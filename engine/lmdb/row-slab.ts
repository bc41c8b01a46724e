/**
 * Memory for the values of chunks: many small ones share a block, because an array of its own costs a value more than being read. A block goes when the last of its values has gone, which came from the
 * file just before or after it.
 */
import type { StoredRow } from './row-file.js'

const blockSizeBytes = 32 * 1_024
/** Larger values get memory of their own. */
const sharedSizeBytes = blockSizeBytes / 8

export class RowSlab {
  #block = new Uint8Array(0)
  #at = 0

  /** The row with its value in memory that nobody writes to any more. */
  keepValue({ key, ts, value }: StoredRow): StoredRow {
    return { key, ts, value: this.#keep(value) }
  }

  #keep(bytes: Uint8Array): Uint8Array {
    const { length } = bytes
    if (length > sharedSizeBytes) return Uint8Array.from(bytes)
    if (this.#at + length > this.#block.length) {
      this.#block = new Uint8Array(blockSizeBytes)
      this.#at = 0
    }
    const start = this.#at
    this.#at += length
    this.#block.set(bytes, start)
    return new Uint8Array(this.#block.buffer, start, length)
  }
}
