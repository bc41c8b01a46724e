/** Runs bodies as transactions: attempts, retries, deadline, and the wait for the disk before anything is told. */
import { Attempt, type Engine } from './attempt.js'
import { Bound } from './bound.js'
import { LimitError, StorageError, UsageError, type ConflictError } from './errors.js'
import type { Settings } from './options.js'
import { isPromise, Transaction } from './transaction.js'
import type { CommitTs } from '../isolation/types.js'

export type Body<T> = (tx: Transaction) => T

/** From this attempt on a random pause precedes a retry, doubling in length; without it, those who keep colliding would keep colliding. */
const firstPausedAttempt = 3
const pauseMaxMs = 64

/** Runs `body` until it commits. Rejects with what the body threw, `RETRIES_EXHAUSTED`, `TIMEOUT`, `CANCELLED`, a constraint, limit or storage error. */
export async function run<T>(engine: Engine, body: Body<T | PromiseLike<T>>, settings: Settings): Promise<T> {
  const bound = new Bound(engine.environment, settings.timeoutMs, settings.signal)
  try {
    for (let number = 1; ; number++) {
      bound.assertWithin()
      // Without an await where there is room: what was asked for before a close is accepted before it.
      for (let room = engine.store.room(); room !== undefined; room = engine.store.room()) await bound.race(room)
      const attempt = new Attempt(engine, settings)
      const outcome = await attemptOnce(attempt, number, body, bound)
      if ('value' in outcome) return outcome.value
      if (number === settings.maxAttempts) {
        await vouch(attempt, outcome.conflict.explain.overwrittenBy.commitTs, bound)
        throw exhausted(number, outcome.conflict)
      }
      if (number + 1 >= firstPausedAttempt) {
        await bound.pause(engine.environment.random() * Math.min(2 ** (number + 1 - firstPausedAttempt), pauseMaxMs))
      }
    }
  } finally {
    bound.release()
  }
}

/** Runs a synchronous `body` in one stretch, its commit and (where durable) its sync included. */
export function runSync<T>(engine: Engine, body: Body<T>, settings: Settings): T {
  const { store, environment } = engine
  const bound = new Bound(environment, settings.timeoutMs, settings.signal)
  for (let number = 1; ; number++) {
    bound.assertWithin()
    store.assertUsable()
    store.makeRoomSync()
    const attempt = new Attempt(engine, settings)
    const tx = new Transaction(attempt, number)
    try {
      const value = engine.guard.inside(() => body(tx))
      if (isPromise(value)) throw notSynchronous(value)
      bound.assertWithin()
      attempt.assertActive(tx)
      const ts = attempt.commitNow()
      vouchSync(attempt, ts)
      runHooks(attempt)
      return value
    } catch (error) {
      if (!attempt.isCommitted) {
        attempt.abort()
        if (attempt.doomed !== undefined && number < settings.maxAttempts) continue
        vouchSync(attempt, attempt.doomed?.explain.overwrittenBy.commitTs)
        if (attempt.doomed !== undefined) throw exhausted(number, attempt.doomed)
      }
      throw error
    }
  }
}

/** A transaction whose end its owner decides. Disposing of it without a commit aborts it. */
export class ManualTransaction extends Transaction {
  readonly #attempt: Attempt
  readonly #bound: Bound
  #committing = false

  /** @internal */
  constructor(attempt: Attempt, bound: Bound) {
    super(attempt, 1)
    this.#attempt = attempt
    this.#bound = bound
    bound.watch(error => attempt.end(error))
    bound.arm('background')
  }

