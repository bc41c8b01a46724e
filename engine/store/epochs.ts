/**
 * Epochs, the snapshots that live in them, and what the window must keep for them.
 *
 * An epoch is the time between two completed checkpoints; it has one pinned LMDB root, which holds every commit up to F (`appliedTs`). A snapshot at S taken in that
 * epoch is that root plus the window's versions in (F, S].
 *
 *   E-1  A snapshot reads through one root for as long as it stays at its timestamp; new snapshots take the current epoch's root.
 *   E-2  Moving a snapshot forward re-pins the current epoch's root first: versions between its old S and the new F may have left the window.
 *   E-3  A commit c leaves the window only when c is in the current epoch's root and no older epoch with live snapshots has F < c <= its newest S.
 *   E-4  An old root is given up when nobody reads through it, or when it has been outdated for longer than the age limit, or is the oldest where LMDB's
 *        reader slots run out (its readers then fail with SNAPSHOT_TOO_OLD); so forgotten readers can neither grow the file without end nor stop checkpoints.
 */
import { LimitError } from '../errors.js'
import type { Limits } from '../limits.js'
import type { Root } from '../lmdb/row-file.js'
import { noTs, type CommitTs, type SnapshotTs } from '../../isolation/types.js'
import { LiveSnapshots } from './live-snapshots.js'
import { Window, type WindowCommit } from './window.js'

/** Reader slots for what is not an epoch: the next checkpoint's root before it takes over, and the native library itself. */
const spareSlots = 4

/** In the place of a commit that has left: a commit can be large. */
const dealtWith: WindowCommit = { ts: noTs, versions: [], sizeBytes: 0 }

export class Epoch {
  readonly root: Root
  readonly appliedTs: CommitTs
  /** Snapshots that read through the root. */
  readers = 0
  /** The newest timestamp somebody read at through this root. */
  newestTs: SnapshotTs
  /** When a newer epoch took over. */
  outdatedAtMs: number | undefined
  /** The root is no longer pinned. */
  closed = false

  constructor(root: Root) {
    this.root = root
    this.appliedTs = root.appliedTs
    this.newestTs = root.appliedTs
  }
}

/** A position in commit order at which somebody reads. Released exactly once by its owner. */
export class Snapshot {
  ts: SnapshotTs
  /** How often it was moved; a cursor that sees the number change must seek anew. */
  moves = 0
  readonly tracked: boolean
  epoch: Epoch
  released = false

  constructor(ts: SnapshotTs, epoch: Epoch, tracked: boolean) {
    this.ts = ts
    this.epoch = epoch
    this.tracked = tracked
  }

  /** F: what is at or below this is read from the root. */
  get appliedTs(): CommitTs {
    return this.epoch.appliedTs
  }

  /** The pinned root. Throws `SNAPSHOT_TOO_OLD` where it was given up. */
  get root(): Root {
    if (this.epoch.closed) {
      throw new LimitError(
        'SNAPSHOT_TOO_OLD',
        `The snapshot at ${this.ts} outlived the limits on age and number of old states, and the old state it read from was given up. Begin anew, and read in shorter transactions.`,
      )
    }
    return this.epoch.root
  }
}

export class Epochs {
  /** Timestamps of all live snapshots, and of the checkpoint in progress. */
  readonly live: LiveSnapshots = new LiveSnapshots()
  /** Timestamps of snapshots that will ask the conflict index. */
  readonly tracked: LiveSnapshots = new LiveSnapshots()
  readonly window: Window
  readonly #snapshotAgeMs: number
  readonly #rootsMax: number
  #current: Epoch
  #older: Epoch[] = []
  /** Commits in the window in order, from `#next` on; what is before holds nothing. */
  #commits: WindowCommit[] = []
  #next = 0
  /** Commits at or below F that an older epoch still needs. */
  #retained: WindowCommit[] = []

  constructor(root: Root, { snapshotAgeMs, readerSlots }: Pick<Limits, 'snapshotAgeMs' | 'readerSlots'>) {
    this.#current = new Epoch(root)
    this.#snapshotAgeMs = snapshotAgeMs
    this.#rootsMax = Math.max(1, readerSlots - spareSlots)
    this.window = new Window(this.live)
  }

  /** F of the current epoch, as read from its root. */
  get appliedTs(): CommitTs {
    return this.#current.appliedTs
  }

  /** Pinned roots: the current one and those that old snapshots hold. */
  get pinnedRoots(): number {
    return 1 + this.#older.length
  }

  /** Epochs whose roots are pinned although a newer one has taken over, oldest first. */
  get older(): readonly Epoch[] {
    return this.#older
  }

