/**
 * Work in steps, beside other work: one step of each job in turn.
 *
 *     step: something is read at the present --> writes derived from it --> installed as one commit, in one synchronous stretch     then others work, while it is synced
 *
 *   J-1  Nothing is awaited between reading and installing, and no commit can come in between, so a step is right on the present without any validation.
 */
import type { CommitPath } from '../commit.js'
import type { Environment } from '../environment.js'
import { StorageError } from '../errors.js'
import type { Limits } from '../limits.js'
import type { Store } from '../store/store.js'
import type { Write } from '../write-set.js'
import type { Key } from '../../isolation/types.js'

export interface JobsParts {
  readonly store: Store
  readonly commitPath: CommitPath
  readonly environment: Environment
  readonly limits: Limits
}

export interface Step {
  readonly writes: ReadonlyMap<Key, Write>
  readonly label: string
  /** To be called once they are installed. */
  installed?(): void
}

/** The next step; undefined where nothing is left to be done. */
export type NextStep = () => Step | undefined

interface Job {
  readonly of: unknown
  readonly next: NextStep
  /** Settles with the job; anew where it goes on after its failure was told. */
  done: Deferred
  /** Nothing was left to be done when it was last looked for: who comes now needs a job of its own. */
  isOver: boolean
}

interface Deferred {
  readonly promise: Promise<void>
  resolve(): void
  reject(error: unknown): void
}

/** How long a job that lacks disk space rests before it tries again. */
const starvedRestMs = 1_000
/** As long as a timer can be set. */
const foreverMs = 2 ** 31 - 1

export class Jobs {
  readonly #parts: JobsParts
  readonly #isBackground: boolean
  readonly #failed: (of: unknown, error: unknown) => void
  readonly #jobs: Job[] = []
  #isRunning = false
  #isStopped = false
  /** Resting for want of disk space. */
  #isStarved = false
  #endRest: (() => void) | undefined

  /** Of background jobs none keeps the process alive. `failed` is told of what would fail again. */
  constructor(parts: JobsParts, isBackground: boolean, failed: (of: unknown, error: unknown) => void) {
    this.#parts = parts
    this.#isBackground = isBackground
    this.#failed = failed
  }

  /** Begins a job, unless there is one of the same. Resolves when nothing is left to be done, on disk; rejects with what a step throws. Where that is want of disk space, the job goes on when there is space. */
  add(of: unknown, next: NextStep): Promise<void> {
    const same = this.#jobs.find(job => job.of === of && !job.isOver)
    if (same !== undefined) {
      if (this.#isStarved) this.#endRest?.() // nobody may have waited
      return same.done.promise
    }
    const job = { of, next, done: deferred(), isOver: false }
    this.#jobs.push(job)
    if (!this.#isRunning) {
      this.#isRunning = true
      void this.#run()
    }
    return job.done.promise
  }

  /** Rests no longer: the store is being closed, and every step will be refused. */
  stop(): void {
    this.#isStopped = true
    this.#endRest?.()
  }

  async #run(): Promise<void> {
    await this.#rest(0, this.#isBackground)
    for (let at = 0; this.#jobs.length > 0; ) {
      const job = this.#jobs[at % this.#jobs.length]!
      await this.#takeStep(job)
      if (job.isOver) this.#jobs.splice(this.#jobs.indexOf(job), 1)
      else at++
    }
    this.#isRunning = false
  }

  async #takeStep(job: Job): Promise<void> {
    const { store, commitPath, environment, limits } = this.#parts
    try {
      for (let room = store.room(); room !== undefined; room = store.room()) await this.#keepingAlive(room)
      store.assertUsable()
      const startedMs = environment.nowMs()
      const step = commitPath.apart(() => job.next())
      if (step === undefined) {
        job.isOver = true
        job.done.resolve()
        return
      }
      const ts = step.writes.size === 0 ? store.visibleTs : commitPath.install(step.writes, { label: step.label, durability: 'durable' })
      step.installed?.()
      const tookMs = environment.nowMs() - startedMs
      await store.whenDurable(ts)
      await this.#rest(Math.min(tookMs, limits.stepMs), this.#isBackground) // half of the time is for others
    } catch (error) {
      const isStarved = error instanceof StorageError && error.code === 'DISK_FULL'
      job.isOver = !isStarved
      if (!(error instanceof StorageError)) this.#failed(job.of, error)
      job.done.reject(error)
      if (!isStarved) return
      job.done = deferred()
      this.#isStarved = true
      await this.#rest(starvedRestMs, true)
      this.#isStarved = false
    }
  }

  /** What makes room does not keep the process alive; who waits for it does. */
  async #keepingAlive(room: Promise<void>): Promise<void> {
    const letGo = this.#isBackground ? undefined : this.#parts.environment.setTimer(() => {}, foreverMs)
    await room
    letGo?.()
  }

  #rest(restMs: number, isBackground: boolean): Promise<void> {
    const { environment } = this.#parts
    if (this.#isStopped) return Promise.resolve()
    return new Promise(resolve => {
      const end = (): void => {
        this.#endRest = undefined
        resolve()
      }
      const cancel = isBackground ? environment.setTimer(end, restMs, 'background') : restMs < 1 ? environment.defer(end) : environment.setTimer(end, restMs)
      this.#endRest = () => {
        cancel()
        end()
      }
    })
  }
}

function deferred(): Deferred {
  let resolve!: () => void
  let reject!: (error: unknown) => void
  const promise = new Promise<void>((onDone, onError) => {
    resolve = onDone
    reject = onError
  })
  promise.catch(() => {}) // whoever waits has a promise of their own
  return { promise, resolve, reject }
}
