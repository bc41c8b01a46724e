/**
 * Memory for the values of the window. A small array of its own costs V8 ten times what its content does, and Node's pool is shared with the whole process: a value in it would keep
 * eight kilobytes of other people's. Here a value's neighbours were committed just before and after it, and leave the window when it does.
 */
const slabSizeBytes = 65_536
/** Larger values have memory of their own already. */
const sharedMaxBytes = 4_096

export class ValueSlab {
  #slab = new Uint8Array(0)
  #at = 0

  /** The bytes of `value`, in memory that nobody else writes to. */
  keep(value: Uint8Array): Uint8Array {
    const { length } = value
    if (length >= sharedMaxBytes) return value
    if (this.#at + length > this.#slab.length) {
      this.#slab = Buffer.allocUnsafeSlow(slabSizeBytes)
      this.#at = 0
    }
    this.#slab.set(value, this.#at)
    const kept = new Uint8Array(this.#slab.buffer, this.#at, length)
    this.#at += length
    return kept
  }
}
