/**
 * What of a batch is played: everything, but for what a shrinker leaves out. Parts are named by their place, `history/transaction/step`, and each draws from a chance
 * of its own, so that what is left does what it did before, at the same moments, as far as it does not depend on what went.
 */
export class Plan {
  /** The parts that were played, in the order in which they began. */
  readonly played: string[] = []
  readonly #leftOut: ReadonlySet<string>

  constructor(leftOut: ReadonlySet<string> = new Set()) {
    this.#leftOut = leftOut
  }

  /** Whether a part is to be played; whoever asks plays it. */
  plays(part: string): boolean {
    if (this.#leftOut.has(part)) return false
    this.played.push(part)
    return true
  }
}
