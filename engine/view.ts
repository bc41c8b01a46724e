/**
 * What one attempt of a transaction sees: its snapshot, its own writes over it, and the record of what it relied on.
 *
 *   V-1  Every read that the body can learn anything from is recorded before its result is handed out (levels that track). Reading back an own write made
 *        blindly is none: it says nothing of others.
 *   V-2  When a read meets a version newer than the snapshot, that is noted at once (the literature's MVCC-ignored write). If everything relied on so far still
 *        holds at the present, the snapshot moves there, the read included; so every outcome is the view of one timestamp.
 *   V-3  If it no longer holds, the transaction can still end as a reader at its snapshot. Once it writes it is doomed, at once.
 */
import { tablePrefixOf } from './encoding/keys.js'
import { LimitError } from './errors.js'
import type { Limits } from './limits.js'
import { RowCursor, type Hides, type Places, type Seen } from './row-cursor.js'
import { owned, type SeenVersion, type Store } from './store/store.js'
import type { Snapshot } from './store/epochs.js'
import type { HeldSnapshot } from './store/iterator-snapshots.js'
import type { SortedMap } from './store/sorted-map.js'
import type { Version } from './store/window.js'
import type { TablesByPrefix } from './table/catalog.js'
import type { StoredIndex } from './table/stored-index.js'
import type { Write, WriteSet } from './write-set.js'
import type { ConflictIndex } from '../isolation/conflict-index.js'
import type { Policy } from '../isolation/policy.js'
import { ReadSet } from '../isolation/read-set.js'
import { findConflict, type Conflict } from '../isolation/validate.js'
import { noTs, type CommitTs, type Key, type KeyRange } from '../isolation/types.js'

/** A write that a read passed over. Who wrote it, the conflict index or the row itself will say. */
export interface IgnoredWrite {
  readonly by: KeyRange | undefined
}

/** A row that was found through an index. `seen` is undefined where it ought to be there and is not. */
export interface FoundRow {
  readonly key: Key
  readonly seen: Seen | undefined
}

/** Ignored writes remembered for explanations. */
const ignoredMax = 64

export interface ViewParts {
  readonly store: Store
  readonly index: ConflictIndex
  readonly tables: TablesByPrefix
  readonly policy: Policy
  readonly readOnly: boolean
  readonly limits: Limits
  readonly label: string | undefined
  readonly writes: WriteSet
  /** Turns a conflict found while reading into the error that ends the transaction. */
  readonly doom: (conflict: Conflict, view: View) => Error
}

export class View {
  readonly policy: Policy
  readonly snapshot: Snapshot
  /** Where the snapshot was at first. */
  readonly beganTs: CommitTs
  readonly reads: ReadSet
  /** Writes that a read passed over because they are newer than the snapshot, by key, with the range read that did (undefined: a read of the key itself). */
  ignored: Map<Key, IgnoredWrite> | undefined
  readonly #parts: ViewParts
  readonly #tracks: boolean
  /** Snapshots of its iterators, where they have their own. */
  #held: Set<HeldSnapshot> | undefined
  #seenTs: CommitTs = noTs
  #lost: Conflict | undefined

  /** Begins at the newest visible commit; a read-only view at the newest acknowledged one, so that its results need not wait for the disk. */
  constructor(parts: ViewParts) {
    this.#parts = parts
    this.policy = parts.policy
    this.reads = new ReadSet(parts.limits.readSetPoints, areOfOneTable)
    this.#tracks = parts.policy.tracksReads && !parts.readOnly
    const { store } = parts
    this.beganTs = parts.readOnly ? store.acknowledgedTs : store.visibleTs
    this.snapshot = store.epochs.acquire(this.beganTs, parts.policy.oneSnapshot && !parts.readOnly)
  }

  /** The newest version that any read met, tombstones included: what has been handed out is durable when this is. */
  get seenTs(): CommitTs {
    return this.#seenTs
  }

  /** A row as the transaction sees it, encoded; undefined where nothing is known of it. Without a timestamp it is an own write. */
  get(key: Key): Seen | undefined {
    return this.#parts.writes.get(key) ?? this.getCommitted(key)
  }

