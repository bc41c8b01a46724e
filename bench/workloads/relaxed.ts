/** Transactions of two reads and two writes that are acknowledged without waiting for the disk: one after the other without leaving the turn, and many in flight. */
import { setImmediate } from 'node:timers/promises'
import { accountCount, randomTransfers, readTransfer, writeTransfer, type Transfers } from '../accounts.js'
import { startBank } from '../bank.js'
import { closedLoop } from '../clients.js'
import { inWords } from '../report/text.js'
import type { Store, Subject } from '../store.js'
import { betterSqlite3, type Synchronous } from '../subjects/better-sqlite3.js'
import { premisedb, premisedbSync } from '../subjects/premisedb.js'
import type { Contestant, Context, Workload } from '../workload.js'

const reads = 2
const perRound = { full: 60_000, quick: 15_000 }
const rounds = { full: 9, quick: 3 }
const clients = 64
/** Transactions between two turns of the event loop, in which timers run: a few milliseconds. */
const perTurn = 256

export const relaxed: readonly Workload[] = [
  relaxedWith({
    name: 'sync-relaxed',
    how: `one after the other, each in one stretch, with a turn of the event loop after ${inWords(perTurn)}`,
    ours: premisedbSync('serializable', 'relaxed'),
    synchronous: 'OFF',
    target: 1.5,
    run: inTurns,
  }),
  relaxedWith({
    name: `relaxed-${clients}`,
    how: `${inWords(clients)} in flight`,
    ours: premisedb('serializable', 'relaxed'),
    synchronous: 'NORMAL',
    run: (store, plan) => closedLoop(clients, plan.count, index => transfer(store, plan, index)),
  }),
]

interface Relaxed {
  readonly name: string
  readonly how: string
  readonly ours: Subject
  readonly synchronous: Synchronous
  readonly target?: number
  readonly run: (store: Store, plan: Transfers) => Promise<void>
}

function relaxedWith({ name, how, ours, synchronous, target, run }: Relaxed): Workload {
  const theirs = betterSqlite3(synchronous)
  const startOf =
    (subject: Subject) =>
    ({ quick, seed, directory }: Context): Promise<Contestant> =>
      startBank({
        subject,
        directory,
        transfersOf: ({ number }) => randomTransfers(quick ? perRound.quick : perRound.full, reads, seed, clients, number),
        run,
        timing: 'without close',
      })
  return {
    name,
    summary:
      `Transactions that read two of ${inWords(accountCount)} rows and write both, ${how}, each acknowledged without waiting for the disk; closing is outside the timing. PremiseDB syncs them ` +
      'within 50 ms, and what a power failure takes away are the last ones; how much less `better-sqlite3` promises is said with its settings.',
    unit: 'transactions/s',
    rounds,
    entries: [
      { subject: ours.name, peer: undefined, settings: ours.settings, start: startOf(ours) },
      { subject: theirs.name, peer: 'better-sqlite3', settings: theirs.settings, start: startOf(theirs) },
    ],
    goals: target === undefined ? [] : [{ name: `${name}/${theirs.name.replace('/', '-')}`, of: ours.name, to: theirs.name, op: '>=', target }],
  }
}

const transfer = (store: Store, plan: Transfers, index: number): Promise<void> | void =>
  store.write(tx => writeTransfer(tx, plan, index, readTransfer(tx, plan, index)))

async function inTurns(store: Store, plan: Transfers): Promise<void> {
  for (let index = 0; index < plan.count; index++) {
    const done = transfer(store, plan, index)
    if (done !== undefined) throw new Error('The store is not synchronous.')
    if (index % perTurn === perTurn - 1) await setImmediate()
  }
}
