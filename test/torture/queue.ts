/**
 * A queue: rows are deleted from its front and appended to its end, small and large ones, while readers hold old states. What it holds after each transaction follows from a seed.
 *
 * Limits are far below those of `open`, which is why it opens the engine's own way: every few transactions become an LMDB commit, and old states are given up while the work goes on.
 *
 *     F NUMBER         the opening found the queue as it was after transaction NUMBER, and nothing else
 *     A NUMBER         transaction NUMBER was acknowledged as durable, so all before it are
 *     S {…}            a `QueueSample`
 *     X {"problem":…}  something was not as it should be
 *     R {…}            how often readers came to what
 *     K {"sound":…}    what `db.check()` reports at the end
 *     C                done
 */
import { join } from 'node:path'
import { setImmediate as breath } from 'node:timers/promises'
import { Database } from '../../engine/database.js'
import { row, type Row, type Table, type Transaction } from '../../engine/index.js'
import type { Limits } from '../../engine/limits.js'
import { openEngine } from '../../engine/open.js'
import { Chance } from '../simulation/chance.js'
import { lmdbFile } from './lmdb-file.js'
import { pagesOf, Plan, valueOf, type Step } from './queue-plan.js'
import { Reader, type QueueTable } from './queue-reader.js'

export interface QueueTask {
  readonly command: 'queue'
  readonly directory: string
  readonly report: string
  readonly seed: number
  /** Goes on up to this transaction. */
  readonly to: number
}

export interface QueueSample {
  readonly atMs: number
  readonly transactions: number
  readonly sizeBytes: number
  readonly usedSizeBytes: number
  /** Pages that the rows appended until now take. */
  readonly appendedPages: number
}

const KB = 1_024
export const snapshotAgeMs = 200
const limits: Partial<Limits> = {
  windowCheckpointSizeBytes: 24 * KB,
  windowSizeBytes: 96 * KB,
  stepSizeBytes: 8 * KB,
  segmentSizeBytes: 512 * KB,
  logReserveSizeBytes: 64 * KB,
  checkpointAgeMs: 200,
  snapshotAgeMs,
  readerSlots: 100,
}

const readersAtMost = 10
/** More than a reader reads at first. */
const forgottenRows = 100
const transactionsPerBreath = 4
const transactionsPerDurable = 50
const sampleMs = 50
export async function queue({ directory, seed, to }: QueueTask, say: (line: string) => void): Promise<void> {
  const db = new Database(openEngine(directory, { durability: 'relaxed' }, { limits }))
  const work = new QueueWork(db, directory, seed, say)
  work.find()
  await work.goOn(to)
  const { sound, problems, findings } = await db.check()
  say(`K ${JSON.stringify({ sound, problems, first: findings[0] })}`)
  await db.close()
  say('C')
}

class QueueWork {
  readonly #db: Database
  readonly #rowsPath: string
  readonly #seed: number
  readonly #say: (line: string) => void
  readonly #table: QueueTable
  readonly #progress: Table<string, number, number, string>
  readonly #plan: Plan
  readonly #chance: Chance
  readonly #readers: Reader[] = []
  readonly #ends: Record<string, number> = {}
  #appendedPages = 0

  constructor(db: Database, directory: string, seed: number, say: (line: string) => void) {
    this.#db = db
    this.#rowsPath = join(directory, 'rows.lmdb')
    this.#seed = seed
    this.#say = say
    this.#table = db.table('queue', { key: ['number'], schema: row<string>() })
    this.#progress = db.table('progress', { key: ['string'], schema: row<number>() })
    this.#plan = new Plan(seed)
    // What readers do must not decide what is written.
    this.#chance = new Chance(seed ^ 0x5eed)
  }

