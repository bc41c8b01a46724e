/**
 * Rows of a range as a transaction sees them: the snapshot's rows with the transaction's own writes, as they were when iteration began, laid over them.
 *
 * Where reads are recorded, each step extends the recorded interval up to the key that was handed out, and exhaustion extends it over the whole range. When
 * the snapshot moves (in this cursor's own step or in any other operation) prefetched rows are dropped and both sources are sought anew after the last
 * key handed out: what lies between it and the cursor's position was never vouched for.
 */
import type { RangeRead } from '../isolation/read-set.js'
import type { CommitTs, Key, KeyRange } from '../isolation/types.js'
import type { Snapshot } from './store/epochs.js'
import type { HeldSnapshot } from './store/iterator-snapshots.js'
import { SnapshotCursor, type SeenRow, type SnapshotCursorOptions } from './store/snapshot-cursor.js'
import type { SortedMap } from './store/sorted-map.js'
import type { SeenVersion, Store } from './store/store.js'
import type { Write } from './write-set.js'

export interface RowCursorOptions extends SnapshotCursorOptions {
  readonly recorded?: RangeRead | undefined
  readonly hides?: Hides | undefined
  /** Reads a row at a snapshot, beneath own writes. */
  readonly fetch?: ((snapshot: Snapshot, key: Key) => SeenVersion | undefined) | undefined
}

/** What a read finds; without a timestamp an own write. */
export interface Seen {
  readonly value: Uint8Array | undefined
  readonly ts?: CommitTs | undefined
}

export interface EncodedRow {
  readonly key: Key
  readonly value: Uint8Array
  /** Undefined for an own write. */
  readonly ts?: CommitTs | undefined
}

/** Whether a committed row is not to be seen, because of what the transaction has written. */
export type Hides = (row: SeenRow) => boolean

export class RowCursor {
  readonly #store: Store
  readonly #snapshot: Snapshot
  /** Where the snapshot is its own. */
  readonly #held: HeldSnapshot | undefined
  readonly #range: KeyRange
  readonly #reverse: boolean
  readonly #own: SortedMap<Write> | undefined
  readonly #options: RowCursorOptions
  readonly #rows: SnapshotCursor
  #moves: number
  /** The last key handed out. */
  #last: Key | undefined
  /** The last own write dealt with. */
  #ownLast: Key | undefined
  #closed = false

  constructor(
    store: Store,
    source: Snapshot | HeldSnapshot,
    range: KeyRange,
    reverse: boolean,
    own: SortedMap<Write> | undefined,
    options: RowCursorOptions,
  ) {
    this.#store = store
    this.#held = 'snapshot' in source ? source : undefined
    const snapshot = 'snapshot' in source ? source.snapshot : source
    this.#snapshot = snapshot
    if (this.#held) store.iterators.releaseWith(this, this.#held)
    this.#range = range
    this.#reverse = reverse
    this.#own = own
    this.#options = options
    this.#moves = snapshot.moves
    this.#rows = new SnapshotCursor(store.epochs.window, snapshot, range, reverse, options)
  }

  /** The next row, or undefined when the range is exhausted (the cursor is then closed). */
  next(): EncodedRow | undefined {
    if (this.#closed) return undefined
    for (;;) {
      if (this.#snapshot.moves !== this.#moves) this.#seek()
      const row = this.#peek()
      if (row === 'moved') continue
      const own = this.#peekOwn()
      if (row === undefined && own === undefined) {
        this.#options.recorded?.exhausted()
        this.close()
        return undefined
      }
      if (own === undefined || (row !== undefined && this.#before(row.key, own.key))) {
        this.#rows.take()
        if (this.#options.hides?.(row!)) continue
        return this.#handOut(row!)
      }
      this.#ownLast = own.key
      if (row?.key === own.key) this.#rows.take()
      const { value } = own.write
      if (value !== undefined) return this.#handOut({ key: own.key, value })
    }
  }

  /** A committed row at the snapshot that the cursor reads at. The cursor has not been closed. */
  fetch(key: Key): SeenVersion | undefined {
    return this.#options.fetch ? this.#options.fetch(this.#snapshot, key) : this.#store.read(this.#snapshot, key)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    if (this.#held) this.#store.iterators.release(this.#held)
  }

  /** A loop that an error ends never calls `return`; what is held for it alone goes at once. */
  #peek(): SeenRow | 'moved' | undefined {
    try {
      return this.#rows.peek()
    } catch (error) {
      if (this.#held) this.close()
      throw error
    }
  }

  #handOut(row: EncodedRow): EncodedRow {
    this.#last = row.key
    this.#options.recorded?.consumedTo(row.key)
    return row
  }

  #seek(): void {
    this.#moves = this.#snapshot.moves
    this.#ownLast = this.#last
    this.#rows.seekAfter(this.#last, this.#range)
  }

  #peekOwn(): { key: Key; write: Write } | undefined {
    if (this.#own === undefined) return undefined
    const { lo, hi } = this.#range
    const pair = this.#reverse
      ? this.#own.nextLowerPair(this.#ownLast ?? hi)
      : this.#ownLast === undefined
        ? this.#own.getPairOrNextHigher(lo)
        : this.#own.nextHigherPair(this.#ownLast)
    return pair !== undefined && pair[0] >= lo && pair[0] < hi ? { key: pair[0], write: pair[1] } : undefined
  }

  #before(a: Key, b: Key): boolean {
    return this.#reverse ? a > b : a < b
  }
}
