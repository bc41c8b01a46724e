/**
 * What one transaction will install: the newest write of each key, the conditions its conditional writes stated, and the ranges it deleted. Savepoints mark
 * a position in an undo list; failing one undoes back to its mark. Reads are not here: they stay recorded whatever is undone.
 */
import type { Limits } from './limits.js'
import { sortedMap, type SortedMap } from './store/sorted-map.js'
import { checkTransactionSize, type SeenVersion } from './store/store.js'
import type { RowEntry, StoredIndex } from './table/stored-index.js'
import type { StoredTable } from './table/stored-table.js'
import type { Key, KeyRange, WriteKind } from '../isolation/types.js'

export interface Write {
  /** Encoded; undefined deletes the row. */
  readonly value: Uint8Array | undefined
  readonly kind: WriteKind
  /** The row's table, where it is known. */
  readonly table?: StoredTable
  /** The row's entries in the indexes that its table had when it was written. */
  readonly entries?: RowEntries
}

export interface RowEntries {
  readonly indexes: readonly StoredIndex[]
  readonly all: readonly RowEntry[]
}

/** What a conditional write found, stated anew so that it can be evaluated on the state at commit. */
export interface Condition {
  readonly key: Key
  /** `absent`, `present`, or the version whose value must be there. */
  readonly expect: 'absent' | 'present' | SeenVersion
}

/** A position to undo to. */
export interface Mark {
  readonly undo: number
  readonly conditions: number
  readonly deletedRanges: number
  readonly tables: number
}

/** Bytes a write takes in a log record beside its key and value, at most. */
const writeOverheadBytes = 16

const none: readonly RowEntry[] = []

export class WriteSet {
  readonly #limits: Limits
  readonly #writes = new Map<Key, Write>()
  readonly conditions: Condition[] = []
  /** Ranges deleted as such: at commit whatever is then in them goes too. */
  readonly deletedRanges: KeyRange[] = []
  /** Tables written to, with the version that their rows had then. */
  readonly tables: Map<StoredTable, number> = new Map()
  #undo: { key: Key; before: Write | undefined }[] | undefined
  #sorted: SortedMap<Write> | undefined
  /** For which indexes of a table every row written has its entries. */
  #indexesOf: Map<StoredTable, readonly StoredIndex[]> | undefined
  /** The index entries of the rows written, each with its row's value. */
  #entries: SortedMap<Write> | undefined
  /** Unique index keys claimed, with how many rows claim each. */
  #claims: Map<Key, number> | undefined
  #sizeBytes = 0
  #entryCount = 0

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

  /** The keys of the rows written, and the unique index keys claimed for them. */
  keysAndClaims(): Iterable<Key> {
    return this.#claims === undefined ? this.#writes.keys() : [...this.#writes.keys(), ...this.#claims.keys()]
  }

  [Symbol.iterator](): IterableIterator<[Key, Write]> {
    return this.#writes.entries()
  }

