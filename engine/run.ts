/** Runs bodies as transactions: attempts, retries, deadline, and the wait for the disk before anything is told. */
import { Attempt, type Engine } from './attempt.js'
import { Bound } from './bound.js'
import type { Durability } from './commit.js'
import type { Environment } from './environment.js'
import { LimitError, StorageError, UsageError, type ConflictError } from './errors.js'
import type { Settings } from './options.js'
import { isPromise } from './promises.js'
import { Transaction } from './transaction.js'
import type { CommitTs } from '../isolation/types.js'

export type Body<T> = (tx: Transaction) => T

/** From this attempt on a random pause precedes a retry, doubling in length; without it, those who keep colliding would keep colliding. */
const firstPausedAttempt = 3
const pauseMaxMs = 64

/** Runs `body` until it commits. Rejects with what the body threw, `RETRIES_EXHAUSTED`, `TIMEOUT`, `CANCELLED`, a constraint, limit or storage error. */
export async function run<T>(engine: Engine, body: Body<T | PromiseLike<T>>, settings: Settings): Promise<T> {
  const { store, environment } = engine
  engine.transactions.enter()
  const bound = new Bound(engine, settings.timeoutMs, settings.signal)
  try {
    for (let number = 1; ; number++) {
      bound.assertWithin()
      // Without an await where there is room: what was asked for before a close is accepted before it.
      for (let room = store.room(); room !== undefined; room = store.room()) await bound.race(room)
      const running = attemptOnce(engine, settings, number, body, bound)
      const ended = running instanceof Promise ? await running : running
      bound.watch(undefined) // what the attempt held can go
      if (ended.is !== 'conflicted' || number === settings.maxAttempts) {
        const waiting = vouch(engine, ended.shown, bound)
        if (waiting !== undefined) await waiting
        // Never in the middle of the call that began the transaction, nor in what that call was part of.
        else if (ended.is === 'committed' && ended.hooks.length > 0) await Promise.resolve()
        if (ended.is === 'conflicted') throw exhausted(number, ended.conflict)
        if (ended.is === 'failed') throw ended.error
        runHooks(ended.hooks, environment)
        return ended.value
      }
      if (number + 1 >= firstPausedAttempt) {
        await bound.pause(environment.random() * Math.min(2 ** (number + 1 - firstPausedAttempt), pauseMaxMs))
      }
    }
  } finally {
    bound.release()
    engine.transactions.leave()
  }
}

/** Runs a synchronous `body` in one stretch, its commit and (where durable) its sync included. */
export function runSync<T>(engine: Engine, body: Body<T>, settings: Settings): T {
  engine.transactions.enter()
  try {
    return attemptsSync(engine, body, settings)
  } finally {
    engine.transactions.leave()
  }
}

