/** The two things that end a transaction from outside, its deadline and its signal, over all attempts and all waits. */
import type { Cancel, Environment } from './environment.js'
import { CancelledError, LimitError } from './errors.js'

/** What ends when the time is up. */
export interface Interruptible {
  end(error: Error): void
}

export class Bound {
  readonly beganMs: number
  readonly #environment: Environment
  readonly #timeoutMs: number
  readonly #untilMs: number
  #signal: AbortSignal | undefined
  readonly #onAbort: (() => void) | undefined
  #cancelTimer: Cancel | undefined
  #armed = false
  #error: LimitError | CancelledError | undefined
  #reject: ((error: Error) => void) | undefined
  #watched: Interruptible | undefined

  constructor(environment: Environment, timeoutMs: number, signal: AbortSignal | undefined) {
    this.#environment = environment
    this.#timeoutMs = timeoutMs
    this.beganMs = environment.nowMs()
    this.#untilMs = this.beganMs + timeoutMs
    this.#signal = signal
    this.#onAbort = signal && (() => this.#interrupt(new CancelledError(signal.reason)))
  }

  /** Ends `attempt` at once when the time is up or the signal is aborted, instead of the one that was watched before; undefined: nothing. */
  watch(attempt: Interruptible | undefined): void {
    this.#watched = attempt
  }

  /** Throws `TIMEOUT` or `CANCELLED` where the time is up or the signal aborted. */
  assertWithin(): void {
    if (this.#error === undefined && this.#signal?.aborted) this.#onAbort!()
    if (this.#error === undefined && this.#environment.nowMs() > this.#untilMs) this.#interrupt(this.#timeout())
    if (this.#error !== undefined) throw this.#error
  }

  /** Settles as `promise` does, or rejects when the time is up or the signal is aborted; in either case with what `errorOf` makes of the error. */
  race<T>(promise: PromiseLike<T>, errorOf: (error: unknown) => unknown = error => error): Promise<T> {
    return new Promise<T>((resolve, fail) => {
      const reject = (error: unknown): void => fail(errorOf(error))
      this.#reject = reject
      promise.then(resolve, reject)
      if (this.#error !== undefined) reject(this.#error)
      else this.arm()
    })
  }

  /** Waits, but not beyond the deadline. */
  async pause(delayMs: number): Promise<void> {
    let cancel: Cancel | undefined
    try {
      await this.race(new Promise<void>(resolve => (cancel = this.#environment.setTimer(resolve, delayMs))))
    } finally {
      cancel?.()
    }
  }

  /** Starts watching clock and signal. A `background` watch does not keep the process alive: nobody waits for it. */
  arm(background?: 'background'): void {
    if (this.#armed) return
    this.#armed = true
    this.#cancelTimer = this.#environment.setTimer(() => this.#interrupt(this.#timeout()), Math.max(0, this.#untilMs - this.#environment.nowMs()), background)
    if (this.#signal === undefined) return
    this.#signal.addEventListener('abort', this.#onAbort!, { once: true })
    if (this.#signal.aborted) this.#onAbort!()
  }

  /** From now on only the deadline counts: what is installed cannot be cancelled. */
  ignoreSignal(): void {
    this.#signal?.removeEventListener('abort', this.#onAbort!)
    this.#signal = undefined // also where waiting begins only afterwards
    this.#watched = undefined
  }

  release(): void {
    this.#cancelTimer?.()
    this.ignoreSignal()
  }

  #interrupt(error: LimitError | CancelledError): void {
    if (this.#error !== undefined) return
    this.#error = error
    this.#watched?.end(error)
    this.#reject?.(error)
  }

  #timeout(): LimitError {
    return new LimitError(
      'TIMEOUT',
      `The transaction did not end within ${this.#timeoutMs} ms, over all its attempts; nothing was changed. Do less in it, or give it more time (timeoutMs).`,
    )
  }
}
