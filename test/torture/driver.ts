/**
 * The process that is tortured: does one task on a database through the public interface, and says what happens to a file that outlives it, one line per event.
 *
 *     node driver.js TASK        TASK is JSON
 *
 * Beside the lines of workload.ts there are
 *
 *     L {"code":…}     what an opening came to: `null` where it succeeded; or `untyped` with what it threw instead
 *     K {"sound":…}    what a check came to
 *     V […]            what reads gave: each a key, and a digest, `null` for absent, or what it threw
 *     X {"code":…}     a transaction failed
 *     E                the process is about to end itself
 *     C                done
 */
import { closeSync, openSync, writeSync } from 'node:fs'
import { isMainThread, Worker, workerData as taskOfWorker } from 'node:worker_threads'
import { fileURLToPath } from 'node:url'
import { check, open, PremiseError, type Database } from '../../engine/index.js'
import { commitKnown, digestOf, knownKeys, knownTable, reshape, type Reshape } from './known-rows.js'
import { queue, type QueueTask } from './queue.js'
import { soak, type SoakTask } from './soak.js'
import { stateOf, tablesOf, work, type Mode } from './workload.js'

/** How a writer ends itself, and how long after it has said what it found; in the last two the moment is that of the next transaction. */
export interface End {
  readonly how: 'exit' | 'throw' | 'reject' | 'terminate' | 'close on SIGTERM' | 'exit in a body' | 'throw in a hook'
  readonly afterMs: number
}

export interface WriteTask {
  readonly command: 'write'
  readonly directory: string
  readonly report: string
  readonly seed: number
  readonly mode: Mode
  readonly bulk: boolean
  readonly end?: End
}

export type Task =
  | WriteTask
  | QueueTask
  | SoakTask
  | { readonly command: 'look'; readonly directory: string; readonly report: string; readonly holds?: boolean }
  | { readonly command: 'state'; readonly directory: string; readonly report: string }
  | { readonly command: 'fill'; readonly directory: string; readonly report: string; readonly seed: number; readonly phase: 1 | 2 }
  | { readonly command: 'reshape'; readonly directory: string; readonly report: string; readonly changes: readonly Reshape[]; readonly closes: boolean; readonly early: boolean }
  /** Answers one `ReadRequest` after the other until nobody can send any more. */
  | { readonly command: 'read on request'; readonly report: string }
  | { readonly command: 'check'; readonly directory: string; readonly report: string }

/** To open a database and read everything in it, and to check it before; what that comes to is said to a report of its own, and `C` at the end. */
export interface ReadRequest {
  readonly directory: string
  readonly report: string
  readonly checksFirst: boolean
}

/** What an operation came to. */
export interface Outcome {
  readonly code: string | null
  /** What was thrown and is no error of the library. */
  readonly untyped?: string
}

export type Said = readonly [key: string, found: string | null | Outcome]

const exitCode = 7
const bulkOfReads = 100

const task = (isMainThread ? JSON.parse(process.argv[2] ?? 'null') : taskOfWorker) as Task
let reportFd = openSync(task.report, 'a')
const say = (line: string): void => void writeSync(reportFd, `${line}\n`)
const outcomeOf = (error: unknown): Outcome => (error instanceof PremiseError ? { code: error.code } : { code: null, untyped: String(error) })

async function main(): Promise<void> {
  switch (task.command) {
    case 'write':
      return task.end?.how === 'terminate' && isMainThread ? terminateWorker(task) : write(task)
    case 'look':
      return look(task.directory, task.holds === true)
    case 'state': {
      const db = await open(task.directory)
      say(`F ${JSON.stringify(stateOf(db, tablesOf(db)))}`)
      return closed(db)
    }
    case 'fill': {
      const db = await open(task.directory)
      await commitKnown(db, task.seed, task.phase)
      return task.phase === 1 ? closed(db) : untilKilled()
    }
    case 'reshape': {
      const db = await open(task.directory)
      if (task.early) say('C')
      await reshape(db, task.changes)
      return task.closes ? closed(db) : untilKilled()
    }
    case 'read on request':
      process.on('message', (request: ReadRequest) => void answer(request))
      return
    case 'queue':
      return queue(task, say)
    case 'soak':
      return soak(task, say)
    case 'check':
      return checkClosed(task.directory)
  }
}

/** Its log stays as it is. */
function untilKilled(): Promise<void> {
  say('C')
  return new Promise(() => setInterval(() => {}, 1_000))
}

async function closed(db: Database): Promise<void> {
  await db.close()
  say('C')
}

