/**
 * Finds one-shot calls made from inside a transaction's body: they read and write beside the transaction, which is the commonest hole in a premise.
 *
 * By default a body is watched up to its first await. With `guard: 'async'` it is watched after awaits too, by AsyncLocalStorage, which on Node 20
 * slows every promise of the process; so it is a choice.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { UsageError } from './errors.js'

export type GuardMode = 'sync' | 'async'

export class Guard {
  #storage: AsyncLocalStorage<boolean> | undefined
  #inside = false

  constructor(mode: GuardMode) {
    this.#storage = mode === 'async' ? new AsyncLocalStorage() : undefined
  }

  /** Runs a body; one-shot calls made meanwhile are refused. */
  inside<T>(body: () => T): T {
    return this.#storage ? this.#storage.run(true, () => this.#during(true, body)) : this.#during(true, body)
  }

  /** Runs `body` with one-shot calls allowed. */
  outside<T>(body: () => T): T {
    return this.#storage ? this.#storage.run(false, () => this.#during(false, body)) : this.#during(false, body)
  }

  /** Throws `OUTSIDE_TRANSACTION` where a body runs. */
  assertOutside(operation: string): void {
    if (this.#inside || this.#storage?.getStore() === true) {
      throw new UsageError(
        'OUTSIDE_TRANSACTION',
        `db.${operation} was called from inside a transaction's body. It would act beside the transaction, unseen by its premise: ` +
          `call tx.${operation} instead, or say that you mean it: db.outside(() => db.${operation}(…)).`,
      )
    }
  }

  /** The database is closed. A storage that was used once would go on slowing every promise of the process. */
  close(): void {
    this.#storage?.disable()
    this.#storage = undefined
  }

  #during<T>(inside: boolean, body: () => T): T {
    const before = this.#inside
    this.#inside = inside
    try {
      return body()
    } finally {
      this.#inside = before
    }
  }
}
