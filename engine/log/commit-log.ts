/**
 * The commit log: takes commits in order, writes them in groups, and says when they are durable.
 *
 *     append -> pending --flush--> written (record in the file) --sync--> durable --checkpoint--> trimmed
 *               memory             page cache                            disk
 *
 * Flow: a durable commit, or somebody waiting, asks for a flush. While a sync runs commits collect in the pending batch, which is
 * flushed when that sync ends. Writing is synchronous and in order; only the sync is asynchronous. `flushSync` does both at once,
 * and so does a flush of one commit alone, where syncs are quick.
 *
 * Invariants:
 * - L-1 Commits are appended in ascending timestamp order, and written in that order.
 * - L-2 `durableTs` moves only after a sync that began after the commit's last byte was written.
 * - L-3 What was reserved can be written: a full disk is met by `reserve`, before anything is installed.
 * - L-4 A failed write or sync ends the log for good; no operation on the files is tried again after it. Commits of which a byte may
 *   have reached the file are in doubt (`COMMIT_UNKNOWN`), those still in memory are not committed (`POISONED`).
 * - L-5 The log goes on in a new segment only when everything in the old one is synced, so the end that the new header names is.
 * - L-6 A segment is removed only when all its commits are applied, and never the active one.
 * - L-7 At most `unsyncedCommits` commits are not synced: recovery relies on it when it leaves a gap.
 */
import { asTs } from '../../isolation/types.js'
import type { CommitTs } from '../../isolation/types.js'
import { commitSizeBytes, recordHeaderSizeBytes, segmentHeaderSizeBytes } from '../encoding/records.js'
import type { LogCommit } from '../encoding/records.js'
import type { Cancel, Environment } from '../environment.js'
import { StorageError } from '../errors.js'
import type { Limits } from '../limits.js'
import { Batch, rejected } from './batch.js'
import { codeOf, removeFile, segmentPath, syncDirectory } from './files.js'
import { Segment } from './segment.js'
import type { SegmentPlace } from './segment.js'

export type LogLimits = Pick<Limits, 'segmentSizeBytes' | 'logReserveSizeBytes' | 'relaxedSyncMs' | 'unsyncedCommits' | 'loneSyncMs'>

/** What the log tells its owner, synchronously. */
export interface LogEvents {
  /** Everything up to here is durable. Called before waiters of `whenDurable` go on; also from within `flushSync` and `reserve`. */
  onDurable(durableTs: CommitTs): void
  /** The log has failed; called once. Commits up to `writtenTs` and above `durableTs` are in doubt, later ones are not committed. */
  onFailure(error: StorageError, writtenTs: CommitTs): void
}

export interface CommitLogStart {
  readonly place: SegmentPlace
  readonly environment: Environment
  readonly limits: LogLimits
  readonly events: LogEvents
  readonly incarnation: number
  readonly active: Segment
  /** The first timestamp that may be given; all commits below are durable. */
  readonly nextTs: CommitTs
}

/** A sync counts this much in the mean of the latest ones, which is unknown at first. */
const syncShare = 1 / 8

interface OldSegment {
  readonly number: number
  readonly lastTs: CommitTs
  readonly sizeBytes: number
}

export class CommitLog {
  readonly #place: SegmentPlace
  readonly #environment: Environment
  readonly #limits: LogLimits
  readonly #events: LogEvents
  readonly #incarnation: number
  #old: OldSegment[] = []
  #active: Segment
  /** The active segment is left at this size. */
  #rotateAt: number
  #pending: Batch = new Batch()
  /** Written, not known to be synced; in order. */
  #written: Batch[] = []
  #syncing = false
  /** What a sync has lately taken. */
  #syncMs = Infinity
  #afterSync: (() => void) | undefined
  #scheduled: 'no' | 'timer' | 'flush' = 'no'
  #cancel: Cancel = () => {}
  #lastTs: CommitTs
  #writtenTs: CommitTs
  #durableTs: CommitTs
  #failure: StorageError | undefined
  #closing: Promise<void> | undefined