function attemptsSync<T>(engine: Engine, body: Body<T>, settings: Settings): T {
  const { store, environment } = engine
  const bound = new Bound(engine, settings.timeoutMs, settings.signal)
  for (let number = 1; ; number++) {
    bound.assertWithin()
    store.assertUsable()
    store.makeRoomSync()
    const attempt = new Attempt(engine, settings, bound.beganMs)
    const tx = new Transaction(attempt, number)
    try {
      const value = engine.guard.inside(() => body(tx))
      if (isPromise(value)) throw notSynchronous(value)
      bound.assertWithin()
      attempt.assertActive(tx)
      attempt.seal()
      const ts = attempt.commitNow()
      vouchSync(engine, shownBy(attempt, ts))
      runHooks(attempt.hooks, environment)
      return value
    } catch (error) {
      if (!attempt.isCommitted) {
        attempt.abort()
        if (attempt.doomed !== undefined && number < settings.maxAttempts) continue
        vouchSync(engine, shownBy(attempt, attempt.doomed?.explain.overwrittenBy.commitTs))
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
  #left = false

  /** @internal */
  constructor(attempt: Attempt, bound: Bound) {
    super(attempt, 1)
    this.#attempt = attempt
    this.#bound = bound
    bound.watch({
      end: error => {
        attempt.end(error)
        if (!this.#committing) this.#leave()
      },
    })
    bound.arm('background')
  }

  /**
   * Commits; resolves when the commit (or, where nothing was written, what was read) is on disk. Rejects with `CONFLICT` where the premise no longer holds: nothing was
   * changed, and the work must be begun anew.
   */
  async commit(): Promise<void> {
    const attempt = this.#attempt
    const { engine } = attempt
    if (this.#committing) throw new UsageError('TRANSACTION_ENDED', 'The transaction is being committed, or has been.')
    this.#committing = true
    try {
      // No await without need: what was asked for before a close is installed before it.
      const committing = commit(attempt, this, this.#bound)
      const shown = shownBy(attempt, committing instanceof Promise ? await committing : committing)
      await vouch(engine, shown, this.#bound)
      runHooks(attempt.hooks, engine.environment)
    } catch (error) {
      if (!attempt.isCommitted) {
        attempt.abort()
        await vouch(engine, shownBy(attempt, attempt.doomed?.explain.overwrittenBy.commitTs), this.#bound)
      }
      throw error
    } finally {
      this.#bound.release()
      this.#leave()
    }
  }

  /** Ends the transaction without effect. Does nothing where it has ended already. */
  abort(): void {
    this.#attempt.abort()
    // A commit that waits for the disk keeps its deadline, and releases it itself: `using` disposes of a handle whose commit was begun and not awaited.
    if (this.#committing) return
    this.#bound.release()
    this.#leave()
  }

  [Symbol.dispose](): void {
    this.abort()
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.abort()
    return Promise.resolve()
  }

  #leave(): void {
    if (this.#left) return
    this.#left = true
    this.#attempt.engine.transactions.leave()
  }
}

export function beginManual(engine: Engine, settings: Settings): ManualTransaction {
  const bound = new Bound(engine, settings.timeoutMs, settings.signal)
  bound.assertWithin()
  engine.transactions.enter()
  try {
    return new ManualTransaction(new Attempt(engine, settings, bound.beganMs), bound)
  } catch (error) {
    engine.transactions.leave()
    throw error
  }
}

/** What an outcome shows, and what must be on disk before it is told: its own commit, or the newest version it saw. */
interface Shown {
  readonly ts: CommitTs
  /** Whether a commit of its own is among it. */
  readonly installed: boolean
  readonly durability: Durability
}

/** How an attempt ended. Nothing of what the attempt held is in it, so that this can be collected while the disk is waited for. */
type Ended<T> =
  | { readonly is: 'committed'; readonly shown: Shown; readonly value: T; readonly hooks: readonly (() => void)[] }
  | { readonly is: 'conflicted'; readonly shown: Shown; readonly conflict: ConflictError }
  | { readonly is: 'failed'; readonly shown: Shown; readonly error: unknown }

/** A promise only where the body, or the commit, had to wait for something: most do not, and those who do not are spared what promises cost. */
function attemptOnce<T>(engine: Engine, settings: Settings, number: number, body: Body<T | PromiseLike<T>>, bound: Bound): Ended<T> | Promise<Ended<T>> {
  const attempt = new Attempt(engine, settings, bound.beganMs)
  bound.watch(attempt)
  const tx = new Transaction(attempt, number)
  try {
    const result = engine.guard.inside(() => body(tx))
    if (isPromise<T>(result)) return attemptAsync(attempt, tx, bound.race(result), bound)
    const committing = commit(attempt, tx, bound)
    if (!(committing instanceof Promise)) return committed(attempt, committing, result)
    return committing.then(ts => committed(attempt, ts, result)).catch((error: unknown) => failed(attempt, error))
  } catch (error) {
    return failed(attempt, error)
  }
}

async function attemptAsync<T>(attempt: Attempt, tx: Transaction, body: Promise<T>, bound: Bound): Promise<Ended<T>> {
  try {
    const value = await body
    const committing = commit(attempt, tx, bound)
    return committed(attempt, committing instanceof Promise ? await committing : committing, value)
  } catch (error) {
    return failed(attempt, error)
  }
}

function committed<T>(attempt: Attempt, ts: CommitTs | undefined, value: T): Ended<T> {
  return { is: 'committed', shown: shownBy(attempt, ts), value, hooks: attempt.hooks }
}

function failed(attempt: Attempt, error: unknown): Ended<never> {
  attempt.abort()
  const conflict = attempt.doomed
  return conflict === undefined
    ? { is: 'failed', shown: shownBy(attempt, undefined), error }
    : { is: 'conflicted', shown: shownBy(attempt, conflict.explain.overwrittenBy.commitTs), conflict }
}

/** Seals the attempt, waits for what must be awaited before its commit, and commits; a promise only where there was something to wait for. */
function commit(attempt: Attempt, tx: Transaction, bound: Bound): CommitTs | undefined | Promise<CommitTs | undefined> {
  attempt.assertActive(tx)
  if (attempt.writes.isEmpty) return commitNow(attempt, bound)
  attempt.seal()
  const { commitPath, store } = attempt.engine
  const first = commitPath.catchUp(attempt) ?? store.room()
  return first ? commitAfter(first, attempt, bound) : commitNow(attempt, bound)
}

/** The last look for room and the commit are one stretch: of many who were told of room at once, each sees what those before it took. */
async function commitAfter(first: Promise<void>, attempt: Attempt, bound: Bound): Promise<CommitTs | undefined> {
  const { store } = attempt.engine
  for (let waiting: Promise<void> | undefined = first; waiting !== undefined; waiting = store.room()) await bound.race(waiting)
  return commitNow(attempt, bound)
}

function commitNow(attempt: Attempt, bound: Bound): CommitTs | undefined {
  bound.assertWithin()
  const ts = attempt.commitNow()
  bound.ignoreSignal()
  return ts
}

function shownBy(attempt: Attempt, ts: CommitTs | undefined): Shown {
  return { ts: Math.max(ts ?? 0, attempt.view.seenTs) as CommitTs, installed: attempt.isCommitted && ts !== undefined, durability: attempt.durability }
}

/**
 * Waits until what the outcome shows is on disk; undefined where it is. A relaxed transaction asked not to wait. Where the deadline comes first, a commit's fate is not known
 * yet.
 */
function vouch({ store, environment }: Engine, { ts: needed, installed, durability }: Shown, bound: Bound): Promise<void> | undefined {
  if (durability === 'relaxed') {
    store.acknowledgeRelaxed(needed)
    return store.isSyncOverdue ? new Promise<void>(resolve => environment.defer(resolve)) : undefined
  }
  if (needed <= store.durableTs) return undefined
  return bound.race(store.whenDurable(needed), error => asUnvouched(installed, error))
}

function vouchSync({ store }: Engine, { ts: needed, installed, durability }: Shown): void {
  const isRelaxed = durability === 'relaxed'
  if (isRelaxed) store.acknowledgeRelaxed(needed)
  if (isRelaxed ? !store.isSyncOverdue : needed <= store.durableTs) return
  try {
    store.flushSync()
  } catch (error) {
    throw asUnvouched(installed, error)
  }
}

/** Why an outcome cannot be told. COMMIT_UNKNOWN is for who has a commit of its own in doubt. */
function asUnvouched(isInstalled: boolean, error: unknown): unknown {
  if (isInstalled && error instanceof LimitError) {
    return new StorageError('COMMIT_UNKNOWN', 'The commit is installed, but its sync to disk did not end before the deadline: a crash may still undo it.', { cause: error })
  }
  if (!isInstalled && error instanceof StorageError && error.code === 'COMMIT_UNKNOWN') {
    return new StorageError('POISONED', 'A write or sync to disk failed, and what the transaction had read may be lost by that. It committed nothing itself.', { cause: error })
  }
  return error
}

/** A hook that throws cannot undo the commit, and must not be lost: its error surfaces as an uncaught exception. */
function runHooks(hooks: readonly (() => void)[], environment: Environment): void {
  for (const hook of hooks) {
    try {
      hook()
    } catch (error) {
      environment.defer(() => {
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
