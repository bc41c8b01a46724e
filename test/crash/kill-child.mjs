/**
 * A writer that is killed, under limits so small that checkpoints, rotation and trimming of the log go on all the time. What it does and what it reports is that of
 * `test/torture/workload.ts`.
 *
 *     node kill-child.mjs DIRECTORY REPORT SEED MODE
 */
import { openSync, writeSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

/** @param {string[]} args */
async function main([directory, report, seed, mode]) {
  if (directory === undefined || report === undefined) throw new Error('kill-child.mjs DIRECTORY REPORT SEED MODE')
  const { Database, openEngine, work } = await built()
  const reportFd = openSync(report, 'a')
  const db = new Database(openEngine(directory, { durability: mode === 'relaxed' ? 'relaxed' : 'durable' }, { limits: smallLimits }))
  /** @type {import('../torture/workload.js').Mode} */
  const said = mode === 'early' || mode === 'relaxed' ? mode : 'honest'
  await work({ db, seed: Number(seed), mode: said, bulk: false, say: line => void writeSync(reportFd, `${line}\n`) })
}

export const smallLimits = {
  windowCheckpointSizeBytes: 300_000,
  windowSizeBytes: 1_000_000,
  segmentSizeBytes: 200_000,
  logReserveSizeBytes: 16_384,
  logCheckpointSizeBytes: 500_000,
  checkpointAgeMs: 100,
  stepSizeBytes: 40_000,
  stepMs: 2,
}

/** As it is built: a child process has no compiler. */
async function built() {
  const dist = new URL('../../dist/', import.meta.url)
  /** @type {typeof import('../../engine/database.js')} */
  const { Database } = await import(new URL('engine/database.js', dist).href)
  /** @type {typeof import('../../engine/open.js')} */
  const { openEngine } = await import(new URL('engine/open.js', dist).href)
  /** @type {typeof import('../torture/workload.js')} */
  const { work } = await import(new URL('test/torture/workload.js', dist).href)
  return { Database, openEngine, work }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main(process.argv.slice(2))
