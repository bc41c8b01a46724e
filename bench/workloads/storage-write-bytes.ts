/** How much is written for what is committed. */
import { existsSync } from 'node:fs'
import { runInChild } from '../child.js'
import type { WriteBytes, Written } from '../jobs/write-bytes.js'
import { inWords } from '../report/text.js'
import type { RowSubject, UpdatableRowStore } from '../row-store.js'
import { lmdbPerCommit } from '../subjects/lmdb-rows.js'
import { premisedbRows } from '../subjects/premisedb-rows.js'
import { rowSizeBytes, TextCensus, textOf } from '../texts.js'
import type { Contestant, Context, Workload } from '../workload.js'

type Updater = RowSubject<string, UpdatableRowStore<string>>

const ours = premisedbRows<string>()
const theirs = lmdbPerCommit<string>()
const clients = 64
const rows = { full: 1_000_000, quick: 50_000 }
/** Most of a round. */
const updates = { full: 600_000, quick: 10_000, warmUp: 1_000 }
/** A round has not more syncs than the disk does in this time. */
const syncSeconds = 5

const workload: Workload = {
  name: 'write-bytes',
  summary:
    `Bytes written for each byte of the rows that are committed: durable updates of random ones among ${inWords(rows.full)} rows of ${rowSizeBytes} bytes, ${clients} in flight, ` +
    `up to ${inWords(updates.full)} in a round (quick: ${inWords(rows.quick)} and ${inWords(updates.quick)}). What a process of its own handed to writing system calls from opening to the end of closing, which moves ` +
    'everything into the main file: wchar in /proc/self/io. Logs, row file and metadata are in it; both stores write by calls, not through a memory map. (write_bytes, which counts pages as they become dirty, ' +
    'stands beside it: newer kernels count whole folios, many times what goes to the disk.)',
  unit: 'bytes per byte',
  better: 'less',
  rounds: { full: 1, quick: 1 },
  entries: [
    { subject: ours.name, peer: undefined, settings: ours.settings, start: context => start(ours, 'premisedb', context) },
    { subject: theirs.name, peer: 'lmdb', settings: theirs.settings, start: context => start(theirs, 'lmdb', context) },
  ],
  goals: [{ name: 'write-bytes/per-commit-apply', of: ours.name, to: theirs.name, op: '<=', target: 0.4 }],
}

/** Only Linux counts. */
export const writeBytes: readonly Workload[] = existsSync('/proc/self/io') ? [workload] : []

async function start(subject: Updater, updater: WriteBytes['updater'], { quick, seed, syncsPerSecond, directory }: Context): Promise<Contestant> {
  const length = quick ? 'quick' : 'full'
  const filled = await subject.open(directory)
  await filled.load(rows[length], id => textOf(id, 0))
  await filled.close()
  let updated = 0
  return {
    async round({ number, isWarmUp }) {
      const count = isWarmUp ? updates.warmUp : Math.min(updates[length], Math.ceil(syncsPerSecond * syncSeconds) * clients)
      const job: WriteBytes = { updater, directory, rows: rows[length], updates: count, clients, seed: seed + number }
      const written = await runInChild<Written>(new URL('../jobs/write-bytes.js', import.meta.url), job)
      updated += count
      return {
        value: written.callBytes / (count * rowSizeBytes),
        notes: {
          write_bytes: written.dirtiedBytes / (count * rowSizeBytes),
          'times applied': written.checkpoints,
          'commits/s': (count / written.elapsedMs) * 1_000,
        },
      }
    },
    async finish() {
      const census = new TextCensus()
      const store = await subject.open(directory)
      await store.read(reader => reader.all((id, text) => census.add(id, text)))
      await store.close()
      return census.proof(rows[length], updated)
    },
    dispose: () => Promise.resolve(),
  }
}
