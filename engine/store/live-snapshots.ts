/**
 * The timestamps at which somebody still reads, in order, with how many do. Snapshots begin near the newest timestamp, so entering and leaving cost a short
 * search whatever number is alive. A timestamp that everybody left may linger until the next compaction: callers only ever lose a little memory by that.
 */
import type { CommitTs } from '../../isolation/types.js'

export class LiveSnapshots {
  #stamps: CommitTs[] = []
  #counts: number[] = []
  #first = 0
  #empty = 0

  enter(ts: CommitTs): void {
    const at = this.#lowerBound(ts)
    if (this.#stamps[at] === ts) {
      if (this.#counts[at]!++ === 0) this.#empty--
      return
    }
    if (at === this.#stamps.length) {
      this.#stamps.push(ts)
      this.#counts.push(1)
      return
    }
    this.#stamps.splice(at, 0, ts)
    this.#counts.splice(at, 0, 1)
  }

  leave(ts: CommitTs): void {
    const at = this.#lowerBound(ts)
    if (--this.#counts[at]! > 0) return
    this.#empty++
    while (this.#first < this.#stamps.length && this.#counts[this.#first] === 0) {
      this.#first++
      this.#empty--
    }
    if (this.#first + this.#empty > 64 && (this.#first + this.#empty) * 2 > this.#stamps.length) this.#compact()
  }

  /** The oldest timestamp somebody reads at. */
  get oldest(): CommitTs | undefined {
    return this.#stamps[this.#first]
  }

  /** Whether somebody may read at a timestamp in [from, to). */
  someIn(from: CommitTs, to: CommitTs): boolean {
    const ts = this.#stamps[this.#lowerBound(from)]
    return ts !== undefined && ts < to
  }

  #lowerBound(ts: CommitTs): number {
    let lo = this.#first
    let hi = this.#stamps.length
    while (lo < hi) {
      const middle = (lo + hi) >>> 1
      if (this.#stamps[middle]! < ts) lo = middle + 1
      else hi = middle
    }
    return lo
  }

  #compact(): void {
    const live = this.#counts.map((count, i) => i >= this.#first && count > 0)
    this.#stamps = this.#stamps.filter((_, i) => live[i])
    this.#counts = this.#counts.filter((_, i) => live[i])
    this.#first = 0
    this.#empty = 0
  }
}
