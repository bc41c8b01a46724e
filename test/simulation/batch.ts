/** Histories on one store after the other, with limits so small that checkpoints, log rotation, the index's floor and the age of snapshots are met all the time. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Database } from '../../engine/database.js'
import { decodeKey } from '../../engine/encoding/keys.js'
import { ConflictError, row, type Level } from '../../engine/index.js'
import type { Limits } from '../../engine/limits.js'
import { openEngine } from '../../engine/open.js'
import type { AnyTable } from './actor.js'
import { Chance } from './chance.js'
import { namePhenomena, type Named } from './checker/phenomena.js'
import { newLooks, type Looks } from './checker/reads.js'
import { BrokenHistoryError, contentOf, playHistory, type Stage } from './history.js'
import { judge, type Verdict } from './judge.js'
import type { Key } from './model.js'
import { Plan } from './plan.js'
import type { Commit, History } from './records.js'
import { World } from './world.js'

export interface BatchOptions {
  readonly seed: number
  readonly histories: number
  readonly levels: readonly Level[]
  /** What of it is played; without one, all. */
  readonly plan?: Plan
  /** Fails also for a history that its levels allow, where it is not serial. */
  readonly serial?: boolean
}

/** Histories played on one store. */
export const batchHistories = 25

export interface Tally {
  histories: number
  committed: number
  aborted: number
  attempts: number
  /** Histories that are not serial, by their positions in their batches. */
  readonly notSerial: number[]
  /** Attempts that ended in a conflict, and those of them that need not have. */
  conflicts: number
  falseConflicts: number
  checkpointed: number
  readonly outcomes: Record<string, number>
  /** Histories in which the checker names each phenomenon, allowed or not. */
  readonly phenomena: Record<string, number>
  readonly looks: Looks
}

export const newTally = (): Tally => ({
  histories: 0, committed: 0, aborted: 0, attempts: 0, notSerial: [], conflicts: 0, falseConflicts: 0, checkpointed: 0, outcomes: {}, phenomena: {}, looks: newLooks(),
})

/** A history is not what its levels promise. */
export class ViolationError extends Error {
  /** Position in its batch. */
  readonly number: number
  /** What is known of it. */
  readonly history: History | undefined
  /** In words, one per line. */
  readonly violations: readonly string[]

  constructor({ seed, levels }: BatchOptions, number: number, violations: readonly string[], history: History | undefined, cause?: unknown) {
    super(`seed ${seed}, levels ${levels.join(', ')}: history ${seed}.${number}: ${violations.join('\n  ')}${history ? `\n${describe(history, violations)}` : ''}`, { cause })
    this.number = number
    this.history = history
    this.violations = violations
  }
}

/** Plays and judges; throws a `ViolationError` at the first violation. */
export async function playBatch(options: BatchOptions, tally: Tally): Promise<void> {
  const { seed, histories, levels, plan = new Plan() } = options
  const chance = new Chance(seed)
  const path = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'premisedb-simulation-'))
  const limits = smallLimits(chance)
  let stage: Stage | undefined
  let number = 0
  const conclude = (history: History): void => {
    const verdict = judge(history)
    const named = namePhenomena(history)
    const violations = [...verdict.violations, ...named.violations, ...(options.serial && verdict.notSerial ? ['the history: no serial order explains what those that committed saw'] : [])]
    if (violations.length > 0) throw new ViolationError(options, number, violations, history)
    count(history, verdict, named, tally)
    if (verdict.notSerial) tally.notSerial.push(number)
  }
  try {
    stage = openStage(path, limits, chance)
    let last: History | undefined
    for (; number < histories; number++) {
      const interruption = number === histories - 1 ? chance.of(['close', 'failure', undefined] as const) : undefined
      const own = chance.fork()
      const part = `${number}`
      if (!plan.plays(part)) continue
      last = await playHistory(stage, own, { name: `${seed}.${number}`, levels, plan, part, ...(interruption && { interruption }) })
      if (!interruption) conclude(last)
    }
    number = histories - 1
    await strike(stage)
    tally.checkpointed += stage.engine.store.epochs.appliedTs > 0 ? 1 : 0
    stage = openStage(path, limits, chance)
    const content = contentOf(stage)
    await strike(stage)
    if (last?.interruption) conclude({ ...last, finally: content })
    else if (content.length > 0) throw new Error(`deleted rows are back after opening the database again: ${JSON.stringify(content)}`)
  } catch (error) {
    // What is open stays so otherwise, and the next batch is played in the same process.
    if (stage) await strike(stage).catch(() => {})
    if (error instanceof ViolationError) throw error
    const history = error instanceof BrokenHistoryError ? error.history : undefined
    throw new ViolationError(options, number, [error instanceof Error ? error.message : String(error)], history, error)
  } finally {
    rmSync(path, { recursive: true, force: true })
  }
}

