/**
 * One attempt of a transaction: its view, its writes, how it ends. Handles (the one a body gets, and one per savepoint) act on it.
 *
 *   open --commitNow--> committed
 *   open --abort, end(error)--> ended: every later operation throws
 *
 * A conflict dooms the attempt: it is thrown where it is found, and again at every later operation and at the commit, should the body swallow it.
 */
import type { CommitPath, Committing, Durability } from './commit.js'
import { ConflictError, ConstraintError, UsageError, type Explanation } from './errors.js'
import { explain } from './explain.js'
import type { Catalog } from './table/catalog.js'
import { keyText } from './table/codec.js'
import type { StoredIndex } from './table/stored-index.js'
import type { StoredTable } from './table/stored-table.js'
import type { Deadlines } from './deadlines.js'
import type { Environment } from './environment.js'
import type { Guard } from './guard.js'
import type { Limits } from './limits.js'
import type { OpenAttempt, OpenTransactions } from './open-transactions.js'
import type { Store } from './store/store.js'
import { View } from './view.js'
import { WriteSet, type Condition } from './write-set.js'
import type { Overwrite } from '../isolation/conflict-index.js'
import { policies } from '../isolation/policy.js'
import type { Conflict } from '../isolation/validate.js'
import type { CommitTs, Key, Level } from '../isolation/types.js'

/** The parts of an open database that transactions work with. */
export interface Engine {
  readonly store: Store
  readonly commitPath: CommitPath
  readonly catalog: Catalog
  readonly guard: Guard
  readonly transactions: OpenTransactions
  readonly environment: Environment
  readonly deadlines: Deadlines
  readonly limits: Limits
  readonly durability: Durability
}

export interface AttemptOptions {
  readonly level: Level
  readonly readOnly: boolean
  readonly durability: Durability
  readonly label: string | undefined
}

export class Attempt implements Committing, OpenAttempt {
  readonly engine: Engine
  readonly level: Level
  readonly readOnly: boolean
  readonly durability: Durability
  readonly label: string | undefined
  /** When the transaction began, with its first attempt. */
  readonly beganMs: number
  readonly view: View
  readonly writes: WriteSet
  previousOpen: OpenAttempt | undefined = undefined
  nextOpen: OpenAttempt | undefined = undefined
  /** What to call once the transaction is durable. */
  readonly hooks: (() => void)[] = []
  /** The handles whose bodies run, outermost first; only the last may act. */
  readonly handles: object[] = []
  /** Catalog entries that are relied on: those of the tables and indexes in use. */
  readonly #catalogKeys: Key[] = []
  /** Why it ended; errors are made when they are thrown, for a stack trace is dear and should show the late caller. */
  #ended: 'committed' | 'aborted' | Error | undefined
  #sealed = false
  #doomed: ConflictError | undefined

  constructor(engine: Engine, options: AttemptOptions, beganMs: number) {
    engine.store.assertUsable()
    this.engine = engine
    this.level = options.level
    this.readOnly = options.readOnly
    this.durability = options.durability
    this.label = options.label
    this.beganMs = beganMs
    this.writes = new WriteSet(engine.limits)
    this.view = new View({
      store: engine.store,
      index: engine.commitPath.index,
      tables: engine.commitPath.tables,
      policy: policies[options.level],
      readOnly: options.readOnly,
      limits: engine.limits,
      label: options.label,
      writes: this.writes,
      doom: conflict => this.doom(conflict),
    })
    engine.transactions.link(this)
  }

  get isOpen(): boolean {
    return this.#ended === undefined
  }

  get isCommitted(): boolean {
    return this.#ended === 'committed'
  }

  /** The conflict that ended the attempt. */
  get doomed(): ConflictError | undefined {
    return this.#doomed
  }

  /** The commit has begun and waits for something: its handles may do nothing more. */
  seal(): void {
    this.#sealed = true
  }

  /** Throws unless `handle` may act now: `TRANSACTION_ENDED`, `SAVEPOINT_ACTIVE`, `POISONED`, `CLOSED`, or the conflict that doomed the attempt. */
  assertActive(handle: object): void {
    this.assertOpen()
    if (this.handles.at(-1) !== handle) {
      throw this.handles.includes(handle)
        ? new UsageError('SAVEPOINT_ACTIVE', 'A savepoint of this transaction is running; use the handle that its body was given until it has ended.')
        : new UsageError('TRANSACTION_ENDED', 'This savepoint has ended; use the handle of the transaction around it.')
    }
    if (this.#doomed !== undefined) throw this.#doomed
    if (this.#sealed) throw new UsageError('TRANSACTION_ENDED', 'The transaction is being committed and can no longer be used.')
    this.engine.store.assertUsable()
  }

  assertOpen(): void {
    if (this.#ended !== undefined) throw this.#endedError()
  }

  /** The first use of a table or an index in a transaction reads its catalog entry. */
  use({ catalogKey }: StoredTable | StoredIndex): void {
    if (this.#catalogKeys.includes(catalogKey)) return
    this.view.rely(catalogKey)
    this.#catalogKeys.push(catalogKey)
  }

  assertMayWrite(): void {
    if (this.readOnly) throw new UsageError('READ_ONLY', 'The transaction was begun with readOnly: true and cannot write.')
    this.view.assertMayWrite()
  }

  /** Validates and installs; returns the commit timestamp, or undefined where nothing was written. Throws what `CommitPath.commit` throws. */
  commitNow(): CommitTs | undefined {
    this.assertOpen()
    if (this.#doomed !== undefined) throw this.#doomed
    this.engine.store.assertUsable()
    const ts = this.writes.isEmpty ? undefined : this.engine.commitPath.commit(this)
    this.#end('committed')
    return ts
  }

  /** Ends without effect; `error` is what later operations throw. Does nothing where it has ended already. */
  end(error: Error): void {
    this.#end(error)
  }

  /** Ends the attempt as aborted by its caller. Does nothing where it has ended already. */
  abort(): void {
    this.#end('aborted')
  }

  doom(conflict: Conflict): ConflictError {
    this.#doomed ??= new ConflictError(this.#explain(conflict))
    return this.#doomed
  }

  violated(condition: Condition, overwrite: Overwrite): ConstraintError | ConflictError {
    const { name, key } = this.engine.catalog.describeKey(condition.key)
    const where = { table: name, key }
    const row = `Row ${keyText(key)} of table ${JSON.stringify(name)}`
    if (condition.expect === 'absent') return new ConstraintError('ROW_EXISTS', `${row} exists: another transaction inserted it before this one could commit.`, where)
    if (condition.expect === 'present') return new ConstraintError('ROW_ABSENT', `${row} is absent: another transaction deleted it before this one could commit.`, where)
    return this.doom({ read: { key: condition.key }, overwrite })
  }

  #end(how: 'committed' | 'aborted' | Error): void {
    if (this.#ended !== undefined) return
    this.#ended = how
    this.engine.transactions.unlink(this)
    this.view.release()
  }

  #endedError(): Error {
    if (this.#ended instanceof Error) return this.#ended
    const how = this.#ended === 'committed' ? 'has committed' : 'was aborted'
    return new UsageError('TRANSACTION_ENDED', `The transaction ${how} and can no longer be used.`)
  }

  #explain(conflict: Conflict): Explanation {
    const { view, engine } = this
    return explain(
      conflict,
      {
        level: this.level,
        label: this.label,
        snapshotTs: view.snapshot.ts,
        ignored: view.ignored,
        wasPresent: key => engine.store.read(view.snapshot, key)?.value !== undefined,
      },
      engine.catalog.nameTable,
    )
  }
}
