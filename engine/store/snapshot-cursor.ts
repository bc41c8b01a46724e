/**
 * Rows of a key range as they are at a snapshot, in key order: the window's versions in (F, S] merged over the rows of the pinned root.
 *
 * The cursor reads the root in chunks and holds nothing native. When its snapshot moves it must be told where to go on (`seekAfter`): what it has
 * prefetched or skipped belongs to the old timestamp.
 */
import { successor, type CommitTs, type Key, type KeyRange } from '../../isolation/types.js'
import type { StoredRow } from '../lmdb/row-file.js'
import type { Snapshot } from './epochs.js'
import { versionIn, type Version, type Window } from './window.js'

const firstChunkRows = 16
const chunkRowsMax = 256
/** A chunk that holds more than this does not grow further. */
const chunkSizeBytes = 256 * 1_024

export interface SeenRow {
  readonly key: Key
  readonly ts: CommitTs
  readonly value: Uint8Array
}

/** Told of a key in the range that has a version newer than the snapshot. Returns true where it moved the snapshot. */
export type OnNewer = (newest: Version) => boolean
/** Told of every version from the window that the cursor passed, tombstones included. */
export type OnSeen = (ts: CommitTs) => void

export interface SnapshotCursorOptions {
  readonly onNewer?: OnNewer | undefined
  readonly onSeen?: OnSeen | undefined
  /** How many rows will be taken, where that is known: each call into the native library costs as much as several rows. */
  readonly expectedRows?: number | undefined
}

export class SnapshotCursor {
  readonly #window: Window
  readonly #snapshot: Snapshot
  readonly #reverse: boolean
  readonly #onNewer: OnNewer | undefined
  readonly #onSeen: OnSeen | undefined
  /** What is still to come, when `#passed` is taken away. */
  #lo: Key
  #hi: Key
  /** The last key dealt with. What comes after it is made when it is asked for. */
  #passed: Key | undefined
  #rows: readonly StoredRow[] = []
  #nextRow = 0
  #chunkRows: number
  #rootExhausted = false
  /** The next key of the window in the range; undefined: not looked up; null: there is none. */
  #windowKey: Key | null | undefined
  /** `Window.entered` when it was looked up. */
  #windowEntered = 0
  /** The row that `peek` found and `next` has not taken. */
  #peeked: SeenRow | undefined

  constructor(window: Window, snapshot: Snapshot, range: KeyRange, reverse: boolean, options: SnapshotCursorOptions = {}) {
    this.#window = window
    this.#snapshot = snapshot
    this.#lo = range.lo
    this.#hi = range.hi
    this.#reverse = reverse
    this.#onNewer = options.onNewer
    this.#onSeen = options.onSeen
    this.#chunkRows = Math.max(1, Math.min(options.expectedRows ?? firstChunkRows, chunkRowsMax))
  }

  /** The next row without taking it, `'moved'` where the snapshot was moved meanwhile, undefined at the end. */
  peek(): SeenRow | 'moved' | undefined {
    // Throws where the snapshot's root was given up: the window no longer keeps what belongs over it.
    void this.#snapshot.root
    while (this.#peeked === undefined) {
      // A newer row between here and there is invisible at the snapshot, but must be met.
      if (this.#windowKey === undefined || (this.#onNewer && this.#windowEntered !== this.#window.entered)) this.#windowKey = this.#findWindowKey()
      if (this.#nextRow === this.#rows.length && !this.#rootExhausted) this.#readChunk()
      const row = this.#rows[this.#nextRow]
      const windowKey = this.#windowKey
      if (windowKey === null || (row !== undefined && this.#before(row.key, windowKey))) {
        if (row === undefined) return undefined
        this.#nextRow++
        this.#passed = row.key
        this.#peeked = row
        break
      }
      const head = this.#window.newest(windowKey)
      if (head !== undefined && head.ts > this.#snapshot.ts && this.#onNewer?.(head)) return 'moved'
      const version = versionIn(head, this.#snapshot.appliedTs, this.#snapshot.ts)
      const sameRow = row?.key === windowKey
      if (sameRow) this.#nextRow++
      this.#passed = windowKey
      this.#windowKey = undefined
      if (version !== undefined) {
        this.#onSeen?.(version.ts)
        if (version.value !== undefined) this.#peeked = version as SeenRow
      } else if (sameRow) this.#peeked = row
    }
    return this.#peeked
  }

  /** Takes the row that `peek` returned. */
  take(): void {
    this.#peeked = undefined
  }

  /** Drops everything prefetched and goes on behind `key`, or from the start of `range` where nothing was taken yet. */
  seekAfter(key: Key | undefined, range: KeyRange): void {
    this.#lo = range.lo
    this.#hi = range.hi
    this.#passed = key
    this.#rows = []
    this.#nextRow = 0
    this.#rootExhausted = false
    this.#windowKey = undefined
    this.#peeked = undefined
  }

  #before(a: Key, b: Key): boolean {
    return this.#reverse ? a > b : a < b
  }

  #cutPassed(): void {
    if (this.#passed === undefined) return
    if (this.#reverse) this.#hi = this.#passed
    else this.#lo = successor(this.#passed)
    this.#passed = undefined
  }

  #findWindowKey(): Key | null {
    this.#cutPassed()
    this.#windowEntered = this.#window.entered
    const key = this.#reverse ? this.#window.keyBefore(this.#hi) : this.#window.keyFrom(this.#lo)
    if (key === undefined || key < this.#lo || key >= this.#hi) return null
    return key
  }

  #readChunk(): void {
    this.#cutPassed()
    const range = { lo: this.#lo, hi: this.#hi }
    const { rows, complete } = this.#snapshot.root.chunk(range, this.#reverse, this.#chunkRows, chunkSizeBytes)
    this.#rows = rows
    this.#nextRow = 0
    this.#rootExhausted = complete
    if (rows.length === this.#chunkRows) this.#chunkRows = Math.min(this.#chunkRows * 4, chunkRowsMax)
  }
}
