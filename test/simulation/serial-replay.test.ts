/**
 * Random concurrent transactions against a serial replay. A batch is reproduced by its seed; PREMISEDB_HISTORIES plays more of them, PREMISEDB_SEED others.
 */
import { expect, test } from 'vitest'
import { newTally, playBatch, type Tally } from './batch.js'
import type { Level } from '../../engine/index.js'

const histories = Number(process.env['PREMISEDB_HISTORIES'] ?? 1_500)
const firstSeed = Number(process.env['PREMISEDB_SEED'] ?? 1)
const perBatch = 25
const timeoutMs = 20_000 + histories * 100

/** Ways to end that must occur, or the histories show less than they seem to. */
const endings = ['Own', 'CONFLICT', 'RETRIES_EXHAUSTED', 'SNAPSHOT_TOO_OLD', 'TIMEOUT', 'CANCELLED', 'COMMIT_UNKNOWN', 'POISONED', 'CLOSED']

async function play(share: number, levels: readonly Level[]): Promise<Tally> {
  const tally = newTally()
  for (let seed = firstSeed; tally.histories < histories * share; seed++) await playBatch({ seed, histories: perBatch, levels }, tally)
  if (process.env['PREMISEDB_HISTORIES']) console.log(levels.join(', '), JSON.stringify(tally))
  return tally
}

test('serializable transactions come out as if run one after the other in commit order', async () => {
  const tally = await play(0.7, ['serializable'])
  expect(tally.notSerial).toEqual([])
  expect(tally.committed).toBeGreaterThan(tally.histories * 2)
  expect(tally.checkpointed, 'stores that had a checkpoint').toBeGreaterThan(tally.histories / perBatch / 2)
  for (const outcome of endings) expect(tally.outcomes[outcome], `transactions that ended with ${outcome}`).toBeGreaterThan(0)
}, timeoutMs)

test('where levels are mixed, each keeps its own promise', async () => {
  const tally = await play(0.2, ['serializable', 'snapshot', 'read-committed'])
  expect(tally.notSerial.length).toBeGreaterThan(0)
}, timeoutMs)

test.each(['snapshot', 'read-committed'] as const)('at %s the same histories are not serial, and the replay sees it', async level => {
  const tally = await play(0.05, [level])
  expect(tally.notSerial.length).toBeGreaterThan(0)
}, timeoutMs)
