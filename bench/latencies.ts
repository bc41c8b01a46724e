/** How long operations took, in a histogram of high dynamic range: exact to three digits, and as small for a million operations as for ten. */
import { createHistogram } from 'node:perf_hooks'

export class Latencies {
  readonly #histogram = createHistogram()

  /** What is shorter than a microsecond counts as one. */
  add(durationMs: number): void {
    this.#histogram.record(Math.max(1, Math.round(durationMs * 1_000)))
  }

  get count(): number {
    return this.#histogram.count
  }

  /** A share `q` of the operations did not take longer than this; the longest for 1. */
  quantileMs(q: number): number {
    if (this.count === 0) throw new Error('There are no latencies of no operations.')
    return this.#histogram.percentile(q * 100) / 1_000
  }

  /** As further figures of a round. */
  notes(): LatencyNotes {
    return { 'p50, ms': this.quantileMs(0.5), 'p99, ms': this.quantileMs(0.99), 'p99.9, ms': this.quantileMs(0.999), 'longest, ms': this.quantileMs(1) }
  }
}

export const latencyNotes = ['p50, ms', 'p99, ms', 'p99.9, ms', 'longest, ms'] as const
export type LatencyNotes = Readonly<Record<(typeof latencyNotes)[number], number>>
