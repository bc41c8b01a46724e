/**
 * The store: one keyspace of multi-version rows. Above it transactions decide; here their write sets are installed, made durable, and read back at any
 * live snapshot.
 *
 *   S-1  One order: a commit is installed in the window, visible and appended to the log in one synchronous stretch, at the next timestamp.
 *   S-2  durableTs <= visibleTs. What is visible may not be durable yet; who hands out a result waits for what the result has seen.
 *   S-3  After a failed write or sync nothing more is accepted or shown until the database is opened again.
 */
import { commitSizeBytes, type LogWrite } from '../encoding/records.js'
import type { Environment } from '../environment.js'
import { LimitError, StorageError } from '../errors.js'
import type { Limits } from '../limits.js'
import type { NameRow, Root, RowFile, RowFileFigures } from '../lmdb/row-file.js'
import type { CommitLog } from '../log/commit-log.js'
import { asTs, type CommitTs, type Key } from '../../isolation/types.js'
import { Checkpointer, diskFull } from './checkpoint.js'
import type { CompactionPlace } from './compaction.js'
import type { Directory } from './directory.js'
import type { Epochs, Snapshot } from './epochs.js'
import { IteratorSnapshots } from './iterator-snapshots.js'
import type { OwnerLock } from './owner-lock.js'
import { versionIn, type Version } from './window.js'

/** What a snapshot holds at a key: a version (its value undefined for a tombstone). */
export interface SeenVersion {
  readonly ts: CommitTs
  readonly value: Uint8Array | undefined
}

export interface StoreParts {
  readonly directory: Directory
  readonly lock: OwnerLock
  readonly rowFile: RowFile
  readonly epochs: Epochs
  readonly log: CommitLog
  readonly environment: Environment
  readonly limits: Limits
  readonly incarnation: number
  /** Every timestamp up to this one was given before, or may have been. */
  readonly lastTs: CommitTs
  /** Size in the window of what recovery put there. */
  readonly recoveredSizeBytes: number
}

/** Where the commits are, and how much room they take. */
export interface StoreFigures {
  readonly visibleTs: CommitTs
  readonly durableTs: CommitTs
  readonly appliedTs: CommitTs
  readonly window: { readonly keys: number; readonly sizeBytes: number; readonly unappliedSizeBytes: number }
  readonly log: { readonly segments: number; readonly sizeBytes: number; readonly unsyncedCommits: number }
  readonly rowFile: RowFileFigures
}

/** What somebody verifies: it stays as it is meanwhile. */
export interface PinnedState {
  readonly root: Root
  readonly rowsPath: string
  readonly logPath: string
  /** The newest commit that a row can be of. */
  readonly newestTs: CommitTs
}

export type StoreState = { readonly is: 'open' } | { readonly is: 'closing' | 'closed' } | { readonly is: 'failed'; readonly cause: unknown }

/** Who waits for a checkpoint looks this often whether it is complete. */
const checkpointLookMs = 50
/** As long as a timer can be set. */
const foreverMs = 2 ** 31 - 1

export class Store {
  readonly epochs: Epochs
  /** Of iterators that stay at a commit of their own. */
  readonly iterators: IteratorSnapshots
  readonly #parts: StoreParts
  readonly #checkpointer: Checkpointer
  readonly #startTs: CommitTs
  #state: StoreState = { is: 'open' }
  #visibleTs: CommitTs
  #relaxedTs: CommitTs
  /** When the oldest relaxed commit that waits for a sync must have had it. */
  #relaxedDueMs = Infinity
  /** Window bytes ever installed, and how many of them the current root covers. */
  #installedBytes: number
  #appliedBytes = 0
  #targetBytes = 0
  /** The log was larger than it may be when it was last looked at. */
  #logIsFull = false
  #ageTimer: (() => void) | undefined
  #waitingForRoom: (() => void)[] = []
  /** Who wants to pin the row file while a checkpoint is between two steps. */
  #waitingForState: ((root: Root | undefined) => void)[] = []
  #audited: Root | undefined
  #lastAudit: Promise<void> = Promise.resolve()

