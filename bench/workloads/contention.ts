/** Many clients at a few rows: what conflicts cost at each level. */
import { startHotRows } from '../hot-rows.js'
import { contendedSettings } from '../subjects/premisedb-contended.js'
import type { Workload } from '../workload.js'
import { levels } from '../../engine/index.js'

const rows = 10
const clients = 16
const roundMs = { full: 1_500, quick: 500 }

export const hotRows: Workload = {
  name: 'hot-rows',
  summary:
    `Transactions that read one of ${rows} rows, let others run, and write it, ${clients} in flight, acknowledged before they are on disk. Aborted ones run again until they commit. ` +
    'At read-committed updates are lost, which is counted; at the other levels a lost update would be a failure. The latency of a commit includes its aborted attempts.',
  unit: 'commits/s',
  rounds: { full: 7, quick: 3 },
  entries: levels.toReversed().map(level => ({
    subject: `premisedb/${level}`,
    peer: undefined,
    settings: contendedSettings(level),
    start: context => startHotRows({ level, rows, clients, roundMs }, context),
  })),
  goals: [],
}
