/**
 * The process that plays small commits on two databases, under calls to the system that are counted, fail or kill; and the process that judges what is left.
 *
 *     node small-driver.js TASK        TASK is JSON
 *
 * What it does follows from its task alone: clock and chance are its own, and the asynchronous sync is made at once and answered later. So the nth call is the same call each time.
 */
import * as fs from 'node:fs'
import { join } from 'node:path'
import { check, PremiseError, type CheckReport, type Database as PublicDatabase } from '../../engine/index.js'
import { Database } from '../../engine/database.js'
import type { Environment, Files } from '../../engine/environment.js'
import { systemEnvironment } from '../../engine/environment.js'
import { openEngine } from '../../engine/open.js'
import type { Limits } from '../../engine/limits.js'
import type { Outcome } from './driver.js'
import { rowsOf, smallTable, writesOf, type SmallRow } from './small-workload.js'

export type SmallTask =
  /** Leaves a database that was killed: some of it in the row file, some in the log. */
  | { readonly command: 'prepare'; readonly folder: string; readonly report: string }
  /**
   * Everything, on the databases `new` (which is not there yet) and `old` (which was killed) in the folder. `early`: acknowledgements are said before; `again`: both are opened again at the end;
   * `dies`: it kills itself before it closes what it has opened as the so manieth.
   */
  | { readonly command: 'play'; readonly folder: string; readonly report: string; readonly early?: boolean; readonly again?: boolean; readonly dies?: number }
  /** Opens what is there, and goes on a little. */
  | { readonly command: 'recover'; readonly folder: string; readonly report: string; readonly names: readonly string[]; readonly from: number }
  /** Judges directories that it is told of, until it is killed. */
  | { readonly command: 'judge'; readonly report: string }

export interface JudgeRequest {
  readonly directory: string
  /** Commit to make. */
  readonly n: number
  readonly answer: string
}

export interface Judgement {
  readonly opened: Outcome
  readonly message?: string
  readonly found?: readonly SmallRow[]
  readonly wrote?: Outcome
  readonly closed?: Outcome
  readonly checked?: Outcome | CheckReport
  readonly reopened?: Outcome
  readonly foundAgain?: readonly SmallRow[]
}

const KB = 1_024
const limits: Partial<Limits> = {
  windowCheckpointSizeBytes: 32 * KB,
  segmentSizeBytes: 16 * KB,
  logReserveSizeBytes: 8 * KB,
  stepSizeBytes: 12 * KB,
  stepMs: 1e9,
  checkpointAgeMs: 1e9,
  relaxedSyncMs: 5,
}
/** Long after everything should have come to an end; shorter than what waits for it. */
const patienceMs = 5_000
const commitTimeoutMs = 120_000

const task = JSON.parse(process.argv[2] ?? 'null') as SmallTask
const reportFd = fs.openSync(task.report, 'a')
const say = (line: string): void => void fs.writeSync(reportFd, `${line}\n`)
const sound: Outcome = { code: null }
const outcomeOf = (error: unknown): Outcome => (error instanceof PremiseError ? { code: error.code } : { code: null, untyped: String(error) })

/** A call at a known place in the order of calls. */
const fdatasync = ((fd: number, done: (error: NodeJS.ErrnoException | null) => void) => {
  let failure: NodeJS.ErrnoException | null = null
  try {
    fs.fdatasyncSync(fd)
  } catch (error) {
    failure = error as NodeJS.ErrnoException
  }
  setImmediate(() => setImmediate(() => done(failure)))
}) as Files['fdatasync']

function ownEnvironment(): Environment {
  let nowMs = 0
  let drawn = 0
  return { ...systemEnvironment, files: { ...fs, fdatasync }, nowMs: () => (nowMs += 0.000_1), random: () => (++drawn * 0.618) % 1 }
}

/** Whether it came to an end in time. */
async function ends(what: string, promise: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>(resolve => (timer = setTimeout(() => resolve(false), patienceMs)))
  const inTime = await Promise.race([promise.then(() => true, () => true), late])
  clearTimeout(timer)
  if (!inTime) say(`U ${what}`)
  return inTime
}

