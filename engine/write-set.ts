/**
 * What one transaction will install: the newest write of each key, the conditions its conditional writes stated, and the ranges it deleted. Savepoints mark
 * a position in an undo list; failing one undoes back to its mark. Reads are not here: they stay recorded whatever is undone.
 */
import type { Limits } from './limits.js'
import { sortedMap, type SortedMap } from './store/sorted-map.js'
import { checkTransactionSize } from './store/store.js'
import type { Key, KeyRange, WriteKind } from '../isolation/types.js'

export interface Write {
  /** Encoded; undefined deletes the row. */
  readonly value: Uint8Array | undefined
  readonly kind: WriteKind
}

/** What a conditional write found, stated anew so that it can be evaluated on the state at commit. */
export interface Condition {
  readonly key: Key
  /** `absent`, `present`, or the exact encoded value that must be there. */
  readonly expect: 'absent' | 'present' | { readonly value: Uint8Array | undefined }
}

/** A position to undo to. */
export interface Mark {
  readonly undo: number
  readonly conditions: number
  readonly deletedRanges: number
}

/** Bytes a write takes in a log record beside its key and value, at most. */
const writeOverheadBytes = 16

export class WriteSet {
  readonly #limits: Limits
  readonly #writes = new Map<Key, Write>()
  readonly conditions: Condition[] = []
  /** Ranges deleted as such: at commit whatever is then in them goes too. */
  readonly deletedRanges: KeyRange[] = []
  #undo: { key: Key; before: Write | undefined }[] | undefined
  #sorted: SortedMap<Write> | undefined
  #sizeBytes = 0

  constructor(limits: Limits) {
    this.#limits = limits
  }

  get size(): number {
    return this.#writes.size
  }

  get isEmpty(): boolean {
    return this.#writes.size === 0 && this.deletedRanges.length === 0
  }

  /** What the writes take in the log, at most. */
  get sizeBytes(): number {
    return this.#sizeBytes
  }

  get(key: Key): Write | undefined {
    return this.#writes.size === 0 ? undefined : this.#writes.get(key)
  }

  keys(): IterableIterator<Key> {
    return this.#writes.keys()
  }

  [Symbol.iterator](): IterableIterator<[Key, Write]> {
    return this.#writes.entries()
  }

  /** Replaces the write of `key`. Throws `TRANSACTION_TOO_LARGE`, having changed nothing. */
  set(key: Key, write: Write): void {
    const before = this.#writes.get(key)
    const sizeBytes = this.#sizeBytes + writeSizeBytes(key, write) - (before ? writeSizeBytes(key, before) : 0)
    checkTransactionSize(sizeBytes, this.#writes.size + (before ? 0 : 1), this.#limits)
    this.#sizeBytes = sizeBytes
    this.#undo?.push({ key, before })
    this.#writes.set(key, write)
    this.#sorted?.set(key, write)
  }

  /** An unchanging view of the writes in key order, or undefined where there are none. */
  sorted(): SortedMap<Write> | undefined {
    if (this.#writes.size === 0) return undefined
    this.#sorted ??= sortedMap([...this.#writes])
    return this.#sorted.clone()
  }

  mark(): Mark {
    this.#undo ??= []
    return { undo: this.#undo.length, conditions: this.conditions.length, deletedRanges: this.deletedRanges.length }
  }

  /** Undoes everything since the mark. */
  undoTo(mark: Mark): void {
    while (this.#undo!.length > mark.undo) {
      const { key, before } = this.#undo!.pop()!
      this.#sizeBytes -= writeSizeBytes(key, this.#writes.get(key)!)
      if (before !== undefined) {
        this.#sizeBytes += writeSizeBytes(key, before)
        this.#writes.set(key, before)
        this.#sorted?.set(key, before)
      } else {
        this.#writes.delete(key)
        this.#sorted?.delete(key)
      }
    }
    this.conditions.length = mark.conditions
    this.deletedRanges.length = mark.deletedRanges
  }
}

function writeSizeBytes(key: Key, write: Write): number {
  return key.length + (write.value?.length ?? 0) + writeOverheadBytes
}
