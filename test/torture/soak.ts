/**
 * One process under full load for as long as asked: the 32 clients of workload.ts, and readers that come and go in every way. Every few seconds it is measured, behind a checkpoint and a collection of garbage.
 *
 *     S {…}            a `SoakSample`
 *     X {"problem":…}  something was not as it should be
 *     R {…}            how many commits there were, and how often readers came to what
 *     A …              at the end: the newest transaction of each client that was acknowledged
 *     C                done
 */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { open, type Database, type PremiseError, type Row } from '../../engine/index.js'
import { Chance } from '../simulation/chance.js'
import { tablesOf, work, type Left, type Tables } from './workload.js'

export interface SoakTask {
  readonly command: 'soak'
  readonly directory: string
  readonly report: string
  readonly seed: number
  readonly seconds: number
}

export interface SoakSample {
  readonly heapBytes: number
  readonly bufferBytes: number
  readonly residentBytes: number
  readonly windowBytes: number
  readonly rowFileBytes: number
  readonly logBytes: number
  readonly descriptors: number
  /** States of the row file that are pinned, each by a slot of LMDB. */
  readonly readerSlots: number
  readonly iterators: number
  readonly openTransactions: number
  /** Timers, handles and requests that Node knows of. */
  readonly resources: number
}

const readerLoops = 8
const samplesAsked = 90
/** On a busy machine that takes longer than asked. */
export const samplesMin = 9
const sampleMinMs = 200
const sampleMaxMs = 10_000
const heldAtMostMs = 1_500
/** Shorter than a reader may hold it. */
const shortTimeoutMs = 300

class ThrownInLoop extends Error {}

export async function soak({ directory, seed, seconds }: SoakTask, say: (line: string) => void): Promise<void> {
  const db = await open(directory)
  const newest = new Map<string, string>()
  let commits = 0
  const note = (line: string): void => {
    if (!line.startsWith('A ')) return
    newest.set(line.slice(line.lastIndexOf(' ')), line)
    commits++
  }
  const wrong = (problem: string): void => say(`X ${JSON.stringify({ problem })}`)
  const failed = async (error: PremiseError): Promise<'stop'> => {
    if (error.code !== 'CLOSED') wrong(`a client was told ${String(error)}`)
    return 'stop'
  }
  const writing = work({ db, seed, mode: 'honest', bulk: false, steady: true, say: note, failed })
  const readers = new Readers(db, new Chance(seed), wrong)
  const reading = readers.comeAndGo()
  await measure(db, directory, seconds, say, wrong)
  await readers.stop(reading)
  await db.close()
  await writing
  say(`R ${JSON.stringify({ ...readers.ends, 'acknowledged commits': commits })}`)
  for (const line of newest.values()) say(line)
  say('C')
}

async function measure(db: Database, directory: string, seconds: number, say: (line: string) => void, wrong: (problem: string) => void): Promise<void> {
  const collect = collector()
  const pauseMs = Math.min(sampleMaxMs, Math.max(sampleMinMs, (seconds * 1_000) / samplesAsked))
  const until = performance.now() + seconds * 1_000
  for (let samples = 0; performance.now() < until || samples < samplesMin; samples++) {
    await sleep(pauseMs)
    // Puts what was committed into the row file first, so that the window is about as full each time.
    const { sound, findings } = await db.check()
    if (!sound) wrong(`a check found ${JSON.stringify(findings[0])}`)
    collect()
    // What was collected is told in jobs of their own.
    await sleep(1)
    collect()
    say(`S ${JSON.stringify(sampleOf(db, directory))}`)
  }
}

function sampleOf(db: Database, directory: string): SoakSample {
  const { heapUsed, external, rss } = process.memoryUsage()
  const { window, log, iterators, transactions, oldStates } = db.stats()
  return {
    heapBytes: heapUsed,
    bufferBytes: external,
    residentBytes: rss,
    windowBytes: window.sizeBytes,
    rowFileBytes: statSync(join(directory, 'rows.lmdb')).size,
    logBytes: log.sizeBytes,
    descriptors: readdirSync('/proc/self/fd').length,
    readerSlots: 1 + oldStates.length,
    iterators,
    openTransactions: transactions.open,
    resources: process.getActiveResourcesInfo().length,
  }
}

