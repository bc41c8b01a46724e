/** Durable transactions of two reads and two writes, with one or many in flight. */
import { accountCount, randomTransfers, readTransfer, writeTransfer } from '../accounts.js'
import { startBank } from '../bank.js'
import { closedLoop } from '../clients.js'
import { inWords } from '../report/text.js'
import type { Subject } from '../store.js'
import { betterSqlite3 } from '../subjects/better-sqlite3.js'
import { premisedb } from '../subjects/premisedb.js'
import type { Contestant, Context, Workload } from '../workload.js'

interface Size {
  readonly clients: number
  /** Most transactions of a round. */
  readonly transactions: { readonly full: number; readonly quick: number }
  readonly target?: number
}

const ours = premisedb('serializable', 'durable')
const theirs = betterSqlite3('FULL')
const reads = 2
/** A round is not much longer than this for a store that syncs each commit by itself. */
const roundSeconds = { full: 30, quick: 4 }
/** The warm-up does this part of a round. */
const warmUpShare = 0.1

export const durable: readonly Workload[] = [
  durableWith({ clients: 1, transactions: { full: 60_000, quick: 5_000 }, target: 0.8 }),
  durableWith({ clients: 8, transactions: { full: 100_000, quick: 10_000 } }),
  durableWith({ clients: 64, transactions: { full: 150_000, quick: 20_000 }, target: 8 }),
  durableWith({ clients: 1_024, transactions: { full: 150_000, quick: 20_000 }, target: 12 }),
]

function durableWith(size: Size): Workload {
  const { clients, target } = size
  const name = `durable-${clients}`
  return {
    name,
    summary:
      `Transactions that read two of ${inWords(accountCount)} rows and write both, ${clients === 1 ? 'one at a time' : `${inWords(clients)} in flight`}, each acknowledged when it is on disk. ` +
      'Inside the timing: all transactions, the checkpoints they cause, and closing the store, which moves everything into its main file.',
    unit: 'transactions/s',
    rounds: { full: 5, quick: 2 },
    entries: [
      { subject: ours.name, peer: undefined, settings: ours.settings, start: context => start(ours, size, context) },
      { subject: theirs.name, peer: 'better-sqlite3', settings: theirs.settings, start: context => start(theirs, size, context) },
    ],
    goals: target === undefined ? [] : [{ name: `${name}/better-sqlite3-full`, of: ours.name, to: theirs.name, op: '>=', target }],
  }
}

function start(subject: Subject, { clients, transactions }: Size, { quick, seed, syncsPerSecond, directory }: Context): Promise<Contestant> {
  const length = quick ? 'quick' : 'full'
  const perRound = Math.ceil(Math.min(transactions[length], syncsPerSecond * roundSeconds[length]))
  return startBank({
    subject,
    directory,
    transfersOf: ({ number, isWarmUp }) => randomTransfers(isWarmUp ? Math.ceil(perRound * warmUpShare) : perRound, reads, seed, clients, number),
    run: (store, plan) => closedLoop(clients, plan.count, index => store.write(tx => writeTransfer(tx, plan, index, readTransfer(tx, plan, index)))),
    timing: 'with close',
  })
}