const nextTurn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

class Session {
  readonly #name: string
  readonly #db: PublicDatabase
  readonly #early: boolean
  #pending: Promise<void>[] = []

  constructor(name: string, db: PublicDatabase, early: boolean) {
    this.#name = name
    this.#db = db
    this.#early = early
  }

  /** Undefined where it cannot be opened, not even the second time. */
  static async open(folder: string, name: string, early: boolean): Promise<Session | undefined> {
    for (let attempt = 0; attempt < 2; attempt++) {
      try {
        const db = new Database(openEngine(join(folder, name), {}, { environment: ownEnvironment(), limits }))
        say(`O ${name} ${JSON.stringify(sound)}`)
        const session = new Session(name, db, early)
        session.read('F')
        return session
      } catch (error) {
        say(`O ${name} ${JSON.stringify({ ...outcomeOf(error), message: String(error) })}`)
        await nextTurn()
      }
    }
    return undefined
  }

  read(letter: 'F' | 'f'): void {
    try {
      say(`${letter} ${this.#name} ${JSON.stringify(rowsOf(this.#db))}`)
    } catch (error) {
      say(`V ${this.#name} ${JSON.stringify(outcomeOf(error))}`)
    }
  }

  commit(n: number, durability: 'durable' | 'relaxed' = 'durable'): void {
    this.#begin(n)
    const made = this.#db.transaction(tx => this.#body(tx, n), { durability, timeoutMs: commitTimeoutMs })
    this.#pending.push(made.then(() => this.#made(n, durability), (error: unknown) => this.#refused(n, error)))
  }

  commitSync(n: number): void {
    this.#begin(n)
    try {
      this.#db.transactionSync(tx => this.#body(tx, n), { timeoutMs: commitTimeoutMs })
      this.#made(n, 'durable')
    } catch (error) {
      this.#refused(n, error)
    }
  }

  #begin(n: number): void {
    say(`B ${this.#name} ${n}`)
    if (this.#early) say(`A ${this.#name} ${n}`)
  }

  #body(tx: Parameters<Parameters<PublicDatabase['transaction']>[0]>[0], n: number): void {
    const table = smallTable(this.#db)
    for (const [key, text] of writesOf(n)) {
      if (text === undefined) tx.delete(table, key)
      else tx.put(table, key, text)
    }
  }

  #made(n: number, durability: 'durable' | 'relaxed'): void {
    if (!this.#early) say(`${durability === 'durable' ? 'A' : 'R'} ${this.#name} ${n}`)
  }

