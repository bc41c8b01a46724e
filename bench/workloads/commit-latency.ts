/** How long a durable commit takes when nothing else is in flight, and how long the disk alone would have taken. */
import { accountCount, randomTransfers, readTransfer, writeTransfer, type Transfers } from '../accounts.js'
import { startBank } from '../bank.js'
import { quantile } from '../quantile.js'
import { inWords } from '../report/text.js'
import type { Store, Subject } from '../store.js'
import { fdatasync } from '../subjects/fdatasync.js'
import { premisedb } from '../subjects/premisedb.js'
import type { Contestant, Context, Measured, Workload } from '../workload.js'

const ours = premisedb('serializable', 'durable')
const reads = 2
const roundSeconds = { full: 3, quick: 0.5 }
/** Of a round; the file beside which we compare ourselves has room for them. */
const mostTransfers = 30_000

export const commitLatency: Workload = {
  name: 'commit-latency',
  summary:
    `From calling \`db.transaction\` until it is acknowledged as on disk, for transactions that read two of ${inWords(accountCount)} rows and write both, one at a time: the median of a round, beside the 99th ` +
    'percentile. The other subject does the same transfers in memory, and appends to a file and syncs as many bytes as PremiseDB.',
  unit: 'µs',
  better: 'less',
  rounds: { full: 7, quick: 3 },
  entries: [ours, fdatasync].map(subject => ({ subject: subject.name, peer: undefined, settings: subject.settings, start: context => start(subject, context) })),
  goals: [{ name: 'commit-latency/fdatasync', of: ours.name, to: fdatasync.name, op: '<=', target: 1.5 }],
}

function start(subject: Subject, { quick, seed, syncsPerSecond, directory }: Context): Promise<Contestant> {
  const perRound = Math.min(mostTransfers, Math.ceil(syncsPerSecond * (quick ? roundSeconds.quick : roundSeconds.full)))
  return startBank({
    subject,
    directory,
    transfersOf: ({ number }) => randomTransfers(perRound, reads, seed, number),
    run: latencies,
    timing: 'without close',
  })
}

async function latencies(store: Store, plan: Transfers): Promise<Measured> {
  const latenciesUs = new Float64Array(plan.count)
  for (let index = 0; index < plan.count; index++) {
    const startedMs = performance.now()
    const done = store.write(tx => writeTransfer(tx, plan, index, readTransfer(tx, plan, index)))
    if (done !== undefined) await done
    latenciesUs[index] = (performance.now() - startedMs) * 1_000
  }
  return { value: quantile(latenciesUs, 0.5), notes: { p99Us: quantile(latenciesUs, 0.99) } }
}