  /** Replaces the write of `key`. Throws `TRANSACTION_TOO_LARGE`, having changed nothing. */
  set(key: Key, write: Write): void {
    const before = this.#writes.get(key)
    const sizeBytes = this.#sizeBytes + writeSizeBytes(key, write) - (before ? writeSizeBytes(key, before) : 0)
    const entries = this.#entryCount + entriesOf(write).length - (before ? entriesOf(before).length : 0)
    checkTransactionSize(sizeBytes, this.#writes.size + (before ? 0 : 1) + entries, this.#limits)
    this.#sizeBytes = sizeBytes
    this.#entryCount = entries
    this.#undo?.push({ key, before })
    this.#replace(key, before, write)
    const { table } = write
    if (table === undefined) return
    this.#note(table)
    if (write.value !== undefined && write.entries?.indexes !== table.indexes) this.#indexesOf?.delete(table)
  }

  /** Notes a range deleted as such. */
  deleteRange(range: KeyRange, table: StoredTable): void {
    this.deletedRanges.push(range)
    this.#note(table)
  }

  /** An unchanging view of the writes in key order, or undefined where there are none. */
  sorted(): SortedMap<Write> | undefined {
    if (this.#writes.size === 0) return undefined
    this.#sorted ??= sortedMap([...this.#writes])
    return this.#sorted.clone()
  }

  /**
   * An unchanging view of the index entries of the rows written, in the order of the entries; those of `table` for the indexes that it has now. Throws what the functions of indexes that were declared
   * after a row was written say of it.
   */
  sortedEntries(table: StoredTable): SortedMap<Write> | undefined {
    if (this.tables.has(table) && this.#indexesOf?.get(table) !== table.indexes) this.#deriveAnew(table)
    return this.#entries?.clone()
  }

  /** Rows may have been written before an index was declared. */
  #deriveAnew(table: StoredTable): void {
    const { indexes } = table
    const outdated = [...this.#writes].filter(([, write]) => write.table === table && write.value !== undefined && write.entries?.indexes !== indexes)
    const derived = outdated.map(([key, write]) => [key, write, { ...write, entries: { indexes, all: table.entriesOf(write.value!, key, undefined) } }] as const)
    for (const [key, before, after] of derived) {
      if (this.#writes.get(key) !== before) continue
      this.#sizeBytes += writeSizeBytes(key, after) - writeSizeBytes(key, before)
      this.#entryCount += entriesOf(after).length - entriesOf(before).length
      this.#replace(key, before, after)
    }
    this.#indexesOf ??= new Map()
    this.#indexesOf.set(table, indexes)
  }

  #note(table: StoredTable): void {
    if (!this.tables.has(table)) this.tables.set(table, table.version)
  }

  #replace(key: Key, before: Write | undefined, after: Write | undefined): void {
    if (after !== undefined) {
      this.#writes.set(key, after)
      this.#sorted?.set(key, after)
    } else {
      this.#writes.delete(key)
      this.#sorted?.delete(key)
    }
    for (const entry of before === undefined ? none : entriesOf(before)) {
      this.#entries!.delete(entry.own)
      if (entry.index.unique) this.#claim(entry.stored, -1)
    }
    for (const entry of after === undefined ? none : entriesOf(after)) {
      this.#entries ??= sortedMap()
      this.#entries.set(entry.own, after!)
      if (entry.index.unique) this.#claim(entry.stored, 1)
    }
  }

  #claim(key: Key, by: 1 | -1): void {
    this.#claims ??= new Map()
    const claims = (this.#claims.get(key) ?? 0) + by
    if (claims === 0) this.#claims.delete(key)
    else this.#claims.set(key, claims)
  }

  mark(): Mark {
    this.#undo ??= []
    return { undo: this.#undo.length, conditions: this.conditions.length, deletedRanges: this.deletedRanges.length, tables: this.tables.size }
  }

  /** Undoes everything since the mark. */
  undoTo(mark: Mark): void {
    while (this.#undo!.length > mark.undo) {
      const { key, before } = this.#undo!.pop()!
      const write = this.#writes.get(key)!
      this.#sizeBytes += (before === undefined ? 0 : writeSizeBytes(key, before)) - writeSizeBytes(key, write)
      this.#entryCount += (before === undefined ? 0 : entriesOf(before).length) - entriesOf(write).length
      this.#replace(key, write, before)
    }
    this.#indexesOf?.clear()
    for (const table of [...this.tables.keys()].slice(mark.tables)) this.tables.delete(table)
    this.conditions.length = mark.conditions
    this.deletedRanges.length = mark.deletedRanges
  }
}

/** With its index entries; what they take the place of is known at the commit only. */
function writeSizeBytes(key: Key, write: Write): number {
  let sizeBytes = key.length + (write.value?.length ?? 0) + writeOverheadBytes
  for (const { stored, value } of entriesOf(write)) sizeBytes += stored.length + value.length + writeOverheadBytes
  return sizeBytes
}

function entriesOf({ entries }: Write): readonly RowEntry[] {
  return entries === undefined ? none : entries.all
}
