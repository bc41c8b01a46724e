/** Histories on one store after the other, with limits so small that checkpoints, log rotation, the index's floor and the age of snapshots are met all the time. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Database } from '../../engine/database.js'
import { row, type Level } from '../../engine/index.js'
import type { Limits } from '../../engine/limits.js'
import { openEngine } from '../../engine/open.js'
import type { AnyTable } from './actor.js'
import { Chance } from './chance.js'
import { contentOf, playHistory, type Stage } from './history.js'
import { judge } from './judge.js'
import type { History } from './records.js'
import { World } from './world.js'

export interface BatchOptions {
  readonly seed: number
  readonly histories: number
  readonly levels: readonly Level[]
}

export interface Tally {
  histories: number
  committed: number
  aborted: number
  attempts: number
  notSerial: number
  checkpointed: number
  readonly outcomes: Record<string, number>
}

export const newTally = (): Tally => ({ histories: 0, committed: 0, aborted: 0, attempts: 0, notSerial: 0, checkpointed: 0, outcomes: {} })

/** Plays and judges; throws an error that names the seed and the history at the first violation. */
export async function playBatch({ seed, histories, levels }: BatchOptions, tally: Tally): Promise<void> {
  const chance = new Chance(seed)
  const path = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'premisedb-simulation-'))
  const limits = smallLimits(chance)
  try {
    const stage = openStage(path, limits, chance)
    for (let number = 0; number < histories; number++) {
      const interruption = number === histories - 1 ? chance.of(['close', 'failure', undefined] as const) : undefined
      const name = `${seed}.${number}`
      const history = await playHistory(stage, chance.fork(), { name, levels, ...(interruption && { interruption }) }).catch((error: unknown) => {
        throw new Error(`history ${name}: ${String(error)}`, { cause: error })
      })
      if (!interruption) conclude(history, name, tally)
      if (number < histories - 1) continue
      await strike(stage)
      tally.checkpointed += stage.engine.store.epochs.appliedTs > 0 ? 1 : 0
      const again = openStage(path, limits, chance)
      const content = contentOf(again)
      await strike(again)
      if (interruption) conclude({ ...history, finally: content }, name, tally)
      else if (content.length > 0) throw new Error(`deleted rows are back after opening the database again: ${JSON.stringify(content)}`)
    }
  } catch (error) {
    throw new Error(`seed ${seed}, levels ${levels.join(', ')}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  } finally {
    rmSync(path, { recursive: true, force: true })
  }
}

function conclude(history: History, name: string, tally: Tally): void {
  const { violations, notSerial } = judge(history)
  if (violations.length > 0) throw new Error(`history ${name}: ${violations.join('\n  ')}\n${describe(history, violations)}`)
  count(history, tally)
  tally.notSerial += notSerial
}

function openStage(path: string, limits: Partial<Limits>, chance: Chance): Stage {
  const world = new World(chance.fork())
  const engine = openEngine(path, {}, { environment: world.environment, limits })
  const commits: Stage['commits'] = []
  const { commitPath } = engine
  const install = commitPath.install.bind(commitPath)
  commitPath.install = (rows, meta) => {
    const ts = install(rows, meta)
    commits.push({ ts, label: meta.label })
    return ts
  }
  const db = new Database(engine)
  const strings = db.table('strings', { key: ['string'], schema: row<number>() }) as unknown as AnyTable
  const pairs = db.table('pairs', { key: ['string', 'number'], schema: row<number>() }) as unknown as AnyTable
  engine.store.flushSync()
  world.timerShare = chance.of([0, 0.05, 0.2])
  return { engine, db, tables: { strings, pairs }, world, commits }
}

function smallLimits(chance: Chance): Partial<Limits> {
  const window = chance.of([300, 2_000, 100_000])
  return {
    windowCheckpointSizeBytes: window,
    windowSizeBytes: window * chance.of([2, 10]),
    stepSizeBytes: chance.of([1, 20, 1_000]),
    checkpointAgeMs: chance.of([5, 50, 500]),
    logCheckpointSizeBytes: chance.of([500, 100_000]),
    segmentSizeBytes: chance.of([300, 2_000, 100_000]),
    logReserveSizeBytes: 1_024,
    conflictIndexWrites: chance.of([0, 2, 4, 20, 1_000]),
    snapshotAgeMs: chance.of([0, 20, 100_000]),
    revalidateSliceKeys: chance.of([1, 2, 100]),
    relaxedSyncMs: chance.of([1, 20]),
    unsyncedCommits: chance.of([3, 1_000]),
    readerSlots: chance.of([6, 126]),
  }
}

/** Closes the database. Nothing is left behind. */
async function strike({ engine, db, world }: Stage): Promise<void> {
  const { epochs } = engine.store
  await world.settle()
  let closed = false
  const closing = Promise.allSettled([db.close()]).finally(() => (closed = true))
  while (!closed) {
    await world.settle()
    await new Promise(resolve => setImmediate(resolve))
  }
  const [result] = await closing
  if (result.status === 'rejected' && !world.syncsFail) throw result.reason
  if (epochs.live.oldest !== undefined) throw new Error(`a snapshot at ${epochs.live.oldest} was never released`)
  if (epochs.pinnedRoots !== 1) throw new Error(`${epochs.pinnedRoots - 1} old roots are still pinned`)
  if (world.timers > 0) throw new Error(`${world.timers} timers are still set`)
}

function count({ transactions, commits }: History, tally: Tally): void {
  tally.histories++
  tally.committed += commits.length
  tally.aborted += transactions.filter(({ outcome }) => outcome !== 'done').length
  tally.attempts += transactions.reduce((sum, { attempts }) => sum + attempts.length, 0)
  for (const { outcome } of transactions) tally.outcomes[outcome] = (tally.outcomes[outcome] ?? 0) + 1
}

/** The transactions that are accused, and all that committed. */
function describe({ transactions, commits }: History, violations: readonly string[]): string {
  const tsOf = new Map(commits.map(({ ts, label }) => [label, ts]))
  return transactions
    .filter(({ label }) => tsOf.has(label) || violations.some(violation => violation.startsWith(`${label} `)))
    .map(({ label, level, readOnly, durability, attempts, outcome, startedAt, endedAt, visibleTs, durableTs }) => {
      const how = [level, readOnly && 'read-only', durability].filter(Boolean).join(' ')
      const runs = attempts.map(({ beganTs, operations }) => `\n    from ${beganTs}: ${operations.map(operation => `\n      ${JSON.stringify(operation)}`).join('')}`)
      const commit = tsOf.has(label) ? `commit ${tsOf.get(label)}` : 'no commit'
      return `  ${label} ${how}: ${outcome}, ${commit}, events ${startedAt}-${endedAt}, visible ${visibleTs}, durable ${durableTs}${runs.join('')}`
    })
    .join('\n')
}