  constructor(parts: StoreParts) {
    this.#parts = parts
    this.epochs = parts.epochs
    this.iterators = new IteratorSnapshots(parts.epochs, parts.environment)
    this.#startTs = parts.lastTs
    this.#visibleTs = parts.lastTs
    this.#relaxedTs = parts.lastTs
    this.#installedBytes = parts.recoveredSizeBytes
    this.#checkpointer = new Checkpointer({
      ...parts,
      whenDurable: ts => this.whenDurable(ts),
      onApplied: ts => this.#onApplied(ts),
      onStarved: () => this.#releaseWaiting(),
      onFailure: error => this.fail(error),
    })
    if (parts.recoveredSizeBytes > 0) this.#startAgeTimer()
  }

  /** Whether its directory goes with it. */
  get isTemporary(): boolean {
    return this.#parts.directory.temporary
  }

  get visibleTs(): CommitTs {
    return this.#visibleTs
  }

  get durableTs(): CommitTs {
    return asTs(Math.max(this.#parts.log.durableTs, this.#startTs))
  }

  /** The newest commit whose caller was told of it, durable or relaxed. */
  get acknowledgedTs(): CommitTs {
    return asTs(Math.max(this.durableTs, this.#relaxedTs))
  }

  /** Throws `POISONED` or `CLOSED` where the store cannot be used. */
  assertUsable(): void {
    switch (this.#state.is) {
      case 'open':
        return
      case 'failed':
        throw new StorageError(
          'POISONED',
          'A write or sync to disk failed earlier, so the database has stopped: nothing was committed. Close it, look at the disk, and open it again.',
          { cause: this.#state.cause },
        )
      case 'closing':
      case 'closed':
        throw new StorageError('CLOSED', 'The database is closed. Open it again to go on.')
    }
  }

  /** What `key` holds at the snapshot; undefined where nothing is known of it. Its value is on loan until the next read (`owned`). Throws `SNAPSHOT_TOO_OLD`, `CORRUPT`. */
  read(snapshot: Snapshot, key: Key): SeenVersion | undefined {
    return this.readBelow(this.epochs.window.newest(key), snapshot, key)
  }

  /** As `read`, by whom has looked up what the window has newest. */
  readBelow(newest: Version | undefined, snapshot: Snapshot, key: Key): SeenVersion | undefined {
    const { root } = snapshot
    return versionIn(newest, snapshot.appliedTs, snapshot.ts) ?? root.get(key)
  }

  /**
   * Makes sure that a write set can be installed and logged. The last thing that may fail: throws `DISK_FULL`, or `POISONED`; nothing was changed.
   */
  reserve(writes: readonly LogWrite[]): void {
    this.#parts.log.reserve(commitSizeBytes(writes))
  }

  /** Installs a validated write set, one write per key, at the next timestamp and appends it to the log. Cannot fail after `reserve`. */
  install(writes: readonly LogWrite[], durability: 'durable' | 'relaxed'): CommitTs {
    const ts = asTs(this.#visibleTs + 1)
    const commit = this.epochs.window.install(ts, writes, this.durableTs)
    this.epochs.install(commit)
    this.#visibleTs = ts
    this.#installedBytes += commit.sizeBytes
    this.#parts.log.append({ ts, writes: commit.versions }, durability === 'relaxed')
    if (durability === 'relaxed') {
      // The first since everything relaxed was on disk.
      if (this.durableTs >= this.#relaxedTs) this.#relaxedDueMs = this.#parts.environment.nowMs() + this.#parts.limits.relaxedSyncMs
      this.acknowledgeRelaxed(ts)
    }
    this.#checkpointIfDue()
    return ts
  }

  /** Resolves when everything up to `ts` is on disk, and sees to it that it will be. Rejects with `COMMIT_UNKNOWN` or `POISONED`. */
  whenDurable(ts: CommitTs): Promise<void> {
    return ts <= this.durableTs ? Promise.resolve() : this.#parts.log.whenDurable(ts)
  }

  /** Returns when everything visible is on disk. Throws `COMMIT_UNKNOWN` or `POISONED`. */
  flushSync(): void {
    this.#parts.log.flushSync()
  }

  /** Somebody who does not wait for the disk is told what it saw, up to `ts`: reads that begin later must not go back behind that. */
  acknowledgeRelaxed(ts: CommitTs): void {
    if (ts > this.#relaxedTs) this.#relaxedTs = ts
  }

  /**
   * Whether a relaxed commit has waited for its sync for too long: its timer cannot have fired, because somebody keeps the event loop from turning. Who commits
   * must then let it turn, or sync.
   */
  get isSyncOverdue(): boolean {
    return this.durableTs < this.#relaxedTs && this.#parts.environment.nowMs() > this.#relaxedDueMs
  }

  /** Undefined where a commit may go on at once; else a promise of room in window and log (back-pressure while a checkpoint catches up). Throws `DISK_FULL`. */
  room(): Promise<void> | undefined {
    if (!this.#isFull) return undefined
    this.#requestCheckpoint(true)
    if (this.#checkpointer.starved) throw diskFull()
    return new Promise(resolve => this.#waitingForRoom.push(resolve))
  }

  /** Makes room in window and log before it returns. Throws `DISK_FULL`. */
  makeRoomSync(): void {
    if (this.#isFull) this.#checkpointSync()
  }

  /** Resolves when everything visible now is in the row file. Throws `DISK_FULL` where there is no space for that, `POISONED`, `CLOSED`. */
  async checkpoint(): Promise<void> {
    for (const target = this.#visibleTs; this.epochs.appliedTs < target; ) {
      this.assertUsable()
      this.#requestCheckpoint(true)
      if (this.#checkpointer.starved) throw diskFull()
      let cancel: (() => void) | undefined
      await new Promise<void>(resolve => {
        this.#waitingForRoom.push(resolve)
        // The rests of a checkpoint do not keep the process alive; who waits for it does.
        cancel = this.#parts.environment.setTimer(resolve, checkpointLookMs)
      })
      cancel?.()
    }
    this.assertUsable()
  }

  /** How messages about damaged rows call them. */
  nameRows(nameRow: NameRow): void {
    this.#parts.rowFile.nameRows(nameRow)
  }

  /** Pins the row file's newest state of one commit while `verify` runs, or until the store is closed. One after the other: each has a root of its own, and LMDB has few slots for readers. */
  async audit<T>(verify: (pinned: PinnedState) => Promise<T>): Promise<T> {
    const before = this.#lastAudit
    let end!: () => void
    this.#lastAudit = new Promise(resolve => (end = resolve))
    await before
    try {
      this.assertUsable()
      const { directory } = this.#parts
      const root = (this.#audited = await this.#pinWhole())
      return await verify({ root, rowsPath: directory.rowsPath, logPath: directory.logPath, newestTs: this.#visibleTs })
    } finally {
      this.#unpinAudited()
      end()
    }
  }

  /** Pins the state of one commit. Throws `DISK_FULL` where a checkpoint is under way that lacks space. */
  async #pinWhole(): Promise<Root> {
    const { rowFile, environment } = this.#parts
    if (!this.#checkpointer.isBetweenSteps) return rowFile.pin()
    this.#requestCheckpoint(true)
    // A checkpoint's rests do not keep the process alive; who waits for its end does.
    const letGo = environment.setTimer(() => {}, foreverMs)
    const root = await new Promise<Root | undefined>(resolve => this.#waitingForState.push(resolve))
    letGo()
    try {
      this.assertUsable()
      if (root === undefined) throw diskFull()
      return root
    } catch (error) {
      root?.release()
      throw error
    }
  }

  #unpinAudited(): void {
    this.#audited?.release()
    this.#audited = undefined
  }

  figures(): StoreFigures {
    const { log, rowFile } = this.#parts
    const { window, appliedTs } = this.epochs
    return {
      visibleTs: this.visibleTs,
      durableTs: this.durableTs,
      appliedTs,
      window: { keys: window.keyCount, sizeBytes: window.sizeBytes, unappliedSizeBytes: this.#unappliedBytes },
      log: { segments: log.segments, sizeBytes: log.sizeBytes, unsyncedCommits: log.unsyncedCommits },
      rowFile: rowFile.figures(),
    }
  }

  /** Stops the store for good (S-3). */
  fail(cause: unknown): void {
    if (this.#state.is === 'failed' || this.#state.is === 'closed') return
    this.#state = { is: 'failed', cause }
    this.#checkpointer.stop()
    this.#releaseWaiting()
  }

  /**
   * Finishes what was accepted: syncs it, checkpoints it, marks the log as cleanly closed. Settles after a failure too; it then rejects where relaxed commits were lost by that, whose callers
   * had been told before. Where all went well it waits for `last`, which has the directory to itself
   * before the lock is released; how that ends is its caller's to look at.
   */
  async close(last?: (place: CompactionPlace) => Promise<unknown>): Promise<void> {
    if (this.#state.is === 'closing' || this.#state.is === 'closed') return
    const failed = this.#state.is === 'failed'
    if (!failed) this.#state = { is: 'closing' }
    this.#ageTimer?.()
    const { log, rowFile, directory } = this.#parts
    let failure: { readonly error: unknown } | undefined
    try {
      if (!failed && !directory.temporary) {
        await this.whenDurable(this.#visibleTs)
        this.#checkpointIfSpace()
        await log.close(true)
      } else {
        this.#checkpointer.stop()
        await log.close(false)
        await this.whenDurable(this.#relaxedTs)
      }
    } catch (error) {
      failure = { error }
      await log.close(false)
    }
    this.#checkpointer.stop()
    this.#releaseWaiting()
    this.epochs.close()
    this.#unpinAudited()
    try {
      await rowFile.close()
      if (last !== undefined && !failed && failure === undefined) await last(this.#parts).catch(() => {})
    } finally {
      this.#giveUpDirectory()
    }
    if (failure !== undefined) throw failure.error
  }

  /** Gives everything back at once. For a store of which nobody has heard yet: nothing was accepted. */
  abandon(): void {
    const { log, rowFile } = this.#parts
    this.#ageTimer?.()
    this.#checkpointer.stop()
    this.epochs.close()
    log.close(false).catch(() => {}) // why it is abandoned is what the caller must know
    rowFile.close().catch(() => {})
    this.#giveUpDirectory()
  }

  #giveUpDirectory(): void {
    const { lock, directory } = this.#parts
    this.#state = { is: 'closed' }
    try {
      if (directory.temporary) directory.remove()
    } finally {
      lock.release()
    }
  }

  get #unappliedBytes(): number {
    return this.#installedBytes - this.#appliedBytes
  }

  get #isFull(): boolean {
    if (this.#state.is !== 'open') return false
    // A log that is too large although all of it is applied no checkpoint would shorten.
    return this.#unappliedBytes > this.#parts.limits.windowSizeBytes || (this.#logIsFull && this.epochs.appliedTs < this.#visibleTs)
  }

  #checkpointIfDue(): void {
    const { limits, log } = this.#parts
    const logSizeBytes = log.sizeBytes
    this.#logIsFull = logSizeBytes > limits.logSizeBytes
    if (this.#unappliedBytes > limits.windowCheckpointSizeBytes || logSizeBytes > limits.logCheckpointSizeBytes) this.#requestCheckpoint(false)
    else if (this.#ageTimer === undefined) this.#startAgeTimer()
  }

  #startAgeTimer(): void {
    const { environment, limits } = this.#parts
    this.#ageTimer = environment.setTimer(() => {
      this.#ageTimer = undefined
      if (this.#state.is === 'open') this.#requestCheckpoint(false)
    }, limits.checkpointAgeMs, 'background')
  }

  #requestCheckpoint(urgent: boolean): void {
    if (!this.#checkpointer.running) this.#targetBytes = this.#installedBytes
    this.#checkpointer.request(this.#visibleTs, urgent)
  }

  #checkpointSync(): void {
    this.flushSync()
    this.#targetBytes = this.#installedBytes
    this.#checkpointer.runSync(this.#visibleTs)
  }

  /** On a full disk the log keeps what the row file cannot take. */
  #checkpointIfSpace(): void {
    try {
      this.#checkpointSync()
    } catch (error) {
      if (!(error instanceof StorageError && error.code === 'DISK_FULL')) throw error
    }
  }

  #onApplied(ts: CommitTs): void {
    this.#appliedBytes = this.#targetBytes
    this.#ageTimer?.()
    this.#ageTimer = undefined
    const { log, limits } = this.#parts
    for (const resolve of this.#waitingForState.splice(0)) resolve(this.#parts.rowFile.pin())
    log.trim(ts)
    this.#logIsFull = log.sizeBytes > limits.logSizeBytes
    this.#releaseWaiting()
    if (ts < this.#visibleTs && this.#state.is === 'open') this.#checkpointIfDue()
  }

  #releaseWaiting(): void {
    for (const resolve of this.#waitingForState.splice(0)) resolve(undefined)
    const waiting = this.#waitingForRoom
    this.#waitingForRoom = []
    for (const resolve of waiting) resolve()
  }
}

/** What was read, to be kept beyond the next read. */
export function owned(seen: SeenVersion | undefined): SeenVersion | undefined {
  return seen?.value === undefined ? seen : { ts: seen.ts, value: Buffer.from(seen.value) }
}

/** The size a write set will take in the log; the limit of one transaction is stated in it. Throws `TRANSACTION_TOO_LARGE`. */
export function checkTransactionSize(sizeBytes: number, writes: number, limits: Limits): void {
  if (sizeBytes > limits.transactionSizeBytes || writes > limits.transactionWrites) {
    throw new LimitError(
      'TRANSACTION_TOO_LARGE',
      `The transaction would write ${writes} rows in ${sizeBytes} bytes; the limits are ${limits.transactionWrites} rows and ` +
        `${limits.transactionSizeBytes} bytes. Nothing was changed; split the work into several transactions.`,
    )
  }
}
