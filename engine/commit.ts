/**
 * The commit path: one synchronous function from validation to installation, so that there is one order for validation, visibility, log and durability.
 *
 *   P-1  Nothing is awaited between the last validation and the installation.
 *   P-2  Whatever can fail, fails before the installation: validation, conditions, sizes, space in the log.
 *   P-3  Functions of the caller (what gives index keys, what migrates rows) run in it before anything is installed. They cannot commit anything themselves, and what they may have ended
 *        is looked at again afterwards.
 *   P-4  Only validated commits enter the conflict index, and a snapshot that may ask it is never left below its floor unnoticed.
 */
import type { LogWrite } from './encoding/records.js'
import type { Environment } from './environment.js'
import { deriveEntries } from './derive.js'
import { UsageError, type ConflictError, type ConstraintError } from './errors.js'
import type { Limits } from './limits.js'
import { revalidate } from './revalidate.js'
import { checkTransactionSize, type SeenVersion, type Store } from './store/store.js'
import { SnapshotCursor } from './store/snapshot-cursor.js'
import type { Snapshot } from './store/epochs.js'
import type { TablesByPrefix } from './table/catalog.js'
import type { View } from './view.js'
import type { Condition, Write, WriteSet } from './write-set.js'
import { ConflictIndex, type Overwrite } from '../isolation/conflict-index.js'
import type { Conflict } from '../isolation/validate.js'
import type { CommitTs, Key, KeyRange, WriteKind } from '../isolation/types.js'

export type Durability = 'durable' | 'relaxed'

/** A transaction that asks to be committed. */
export interface Committing {
  readonly view: View
  readonly writes: WriteSet
  readonly label: string | undefined
  readonly durability: Durability
  /** Throws where the transaction has ended. */
  assertOpen(): void
  /** The error that ends the transaction for a conflict; afterwards nothing else of it can be committed. */
  doom(conflict: Conflict): ConflictError
  /** The error for a condition that no longer holds at commit. */
  violated(condition: Condition, overwrite: Overwrite): ConstraintError | ConflictError
}

/** What is written, one write per key. */
export interface Rows extends Iterable<readonly [Key, Write]> {
  readonly size: number
}

export class CommitPath {
  readonly index: ConflictIndex
  readonly #store: Store
  readonly #limits: Limits
  readonly #environment: Environment
  readonly tables: TablesByPrefix
  /** Functions of the caller run that a commit depends on: another commit now would pull the present away under it. */
  #apart = false

  constructor(store: Store, tables: TablesByPrefix, limits: Limits, environment: Environment) {
    this.#store = store
    this.tables = tables
    this.#limits = limits
    this.#environment = environment
    this.index = new ConflictIndex(store.visibleTs)
  }

  /**
   * Commits, or throws `CONFLICT`, `ROW_EXISTS`, `ROW_ABSENT`, `UNIQUE_VIOLATION`, `INVALID_INDEX_KEY`, `MIGRATION`, `TABLE_DROPPED`, `TABLE_MISMATCH`, `TRANSACTION_TOO_LARGE`, `DISK_FULL`,
   * `SNAPSHOT_TOO_OLD`, having changed nothing.
   */
  commit(transaction: Committing): CommitTs {
    const { view, writes } = transaction
    this.#assertNotApart()
    this.#revalidateBelowFloor(transaction)
    const conflict = view.policy.validate(
      { snapshotTs: view.snapshot.ts, reads: view.reads, writtenKeys: () => writes.keysAndClaims(), same: key => view.isSame(key) },
      this.index,
    )
    if (conflict !== undefined) throw transaction.doom(conflict)
    const rows = this.#evaluate(transaction)
    return this.install(rows, transaction)
  }