  /** As `get`, but beneath the transaction's own writes. */
  getCommitted(key: Key): SeenVersion | undefined {
    this.#renew()
    return this.#fetch(this.snapshot, key)
  }

  /** The row that holds a key of a unique index, own writes before others': of several that claim it, the first. */
  getByIndex(index: StoredIndex, entry: Key, ownEntries: KeyRange): FoundRow | undefined {
    this.#assertReady(index)
    const own = this.#parts.writes.sortedEntries(index.table)?.getPairOrNextHigher(ownEntries.lo)
    if (own !== undefined && own[0] < ownEntries.hi) return { key: index.rowKeyOfOwn(own[0]), seen: own[1] }
    const holder = this.getCommitted(entry)
    if (holder?.value === undefined) return undefined
    const key = index.rowKeyOf(entry, holder.value)
    if (this.#parts.writes.get(key) !== undefined) return undefined // it has another key now, or is deleted
    return { key, seen: this.#fetch(this.snapshot, key) }
  }

  /** Records a key as read (levels that track) without looking at its value. Throws `TRANSACTION_TOO_LARGE`, having recorded nothing. */
  rely(key: Key): void {
    if (this.#tracks) this.#record(key, this.#parts.store.epochs.window.newest(key))
  }

  /** `newest` is what the window has newest of the key. */
  #record(key: Key, newest: Version | undefined): void {
    this.#assertRoomForReads()
    if (newest !== undefined && newest.ts > this.snapshot.ts && !this.reads.points.has(key)) this.#meetNewer(newest, undefined)
    this.reads.addPoint(key)
  }

  /** Entries of a range of an index, those of own writes as they are now. The cursor also fetches their rows. Throws `INDEX_BUILDING`. */
  openIndex(index: StoredIndex, range: KeyRange, reverse: boolean, limit: number): RowCursor {
    this.#assertReady(index)
    const own = this.#parts.writes.sortedEntries(index.table)
    const rows = this.#parts.writes.sorted()
    const hides: Hides | undefined = rows && (({ key, value }) => rows.has(index.rowKeyOf(key, value)))
    return this.#open(range, reverse, limit, own, hides, index.unique && own !== undefined ? index : undefined)
  }

  /** Rows of a range, own writes as they are now. What the cursor holds is released when it is exhausted, closed or collected, or the view is released. */
  open(range: KeyRange, reverse: boolean, limit: number): RowCursor {
    return this.#open(range, reverse, limit, this.#parts.writes.sorted())
  }

  #open(range: KeyRange, reverse: boolean, limit: number, own: SortedMap<Write> | undefined, hides?: Hides, places?: Places): RowCursor {
    if (this.#tracks) this.#assertRoomForReads()
    this.#renew()
    const recorded = this.#tracks ? this.reads.addRange(range, reverse) : undefined
    return new RowCursor(this.#parts.store, this.#cursorSnapshot(), range, reverse, own, {
      recorded,
      onNewer: recorded && (newest => this.#meetNewer(newest, recorded)),
      onSeen: ts => this.#noteSeen(ts),
      expectedRows: expectedOf(limit),
      hides,
      places,
      fetch: (snapshot, key) => this.#fetch(snapshot, key),
    })
  }

  /** A row beneath own writes, recorded before it is looked at. */
  #fetch(snapshot: Snapshot, key: Key): SeenVersion | undefined {
    const { store } = this.#parts
    const newest = store.epochs.window.newest(key)
    if (this.#tracks) this.#record(key, newest)
    return this.saw(store.readBelow(newest, snapshot, key))
  }

  /** Throws `INDEX_BUILDING` where the index was not complete at the commit that the next read sees. */
  #assertReady(index: StoredIndex): void {
    const { store, readOnly } = this.#parts
    index.assertReady(this.policy.oneSnapshot ? this.snapshot.ts : readOnly ? store.acknowledgedTs : store.visibleTs)
    this.#noteSeen(index.readyTs!)
  }

  /** To be called before the first effect of every write. Throws where the premise is known to be outdated (V-3). */
  assertMayWrite(): void {
    if (this.#lost !== undefined) throw this.#parts.doom(this.#lost, this)
  }

  /** The first thing relied on that changed between the snapshot and the present. The snapshot is at or above the index's floor. */
  findConflict(): Conflict | undefined {
    return findConflict(this.reads, this.#parts.index, this.snapshot.ts, key => this.isSame(key))
  }

  /** Whether a key holds at the present what it holds at the snapshot: the read's second chance. */
  isSame(key: Key): boolean {
    const { store } = this.#parts
    const present = store.epochs.acquire(store.visibleTs, false)
    try {
      const now = this.saw(owned(store.read(present, key)))
      return this.isSameValue(key, store.read(this.snapshot, key), now)
    } finally {
      store.epochs.release(present)
    }
  }

  /** Whether two versions of a key say the same: both absent, or equal bytes that mean the same. */
  isSameValue(key: Key, a: SeenVersion | undefined, b: SeenVersion | undefined): boolean {
    const left = a?.value
    const right = b?.value
    if (left === undefined || right === undefined) return left === right
    if (left !== right && Buffer.compare(left, right) !== 0) return false
    // Before and after the commit that gave a table's rows a new version, the same bytes are different rows.
    const table = a!.ts === b!.ts ? undefined : this.#parts.tables.get(tablePrefixOf(key))
    return table === undefined || table.eraOf(a!.ts) === table.eraOf(b!.ts)
  }

  /** Notes a version that the outcome may depend on, and returns it. */
  saw(seen: SeenVersion | undefined): SeenVersion | undefined {
    if (seen !== undefined) this.#noteSeen(seen.ts)
    return seen
  }

  /** Moves the snapshot to where `later` is, up to which everything relied on is known to hold. */
  join(later: Snapshot): void {
    this.#parts.store.epochs.join(this.snapshot, later)
  }

  release(): void {
    const { store } = this.#parts
    if (this.#held !== undefined) for (const held of this.#held) store.iterators.release(held)
    store.epochs.release(this.snapshot)
  }

  /** Before anything is read: what was read is recorded, whatever else happens (V-1). */
  #assertRoomForReads(): void {
    const { readSetRanges } = this.#parts.limits
    if (this.reads.ranges.length < readSetRanges) return
    throw new LimitError(
      'TRANSACTION_TOO_LARGE',
      `The transaction relies on ${readSetRanges} ranges of keys, which is the limit. Nothing was changed; split the work, read wider ranges at once, or read with readOnly: true.`,
    )
  }

  /** A level without a snapshot of its own reads each time at the newest visible commit. */
  #renew(): void {
    const { store, readOnly } = this.#parts
    if (!this.policy.oneSnapshot) store.epochs.move(this.snapshot, readOnly ? store.acknowledgedTs : store.visibleTs)
  }

  /** An iterator stays at the commit it began at, also where the next operation moves on. */
  #cursorSnapshot(): Snapshot | HeldSnapshot {
    if (this.policy.oneSnapshot) return this.snapshot
    const { store, label } = this.#parts
    return store.iterators.acquire(this.snapshot.ts, label, (this.#held ??= new Set()))
  }

  /** V-2. Returns whether the snapshot moved. */
  #meetNewer(newest: Version, by: KeyRange | undefined): boolean {
    const { store, index, writes, doom } = this.#parts
    if (this.#lost === undefined && this.snapshot.ts >= index.floor) {
      const conflict = this.findConflict()
      if (conflict === undefined) {
        store.epochs.move(this.snapshot, store.visibleTs)
        return true
      }
      this.#lost = conflict
    }
    this.ignored ??= new Map()
    if (this.ignored.size < ignoredMax && !this.ignored.has(newest.key)) this.ignored.set(newest.key, { by })
    if (this.#lost !== undefined && !writes.isEmpty) throw doom(this.#lost, this)
    return false
  }

  #noteSeen(ts: CommitTs): void {
    if (ts > this.#seenTs) this.#seenTs = ts
  }
}

const areOfOneTable = (a: Key, b: Key): boolean => tablePrefixOf(a) === tablePrefixOf(b)

/** What a limit says of how many rows will be taken. */
export const expectedOf = (limit: number): number | undefined => (limit === Infinity ? undefined : limit)
