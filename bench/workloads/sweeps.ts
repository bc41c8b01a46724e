/** One thing varied over its range: each point is an entry, and the three can be drawn (`--plots`). */
import { loopFor, openLoop } from '../clients.js'
import { startHotRows } from '../hot-rows.js'
import { inWords } from '../report/text.js'
import { contendedSettings } from '../subjects/premisedb-contended.js'
import { startTransfers } from '../transfers.js'
import type { Workload } from '../workload.js'
import { levels } from '../../engine/index.js'

const rows = { full: 50_000, quick: 5_000 }
const work = `Transactions that read two of ${inWords(rows.full)} rows (quick: ${inWords(rows.quick)}) and write both, serializable, each acknowledged when it is on disk.`
const settings = 'level serializable, durability durable, up to 1,000 attempts within 60 s, otherwise defaults'

export const clientsNote = 'clients'

export const sweepClients: Workload = {
  name: 'sweep-clients',
  summary: `${work} Each client begins the next one when its last one is done; by the number of clients. Latency is from a transaction’s begin to its acknowledgement.`,
  unit: 'transactions/s',
  rounds: { full: 3, quick: 1 },
  entries: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024].map(clients => ({
    subject: `premisedb/serializable, ${inWords(clients)} ${clients === 1 ? 'client' : 'clients'}`,
    peer: undefined,
    settings,
    start: context =>
      startTransfers(context, rows, { full: 800, quick: 150 }, async (durationMs, transfer) => {
        const { operations, operationsPerSecond, latencies } = await loopFor({ clients, durationMs }, transfer)
        return { operations, value: operationsPerSecond, notes: { [clientsNote]: clients, ...latencies.notes() } }
      }),
  })),
  goals: [],
}

export const askedNote = 'asked for, 1/s'
export const begunNote = 'begun, %'

/** A server that waits for more than this refuses more. */
const inFlightMax = 10_000

export const sweepRates: Workload = {
  name: 'sweep-rates',
  summary:
    `${work} They come at a rate of their own, evenly, whether or not earlier ones are done; by that rate. Latency is from the time at which a transaction was due to its acknowledgement, so that a stall counts for ` +
    `all who waited meanwhile. Up to ${inWords(inFlightMax)} are in flight. A rate that the store cannot sustain shows in what was not begun when the time was over, and in latencies that grow with the time.`,
  unit: 'transactions/s',
  rounds: { full: 3, quick: 1 },
  entries: [500, 1_000, 2_000, 5_000, 10_000, 20_000, 40_000, 80_000].map(perSecond => ({
    subject: `premisedb/serializable, ${inWords(perSecond)} per second`,
    peer: undefined,
    settings: `${settings}; the event loop begins all that are due every millisecond`,
    start: context =>
      startTransfers(context, rows, { full: 1_200, quick: 250 }, async (durationMs, transfer) => {
        const { operations, operationsPerSecond, notBegun, latencies } = await openLoop({ perSecond, durationMs, inFlightMax }, transfer)
        const begun = (operations / (operations + notBegun)) * 100
        return { operations, value: operationsPerSecond, notes: { [askedNote]: perSecond, [begunNote]: begun, ...latencies.notes() } }
      }),
  })),
  goals: [],
}

export const hotNote = 'rows'
const clients = 16

export const sweepContention: Workload = {
  name: 'sweep-contention',
  summary:
    `Transactions that read one row, let others run, and write it, ${clients} in flight, acknowledged before they are on disk; by the number of rows among which they choose, and the level. Aborted ones run again until they ` +
    'commit. At read-committed nothing is aborted, and updates are lost instead.',
  unit: 'commits/s',
  rounds: { full: 3, quick: 1 },
  entries: [1, 3, 10, 30, 100, 300, 1_000].flatMap(hot =>
    levels.toReversed().map(level => ({
      subject: `premisedb/${level}, ${inWords(hot)} ${hot === 1 ? 'row' : 'rows'}`,
      peer: undefined,
      settings: contendedSettings(level),
      start: async context => {
        const hotRows = await startHotRows({ level, rows: hot, clients, roundMs: { full: 500, quick: 80 } }, context)
        return {
          ...hotRows,
          async round(at) {
            const { value, notes } = await hotRows.round(at)
            return { value, notes: { [hotNote]: hot, ...notes } }
          },
        }
      },
    })),
  ),
  goals: [],
}

export const sweeps: readonly Workload[] = [sweepClients, sweepRates, sweepContention]