  /** Installs writes that need no validation (any more). Throws `DISK_FULL`, having changed nothing. */
  install(rows: Rows, { label, durability }: Pick<Committing, 'label' | 'durability'>): CommitTs {
    this.#assertNotApart()
    const { size } = rows
    // These live on, and a list that grew by pushing would keep the room it grew into.
    /* oxlint-disable unicorn/no-new-array */
    const keys = new Array<Key>(size)
    const kinds = new Array<WriteKind>(size)
    const writes = new Array<LogWrite>(size)
    /* oxlint-enable unicorn/no-new-array */
    let at = 0
    let sizeBytes = 0
    for (const [key, { value, kind }] of rows) {
      keys[at] = key
      kinds[at] = kind
      writes[at++] = { key, value }
      sizeBytes += key.length + (value?.length ?? 0)
    }
    checkTransactionSize(sizeBytes, size, this.#limits)
    this.#store.reserve(writes)
    const ts = this.#store.install(writes, durability)
    this.index.add({ ts, label, keys, kinds })
    this.trimIndex()
    return ts
  }

  /** Runs functions of the caller on whose result something is going to be installed, with commits refused meanwhile. */
  apart<T>(run: () => T): T {
    this.#assertNotApart()
    this.#apart = true
    try {
      return run()
    } finally {
      this.#apart = false
    }
  }

  #assertNotApart(): void {
    if (!this.#apart) return
    throw new UsageError(
      'OUTSIDE_TRANSACTION',
      'A function of a table (what gives index keys, "migrate", a schema) tried to change the database while a commit waited for its result. Such functions must depend on the row only, and change nothing.',
    )
  }

  /**
   * Where the snapshot is below the index's floor: compares in slices, breathing between them, and moves the snapshot up. To be awaited before `commit`, which does
   * what remains. Returns undefined where there is nothing to do.
   */
  catchUp(transaction: Committing): Promise<void> | undefined {
    return this.#isBelowFloor(transaction.view) ? this.#catchUp(transaction) : undefined
  }

  /** Nobody asks below the oldest tracked snapshot; when there are too many stamps, those who do will be revalidated by comparison. */
  trimIndex(): void {
    const { epochs, visibleTs } = this.#store
    this.index.trim(epochs.tracked.oldest ?? visibleTs)
    while (this.index.writes > this.#limits.conflictIndexWrites) this.index.trim(this.index.oldestTs)
  }

  #isBelowFloor(view: View): boolean {
    return view.policy.oneSnapshot && view.snapshot.ts < this.index.floor
  }

  async #catchUp(transaction: Committing): Promise<void> {
    const { view } = transaction
    const later = this.#store.epochs.acquire(this.#store.visibleTs, true)
    try {
      const work = this.#compare(transaction, later)
      for (let step = work.next(); !step.done; step = work.next()) {
        await new Promise<void>(resolve => this.#environment.defer(resolve))
        this.#store.assertUsable()
        if (view.snapshot.released) return // it was ended meanwhile, and its caller told
      }
      view.join(later)
    } finally {
      this.#store.epochs.release(later)
    }
  }

  #revalidateBelowFloor(transaction: Committing): void {
    const { view } = transaction
    if (!this.#isBelowFloor(view)) return
    const later = this.#store.epochs.acquire(this.#store.visibleTs, false)
    try {
      const work = this.#compare(transaction, later)
      while (!work.next().done) continue
      view.join(later)
    } finally {
      this.#store.epochs.release(later)
    }
  }

  /** Compares the transaction's snapshot with `later`: what it read, or at level snapshot what it writes. Throws the conflict. */
  *#compare(transaction: Committing, later: Snapshot): Generator<void, void> {
    const { view, writes } = transaction
    if (view.policy.tracksReads) {
      const conflict = yield* revalidate(this.#store, view, later, this.#limits.revalidateSliceKeys)
      if (conflict !== undefined) throw transaction.doom(conflict)
      return
    }
    let keys = 0
    for (const key of writes.keysAndClaims()) {
      const was = this.#store.read(view.snapshot, key)
      const is = this.#store.read(later, key)
      // Equal tags: nobody wrote it. Absent on both sides (a tombstone may be in the window or gone): an insert and a delete in between are no lost update.
      if (tagOf(was) !== tagOf(is)) {
        const overwrite = { key, commitTs: is?.ts ?? later.ts, write: is?.value === undefined ? 'delete' : 'put', label: undefined } as const
        throw transaction.doom({ read: { key }, overwrite })
      }
      if (++keys % this.#limits.revalidateSliceKeys === 0) yield
    }
  }

  /** The write set as it must be installed on the present: conditions hold, deleted ranges are expanded, index entries follow. */
  #evaluate(transaction: Committing): Rows {
    const { view, writes } = transaction
    let hasIndexes = false
    for (const [table, version] of writes.tables) {
      table.assertCurrent(version)
      hasIndexes ||= table.indexes.length > 0
    }
    if (writes.conditions.length === 0 && writes.deletedRanges.length === 0 && !hasIndexes) return writes
    const rows = new Map<Key, Write>(writes)
    const present = this.#store.epochs.acquire(this.#store.visibleTs, false)
    try {
      if (view.policy.conditionsAtCommit) for (const condition of writes.conditions) this.#check(condition, present, transaction)
      for (const range of writes.deletedRanges) {
        // Where reads were validated the range holds what the body deleted; elsewhere others may have added to it since.
        if (view.policy.tracksReads || this.#isUnchanged(range, view)) continue
        const cursor = new SnapshotCursor(this.#store.epochs.window, present, range, false)
        for (let row = cursor.peek(); row !== undefined && row !== 'moved'; row = cursor.peek()) {
          cursor.take()
          if (rows.has(row.key)) continue
          rows.set(row.key, { value: undefined, kind: 'delete' })
          // By the row's own tag: the index may have forgotten who came first.
          if (view.policy.oneSnapshot && row.ts > view.beganTs) {
            const overwrite = this.index.overwriteOf(row.key, this.index.floor) ?? { key: row.key, commitTs: row.ts, write: 'put', label: undefined }
            throw transaction.doom({ read: { key: row.key }, overwrite })
          }
        }
      }
      if (hasIndexes) {
        const entries = this.apart(() => deriveEntries(rows, present, this.#store, this.tables, seen => view.saw(seen)))
        this.#store.assertUsable()
        transaction.assertOpen()
        for (const [key, write] of entries) rows.set(key, write)
      }
    } finally {
      this.#store.epochs.release(present)
    }
    return rows
  }

  /** Whether nobody wrote into the range since the transaction began, as far as the index knows. */
  #isUnchanged(range: KeyRange, { policy, beganTs }: View): boolean {
    return policy.oneSnapshot && beganTs >= this.index.floor && !this.index.someOverwriteIn(range, beganTs, () => true)
  }

  #check(condition: Condition, present: Snapshot, transaction: Committing): void {
    const { key, expect } = condition
    const now = transaction.view.saw(this.#store.read(present, key))
    const value = now?.value
    const holds =
      expect === 'absent'
        ? value === undefined
        : expect === 'present'
          ? value !== undefined
          : transaction.view.isSameValue(key, expect, now)
    if (holds) return
    const overwrite = this.index.overwriteOf(key, this.index.floor)
    throw transaction.violated(condition, overwrite ?? { key, commitTs: now?.ts ?? present.ts, write: value === undefined ? 'delete' : 'put', label: undefined })
  }
}

/** The commit that wrote the row which is there. */
function tagOf(seen: SeenVersion | undefined): CommitTs | undefined {
  return seen?.value === undefined ? undefined : seen.ts
}
