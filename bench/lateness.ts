/** How late a timer of one millisecond comes, again and again: how long the event loop kept others waiting. */
import { quantile } from './quantile.js'

const intervalMs = 1

export class Lateness {
  readonly #latenessMs: number[] = []
  #timer: NodeJS.Timeout | undefined

  start(): void {
    const dueMs = performance.now() + intervalMs
    this.#timer = setTimeout(() => {
      this.#latenessMs.push(Math.max(0, performance.now() - dueMs))
      this.start()
    }, intervalMs)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  /** Not more than a share `q` of the timers was later than this. */
  quantileMs(q: number): number {
    return quantile(this.#latenessMs, q)
  }
}
