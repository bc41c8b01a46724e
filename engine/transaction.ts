/** The handle that a transaction's body gets: checks who may act now, and turns tables, keys and values into the bytes that its attempt works with. */
import type { Attempt } from './attempt.js'
import { ConstraintError, UsageError } from './errors.js'
import { countEntries, endIndexRow, indexRowsOf, readUnique, type IndexEntry, type IndexRow } from './index-rows.js'
import { countRows, endRow, forEachKey, listOf, readRow, rowsOf, type Iterated, type Row, type Rows, type RowSource } from './rows.js'
import { isPromise } from './promises.js'
import type { RowCursor, Seen } from './row-cursor.js'
import { keyText, type TableCodec } from './table/codec.js'
import type { IndexCodec } from './table/index-codec.js'
import type { IndexRangeOptions, RangeOptions } from './table/definition.js'
import { Index, type AnyIndex } from './table/index-handle.js'
import { Table, type AnyTable } from './table/table.js'
import type { StoredIndex } from './table/stored-index.js'
import type { FoundRow } from './view.js'
import type { Condition } from './write-set.js'
import { noTs, type Key, type KeyRange, type WriteKind } from '../isolation/types.js'

/**
 * A running transaction. Reads are synchronous, see the transaction's snapshot with its own writes over it, and at level `serializable` are part of its premise: rows found,
 * rows found absent, and the whole stretch of a range that was looked at. Writes are kept until the commit.
 *
 * Every operation may throw `CONFLICT` (the premise is already outdated), `TRANSACTION_ENDED`, `SAVEPOINT_ACTIVE`, `TIMEOUT`, `CANCELLED`, `POISONED`, `CLOSED`,
 * `SNAPSHOT_TOO_OLD`, `INVALID_KEY`, `KEY_TOO_LARGE`, `FOREIGN_TABLE`, `TRANSACTION_TOO_LARGE`; every write also `READ_ONLY`, `INVALID_VALUE`, `VALUE_TOO_LARGE`, `SCHEMA`.
 */
export class Transaction {
  /** Counts from 1; a body that runs again after a conflict sees a higher number. */
  readonly attempt: number
  readonly #attempt: Attempt
  readonly #source: RowSource

  /** @internal */
  constructor(attempt: Attempt, number: number) {
    this.attempt = number
    this.#attempt = attempt
    attempt.handles.push(this)
    this.#source = new HandleSource(attempt, this)
  }

