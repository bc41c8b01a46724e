/**
 * The transactions of an open database that have not ended for their callers: how many there may be, and, of those whose attempt is open, who they are.
 * A transaction counts from its call until its caller is told the outcome, so every queue in which one can stand is bounded by the same number.
 */
import { LimitError } from './errors.js'
import type { Limits } from './limits.js'
import type { Snapshot } from './store/epochs.js'

/** What is known of an attempt that reads at a snapshot. It is linked into the list of those that are open, which costs a tenth of entering it into a set. */
export interface OpenAttempt {
  readonly label: string | undefined
  /** When the transaction began, with its first attempt. */
  readonly beganMs: number
  readonly view: { readonly snapshot: Snapshot }
  previousOpen: OpenAttempt | undefined
  nextOpen: OpenAttempt | undefined
}

export class OpenTransactions {
  readonly #max: number
  #count = 0
  #newest: OpenAttempt | undefined

  constructor({ openTransactions }: Limits) {
    this.#max = openTransactions
  }

  /** Transactions whose callers wait for the outcome. */
  get count(): number {
    return this.#count
  }

  /** Attempts that have neither committed nor been aborted, newest first. */
  *attempts(): Generator<OpenAttempt, void> {
    for (let attempt = this.#newest; attempt !== undefined; attempt = attempt.previousOpen) yield attempt
  }

  /** A transaction begins; `leave` is called once when its caller is told. Throws `TOO_MANY_TRANSACTIONS`. */
  enter(): void {
    if (this.#count >= this.#max) {
      throw new LimitError(
        'TOO_MANY_TRANSACTIONS',
        `${this.#count} transactions are under way, which is the limit; nothing was changed. Wait for some of them before you begin others.`,
      )
    }
    this.#count++
  }

  leave(): void {
    this.#count--
  }

  /** An attempt has its snapshot; `unlink` is called once when it releases it. */
  link(attempt: OpenAttempt): void {
    attempt.previousOpen = this.#newest
    if (this.#newest !== undefined) this.#newest.nextOpen = attempt
    this.#newest = attempt
  }

  unlink(attempt: OpenAttempt): void {
    const { previousOpen, nextOpen } = attempt
    if (previousOpen !== undefined) previousOpen.nextOpen = nextOpen
    if (nextOpen !== undefined) nextOpen.previousOpen = previousOpen
    else this.#newest = previousOpen
    attempt.previousOpen = attempt.nextOpen = undefined
  }
}
