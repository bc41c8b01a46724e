/** Databases on real files in a directory of their own, with limits so small and a machine so obedient that every path can be walked in a test. */
import { existsSync, mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect } from 'vitest'
import type { Engine } from '../../engine/attempt.js'
import { Database } from '../../engine/database.js'
import { ConflictError, type Explanation } from '../../engine/errors.js'
import { row } from '../../engine/index.js'
import type { Limits } from '../../engine/limits.js'
import { openEngine, type OpenOptions } from '../../engine/open.js'
import type { ManualTransaction } from '../../engine/run.js'
import type { Store } from '../../engine/store/store.js'
import type { CommitTs } from '../../isolation/types.js'
import { testEnvironment, type TestEnvironment } from './test-environment.js'

/** A checkpoint comes after one second of the test's clock; everything else is as by default. */
export const testLimits: Partial<Limits> = { checkpointAgeMs: 1_000, timeoutMs: 100_000 }

export interface Opened {
  readonly db: Database
  readonly engine: Engine
  readonly store: Store
  readonly environment: TestEnvironment
  readonly path: string
}

/** LMDB syncs its file at every opening and checkpoint; in memory that takes no time, and nothing here cuts the power. */
const scratchRoot = hasRoom('/dev/shm') ? '/dev/shm' : tmpdir()

function hasRoom(path: string): boolean {
  if (!existsSync(path)) return false
  const { bavail, bsize } = statfsSync(path)
  return bavail * bsize > 1_000_000_000
}

const opened: Opened[] = []
const directories: string[] = []

afterEach(async () => {
  for (const one of opened.splice(0)) await closeTest(one)
  for (const path of directories.splice(0)) rmSync(path, { recursive: true, force: true })
})

/** Closes a database whatever a test has made of its machine. */
async function closeTest({ db, environment }: Opened): Promise<void> {
  const diskHasFailed = environment.syncError !== undefined || environment.writeError !== undefined
  environment.holdDeferred = false
  environment.syncError = undefined
  environment.writeError = undefined
  while (environment.heldDeferred > 0) environment.runDeferred()
  environment.releaseSyncs()
  const closed = db.close()
  // Where relaxed commits were lost by that, closing says so.
  await (diskHasFailed ? closed.catch(() => {}) : closed)
}

/** One database for the tests of a `describe`, which should use tables of their own. */
export function sharedDatabase(options: Parameters<typeof openTest>[0] = {}): () => Opened {
  let one: Opened | undefined
  beforeAll(() => {
    one = openTest({ ...options, path: mkdtempSync(join(scratchRoot, 'premisedb-unit-')) })
    opened.splice(opened.indexOf(one), 1)
  })
  afterAll(async () => {
    await closeTest(one!)
    rmSync(one!.path, { recursive: true, force: true })
  })
  return () => one!
}

/** Closed, and its directory removed, after the test. */
export function openTest({ limits = {}, path = scratchDirectory(), ...options }: OpenOptions & { limits?: Partial<Limits>; path?: string } = {}): Opened {
  const environment = testEnvironment()
  const engine = openEngine(path, { guard: 'async', ...options }, { environment, limits: { ...testLimits, ...limits } })
  const one = { db: new Database(engine), engine, store: engine.store, environment, path }
  opened.push(one)
  return one
}

/** Removed after the test. */
export function scratchDirectory(): string {
  const path = mkdtempSync(join(scratchRoot, 'premisedb-unit-'))
  directories.push(path)
  return path
}

export const numbersIn = (db: Database, name = 'numbers') => db.table(name, { key: ['string'], schema: row<number>() })
export type Numbers = ReturnType<typeof numbersIn>

/** A database with a table of numbers by name, which holds `rows`. */
export async function openNumbers(
  rows: Readonly<Record<string, number>> = {},
  options: Parameters<typeof openTest>[0] = {},
): Promise<Opened & { readonly t: Numbers }> {
  const one = openTest(options)
  const t = numbersIn(one.db)
  await t.ready
  fill(one, t, rows)
  return { ...one, t }
}

/** Puts rows in one transaction. */
export function fill({ db }: Pick<Opened, 'db'>, t: Numbers, rows: Readonly<Record<string, number | undefined>>): void {
  if (Object.keys(rows).length === 0) return
  db.transactionSync(tx => {
    for (const [key, value] of Object.entries(rows)) {
      if (value === undefined) tx.delete(t, key)
      else tx.put(t, key, value)
    }
  })
}

/** The numbers of a table, as an object. */
export const contentOf = (db: Pick<Database, 'range'>, t: Numbers): Record<string, number> =>
  Object.fromEntries(Array.from(db.range(t), ({ key, value }) => [key, value]))

/** Moves everything visible into the row file, and out of the window what no snapshot needs. */
export async function checkpoint({ environment, store }: Opened): Promise<void> {
  const target = store.visibleTs
  environment.advance(testLimits.checkpointAgeMs!)
  for (let turn = 0; store.epochs.appliedTs < target && turn < 10_000; turn++) await turns(1)
  expect(store.epochs.appliedTs, 'the checkpoint completed').toBeGreaterThanOrEqual(target)
  await turns(5)
}

/** Lets promise jobs, deferred calls and I/O callbacks run. */
export async function turns(count = 5): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise(resolve => setImmediate(resolve))
}

export interface Deferred<T> {
  readonly promise: Promise<T>
  resolve(value: T): void
  reject(error: unknown): void
}

export function deferred<T = void>(): Deferred<T> {
  let resolve!: (value: T) => void
  let reject!: (error: unknown) => void
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve
    reject = onReject
  })
  return { promise, resolve, reject }
}

/** What a promise has come to by now. */
export async function stateOf(promise: Promise<unknown>): Promise<'pending' | 'fulfilled' | 'rejected'> {
  let state: 'pending' | 'fulfilled' | 'rejected' = 'pending'
  promise.then(
    () => (state = 'fulfilled'),
    () => (state = 'rejected'),
  )
  await turns()
  return state
}

/** The error that `action` throws or rejects with. */
export async function failureOf(action: () => unknown): Promise<Error & { code?: string; retryable?: boolean; explain?: Explanation }> {
  let value: unknown
  try {
    value = await action()
  } catch (error) {
    if (error instanceof Error) return error
    throw new TypeError('what was thrown is no Error', { cause: error })
  }
  throw new Error(`nothing was thrown; the result is ${String(value)}`)
}

/** The explanation of the conflict that a handle's commit ends in. */
export async function conflictOf(tx: ManualTransaction): Promise<Explanation> {
  const error = await failureOf(() => tx.commit())
  expect(error, String(error)).toBeInstanceOf(ConflictError)
  expect(error).toMatchObject({ code: 'CONFLICT', retryable: true })
  return (error as ConflictError).explain
}

export const tsOf = ({ store }: Opened): CommitTs => store.visibleTs