  /** Use `openLog`. */
  constructor(start: CommitLogStart) {
    this.#place = start.place
    this.#environment = start.environment
    this.#limits = start.limits
    this.#events = start.events
    this.#incarnation = start.incarnation
    this.#active = start.active
    this.#rotateAt = start.limits.segmentSizeBytes
    this.#lastTs = this.#writtenTs = this.#durableTs = asTs(start.nextTs - 1)
  }

  /** Every commit up to here survives a crash. */
  get durableTs(): CommitTs {
    return this.#durableTs
  }

  /** Commits above this are only in memory; if the log fails they are not committed. */
  get writtenTs(): CommitTs {
    return this.#writtenTs
  }

  /** Files that are kept. */
  get segments(): number {
    return this.#old.length + 1
  }

  /** Commits that are not known to be on disk. */
  get unsyncedCommits(): number {
    return this.#written.reduce((sum, batch) => sum + batch.count, this.#pending.count)
  }

  /** The log that is kept and would be read at the next opening. */
  get sizeBytes(): number {
    return this.#old.reduce((sum, segment) => sum + segment.sizeBytes, this.#active.end)
  }

  /**
   * Guarantees that everything pending and a commit of `sizeBytes` (see `commitSizeBytes`) can be written (L-3). Call it before the
   * commit is installed. When too much is waiting to be synced it syncs first, blocking (L-7).
   * @throws StorageError `DISK_FULL`: nothing was changed, and it works again when there is space; `POISONED`; `CLOSED`.
   */
  reserve(sizeBytes: number): void {
    this.#assertUsable()
    try {
      if (this.unsyncedCommits >= this.#limits.unsyncedCommits) this.#flushNow()
      this.#active.reserve(this.#pending.sizeBytes + sizeBytes + recordHeaderSizeBytes)
    } catch (error) {
      if (codeOf(error) === 'DISK_FULL') throw error
      throw this.#fail(error)
    }
  }

  /**
   * Adds a commit to the pending batch: memory only. A durable commit is written and synced soon, a relaxed one within
   * `relaxedSyncMs`.
   * @throws StorageError `POISONED`; `CLOSED`.
   */
  append(commit: LogCommit, relaxed: boolean): void {
    this.#assertUsable()
    if (commit.ts <= this.#lastTs) throw new Error(`L-1: commit ${commit.ts} after ${this.#lastTs}`)
    if (this.#pending.count === 0) this.#pending.beganMs = this.#environment.nowMs()
    this.#pending.add(commit, commitSizeBytes(commit.writes))
    this.#lastTs = commit.ts
    // Relaxed commits do not pile up in memory either.
    if (!relaxed || this.#pending.sizeBytes >= this.#limits.logReserveSizeBytes) this.#pending.urgent = true
    this.#schedule()
  }

  /**
   * Resolves when everything up to `ts` is durable; waiting makes the sync happen, also for relaxed commits.
   * Rejects with StorageError `COMMIT_UNKNOWN` or `POISONED` (L-4). A rejection that nobody listens to is not an unhandled one.
   */
  whenDurable(ts: CommitTs): Promise<void> {
    if (ts <= this.#durableTs) return Promise.resolve()
    if (ts > this.#lastTs) throw new Error(`L-1: nobody appended commit ${ts}`)
    const failure = this.#failureOf(ts)
    if (failure) return rejected(failure)
    const batch = this.#written.find(written => ts <= written.lastTs)
    if (batch) return batch.wait()
    this.#pending.urgent = true
    this.#schedule()
    return this.#pending.wait()
  }

  /**
   * Writes and syncs everything pending, blocking. Right while an asynchronous sync runs: that one covers earlier records only.
   * @throws StorageError `COMMIT_UNKNOWN` or `POISONED` for the newest commit (L-4); `CLOSED`.
   */
  flushSync(): void {
    this.#assertUsable()
    this.#flushNow()
  }

  /**
   * Forgets commits up to `appliedTs`: they are durable elsewhere. Removes whole segments (L-6); a used one that holds nothing newer is
   * left for a new one first, so that the log of a store which is checkpointed stays small.
   * @throws StorageError `POISONED`; `CLOSED`.
   */
  trim(appliedTs: CommitTs): void {
    this.#assertUsable()
    if (appliedTs > this.#durableTs) throw new Error(`L-6: ${appliedTs} is not durable`)
    const { files, logDirectory } = this.#place
    try {
      if (this.#active.lastTs <= appliedTs && this.#active.end > this.#limits.logReserveSizeBytes) {
        this.#rotateAt = 0
        this.#rotateIfDue()
      }
      let removed = 0
      for (; this.#old[removed] && this.#old[removed]!.lastTs <= appliedTs; removed++) {
        removeFile(files, segmentPath(logDirectory, this.#old[removed]!.number))
      }
      if (removed > 0) syncDirectory(files, logDirectory)
      this.#old = this.#old.slice(removed)
    } catch (error) {
      throw this.#fail(error)
    }
  }

  /**
   * Writes and syncs what is pending, with `clean` marks the end, and releases timers and descriptors. A later call waits for
   * that and does no more. Rejects if what was pending could not be made durable; a log that had failed before just closes.
   */
  close(clean: boolean): Promise<void> {
    if (this.#closing) return this.#closing.catch(() => {})
    // In a job of its own, so that nothing which it calls finds the log open.
    this.#closing = Promise.resolve().then(() => this.#close(clean))
    return this.#closing
  }

  async #close(clean: boolean): Promise<void> {
    if (this.#syncing) await new Promise<void>(resolve => (this.#afterSync = resolve))
    try {
      if (this.#failure) return
      this.#flushNow()
      if (clean) this.#markClean()
    } finally {
      this.#active.close()
    }
  }

  /** The mark says that everything before it was synced. Without space for it the log is as good, only slower to open. */
  #markClean(): void {
    try {
      this.#active.reserve(recordHeaderSizeBytes)
      this.#active.appendMark()
      this.#active.syncNow()
    } catch (error) {
      if (codeOf(error) !== 'DISK_FULL') throw this.#fail(error)
    }
  }

  #schedule(): void {
    if (this.#syncing || this.#closing || this.#failure || this.#pending.count === 0) return
    if (this.#pending.urgent) {
      if (this.#scheduled === 'flush') return
      this.#unschedule()
      this.#scheduled = 'flush'
      this.#cancel = this.#environment.defer(() => this.#flush())
    } else if (this.#scheduled === 'no') {
      this.#scheduled = 'timer'
      const waitedMs = this.#environment.nowMs() - this.#pending.beganMs
      this.#cancel = this.#environment.setTimer(() => this.#flush(), Math.max(0, this.#limits.relaxedSyncMs - waitedMs))
    }
  }

  #unschedule(): void {
    this.#cancel()
    this.#cancel = () => {}
    this.#scheduled = 'no'
  }

  /** Writes the pending batch and starts its sync. Runs from a timer or after a sync: errors go to the waiters. */
  #flush(): void {
    this.#unschedule()
    if (this.#syncing || this.#failure || this.#pending.count === 0) return
    try {
      this.#rotateIfDue()
      const isLone = this.#pending.count === 1
      this.#writePending()
      const ts = this.#writtenTs
      const startedMs = this.#environment.nowMs()
      if (isLone && this.#syncMs < this.#limits.loneSyncMs) {
        this.#active.syncNow()
        this.#noteSync(startedMs)
        this.#advance(ts)
        return
      }
      this.#active.sync(error => {
        this.#noteSync(startedMs)
        this.#synced(error, ts)
      })
      this.#syncing = true
    } catch (error) {
      this.#fail(error)
    }
  }

  #noteSync(startedMs: number): void {
    const tookMs = this.#environment.nowMs() - startedMs
    if (tookMs <= 0) return // a clock that stands still
    this.#syncMs = this.#syncMs === Infinity ? tookMs : this.#syncMs + (tookMs - this.#syncMs) * syncShare
  }

  #synced(error: Error | null, ts: CommitTs): void {
    this.#syncing = false
    if (error) this.#fail(error)
    else if (!this.#failure) this.#advance(ts)
    if (this.#afterSync) this.#afterSync()
    else if (this.#pending.urgent) this.#flush()
    else this.#schedule()
  }

  #flushNow(): void {
    this.#unschedule()
    if (this.#durableTs === this.#lastTs) return
    const { count } = this.#pending
    try {
      if (count > 0) {
        this.#rotateIfDue()
        this.#writePending()
      }
      this.#active.syncNow()
    } catch (error) {
      this.#fail(error)
      throw this.#failureOf(this.#lastTs)
    }
    this.#advance(this.#lastTs)
  }

  #writePending(): void {
    const batch = this.#pending
    this.#pending = new Batch()
    this.#written.push(batch)
    this.#writtenTs = batch.lastTs
    this.#active.append(batch.commits, batch.sizeBytes)
    batch.commits = []
  }

  /** Goes on in a new segment (L-5). Without space for one the old segment just grows: what is reserved lies there. */
  #rotateIfDue(): void {
    const active = this.#active
    if (active.end < this.#rotateAt || active.end === segmentHeaderSizeBytes || this.#syncing || !active.isSynced) return
    const startsAfterTs = active.lastTs
    const header = {
      number: active.number + 1,
      incarnation: this.#incarnation,
      salt: newSalt(this.#environment),
      firstSequence: active.nextSequence,
      startsAfterTs,
      boundTs: asTs(this.#writtenTs + 1),
      previousEnd: active.end,
      previousChecksum: active.lastChecksum,
    }
    try {
      this.#active = Segment.create(this.#place, { header, tail: [], neededSizeBytes: this.#pending.sizeBytes + recordHeaderSizeBytes })
    } catch (error) {
      if (codeOf(error) !== 'DISK_FULL') throw error
      this.#rotateAt = active.end + this.#limits.logReserveSizeBytes
      return
    }
    this.#rotateAt = this.#limits.segmentSizeBytes
    this.#old.push({ number: active.number, lastTs: startsAfterTs, sizeBytes: active.end })
    active.close()
  }

  #advance(ts: CommitTs): void {
    if (ts <= this.#durableTs) return
    this.#durableTs = ts
    const durable = this.#written.filter(batch => batch.lastTs <= ts)
    this.#written = this.#written.slice(durable.length)
    this.#events.onDurable(ts)
    for (const batch of durable) batch.settle()
  }

  /** Ends the log (L-4). Returns the error that later calls throw. */
  #fail(cause: unknown): StorageError {
    if (this.#failure) return this.#failure
    const message = 'The commit log failed; the store must be opened again. Nothing of this call was committed.'
    const failure = new StorageError('POISONED', message, { cause })
    this.#failure = failure
    this.#unschedule()
    const inDoubt = this.#failureOf(this.#writtenTs)
    if (inDoubt) for (const batch of this.#written) batch.fail(inDoubt)
    this.#pending.fail(failure)
    this.#written = []
    this.#pending = new Batch()
    this.#events.onFailure(failure, this.#writtenTs)
    return failure
  }

  /** What a failed log says about a commit; undefined for one that is durable, or while the log works. */
  #failureOf(ts: CommitTs): StorageError | undefined {
    if (!this.#failure || ts <= this.#durableTs) return undefined
    if (ts > this.#writtenTs) return this.#failure
    const message = 'The commit log failed while this commit was being made durable: only opening the store again shows whether it was committed.'
    return new StorageError('COMMIT_UNKNOWN', message, { cause: this.#failure.cause })
  }

  #assertUsable(): void {
    if (this.#failure) throw this.#failure
    if (this.#closing) throw new StorageError('CLOSED', 'The commit log is closed.')
  }
}

/** A new segment's salt. */
export const newSalt = (environment: Environment): number => Math.floor(environment.random() * 0x1_0000_0000)