  /** Goes through the plan up to where the database is, and holds every row against it. */
  find(): void {
    const number = this.#db.get(this.#progress, 'number') ?? 0
    while (this.#plan.number < number) this.#plan.next()
    this.#judgeAll()
    this.#say(`F ${number}`)
  }

  async goOn(to: number): Promise<void> {
    if (this.#plan.number >= to) return
    // Nobody goes on with it before the end: its state must be given up meanwhile.
    let forgotten: Reader | undefined
    let sampledMs = 0
    while (this.#plan.number < to) {
      await this.#transact(this.#plan.next(), to)
      if (forgotten === undefined && this.#plan.tail - this.#plan.head > forgottenRows) {
        forgotten = this.#newReader(Infinity)
        forgotten.go()
      }
      this.#turnOfReaders()
      if (this.#plan.number % transactionsPerBreath === 0) await breath()
      if (performance.now() - sampledMs < sampleMs) continue
      sampledMs = performance.now()
      this.#sample()
    }
    this.#sample()
    for (const reader of [...this.#readers, ...(forgotten ? [forgotten] : [])]) this.#note(reader.end())
    this.#say(`R ${JSON.stringify(this.#ends)}`)
    this.#judgeAll()
  }

  async #transact(step: Step, to: number): Promise<void> {
    const { number, head, headAfter, tail, tailAfter } = step
    const body = (tx: Transaction): void => {
      for (let i = head; i < headAfter; i++) tx.delete(this.#table, i)
      for (let i = tail; i < tailAfter; i++) tx.put(this.#table, i, valueOf(this.#seed, i))
      tx.put(this.#progress, 'number', number)
    }
    if (number % transactionsPerDurable === 0 || number === to) {
      await this.#db.transaction(body, { durability: 'durable' })
      this.#say(`A ${number}`)
    } else this.#db.transactionSync(body)
    for (let i = tail; i < tailAfter; i++) this.#appendedPages += pagesOf(this.#seed, i)
  }

  #judgeAll(): void {
    let next = this.#plan.head
    for (const found of this.#db.range(this.#table)) this.#judge(found, next++)
    if (next !== this.#plan.tail) this.#wrong(`after transaction ${this.#plan.number} the queue ends at ${next} and not at ${this.#plan.tail}`)
  }

  #judge({ key, value }: Row<number, string>, expected: number): void {
    if (key !== expected) this.#wrong(`row ${key} is in the place of row ${expected}`)
    else if (value !== valueOf(this.#seed, key)) this.#wrong(`row ${key} is not what was written`)
  }

  #wrong(problem: string): void {
    this.#say(`X ${JSON.stringify({ problem })}`)
  }

  #turnOfReaders(): void {
    const chance = this.#chance
    const readers = this.#readers
    if (readers.length < readersAtMost && chance.is(0.02)) {
      const lifetime = chance.is(0.1) ? chance.between(3_000, 20_000) : chance.between(1, 500)
      readers.push(this.#newReader(this.#plan.number + lifetime))
    }
    if (readers.length === 0 || chance.is(0.9)) return
    const at = chance.below(readers.length)
    const reader = readers[at]!
    const ended = reader.until <= this.#plan.number ? reader.end() : reader.go()
    if (ended === undefined) return
    readers.splice(at, 1)
    this.#note(ended)
  }

  #newReader(until: number): Reader {
    const { head, tail } = this.#plan
    const judge = (found: Row<number, string>, expected: number): void => this.#judge(found, expected)
    return new Reader(this.#db, this.#table, { head, tail, until, chance: this.#chance.fork(), judge, wrong: problem => this.#wrong(problem) })
  }

  #note(end: string): void {
    this.#ends[end] = (this.#ends[end] ?? 0) + 1
  }

  #sample(): void {
    const { rowFile } = this.#db.stats()
    const sample: QueueSample = { atMs: performance.now(), ...lmdbFile(this.#rowsPath), usedSizeBytes: rowFile.usedSizeBytes, appendedPages: this.#appendedPages }
    this.#say(`S ${JSON.stringify(sample)}`)
  }
}