  #refused(n: number, error: unknown): void {
    say(`X ${this.#name} ${n} ${JSON.stringify(outcomeOf(error))}`)
  }

  /** Until everything that was asked for has come to an end. */
  async settled(): Promise<void> {
    await ends(`commits in ${this.#name}`, Promise.all(this.#pending))
    this.#pending = []
  }

  /** Commits `from` to `to`, in every way: together, one by one, synchronously, relaxed, and while a sync runs. */
  async commits(from: number, to: number): Promise<void> {
    for (let n = from; n <= to; ) {
      const way = n % 4
      const last = Math.min(to, n + 4)
      if (way === 0) this.commitSync(n++)
      else if (way === 1) for (; n <= last; n++) this.commit(n)
      else if (way === 2) {
        this.commit(n++, 'relaxed')
        if (n <= last) this.commit(n++)
      } else {
        this.commit(n++)
        await nextTurn()
        for (; n < last; n++) this.commit(n)
        if (n <= to) this.commitSync(n++)
      }
      await this.settled()
    }
    // So that a checkpoint which was asked for comes to its end.
    for (let i = 0; i < 20; i++) await nextTurn()
  }

  async close(how: 'close' | 'compact' = 'close'): Promise<void> {
    this.read('f')
    // Some of it is still under way.
    const closing = how === 'close' ? this.#db.close() : this.#db.compact()
    const letter = how === 'close' ? 'K' : 'Q'
    const told = closing.then(
      () => say(`${letter} ${this.#name} ${JSON.stringify(sound)}`),
      (error: unknown) => say(`${letter} ${this.#name} ${JSON.stringify(outcomeOf(error))}`),
    )
    await ends(`closing ${this.#name}`, told)
    if (how === 'compact') await ends(`closing ${this.#name} again`, this.#db.close().catch(() => {}))
    await this.settled()
  }
}

async function prepare(folder: string): Promise<void> {
  const session = (await Session.open(folder, 'old', false))!
  await session.commits(1, 30)
  process.kill(process.pid, 'SIGKILL')
}

interface Plan {
  readonly name: string
  readonly from: number
  readonly to: number
  readonly ending: 'close' | 'compact'
}

const plans: readonly Plan[] = [
  { name: 'new', from: 1, to: 40, ending: 'close' },
  { name: 'new', from: 41, to: 52, ending: 'compact' },
  { name: 'old', from: 31, to: 78, ending: 'close' },
]
const againPlans: readonly Plan[] = [
  { name: 'new', from: 101, to: 103, ending: 'close' },
  { name: 'old', from: 101, to: 103, ending: 'close' },
]

async function play(folder: string, chosen: readonly Plan[], { early = false, dies = 0 } = {}): Promise<void> {
  for (const [i, { name, from, to, ending }] of chosen.entries()) {
    const session = await Session.open(folder, name, early)
    if (session === undefined) continue
    await session.commits(from, to)
    // What is relaxed and alone waits for its timer.
    session.commit(1_000 + from, 'relaxed')
    await session.settled()
    await new Promise(resolve => setTimeout(resolve, 12))
    session.commit(2_000 + from)
    session.commit(3_000 + from, 'relaxed')
    if (i + 1 === dies) process.kill(process.pid, 'SIGKILL')
    await session.close(ending)
  }
}

async function judge({ directory, n }: JudgeRequest): Promise<Judgement> {
  let db: PublicDatabase
  try {
    db = new Database(openEngine(directory, {}, {}))
  } catch (error) {
    return { opened: outcomeOf(error), message: String(error) }
  }
  let judgement: Judgement = { opened: sound }
  try {
    judgement = { ...judgement, found: rowsOf(db) }
    const table = smallTable(db)
    await db.transaction(tx => {
      for (const [key, text] of writesOf(n)) {
        if (text === undefined) tx.delete(table, key)
        else tx.put(table, key, text)
      }
    })
    judgement = { ...judgement, wrote: sound }
  } catch (error) {
    judgement = { ...judgement, wrote: outcomeOf(error), message: String(error) }
  }
  const [closed] = await Promise.allSettled([db.close()])
  judgement = { ...judgement, closed: closed.status === 'fulfilled' ? sound : outcomeOf(closed.reason) }
  try {
    judgement = { ...judgement, checked: await check(directory) }
    const again = new Database(openEngine(directory, {}, {}))
    judgement = { ...judgement, reopened: sound, foundAgain: rowsOf(again) }
    await again.close()
  } catch (error) {
    judgement = { ...judgement, reopened: outcomeOf(error), message: String(error) }
  }
  return judgement
}

process.on('unhandledRejection', error => say(`N rejected: ${String(error)}`))
process.on('uncaughtException', error => say(`N thrown: ${String(error)}`))

switch (task.command) {
  case 'prepare':
    await prepare(task.folder)
    break
  case 'play':
    await play(task.folder, task.again === true ? [...plans, ...againPlans] : plans, task)
    say('C')
    break
  case 'recover':
    await play(task.folder, task.names.map(name => ({ name, from: task.from, to: task.from + 3, ending: 'close' })))
    say('C')
    break
  case 'judge':
    process.on('message', (request: JudgeRequest) => {
      void judge(request).then(judgement => {
        fs.writeFileSync(`${request.answer}.part`, JSON.stringify(judgement))
        fs.renameSync(`${request.answer}.part`, request.answer)
      })
    })
}
