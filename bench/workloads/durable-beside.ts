/** The durable transactions of `durable-64` beside stores that do them asynchronously, and on more rows. */
import { accountCount, readTransfer, transfersAmong, writeTransfer } from '../accounts.js'
import { startBank } from '../bank.js'
import { closedLoop } from '../clients.js'
import { inWords } from '../report/text.js'
import type { Store, Subject, TransferStore } from '../store.js'
import { betterSqlite3 } from '../subjects/better-sqlite3.js'
import { classicLevel } from '../subjects/classic-level.js'
import { postgres } from '../subjects/postgres.js'
import { premisedb } from '../subjects/premisedb.js'
import type { Contestant, Context, Goal, Peer, Workload } from '../workload.js'

interface Beside {
  readonly name: string
  readonly rows: Size
  /** Most transactions of a round. */
  readonly transactions: Size
  readonly peer: Peer
  readonly others: readonly Subject<Store | TransferStore>[]
  readonly goals: readonly Goal[]
}

interface Size {
  readonly full: number
  readonly quick: number
}

const ours = premisedb('serializable', 'durable')
const postgreses = [postgres(8), postgres(64)]
const clients = 64
const reads = 2
/** A round is not much longer than this for a store that syncs each commit by itself. */
const roundSeconds: Size = { full: 6, quick: 1 }
const warmUpShare = 0.3
const usualRows: Size = { full: accountCount, quick: accountCount }

export const durableBeside: readonly Workload[] = [
  durableWith({
    name: `durable-${clients}-postgres`,
    rows: usualRows,
    transactions: { full: 16_000, quick: 2_500 },
    peer: 'postgres',
    others: postgreses,
    goals: [{ name: `durable-${clients}/postgres`, of: ours.name, to: postgreses.map(({ name }) => name), op: '>=', target: 10 }],
  }),
  durableWith({
    name: `durable-${clients}-level`,
    rows: usualRows,
    transactions: { full: 40_000, quick: 4_000 },
    peer: 'classic-level',
    others: [classicLevel],
    goals: [],
  }),
  durableWith({
    name: `durable-${clients}-million`,
    rows: { full: 1_000_000, quick: 200_000 },
    transactions: { full: 40_000, quick: 4_000 },
    peer: 'better-sqlite3',
    others: [betterSqlite3('FULL')],
    goals: [],
  }),
]

function durableWith({ name, rows, transactions, peer, others, goals }: Beside): Workload {
  const startOf =
    <S extends Store | TransferStore>(subject: Subject<S>) =>
    ({ quick, seed, syncsPerSecond, directory }: Context): Promise<Contestant> => {
      const length = quick ? 'quick' : 'full'
      const perRound = Math.ceil(Math.min(transactions[length], syncsPerSecond * roundSeconds[length]))
      return startBank<Store | TransferStore>({
        subject,
        directory,
        accounts: rows[length],
        transfersOf: ({ number, isWarmUp }) => transfersAmong(rows[length], isWarmUp ? Math.ceil(perRound * warmUpShare) : perRound, reads, seed, number),
        run: (store, plan) =>
          closedLoop(clients, plan.count, index =>
            'transfer' in store ? store.transfer(plan, index) : store.write(tx => writeTransfer(tx, plan, index, readTransfer(tx, plan, index))),
          ),
        timing: 'without close',
      })
    }
  return {
    name,
    summary:
      `Transactions that read two of ${inWords(rows.full)} rows${rows.quick === rows.full ? '' : ` (${inWords(rows.quick)} in a quick run)`} and write both, ${clients} in flight, each acknowledged when it is ` +
      'on disk. Inside the timing: all transactions, and what the stores do meanwhile; closing them is not.',
    unit: 'transactions/s',
    rounds: { full: 3, quick: 1 },
    entries: [
      { subject: ours.name, peer: undefined, settings: ours.settings, start: startOf(ours) },
      ...others.map(other => ({ subject: other.name, peer, settings: other.settings, start: startOf(other) })),
    ],
    goals,
  }
}