function collector(): () => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
}

class Readers {
  readonly ends: Record<string, number> = {}
  readonly #db: Database
  readonly #tables: Tables
  readonly #chance: Chance
  readonly #wrong: (problem: string) => void
  readonly #ways: Readonly<Record<string, () => Promise<void>>>
  #stopped = false

  constructor(db: Database, chance: Chance, wrong: (problem: string) => void) {
    this.#db = db
    this.#tables = tablesOf(db)
    this.#chance = chance
    this.#wrong = wrong
    this.#ways = {
      'iterators at the end': async () => void this.#judge(db.range(this.#tables.left), Infinity),
      'iterators broken off': async () => void this.#judge(db.range(this.#tables.left), chance.below(200)),
      'iterators thrown out of': async () => this.#throwOut(),
      'iterators left behind': async () => void this.#judge(this.#begun(), chance.between(1, 200)),
      'iterators held': () => this.#hold(),
      'transactions that read': () => this.#transact(),
      'transactions left to their deadline': async () => void db.begin({ readOnly: true, timeoutMs: shortTimeoutMs }).count(this.#tables.right),
      'transactions thrown out of': () => db.transaction(tx => this.#throwFrom(tx.range(this.#tables.left))).catch(expectThrown),
      figures: async () => void db.stats(),
    }
  }

  async comeAndGo(): Promise<void> {
    await Promise.all(Array.from({ length: readerLoops }, () => this.#loop()))
  }

  async stop(reading: Promise<void>): Promise<void> {
    this.#stopped = true
    await reading
  }

  async #loop(): Promise<void> {
    while (!this.#stopped) {
      const way = this.#chance.of(Object.keys(this.#ways))
      try {
        await this.#ways[way]!()
        this.ends[way] = (this.ends[way] ?? 0) + 1
      } catch (error) {
        this.#wrong(`${way}: ${String(error)}`)
      }
      await sleep(this.#chance.next() * 60)
    }
  }

  #begun(): Iterable<Row<string, Left>> {
    const iterator = this.#db.range(this.#tables.left)[Symbol.iterator]()
    // Without `return`, so that a loop which ends leaves it as it is.
    return { [Symbol.iterator]: () => ({ next: () => iterator.next() }) }
  }

  /** Up to so many rows, in order. */
  #judge(rows: Iterable<Row<string, Left>>, atMost: number): number {
    let seen = 0
    let last: string | undefined
    for (const { key } of rows) {
      if (last !== undefined && key <= last) this.#wrong(`${key} comes behind ${last}`)
      last = key
      if (++seen > atMost) break
    }
    return seen
  }

  #throwOut(): void {
    try {
      this.#throwFrom(this.#db.range(this.#tables.left))
    } catch (error) {
      expectThrown(error)
    }
  }

  #throwFrom(rows: Iterable<Row<string, Left>>): void {
    const stopAt = this.#chance.below(50)
    let seen = 0
    for (const { key } of rows) if (seen++ === stopAt) throw new ThrownInLoop(key)
  }

  /** Over checkpoints, and then to its end. */
  async #hold(): Promise<void> {
    const rows = this.#db.range(this.#tables.left)[Symbol.iterator]()
    const counted = this.#db.count(this.#tables.left)
    let seen = rows.next().done === true ? 0 : 1
    await sleep(this.#chance.next() * heldAtMostMs)
    while (rows.next().done !== true) seen++
    if (seen !== counted) this.#wrong(`a range that was held had ${seen} rows and not ${counted}`)
  }

  async #transact(): Promise<void> {
    await using tx = this.#db.begin({ readOnly: true })
    const counted = tx.count(this.#tables.left)
    await sleep(this.#chance.next() * heldAtMostMs)
    const seen = this.#judge(tx.range(this.#tables.left), Infinity)
    if (seen !== counted) this.#wrong(`a transaction saw ${counted} rows and then ${seen}`)
    if (this.#chance.is(0.5)) await tx.commit()
  }
}

function expectThrown(error: unknown): void {
  if (!(error instanceof ThrownInLoop)) throw error
}
