/** How the cost of a transaction grows with what the store holds and with who else is at work. */
import { integersFrom } from '../random.js'
import { quantile } from '../quantile.js'
import { inWords } from '../report/text.js'
import { premisedbRows } from '../subjects/premisedb-rows.js'
import { changedText, rowSizeBytes, TextCensus, textOf } from '../texts.js'
import type { Contestant, Context, Entry, Workload } from '../workload.js'
import { open, row, type Database, type ManualTransaction, type Table } from '../../engine/index.js'

interface Surroundings {
  readonly rows: { readonly full: number; readonly quick: number }
  /** Transactions that are open while others work, each with a snapshot of its own; they have read one row. */
  readonly openTransactions: number
}

const usualRows = { full: 100_000, quick: 20_000 }
const transactions = { full: 50_000, quick: 5_000 }
/** So often other callbacks have their turn, as in a program that also listens to others. */
const turnEvery = 100
/** None of the open transactions may end before the workload does. */
const timeoutMs = 1_000_000

const measured =
  `Microseconds for each of ${inWords(transactions.full)} transactions that read two rows and write both, one after the other, acknowledged before they are on disk; the average, checkpoints included. ` +
  `Rows have ${rowSizeBytes} bytes.`

type Rows = Table<number, string, string, number>

const tableOf = (db: Database, name: string): Rows => db.table(name, { key: ['number'], schema: row<string>() })

async function start({ rows, openTransactions }: Surroundings, { quick, seed, directory }: Context): Promise<Contestant> {
  const length = quick ? 'quick' : 'full'
  const count = rows[length]
  const filled = await premisedbRows<string>().open(directory)
  await filled.load(count, id => textOf(id, 0))
  await filled.close()
  const db = await open(directory, { durability: 'relaxed' })
  const table = tableOf(db, 'rows')
  const held = await beginMany(db, table, openTransactions)
  let done = 0
  return {
    async round({ number }) {
      const integer = integersFrom(seed, number)
      const timesUs = new Float64Array(transactions[length])
      for (let i = 0; i < timesUs.length; i++) {
        const a = integer(count)
        const b = (a + 1 + integer(count - 1)) % count
        const startedMs = performance.now()
        await db.transaction(tx => {
          const [foundA, foundB] = [tx.get(table, a)!, tx.get(table, b)!]
          tx.put(table, a, changedText(a, foundA))
          tx.put(table, b, changedText(b, foundB))
        })
        timesUs[i] = (performance.now() - startedMs) * 1_000
        if (i % turnEvery === 0) await new Promise(resolve => setImmediate(resolve))
      }
      done += timesUs.length
      return {
        value: timesUs.reduce((sum, time) => sum + time, 0) / timesUs.length,
        notes: { 'median, µs': quantile(timesUs, 0.5), '99 %, µs': quantile(timesUs, 0.99) },
      }
    },
    async finish() {
      for (const [i, tx] of held.entries()) if (tx.get(table, i % count) !== textOf(i % count, 0)) throw new Error('A snapshot has moved.')
      const census = new TextCensus()
      for (const { key, value } of db.range(table)) census.add(key, value)
      census.proof(count, 2 * done)
      return `${inWords(done)} transactions changed two rows each, which no older snapshot shows`
    },
    async dispose() {
      for (const tx of held) tx.abort()
      await db.close()
    },
  }
}

/** A commit lies between any two. */
async function beginMany(db: Database, rows: Rows, count: number): Promise<ManualTransaction[]> {
  const other = tableOf(db, 'commits')
  const held: ManualTransaction[] = []
  while (held.length < count) {
    await db.put(other, 0, textOf(0, held.length))
    const tx = db.begin({ timeoutMs })
    tx.get(rows, 0)
    held.push(tx)
  }
  return held
}

const entryOf = (name: string, settings: string, surroundings: Surroundings): Entry => ({
  subject: `premisedb/${name}`,
  peer: undefined,
  settings,
  start: context => start(surroundings, context),
})

const growthOf = (name: string, summary: string, entries: readonly Entry[]): Workload => ({
  name,
  summary: `${summary} ${measured}`,
  unit: 'µs',
  better: 'less',
  rounds: { full: 5, quick: 2 },
  entries,
  goals: [],
})

export const growth: readonly Workload[] = [
  growthOf(
    'growth-rows',
    'By the number of rows.',
    [
      { name: '1-percent', full: 10_000, quick: 1_000 },
      { name: '10-percent', full: 100_000, quick: 10_000 },
      { name: '100-percent', full: 1_000_000, quick: 100_000 },
    ].map(({ name, ...rows }) => entryOf(name, `${inWords(rows.full)} rows (quick: ${inWords(rows.quick)}), durability relaxed, otherwise defaults`, { rows, openTransactions: 0 })),
  ),
  growthOf(
    'growth-open',
    `By the number of other transactions that are open, each with a snapshot of its own, among ${inWords(usualRows.full)} rows (quick: ${inWords(usualRows.quick)}).`,
    [1, 100, 10_000].map(openTransactions => entryOf(`open-${openTransactions}`, `${inWords(openTransactions)} open, durability relaxed, otherwise defaults`, { rows: usualRows, openTransactions })),
  ),
  growthOf(
    'growth-snapshot',
    `Without an old snapshot, and with one that somebody reads at from the start to the end, among ${inWords(usualRows.full)} rows (quick: ${inWords(usualRows.quick)}).`,
    [
      entryOf('none-held', 'no other transaction is open, durability relaxed, otherwise defaults', { rows: usualRows, openTransactions: 0 }),
      entryOf('one-held', 'one transaction is open all the time, durability relaxed, otherwise defaults', { rows: usualRows, openTransactions: 1 }),
    ],
  ),
]