  acquire(ts: SnapshotTs, tracked: boolean): Snapshot {
    const snapshot = new Snapshot(ts, this.#current, tracked)
    this.#enter(snapshot)
    return snapshot
  }

  /** Moves a snapshot forward to `ts`, which no checkpoint has passed yet, through the current root (E-2). */
  move(snapshot: Snapshot, ts: SnapshotTs): void {
    this.#move(snapshot, ts, this.#current)
  }

  /** Moves a snapshot forward to where `later` is, through the root that `later` reads through: the current one may hold newer commits already. */
  join(snapshot: Snapshot, later: Snapshot): void {
    this.#move(snapshot, later.ts, later.epoch)
  }

  release(snapshot: Snapshot): void {
    if (snapshot.released) return
    snapshot.released = true
    this.#leave(snapshot.ts, snapshot.epoch, snapshot.tracked)
  }

  /** Enters a commit's versions, newest of their keys from now on. */
  install(commit: WindowCommit): void {
    this.#commits.push(commit)
  }

  /** A checkpoint completed: `root` holds it. `nowMs` serves E-4. */
  advance(root: Root, nowMs: number): void {
    const last = this.#current
    last.outdatedAtMs = nowMs
    this.#older.push(last)
    this.#current = new Epoch(root)
    for (const epoch of this.#older) {
      if (epoch.readers === 0 || nowMs - epoch.outdatedAtMs! > this.#snapshotAgeMs) this.#close(epoch)
    }
    this.#older = this.#older.filter(epoch => !epoch.closed)
    while (this.pinnedRoots > this.#rootsMax) this.#close(this.#older.shift()!)
    if (this.#older.length === 0) this.window.forget(root.appliedTs)
  }

  /** Removes from the window what nobody needs any more (E-3), at most `maxVersions` versions. Returns whether there is more to do. */
  trim(maxVersions: number): boolean {
    let budget = maxVersions
    while (budget > 0) {
      const commit = this.#commits[this.#next]
      if (commit === undefined || commit.ts > this.#current.appliedTs) break
      this.#commits[this.#next++] = dealtWith
      if (this.#older.some(({ appliedTs, newestTs }) => appliedTs < commit.ts && commit.ts <= newestTs)) {
        this.#retained.push(commit)
        this.window.keep(commit)
        budget -= commit.versions.length
        continue
      }
      for (const version of commit.versions) this.window.remove(version)
      budget -= commit.versions.length
    }
    if (this.#next > 1_024 && this.#next * 2 > this.#commits.length) {
      this.#commits = this.#commits.slice(this.#next)
      this.#next = 0
    }
    const next = this.#commits[this.#next]
    if (next !== undefined && next.ts <= this.#current.appliedTs) return true
    this.window.forget(this.#current.appliedTs)
    this.window.keepOnly(this.#retained)
    return false
  }

  /** Releases every root. No snapshot may be read afterwards. */
  close(): void {
    for (const epoch of [...this.#older, this.#current]) if (!epoch.closed) this.#close(epoch)
    this.#older = []
  }

  #move(snapshot: Snapshot, ts: SnapshotTs, epoch: Epoch): void {
    // It would enter anew and leave in another's name, whose versions would then be dropped.
    if (snapshot.released) throw new Error(`E-2: a snapshot at ${snapshot.ts} was moved after its release`)
    const before = { ts: snapshot.ts, epoch: snapshot.epoch }
    snapshot.ts = ts
    snapshot.epoch = epoch
    snapshot.moves++
    this.#enter(snapshot)
    this.#leave(before.ts, before.epoch, snapshot.tracked)
  }

  #enter(snapshot: Snapshot): void {
    if (snapshot.ts < snapshot.appliedTs) throw new Error(`E-1: a snapshot at ${snapshot.ts} through a root that holds ${snapshot.appliedTs}`)
    this.live.enter(snapshot.ts)
    if (snapshot.tracked) this.tracked.enter(snapshot.ts)
    snapshot.epoch.readers++
    if (snapshot.ts > snapshot.epoch.newestTs) snapshot.epoch.newestTs = snapshot.ts
  }

  #leave(ts: SnapshotTs, epoch: Epoch, tracked: boolean): void {
    this.live.leave(ts)
    if (tracked) this.tracked.leave(ts)
    if (--epoch.readers > 0 || epoch === this.#current || epoch.closed) return
    this.#close(epoch)
    this.#older = this.#older.filter(other => other !== epoch)
  }

  #close(epoch: Epoch): void {
    epoch.closed = true
    epoch.root.release()
    if (this.#retained.length === 0) return
    // What was kept for this epoch is judged again by the next trim.
    const freed = this.#retained.filter(({ ts }) => epoch.appliedTs < ts && ts <= epoch.newestTs)
    if (freed.length === 0) return
    this.#retained = this.#retained.filter(({ ts }) => ts <= epoch.appliedTs || epoch.newestTs < ts)
    this.#commits = [...freed, ...this.#commits.slice(this.#next)]
    this.#next = 0
  }
}
