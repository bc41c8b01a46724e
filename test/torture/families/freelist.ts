/**
 * A queue, which is what is hardest for LMDB's list of free pages: rows are deleted from the front and appended to the end while readers hold old states, and now and then the process is killed. Afterwards
 * every page is in use or free, every row is there and no other, and the row file is no larger than it has to be.
 *
 * How large that is: what the newest state uses, and what it used when the oldest state was pinned that readers may keep, and every page that was written since. A state is given up at the first checkpoint
 * after `snapshotAgeMs`, so "since" is that long and a moment more. Written are the pages of the rows that were appended and, with each LMDB commit, copies of the pages above and beside them.
 */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { pageSizeBytes } from '../broken-bytes.js'
import { checked, judgeReport, type Checked } from '../checked.js'
import type { DriverProcess } from '../driver-process.js'
import { patienceMs, type Family, type Round } from '../family.js'
import { lmdbFile } from '../lmdb-file.js'
import { snapshotAgeMs, type QueueSample } from '../queue.js'

const MB = 1_024 * 1_024
const transactionsOfControl = 10_000
/** Far more than one takes. */
const patiencePerTransactionMs = 20
const killsAtMost = 2
/** A kill comes at a moment within so long for each transaction. */
const killWithinPerTransactionMs = 0.1
/** How long after its time a state may be pinned: until the next checkpoint. */
const momentMs = 200
/** Leaves at both ends of the queue, those of the other tables, the pages above them, the free list. */
const copiedPagesPerCommit = 10
const problemsAtMost = 3

export const freelist: Family = {
  name: 'freelist',
  about: 'a queue under readers of old states, until LMDB has reused its pages many times; counts transactions',
  perRound: 100_000,
  inMemory: true,
  control: {
    broken: 'a state is kept as long as somebody reads it',
    noticedAs: ['wrong'],
    patch: { file: 'engine/store/epochs', patch: ['nowMs - epoch.outdatedAtMs > this.#snapshotAgeMs', 'false'] },
  },
  async play(round) {
    const { chance, isControl, events } = round
    const directory = round.path('data')
    const to = isControl ? transactionsOfControl : events
    const seed = chance.below(2 ** 31)
    const start = (): DriverProcess => round.start({ command: 'queue', directory, report: round.newReport(), seed, to })
    const judge = new QueueJudge(round)
    for (let kills = isControl ? 0 : chance.below(killsAtMost + 1); kills > 0; kills--) {
      const driver = start()
      const ending = await driver.endsWithin(chance.next() * to * killWithinPerTransactionMs)
      if (ending !== undefined) round.endedWell(ending, 'a queue')
      else round.count('kills')
      judge.take(driver)
    }
    // The second finds everything done, and only looks.
    for (const what of ['a queue', 'the opening after it']) {
      const driver = start()
      round.endedWell(await driver.endsWithin(patienceMs + to * patiencePerTransactionMs), what)
      judge.take(driver)
    }
    judge.judgeEnd(to)
    judge.judgeSize(join(directory, 'rows.lmdb'))
    const outcome = await checked(round, directory, 'a queue that is closed')
    if (outcome && 'code' in outcome) round.found('wrong', `a check of a queue was told ${outcome.untyped ?? outcome.code}`)
    round.count('transactions', to)
  },
}

class QueueJudge {
  readonly #round: Round
  #acknowledged = 0
  #found = 0
  #usedSizeBytes = 0
  #writtenSizeBytes = 0

  constructor(round: Round) {
    this.#round = round
  }

  take({ lines }: DriverProcess): void {
    const round = this.#round
    const parsed = <T>(prefix: string): T[] => lines.filter(line => line.startsWith(prefix)).map(line => JSON.parse(line.slice(prefix.length)) as T)
    for (const found of parsed<number>('F ')) {
      this.#found = found
      if (found < this.#acknowledged) round.found('lost', `a queue was found at transaction ${found}, and ${this.#acknowledged} was acknowledged`)
    }
    this.#acknowledged = Math.max(this.#acknowledged, this.#found, ...parsed<number>('A '))
    for (const { problem } of parsed<{ problem: string }>('X ').slice(0, problemsAtMost)) round.found('wrong', problem)
    for (const report of parsed<Checked>('K ')) judgeReport(round, report, 'a queue that is open')
    for (const ends of parsed<Record<string, number>>('R ')) for (const [end, times] of Object.entries(ends)) round.count(end, times)
    const samples = parsed<QueueSample>('S ')
    this.#usedSizeBytes = Math.max(this.#usedSizeBytes, ...samples.map(({ usedSizeBytes }) => usedSizeBytes))
    this.#writtenSizeBytes = Math.max(this.#writtenSizeBytes, writtenWhilePinned(samples))
  }

  judgeEnd(to: number): void {
    if (this.#found !== to) this.#round.found('lost', `a queue was found at transaction ${this.#found} of ${to} at the end`)
  }

  judgeSize(path: string): void {
    const round = this.#round
    const { transactions, sizeBytes } = lmdbFile(path)
    const size = Math.max(sizeBytes, statSync(path).size)
    const bound = 2 * this.#usedSizeBytes + this.#writtenSizeBytes
    round.count('LMDB commits', transactions)
    round.count('MB of row files', Math.round(size / MB))
    round.count('MB that they may have', Math.round(bound / MB))
    if (size > bound) round.found('wrong', `the row file has ${Math.round(size / MB)} MB, and ${Math.round(bound / MB)} MB are enough`)
  }
}

/** The most that was written in any stretch as long as a state may be pinned. */
function writtenWhilePinned(samples: readonly QueueSample[]): number {
  let most = 0
  let first = 0
  for (const { atMs, appendedPages, transactions } of samples) {
    while (samples[first]!.atMs < atMs - snapshotAgeMs - momentMs) first++
    // From the last sample before: what was written between the two counts whole.
    const from = samples[Math.max(0, first - 1)]!
    most = Math.max(most, appendedPages - from.appendedPages + copiedPagesPerCommit * (transactions - from.transactions))
  }
  return most * pageSizeBytes
}
