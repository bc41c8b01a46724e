/**
 * Rows of a range as a transaction sees them: the snapshot's rows with the transaction's own writes, as they were when iteration began, laid over them.
 *
 * Where reads are recorded, each step extends the recorded interval up to the key that was handed out, and exhaustion extends it over the whole range. When
 * the snapshot moves (in this cursor's own step or in any other operation) prefetched rows are dropped and both sources are sought anew after the last
 * key handed out: what lies between it and the cursor's position was never vouched for.
 */
import type { RangeRead } from '../isolation/read-set.js'
import { successor, type CommitTs, type Key, type KeyRange } from '../isolation/types.js'
import type { Snapshot } from './store/epochs.js'
import type { HeldSnapshot } from './store/iterator-snapshots.js'
import { SnapshotCursor, type SeenRow, type SnapshotCursorOptions } from './store/snapshot-cursor.js'
import type { SortedMap } from './store/sorted-map.js'
import type { SeenVersion, Store } from './store/store.js'
import type { Write } from './write-set.js'

export interface RowCursorOptions extends SnapshotCursorOptions {
  readonly recorded?: RangeRead | undefined
  readonly hides?: Hides | undefined
  readonly places?: Places | undefined
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

/** Where rows lie among own writes that are not kept under their keys: entries of a unique index are among a transaction's own by index key and row key. */
export interface Places {
  /** Of a committed row among own writes. */
  placeOf(row: SeenRow): Key
  /** The key that a committed row has, or would have, which lies at a place. */
  keyAt(place: Key): Key
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
  /** The last place handed out; without `places`, the last key. */
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
      const place = row && this.#placeOf(row)
      if (row !== undefined && this.#isPassed(place!)) {
        this.#rows.take()
        continue
      }
      if (own === undefined || (row !== undefined && this.#before(place!, own.key))) {
        this.#rows.take()
        if (this.#options.hides?.(row!)) continue
        return this.#handOut(row!, place!)
      }
      this.#ownLast = own.key
      if (place === own.key) this.#rows.take()
      const { value } = own.write
      if (value !== undefined) return this.#handOut({ key: own.key, value }, own.key)
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

  #handOut(row: EncodedRow, place: Key): EncodedRow {
    this.#last = place
    const { recorded, places } = this.#options
    // A committed row at the same key that is still to come is relied on already: what is recorded only grows.
    recorded?.consumedTo(places ? places.keyAt(place) : place)
    return row
  }

  #seek(): void {
    this.#moves = this.#snapshot.moves
    this.#ownLast = this.#last
    const { places } = this.#options
    if (places === undefined || this.#last === undefined) return this.#rows.seekAfter(this.#last, this.#range)
    // The committed row at that key may be before the place or behind it.
    const { lo, hi } = this.#range
    const key = places.keyAt(this.#last)
    this.#rows.seekAfter(undefined, this.#reverse ? { lo, hi: key < hi ? successor(key) : hi } : { lo: key > lo ? key : lo, hi })
  }

  #placeOf(row: SeenRow): Key {
    return this.#options.places ? this.#options.places.placeOf(row) : row.key
  }

  /** Behind a place that was handed out there is only what comes after it. */
  #isPassed(place: Key): boolean {
    return this.#options.places !== undefined && this.#last !== undefined && !this.#before(this.#last, place)
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
