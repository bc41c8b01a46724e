/** A report that reads everything, over many turns, while others go on writing: where a snapshot shows what it is for, and what it cannot do. */
import { loopFor, loopUntil } from '../clients.js'
import { integersFrom } from '../random.js'
import { inWords } from '../report/text.js'
import { contendedSettings, ContendedStore } from '../subjects/premisedb-contended.js'
import { turn } from '../turn.js'
import type { Contestant, Context, Workload } from '../workload.js'
import { LimitError, row, type Level, type Transaction, type TransactionOptions } from '../../engine/index.js'

const rows = 10_000
const rowsPerTurn = 500
const initialBalance = 1_000
const writers = 16
const roundMs = { full: 2_500, quick: 800 }
const bounds = { maxAttempts: 10, timeoutMs: 60_000 }

interface Report {
  readonly name: string
  readonly level: Level
  readonly isReadOnly: boolean
}

const reports: readonly Report[] = [
  { name: 'premisedb/serializable, read-only', level: 'serializable', isReadOnly: true },
  { name: 'premisedb/serializable, with a write', level: 'serializable', isReadOnly: false },
  { name: 'premisedb/snapshot, with a write', level: 'snapshot', isReadOnly: false },
]

async function start({ level, isReadOnly }: Report, { quick, seed, directory }: Context): Promise<Contestant> {
  const store = await ContendedStore.open(directory, 'serializable')
  const { db } = store
  const accounts = db.table('accounts', { key: ['number'], schema: row<number>() })
  const sums = db.table('sums', { key: ['number'], schema: row<number>() })
  await db.transaction(tx => {
    for (let id = 0; id < rows; id++) tx.put(accounts, id, initialBalance)
  })
  const options: TransactionOptions = { level, readOnly: isReadOnly, ...bounds }

  const sumOf = async (tx: Transaction): Promise<number> => {
    let sum = 0
    for (let from = 0; from < rows; from += rowsPerTurn) {
      for (const { value } of tx.range(accounts, { gte: from, lt: from + rowsPerTurn })) sum += value
      await turn()
    }
    return sum
  }
  let attempts = 0
  let done = 0
  let givenUp = 0
  const report = async (): Promise<void> => {
    try {
      const sum = await db.transaction(async tx => {
        attempts++
        const found = await sumOf(tx)
        if (!isReadOnly) tx.put(sums, 0, found)
        return found
      }, options)
      if (sum !== rows * initialBalance) throw new Error(`A report found ${sum}, not ${rows * initialBalance}.`)
      done++
    } catch (error) {
      if (!(error instanceof LimitError && error.code === 'RETRIES_EXHAUSTED')) throw error
      givenUp++
    }
  }

  return {
    async round({ number }) {
      const integer = integersFrom(seed, number)
      const durationMs = roundMs[quick ? 'quick' : 'full']
      attempts = 0
      done = 0
      givenUp = 0
      let isOver = false
      const [writing, reporting] = await Promise.all([
        // As long as there are reports: the last one is not to have it easier.
        loopUntil(writers, () => isOver, () => {
          const from = integer(rows)
          const to = (from + 1 + integer(rows - 1)) % rows
          return store.transaction(async tx => {
            const [source, target] = [tx.get(accounts, from)!, tx.get(accounts, to)!]
            await turn()
            tx.put(accounts, from, source - 1)
            tx.put(accounts, to, target + 1)
          })
        }),
        loopFor({ clients: 1, durationMs }, report).finally(() => (isOver = true)),
      ])
      return {
        value: (done / reporting.operations) * reporting.operationsPerSecond,
        notes: {
          'attempts per report': attempts / reporting.operations,
          'given up, %': (givenUp / reporting.operations) * 100,
          'p50, ms': reporting.latencies.quantileMs(0.5),
          'writes beside it, 1/s': writing.operationsPerSecond,
        },
      }
    },
    finish: () => Promise.resolve('every report that ended found all the money'),
    dispose: () => db.close(),
  }
}

export const longReport: Workload = {
  name: 'long-report',
  summary:
    `A report adds up ${inWords(rows)} rows, ${rowsPerTurn} in a turn of the event loop, while ${writers} writers transfer from one row to another, serializable, acknowledged before they are on disk. A report that only reads ` +
    'is valid at its snapshot, whatever is written meanwhile. One that writes its result is not, at serializable, if any row that it read has changed by then: it runs again, and gives up after ' +
    `${bounds.maxAttempts} attempts, which is counted. At snapshot it may write a result that is outdated. A report’s latency includes its attempts.`,
  unit: 'reports/s',
  rounds: { full: 3, quick: 1 },
  entries: reports.map(report => ({
    subject: report.name,
    peer: undefined,
    settings: `reports: level ${report.level}${report.isReadOnly ? ', readOnly' : ''}, up to ${bounds.maxAttempts} attempts within ${bounds.timeoutMs / 1_000} s; writers: ${contendedSettings('serializable')}`,
    start: context => start(report, context),
  })),
  goals: [],
}