function openStage(path: string, limits: Partial<Limits>, chance: Chance): Stage {
  const world = new World(chance.fork())
  const engine = openEngine(path, {}, { environment: world.environment, limits })
  const commits: Stage['commits'] = []
  const running: Stage['running'] = new Map()
  const { commitPath } = engine
  watchConflicts(engine, running)
  const install = commitPath.install.bind(commitPath)
  commitPath.install = (rows, meta) => {
    const ts = install(rows, meta)
    commits.push({ ts, label: meta.label, deleted: deletedIn(rows) })
    return ts
  }
  const db = new Database(engine)
  const strings = db.table('strings', { key: ['string'], schema: row<number>() }) as unknown as AnyTable
  const pairs = db.table('pairs', { key: ['string', 'number'], schema: row<number>() }) as unknown as AnyTable
  engine.store.flushSync()
  world.timerShare = chance.of([0, 0.05, 0.2])
  return { engine, db, tables: { strings, pairs }, world, commits, running }
}

function deletedIn(rows: Parameters<Stage['engine']['commitPath']['install']>[0]): Commit['deleted'] {
  const deleted = [...rows].filter(([, { value }]) => value === undefined)
  return deleted.map(([encoded]) => {
    const { tuple } = decodeKey(encoded)
    return tuple.length === 1 ? { table: 'strings', key: tuple[0] as string } : { table: 'pairs', key: tuple as Key }
  })
}

/** Notes when an attempt ended in a conflict that its body does not see. */
function watchConflicts({ commitPath, store }: Stage['engine'], running: Stage['running']): void {
  const note = (label: string | undefined, error: unknown): void => {
    const attempt = running.get(label ?? '')
    if (attempt && error instanceof ConflictError) attempt.conflictTs ??= store.visibleTs
  }
  const commit = commitPath.commit.bind(commitPath)
  commitPath.commit = transaction => {
    try {
      return commit(transaction)
    } catch (error) {
      note(transaction.label, error)
      throw error
    }
  }
  const catchUp = commitPath.catchUp.bind(commitPath)
  commitPath.catchUp = transaction => {
    const catching = catchUp(transaction)
    catching?.catch((error: unknown) => note(transaction.label, error))
    return catching
  }
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

/** Turns of the event loop that closing may take: the native part of it is done by another thread. */
const closingTurnsMax = 1_000_000

/** Closes the database. Nothing is left behind. */
async function strike({ engine, db, world }: Stage): Promise<void> {
  const { epochs } = engine.store
  await world.settle()
  let closed = false
  const closing = Promise.allSettled([db.close()]).finally(() => (closed = true))
  for (let turns = 0; !closed; turns++) {
    if (turns > closingTurnsMax) throw new Error('closing the database hangs')
    await world.settle()
    await new Promise(resolve => setImmediate(resolve))
  }
  const [result] = await closing
  if (result.status === 'rejected' && !world.syncsFail) throw result.reason
  if (epochs.live.oldest !== undefined) throw new Error(`a snapshot at ${epochs.live.oldest} was never released`)
  if (epochs.pinnedRoots !== 1) throw new Error(`${epochs.pinnedRoots - 1} old roots are still pinned`)
  if (world.timers > 0) throw new Error(`${world.timers} timers are still set`)
}

function count({ transactions, commits }: History, { conflicts, falseConflicts }: Verdict, { phenomena, looks }: Named, tally: Tally): void {
  tally.histories++
  tally.conflicts += conflicts
  tally.falseConflicts += falseConflicts
  tally.committed += commits.length
  tally.aborted += transactions.filter(({ outcome }) => outcome !== 'done').length
  tally.attempts += transactions.reduce((sum, { attempts }) => sum + attempts.length, 0)
  for (const phenomenon of phenomena) tally.phenomena[phenomenon] = (tally.phenomena[phenomenon] ?? 0) + 1
  for (const [name, more] of Object.entries(looks)) tally.looks[name as keyof Looks] += more
  for (const { outcome } of transactions) tally.outcomes[outcome] = (tally.outcomes[outcome] ?? 0) + 1
}

/** The transactions that are accused, and all that committed. */
export function describe({ transactions, commits }: History, violations: readonly string[]): string {
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