async function write(mine: WriteTask): Promise<void> {
  const { directory, seed, mode, bulk, end } = mine
  const db = await open(directory, { durability: mode === 'relaxed' ? 'relaxed' : 'durable' })
  let endsWithin: 'body' | 'hook' | undefined
  process.on('message', (message: 'close' | 'look in a worker' | 'look' | 'read') => {
    if (message === 'close') void closed(db).then(() => process.disconnect())
    else if (message === 'read') say(`F ${JSON.stringify(stateOf(db, tablesOf(db)))}`)
    else if (message === 'look') void look(directory, false)
    else startWorker({ command: 'look', directory, report: mine.report })
  })
  if (end) arm(db, end, where => (endsWithin = where))
  const within = (where: 'body' | 'hook'): void => {
    if (where !== endsWithin) return
    say('E')
    if (where === 'body') process.exit(exitCode)
    throw new Error('thrown in a hook')
  }
  await work({ db, seed, mode, bulk, say, within, failed: async error => failed(error) })
}

/** After `CLOSED` a client stops; on a full disk it tries again; anything else should not be. */
async function failed(error: PremiseError): Promise<'go on' | 'stop'> {
  if (error.code === 'CLOSED') return 'stop'
  say(`X ${JSON.stringify({ ...outcomeOf(error), ...(error.code === 'POISONED' && { cause: firstCauseOf(error) }) })}`)
  if (error.code !== 'DISK_FULL') return 'stop'
  await new Promise(resolve => setTimeout(resolve, 50))
  return 'go on'
}

function firstCauseOf(error: Error): string {
  return error.cause instanceof Error ? firstCauseOf(error.cause) : error.message
}

function arm(db: Database, { how, afterMs }: End, endWithin: (where: 'body' | 'hook') => void): void {
  if (how === 'close on SIGTERM') {
    process.once('SIGTERM', () => void closed(db).then(() => process.exit(0)))
    return
  }
  setTimeout(() => {
    if (how === 'exit in a body') return endWithin('body')
    if (how === 'throw in a hook') return endWithin('hook')
    if (how === 'terminate') return
    say('E')
    if (how === 'throw') throw new Error('thrown in a timer')
    if (how === 'reject') return void Promise.reject(new Error('rejected in a timer'))
    process.exit(exitCode)
  }, afterMs)
}

const startWorker = (workerData: Task): Worker => new Worker(fileURLToPath(import.meta.url), { workerData })

/** The writer is a worker; ends when that was terminated. */
async function terminateWorker(mine: WriteTask): Promise<void> {
  const worker = startWorker(mine)
  worker.on('error', error => say(`X ${JSON.stringify(outcomeOf(error))}`))
  await new Promise(resolve => setTimeout(resolve, mine.end?.afterMs))
  say('E')
  await worker.terminate()
  say('C')
}

async function look(directory: string, holds: boolean): Promise<void> {
  let db: Database
  try {
    db = await open(directory)
  } catch (error) {
    say(`L ${JSON.stringify(outcomeOf(error))}`)
    return
  }
  say('L {"code":null}')
  if (holds) await new Promise(resolve => process.once('message', resolve))
  await db.close()
  if (holds) process.disconnect()
}

async function answer({ directory, report, checksFirst }: ReadRequest): Promise<void> {
  closeSync(reportFd)
  reportFd = openSync(report, 'a')
  if (checksFirst) await checkClosed(directory)
  await read(directory)
  say('C')
}

/** Opens, reads everything in two ways, closes. */
async function read(directory: string): Promise<void> {
  let db: Database
  try {
    db = await open(directory)
    say('L {"code":null}')
  } catch (error) {
    say(`L ${JSON.stringify(outcomeOf(error))}`)
    return
  }
  const said: Said[] = []
  const flush = (): void => {
    if (said.length > 0) say(`V ${JSON.stringify(said.splice(0))}`)
  }
  const tell = (key: string, found: Said[1]): void => {
    if (said.push([key, found]) >= bulkOfReads) flush()
  }
  try {
    const table = knownTable(db)
    readRange(db, tell)
    flush()
    for (const key of knownKeys()) {
      try {
        const value = db.get(table, key)
        tell(`get ${key.join(' ')}`, value === undefined ? null : digestOf(value))
      } catch (error) {
        tell(`get ${key.join(' ')}`, outcomeOf(error))
      }
    }
  } catch (error) {
    tell('table', outcomeOf(error))
  }
  flush()
  try {
    await db.close()
    tell('close', null)
  } catch (error) {
    tell('close', outcomeOf(error))
  }
  flush()
}

async function checkClosed(directory: string): Promise<void> {
  try {
    const { sound, problems, findings } = await check(directory)
    say(`K ${JSON.stringify({ sound, problems, first: findings[0] })}`)
  } catch (error) {
    say(`L ${JSON.stringify(outcomeOf(error))}`)
  }
}

/** The end of a range is told too: a row that is missing without a word is not one behind an error. */
function readRange(db: Database, tell: (key: string, found: Said[1]) => void): void {
  try {
    for (const { key, value } of db.range(knownTable(db))) tell(`range ${key.join(' ')}`, digestOf(value))
    tell('range', null)
  } catch (error) {
    tell('range', outcomeOf(error))
  }
}

await main()