  /** The row, or undefined where it is absent. Either way it is relied on. */
  get<K, In, Out, Bound>(table: Table<K, In, Out, Bound>, key: NoInfer<K>): Out | undefined
  /** The row that holds a key of a unique index, or undefined where none does. Either way that is relied on, and the row. */
  get<IK, K, Out, Bound>(index: Index<IK, K, Out, Bound, true>, indexKey: NoInfer<IK>): IndexRow<IK, K, Out> | undefined
  get(source: AnyTable | AnyIndex, key: unknown): unknown {
    return Index.is(source) ? readUnique(this.#source, this.#useIndex(source), key) : readRow(this.#source, this.#use(source), key)
  }

  /** The rows of several keys, in the order of the keys. */
  getMany<K, In, Out, Bound>(table: Table<K, In, Out, Bound>, keys: Iterable<NoInfer<K>>): (Out | undefined)[] {
    const all = listOf(keys)
    const codec = this.#use(table)
    return all.map(key => readRow(this.#source, codec, key))
  }

  /** Whether the row is there. Relied on as `get` is. */
  has<K, In, Out, Bound>(table: Table<K, In, Out, Bound>, key: NoInfer<K>): boolean {
    return this.#attempt.view.get(this.#use(table).encodeKey(key))?.value !== undefined
  }

  /** The rows of a range. What is relied on grows with each step: up to the last row taken, or all of the range once it is exhausted. */
  range<K, In, Out, Bound>(table: Table<K, In, Out, Bound>, options?: RangeOptions<NoInfer<Bound>>): Rows<K, Out>
  /** The entries of a range of an index: index keys and row keys. The rows are not read. */
  range<IK, K, Out, Bound>(index: Index<IK, K, Out, Bound>, options: IndexRangeOptions<NoInfer<Bound>> & { readonly keysOnly: true }): Iterated<IndexEntry<IK, K>>
  /** The rows of a range of an index, in the order of index keys and then of row keys. Relied on are the stretch of index keys that was looked at, and the rows handed out. */
  range<IK, K, Out, Bound>(index: Index<IK, K, Out, Bound>, options?: IndexRangeOptions<NoInfer<Bound>> & { readonly keysOnly?: false }): Iterated<IndexRow<IK, K, Out>>
  range(source: AnyTable | AnyIndex, options?: IndexRangeOptions<unknown>): unknown {
    return Index.is(source) ? indexRowsOf(this.#source, this.#useIndex(source), options) : rowsOf(this.#source, this.#use(source), options)
  }

  /** How many rows a range holds. Relies on all of the range. */
  count<K, In, Out, Bound>(table: Table<K, In, Out, Bound>, options?: RangeOptions<NoInfer<Bound>>): number
  /** How many entries a range of an index holds. Relies on all of the range. */
  count<IK, K, Out, Bound>(index: Index<IK, K, Out, Bound>, options?: RangeOptions<NoInfer<Bound>>): number
  count(source: AnyTable | AnyIndex, options?: RangeOptions<unknown>): number {
    return Index.is(source) ? countEntries(this.#source, this.#useIndex(source), options) : countRows(this.#source, this.#use(source), options)
  }

  /** The first row of a range. Relies on the range up to that row. */
  first<K, In, Out, Bound>(table: Table<K, In, Out, Bound>, options?: RangeOptions<NoInfer<Bound>>): Row<K, Out> | undefined
  /** The first entry of a range of an index. The row is not read. */
  first<IK, K, Out, Bound>(index: Index<IK, K, Out, Bound>, options: IndexRangeOptions<NoInfer<Bound>> & { readonly keysOnly: true }): IndexEntry<IK, K> | undefined
  /** The row of the first entry of a range of an index. */
  first<IK, K, Out, Bound>(index: Index<IK, K, Out, Bound>, options?: IndexRangeOptions<NoInfer<Bound>> & { readonly keysOnly?: false }): IndexRow<IK, K, Out> | undefined
  first(source: AnyTable | AnyIndex, options?: IndexRangeOptions<unknown>): unknown {
    return Index.is(source) ? endIndexRow(this.#source, this.#useIndex(source), 'first', options) : endRow(this.#source, this.#use(source), 'first', options)
  }

  /** The last row of a range. Relies on the range from that row on. */
  last<K, In, Out, Bound>(table: Table<K, In, Out, Bound>, options?: RangeOptions<NoInfer<Bound>>): Row<K, Out> | undefined
  /** The last entry of a range of an index. The row is not read. */
  last<IK, K, Out, Bound>(index: Index<IK, K, Out, Bound>, options: IndexRangeOptions<NoInfer<Bound>> & { readonly keysOnly: true }): IndexEntry<IK, K> | undefined
  /** The row of the last entry of a range of an index. */
  last<IK, K, Out, Bound>(index: Index<IK, K, Out, Bound>, options?: IndexRangeOptions<NoInfer<Bound>> & { readonly keysOnly?: false }): IndexRow<IK, K, Out> | undefined
  last(source: AnyTable | AnyIndex, options?: IndexRangeOptions<unknown>): unknown {
    return Index.is(source) ? endIndexRow(this.#source, this.#useIndex(source), 'last', options) : endRow(this.#source, this.#use(source), 'last', options)
  }

  /** Writes the row whatever was there. Blind: relies on nothing, so at `serializable` it never conflicts. */
  put<K, In, Out, Bound>(table: Table<K, In, Out, Bound>, key: NoInfer<K>, value: NoInfer<In>): void {
    const codec = this.#useToWrite(table)
    this.#write(codec, codec.encodeKey(key), codec.encodeValue(value, key), 'put')
  }

  /** Removes the row, if there is one. Blind, as `put`. */
  delete<K, In, Out, Bound>(table: Table<K, In, Out, Bound>, key: NoInfer<K>): void {
    const codec = this.#useToWrite(table)
    this.#write(codec, codec.encodeKey(key), undefined, 'delete')
  }

  /** Writes a row that must be absent, which is relied on. Throws `ROW_EXISTS`. */
  insert<K, In, Out, Bound>(table: Table<K, In, Out, Bound>, key: NoInfer<K>, value: NoInfer<In>): void {
    const codec = this.#useToWrite(table)
    const encoded = codec.encodeKey(key)
    const bytes = codec.encodeValue(value, key)
    const isOwn = this.#isOwn(encoded)
    if (this.#readForWrite(encoded)?.value !== undefined) {
      throw new ConstraintError('ROW_EXISTS', `Row ${keyText(key)} of table ${JSON.stringify(table.name)} exists already.`, { table: table.name, key })
    }
    this.#write(codec, encoded, bytes, 'insert', isOwn ? undefined : 'absent')
  }

  /** Replaces a row by what `change` makes of it; the row is relied on. Throws `ROW_ABSENT`. */
  update<K, In, Out, Bound>(table: Table<K, In, Out, Bound>, key: NoInfer<K>, change: (value: Out) => NoInfer<In>): void {
    const codec = this.#useToWrite(table)
    const encoded = codec.encodeKey(key)
    if (typeof change !== 'function') throw new UsageError('INVALID_ARGUMENT', 'update needs a function that makes the new value from the present one.')
    const isOwn = this.#isOwn(encoded)
    const seen = this.#readForWrite(encoded)
    if (seen?.value === undefined) {
      throw new ConstraintError('ROW_ABSENT', `Row ${keyText(key)} of table ${JSON.stringify(table.name)} is absent.`, { table: table.name, key })
    }
    const next = change(codec.decodeValue(seen.value, encoded, seen.ts))
    if (isPromise(next)) next.then(undefined, () => {}) // refused below as a value; its rejection must not surface as an unhandled one
    this.#write(codec, encoded, codec.encodeValue(next, key), 'put', isOwn ? undefined : 'present')
  }

  /**
   * Writes `next` (undefined deletes) where the row equals `expected` (undefined: absent), compared as encoded; returns whether it did. The row is relied on
   * either way.
   */
  compareAndSet<K, In, Out, Bound>(table: Table<K, In, Out, Bound>, key: NoInfer<K>, expected: NoInfer<Out> | undefined, next: NoInfer<In> | undefined): boolean {
    const codec = this.#useToWrite(table)
    const encoded = codec.encodeKey(key)
    const value = expected === undefined ? undefined : codec.encodeUnchecked(expected)
    const bytes = next === undefined ? undefined : codec.encodeValue(next, key)
    this.#source.assertActive()
    const isOwn = this.#isOwn(encoded)
    const found = codec.bytesOf(encoded, this.#attempt.view.get(encoded))
    const present = found?.asOfNow
    const equal = present === undefined || value === undefined ? present === value : Buffer.compare(present, value) === 0
    if (!equal) return false
    this.#write(codec, encoded, bytes, bytes === undefined ? 'delete' : 'put', isOwn ? undefined : { value: found?.stored, ts: found?.ts ?? noTs })
    return true
  }

  /** Deletes the rows of a range and returns how many there were. Relies on all of the range (up to the limit, where one is given). */
  deleteRange<K, In, Out, Bound>(table: Table<K, In, Out, Bound>, options?: RangeOptions<NoInfer<Bound>>): number {
    const codec = this.#useToWrite(table)
    const keys: Key[] = []
    forEachKey(this.#source, codec, options, key => keys.push(key))
    const { writes } = this.#attempt
    const mark = writes.mark()
    try {
      for (const key of keys) this.#write(codec, key, undefined, 'delete')
    } catch (error) {
      writes.undoTo(mark) // TRANSACTION_TOO_LARGE, perhaps in the middle: all of it or nothing
      throw error
    }
    const { range, limit } = codec.range(options)
    if (limit === Infinity) writes.deleteRange(range, codec.table)
    return keys.length
  }

  /** Calls `hook` once the transaction is durable (for a relaxed one: installed), before its promise resolves; never for an attempt that failed. */
  onCommit(hook: () => void): void {
    this.#source.assertActive()
    if (typeof hook !== 'function') throw new UsageError('INVALID_ARGUMENT', 'tx.onCommit needs a function.')
    this.#attempt.hooks.push(hook)
  }

  /**
   * Runs `body` as a savepoint: if it throws or rejects, its writes and its onCommit hooks are dropped, its reads stay relied on, and the error is thrown
   * on. One at a time; meanwhile the outer handle throws `SAVEPOINT_ACTIVE`. A savepoint is never retried: a conflict ends the whole transaction.
   */
  transaction<T>(body: (tx: Transaction) => Promise<T>): Promise<T>
  transaction<T>(body: (tx: Transaction) => T): T
  transaction<T>(body: (tx: Transaction) => T | Promise<T>): T | Promise<T> {
    this.#source.assertActive()
    if (typeof body !== 'function') throw new UsageError('INVALID_ARGUMENT', 'tx.transaction needs a function.')
    const attempt = this.#attempt
    const mark = attempt.writes.mark()
    const hooks = attempt.hooks.length
    const child = new Transaction(attempt, this.attempt)
    const end = (kept: boolean): void => {
      // The attempt may have ended meanwhile (deadline, signal), or the savepoint have been undone with the one around it.
      const at = attempt.handles.indexOf(child)
      if (!attempt.isOpen || at === -1) return
      const isInnermost = at === attempt.handles.length - 1
      attempt.handles.length = at
      if (kept && !isInnermost) {
        const error = new UsageError('SAVEPOINT_ACTIVE', 'A savepoint ended before a savepoint inside it had; the transaction was aborted.')
        attempt.end(error)
        throw error
      }
      if (kept) return
      attempt.writes.undoTo(mark)
      attempt.hooks.length = hooks
    }
    let result: T | Promise<T>
    try {
      result = attempt.engine.guard.inside(() => body(child))
    } catch (error) {
      end(false)
      throw error
    }
    if (!isPromise(result)) {
      end(true)
      return result
    }
    return Promise.resolve(result).then(
      value => {
        end(true)
        return value
      },
      (error: unknown) => {
        end(false)
        throw error
      },
    )
  }

  #use<K, In, Out, Bound>(table: Table<K, In, Out, Bound>): TableCodec<K, In, Out, Bound> {
    this.#source.assertActive()
    const codec = Table.codecOf(table, this.#attempt.engine)
    this.#attempt.use(codec.table)
    return codec
  }

  #useIndex<IK, K, Out, Bound>(index: Index<IK, K, Out, Bound>): IndexCodec<K, unknown, Out, unknown> {
    this.#source.assertActive()
    const codec = Index.codecOf(index, this.#attempt.engine)
    this.#attempt.use(codec.index.table)
    this.#attempt.use(codec.index)
    return codec
  }

  #useToWrite<K, In, Out, Bound>(table: Table<K, In, Out, Bound>): TableCodec<K, In, Out, Bound> {
    const codec = this.#use(table)
    this.#attempt.assertMayWrite()
    codec.table.assertMayWrite()
    return codec
  }

  /** A condition on a row that the transaction has written itself says nothing of others. */
  #isOwn(key: Key): boolean {
    return this.#attempt.writes.get(key) !== undefined
  }

  /** Reads a row that a conditional write depends on. */
  #readForWrite(key: Key): Seen | undefined {
    this.#source.assertActive()
    return this.#attempt.view.get(key)
  }

  /**
   * Notes a write with its index entries, claims those of unique indexes, and notes the condition that the write will have to meet at commit. Asserts anew: the functions that made value and entries may
   * have done anything.
   */
  #write<K, In, Out, Bound>({ table, version }: TableCodec<K, In, Out, Bound>, key: Key, value: Uint8Array | undefined, kind: WriteKind, expect?: Condition['expect']): void {
    const { indexes } = table
    const all = value === undefined || indexes.length === 0 ? undefined : table.entriesOf(value, key, undefined)
    this.#source.assertActive()
    this.#attempt.assertMayWrite()
    table.assertCurrent(version)
    const { view, writes } = this.#attempt
    for (const { index, stored } of all ?? []) if (index.unique) view.rely(stored)
    writes.set(key, all === undefined ? { value, kind, table } : { value, kind, table, entries: { indexes, all } })
    if (expect !== undefined && view.policy.conditionsAtCommit) writes.conditions.push({ key, expect })
  }
}

/** What one handle reads through. */
class HandleSource implements RowSource {
  readonly #attempt: Attempt
  readonly #handle: Transaction

  constructor(attempt: Attempt, handle: Transaction) {
    this.#attempt = attempt
    this.#handle = handle
  }

  assertActive(): void {
    this.#attempt.assertActive(this.#handle)
  }

  get(key: Key): Seen | undefined {
    return this.#attempt.view.get(key)
  }

  getByIndex(index: StoredIndex, entry: Key, ownEntries: KeyRange): FoundRow | undefined {
    return this.#attempt.view.getByIndex(index, entry, ownEntries)
  }

  openIndex(index: StoredIndex, range: KeyRange, reverse: boolean, limit: number): RowCursor {
    return this.#attempt.view.openIndex(index, range, reverse, limit)
  }

  open(range: KeyRange, reverse: boolean, limit: number): RowCursor {
    return this.#attempt.view.open(range, reverse, limit)
  }
}
