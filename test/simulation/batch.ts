/** Histories on one store after the other, with limits so small that checkpoints, log rotation, the index's floor and the age of snapshots are met all the time. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Database } from '../../engine/database.js'
import { decodeKey } from '../../engine/encoding/keys.js'
import { decodeValue } from '../../engine/encoding/values.js'
import { ConflictError, type Level } from '../../engine/index.js'
import type { Limits } from '../../engine/limits.js'
import { openEngine } from '../../engine/open.js'
import { Chance } from './chance.js'
import { namePhenomena, type Named } from './checker/phenomena.js'
import { newLooks, type Looks } from './checker/reads.js'
import { Declarations, noIndexes, type CatalogWrite, type Declared } from './declarations.js'
import { BrokenHistoryError, contentOf, indexesOf, playHistory, type Stage } from './history.js'
import { judge, type Verdict } from './judge.js'
import type { Key, TableName } from './model.js'
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
  /** Whether the tables have indexes; where it is left out the seed decides, in half of all batches. */
  readonly indexes?: boolean
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
  /** Histories with indexes, and what was wrong with the indexes at the ends of all. */
  indexed: number
  indexEntries: number
  danglingEntries: number
  missingEntries: number
  duplicateUniqueKeys: number
  readonly outcomes: Record<string, number>
  /** Histories in which the checker names each phenomenon, allowed or not. */
  readonly phenomena: Record<string, number>
  readonly looks: Looks
}

export const newTally = (): Tally => ({
  histories: 0, committed: 0, aborted: 0, attempts: 0, notSerial: [], conflicts: 0, falseConflicts: 0, checkpointed: 0, indexed: 0, indexEntries: 0, danglingEntries: 0, missingEntries: 0,
  duplicateUniqueKeys: 0, outcomes: {}, phenomena: {}, looks: newLooks(),
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
  const isIndexed = options.indexes ?? new Chance(seed ^ 0x1d3e_c5).is(0.5)
  const chance = new Chance(seed)
  const path = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'premisedb-simulation-'))
  const limits = smallLimits(chance)
  let stage: Stage | undefined
  let number = 0
  const conclude = (history: History): void => {
    const verdict = judge(history)
    countEntries(verdict, tally)
    const named = namePhenomena(history)
    const violations = [...verdict.violations, ...named.violations, ...(options.serial && verdict.notSerial ? ['the history: no serial order explains what those that committed saw'] : [])]
    if (violations.length > 0) throw new ViolationError(options, number, violations, history)
    count(history, verdict, named, tally)
    if (verdict.notSerial) tally.notSerial.push(number)
  }
  try {
    stage = openStage(path, limits, chance, isIndexed)
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
    const { declared } = stage.declarations
    stage = openStage(path, limits, chance, isIndexed, declared)
    const content = contentOf(stage)
    const { contents, buildings }: Awaited<ReturnType<typeof indexesOf>> = isIndexed ? await indexesOf(stage, true) : {}
    await strike(stage)
    const indexes = { ...(contents && { contents }), ...(buildings && { buildings }) }
    if (last?.interruption) conclude({ ...last, finally: content, ...indexes })
    else if (contents?.some(({ keysOnly }) => keysOnly.length > 0)) throw new Error(`entries of deleted rows are back after opening the database again: ${JSON.stringify(contents)}`)
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

function openStage(path: string, limits: Partial<Limits>, chance: Chance, isIndexed: boolean, declared: Declared = noIndexes): Stage {
  const world = new World(chance.fork())
  const engine = openEngine(path, {}, { environment: world.environment, limits })
  const commits: Stage['commits'] = []
  const running: Stage['running'] = new Map()
  const db = new Database(engine)
  const declarations = new Declarations(db)
  const { commitPath } = engine
  watchConflicts(engine, running)
  const install = commitPath.install.bind(commitPath)
  commitPath.install = (rows, meta) => {
    const writes = [...rows]
    const ts = install(rows, meta)
    const { deleted, isOwn, catalog } = sorted(writes)
    const isMigration = meta.label?.startsWith('migrate table') === true
    commits.push({ ts, label: meta.label, deleted, ...((isOwn || isMigration) && !running.has(meta.label ?? '') && { isOwn: true }) })
    declarations.follow(ts, catalog)
    return ts
  }
  if (declared !== noIndexes) for (const table of tablesById.values()) declarations.declare(table, declared[table])
  engine.store.flushSync()
  world.timerShare = chance.of([0, 0.05, 0.2])
  return { engine, db, declarations, isIndexed, world, commits, running }
}

type Writes = readonly (readonly [Parameters<typeof decodeKey>[0], { readonly value: Uint8Array | undefined }])[]

/** The tables are the first that a store has, so they have these ids. */
const tablesById: ReadonlyMap<number, TableName> = new Map([[1, 'strings'], [2, 'pairs']])

/** What of a commit the judge is told: rows that it deleted, whether it wrote none at all, and what it said of indexes in the catalog. */
function sorted(writes: Writes): Pick<Commit, 'deleted'> & { readonly isOwn: boolean; readonly catalog: readonly CatalogWrite[] } {
  const deleted: { table: TableName; key: Key }[] = []
  const catalog: CatalogWrite[] = []
  let isOwn = writes.length > 0
  for (const [encoded, { value }] of writes) {
    const { tableId, tuple } = decodeKey(encoded)
    const table = tablesById.get(tableId)
    if (table !== undefined) isOwn = false
    if (table !== undefined && value === undefined) deleted.push(table === 'strings' ? { table, key: tuple[0] as string } : { table, key: tuple as Key })
    if (tableId !== 0 || tuple.length !== 2 || typeof tuple[0] !== 'string') continue
    catalog.push({ table: tuple[0] as TableName, declaredAs: tuple[1] as string, index: value && (decodeValue(value) as CatalogWrite['index']) })
  }
  return { deleted, isOwn, catalog }
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
    loneSyncMs: chance.of([0, 2, Infinity]),
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

function countEntries({ indexEntries, danglingEntries, missingEntries, duplicateUniqueKeys }: Verdict, tally: Tally): void {
  tally.indexEntries += indexEntries
  tally.danglingEntries += danglingEntries
  tally.missingEntries += missingEntries
  tally.duplicateUniqueKeys += duplicateUniqueKeys
}

function count({ transactions, commits, contents }: History, { conflicts, falseConflicts }: Verdict, { phenomena, looks }: Named, tally: Tally): void {
  tally.histories++
  tally.conflicts += conflicts
  tally.falseConflicts += falseConflicts
  tally.committed += commits.filter(({ isOwn }) => !isOwn).length
  tally.indexed += (contents?.length ?? 0) > 0 ? 1 : 0
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
