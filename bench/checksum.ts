/** A short sum (FNV-1a, 32 bits) of integers and texts in the order in which they are added: equal sums, equal contents. */
export class Checksum {
  #hash = 0x811c_9dc5

  add(part: number | string): void {
    if (typeof part === 'number') this.#mix(part)
    else for (let i = 0; i < part.length; i++) this.#mix(part.charCodeAt(i))
  }

  toString(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, '0')
  }

  #mix(part: number): void {
    this.#hash = Math.imul(this.#hash ^ part, 0x0100_0193)
  }
}
