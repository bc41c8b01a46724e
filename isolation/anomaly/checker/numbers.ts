/** Lists of integers in typed arrays: a history of a million transactions has millions of edges, too many for objects. */

/** A list that grows. Room for what is expected spares copies, and the garbage collections that they bring about. */
export class Integers {
  #values: Int32Array
  #length = 0

  constructor(expected: number = 16) {
    this.#values = new Int32Array(expected)
  }

  get length(): number {
    return this.#length
  }

  push(value: number): void {
    if (this.#length === this.#values.length) this.expect(this.#length + 16)
    this.#values[this.#length++] = value
  }

  /** Makes room for so many more. */
  expect(more: number): void {
    if (this.#length + more <= this.#values.length) return
    const longer = new Int32Array(this.#length + more)
    longer.set(this.values())
    this.#values = longer
  }

  at(index: number): number {
    return this.#values[index]!
  }

  /** The values so far; no copy. */
  values(): Int32Array {
    return this.#values.subarray(0, this.#length)
  }
}

/** Members by group: those of group g are `members[starts[g]]` to `members[starts[g + 1] - 1]`, in the order they came in. */
export interface Groups {
  readonly starts: Int32Array
  readonly members: Int32Array
}

/** Groups the numbers from 0 to `groupOf.length` - 1; a group below 0 means none. */
export function group(groupOf: Int32Array, groups: number): Groups {
  const starts = new Int32Array(groups + 1)
  for (const at of groupOf) if (at >= 0) starts[at + 1]!++
  for (let at = 0; at < groups; at++) starts[at + 1]! += starts[at]!
  const next = starts.slice()
  const members = new Int32Array(starts[groups]!)
  for (let member = 0; member < groupOf.length; member++) {
    const at = groupOf[member]!
    if (at >= 0) members[next[at]!++] = member
  }
  return { starts, members }
}

/** The members of one group; no copy. */
export const groupAt = ({ starts, members }: Groups, at: number): Int32Array => members.subarray(starts[at], starts[at + 1])