  /**
   * Commits; resolves when the commit (or, where nothing was written, what was read) is on disk. Rejects with `CONFLICT` where the premise no longer holds: nothing was
   * changed, and the work must be begun anew.
   */
  async commit(): Promise<void> {
    const attempt = this.#attempt
    if (this.#committing) throw new UsageError('TRANSACTION_ENDED', 'The transaction is being committed, or has been.')
    this.#committing = true
    try {
      const ts = await finish(attempt, this, this.#bound)
      await vouch(attempt, ts, this.#bound)
      runHooks(attempt)
    } catch (error) {
      if (!attempt.isCommitted) {
        attempt.abort()
        await vouch(attempt, attempt.doomed?.explain.overwrittenBy.commitTs, this.#bound)
      }
      throw error
    } finally {
      this.#bound.release()
    }
  }

  /** Ends the transaction without effect. Does nothing where it has ended already. */
  abort(): void {
    this.#attempt.abort()
    // A commit that waits for the disk keeps its deadline, and releases it itself: `using` disposes of a handle whose commit was begun and not awaited.
    if (!this.#committing) this.#bound.release()
  }

  [Symbol.dispose](): void {
    this.abort()
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.abort()
    return Promise.resolve()
  }
}

export function beginManual(engine: Engine, settings: Settings): ManualTransaction {
  const bound = new Bound(engine.environment, settings.timeoutMs, settings.signal)
  bound.assertWithin()
  return new ManualTransaction(new Attempt(engine, settings), bound)
}

type Outcome<T> = { readonly value: T } | { readonly conflict: ConflictError }

async function attemptOnce<T>(attempt: Attempt, number: number, body: Body<T | PromiseLike<T>>, bound: Bound): Promise<Outcome<T>> {
  bound.watch(error => attempt.end(error))
  const tx = new Transaction(attempt, number)
  let value: T
  let ts: CommitTs | undefined
  try {
    const result = attempt.engine.guard.inside(() => body(tx))
    value = isPromise<T>(result) ? await bound.race(result) : result
    ts = await finish(attempt, tx, bound)
  } catch (error) {
    attempt.abort()
    if (attempt.doomed !== undefined) return { conflict: attempt.doomed }
    await vouch(attempt, undefined, bound)
    throw error
  }
  await vouch(attempt, ts, bound)
  runHooks(attempt)
  return { value }
}

/** Commits, after whatever must be awaited first; each wait is followed by the whole commit path again. */
async function finish(attempt: Attempt, tx: Transaction, bound: Bound): Promise<CommitTs | undefined> {
  attempt.assertActive(tx)
  if (!attempt.writes.isEmpty) {
    attempt.seal()
    const catching = attempt.engine.commitPath.catchUp(attempt)
    if (catching !== undefined) await bound.race(catching)
    for (let room = attempt.engine.store.room(); room !== undefined; room = attempt.engine.store.room()) await bound.race(room)
  }
  bound.assertWithin()
  const ts = attempt.commitNow()
  bound.ignoreSignal()
  return ts
}

/**
 * Waits until what the outcome shows is on disk: its commit, or the newest version it saw. A relaxed transaction asked not to wait. Where the deadline comes first, a
 * commit's fate is not known yet.
 */
async function vouch(attempt: Attempt, ts: CommitTs | undefined, bound: Bound): Promise<void> {
  const { store } = attempt.engine
  const needed = Math.max(ts ?? 0, attempt.view.seenTs) as CommitTs
  if (attempt.durability === 'relaxed') {
    store.acknowledgeRelaxed(needed)
    if (store.isSyncOverdue) await new Promise<void>(resolve => attempt.engine.environment.defer(resolve))
    return
  }
  if (needed <= store.durableTs) return
  try {
    await bound.race(store.whenDurable(needed))
  } catch (error) {
    throw asUnvouched(attempt, ts, error)
  }
}

function vouchSync(attempt: Attempt, ts: CommitTs | undefined): void {
  const { store } = attempt.engine
  const needed = Math.max(ts ?? 0, attempt.view.seenTs) as CommitTs
  const isRelaxed = attempt.durability === 'relaxed'
  if (isRelaxed) store.acknowledgeRelaxed(needed)
  if (isRelaxed ? !store.isSyncOverdue : needed <= store.durableTs) return
  try {
    store.flushSync()
  } catch (error) {
    throw asUnvouched(attempt, ts, error)
  }
}

/** Why an outcome cannot be told. COMMIT_UNKNOWN is for who has a commit of its own in doubt. */
function asUnvouched(attempt: Attempt, ts: CommitTs | undefined, error: unknown): unknown {
  const isInstalled = attempt.isCommitted && ts !== undefined
  if (isInstalled && error instanceof LimitError) {
    return new StorageError('COMMIT_UNKNOWN', 'The commit is installed, but its sync to disk did not end before the deadline: a crash may still undo it.', { cause: error })
  }
  if (!isInstalled && error instanceof StorageError && error.code === 'COMMIT_UNKNOWN') {
    return new StorageError('POISONED', 'A write or sync to disk failed, and what the transaction had read may be lost by that. It committed nothing itself.', { cause: error })
  }
  return error
}

/** A hook that throws cannot undo the commit, and must not be lost: its error surfaces as an uncaught exception. */
function runHooks(attempt: Attempt): void {
  for (const hook of attempt.hooks) {
    try {
      hook()
    } catch (error) {
      attempt.engine.environment.defer(() => {
        throw error
      })
    }
  }
}

function exhausted(attempts: number, conflict: ConflictError): LimitError {
  return new LimitError('RETRIES_EXHAUSTED', `The transaction conflicted in each of its ${attempts} attempts; nothing was changed. The last: ${conflict.explain.sentence}`, {
    cause: conflict,
    explain: conflict.explain,
  })
}

function notSynchronous(result: PromiseLike<unknown>): UsageError {
  result.then(undefined, () => {}) // its outcome no longer matters, and must not surface as an unhandled rejection
  return new UsageError('NOT_SYNCHRONOUS', 'The body of db.transactionSync returned a promise; nothing was changed. Use db.transaction for a body that awaits.')
}
