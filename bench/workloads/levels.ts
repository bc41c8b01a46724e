/** What serializability costs: the same work at two levels. */
import { accountCount, randomTransfers, readTransfer, writeTransfer } from '../accounts.js'
import { startBank } from '../bank.js'
import { closedLoop } from '../clients.js'
import { inWords } from '../report/text.js'
import type { ConcurrentStore, Subject } from '../store.js'
import { premisedb } from '../subjects/premisedb.js'
import type { Contestant, Context, Workload } from '../workload.js'

const reads = 8
const clients = 16
const perRound = { full: 30_000, quick: 10_000 }

const serializable = premisedb('serializable', 'relaxed')
const snapshot = premisedb('snapshot', 'relaxed')

export const levels: Workload = {
  name: 'serializable/snapshot',
  summary:
    `Transactions that read eight of ${inWords(accountCount)} rows, let others run, and write two of the eight; ${clients} in flight, acknowledged without waiting for the disk, so that ` +
    'the processor decides. Conflicts are rare and retried. Closing is outside the timing.',
  unit: 'transactions/s',
  rounds: { full: 21, quick: 7 },
  entries: [serializable, snapshot].map(subject => ({
    subject: subject.name,
    peer: undefined,
    settings: subject.settings,
    start: context => start(subject, context),
  })),
  goals: [{ name: 'serializable/snapshot', of: serializable.name, to: snapshot.name, op: '>=', target: 0.95 }],
}

function start(subject: Subject<ConcurrentStore>, { quick, seed, directory }: Context): Promise<Contestant> {
  return startBank({
    subject,
    directory,
    transfersOf: ({ number }) => randomTransfers(quick ? perRound.quick : perRound.full, reads, seed, number),
    run: (store, plan) =>
      closedLoop(clients, plan.count, index =>
        store.writeAsync(async tx => {
          const found = readTransfer(tx, plan, index)
          await Promise.resolve()
          writeTransfer(tx, plan, index, found)
        }),
      ),
    timing: 'without close',
  })
}
