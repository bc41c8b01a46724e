/** Somebody who reads a queue at an old state of it, for a while. */
import { PremiseError, type Database, type ManualTransaction, type Row, type Table } from '../../engine/index.js'
import type { Chance } from '../simulation/chance.js'

export type QueueTable = Table<number, string, string, number>

export interface Reading {
  readonly head: number
  readonly tail: number
  /** Up to which transaction it stays. */
  readonly until: number
  readonly chance: Chance
  readonly judge: (found: Row<number, string>, expected: number) => void
  readonly wrong: (problem: string) => void
}

/** An iterator, or a transaction that only reads, at the state that was the newest when it began. */
export class Reader {
  readonly until: number
  readonly #table: QueueTable
  readonly #reading: Reading
  readonly #iterator: Iterator<Row<number, string>>
  /** Around the iterator, unless that stands for itself. */
  readonly #transaction: ManualTransaction | undefined
  #next: number

  constructor(db: Database, table: QueueTable, reading: Reading) {
    this.until = reading.until
    this.#table = table
    this.#reading = reading
    this.#next = reading.head
    this.#transaction = reading.chance.is(0.5) ? db.begin({ readOnly: true, timeoutMs: 3_600_000 }) : undefined
    this.#iterator = (this.#transaction ?? db).range(table)[Symbol.iterator]()
  }

  /** Reads a few rows. Returns what it has come to, or undefined where it is not at its end. */
  go(): string | undefined {
    return this.#typed(() => {
      const { head, tail, chance } = this.#reading
      for (let rows = chance.between(1, 20); rows > 0; rows--) {
        const { done, value } = this.#iterator.next()
        if (done === true) return this.#complete()
        this.#reading.judge(value, this.#next++)
      }
      if (this.#transaction === undefined || head === tail) return undefined
      const key = chance.between(head, tail - 1)
      const value = this.#transaction.get(this.#table, key)
      if (value === undefined) this.#reading.wrong(`a reader misses row ${key}`)
      else this.#reading.judge({ key, value }, key)
      for (const absent of [head - 1, tail]) if (this.#transaction.has(this.#table, absent)) this.#reading.wrong(`a reader sees row ${absent}`)
      return undefined
    })
  }

  /** Goes to its end, is broken off, or is left as it is. */
  end(): string {
    const { chance } = this.#reading
    if (chance.is(0.3) || this.until === Infinity) return this.#goToEnd()
    return this.#typed(() => {
      if (this.#transaction === undefined && chance.is(0.5)) return 'readers left behind'
      this.#iterator.return?.()
      this.#transaction?.abort()
      return 'readers broken off'
    })
  }

  #goToEnd(): string {
    for (;;) {
      const ended = this.go()
      if (ended !== undefined) return ended
    }
  }

  #complete(): string {
    this.#transaction?.abort()
    if (this.#next !== this.#reading.tail) this.#reading.wrong(`a reader came to the end at ${this.#next} and not at ${this.#reading.tail}`)
    return 'readers at the end'
  }

  #typed<T>(read: () => T): T | string {
    try {
      return read()
    } catch (error) {
      this.#transaction?.abort()
      if (!(error instanceof PremiseError && error.code === 'SNAPSHOT_TOO_OLD')) this.#reading.wrong(`a reader was told ${String(error)}`)
      return 'readers told SNAPSHOT_TOO_OLD'
    }
  }
}
