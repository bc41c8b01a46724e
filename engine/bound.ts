/** The two things that end a transaction from outside, its deadline and its signal, over all attempts and all waits. */
import type { Deadline, Deadlines } from './deadlines.js'
import type { Cancel, Environment } from './environment.js'
import { CancelledError, LimitError } from './errors.js'

/** What ends when the time is up. */
export interface Interruptible {
  end(error: Error): void
}

export interface BoundParts {
  readonly environment: Environment
  readonly deadlines: Deadlines
}

export class Bound implements Deadline {
  readonly beganMs: number
  readonly untilMs: number
  previousArmed: Deadline | undefined = undefined
  nextArmed: Deadline | undefined = undefined
  readonly #environment: Environment
  readonly #deadlines: Deadlines
  readonly #timeoutMs: number
  #signal: AbortSignal | undefined
  readonly #onAbort: (() => void) | undefined
  #armed: 'no' | 'awaited' | 'background' = 'no'
  #error: LimitError | CancelledError | undefined
  #reject: ((error: Error) => void) | undefined
  #watched: Interruptible | undefined

  constructor({ environment, deadlines }: BoundParts, timeoutMs: number, signal: AbortSignal | undefined) {
    this.#environment = environment
    this.#deadlines = deadlines
    this.#timeoutMs = timeoutMs
    this.beganMs = environment.nowMs()
    this.untilMs = this.beganMs + timeoutMs
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
    if (this.#error === undefined && this.#environment.nowMs() > this.untilMs) this.expire()
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
  arm(watch: 'awaited' | 'background' = 'awaited'): void {
    if (this.#armed !== 'no') return
    this.#armed = watch
    this.#deadlines[watch].enter(this)
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
    this.#disarm()
    this.ignoreSignal()
  }

  /** The time is up. Nobody may ever end a transaction that was begun by hand and forgotten, so it is let go here. */
  expire(): void {
    this.#disarm()
    this.#interrupt(this.#timeout())
  }

  #disarm(): void {
    if (this.#armed !== 'no') this.#deadlines[this.#armed].leave(this)
    this.#armed = 'no'
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
