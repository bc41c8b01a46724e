/** PremiseDB for transactions that get in each other's way: each is retried until it commits, and what that took is counted. */
import { open, type Database, type Level, type Transaction } from '../../engine/index.js'

/** Far more than any of them needs: a transaction that gives up would be missing in the counts. */
const maxAttempts = 10_000
const timeoutMs = 120_000

export const contendedSettings = (level: Level): string =>
  `level ${level}, durability relaxed, up to ${maxAttempts.toLocaleString('en')} attempts within ${timeoutMs / 1_000} s, so that all commit; otherwise defaults`

export class ContendedStore {
  readonly db: Database
  readonly level: Level
  #commits = 0
  #aborts = 0

  private constructor(db: Database, level: Level) {
    this.db = db
    this.level = level
  }

  static async open(directory: string, level: Level): Promise<ContendedStore> {
    return new ContendedStore(await open(directory, { durability: 'relaxed' }), level)
  }

  async transaction<T>(body: (tx: Transaction) => T | Promise<T>): Promise<T> {
    let attempts = 0
    const result = await this.db.transaction(
      tx => {
        attempts = tx.attempt
        return body(tx)
      },
      { level: this.level, maxAttempts, timeoutMs },
    )
    this.#commits++
    this.#aborts += attempts - 1
    return result
  }

  /** Aborts per commit since the last call. */
  takeAbortsPerCommit(): number {
    const ratio = this.#commits === 0 ? 0 : this.#aborts / this.#commits
    this.#commits = 0
    this.#aborts = 0
    return ratio
  }
}
