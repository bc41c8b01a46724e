/** An open database: tables, transactions, and operations of one step. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Engine } from './attempt.js'
import { checkOpen, type CheckOptions, type CheckReport } from './check.js'
import type { KeyElementType } from './encoding/key-elements.js'
import { UsageError } from './errors.js'
import { transactionSettings, type BeginOptions, type Settings, type TransactionOptions } from './options.js'
import { RowCursor } from './row-cursor.js'
import { countEntries, endIndexRow, indexRowsOf, readUnique, type IndexEntry, type IndexRow } from './index-rows.js'
import { countRows, endRow, listOf, readRow, rowsOf, type Iterated, type Row, type Rows, type RowSource } from './rows.js'
import { beginManual, run, runSync, type ManualTransaction } from './run.js'
import { statsOf, type Stats } from './stats.js'
import { compactRowFile, type CompactionPlace, type CompactReport } from './store/compaction.js'
import type { Snapshot } from './store/epochs.js'
import { asStorageError } from './system-errors.js'
import type { TableCodec } from './table/codec.js'
import type { TableDescription } from './table/catalog.js'
import type { BoundOf, IndexDefinitions, IndexRangeOptions, KeyOf, RangeOptions, TableDefinition } from './table/definition.js'
import type { IndexCodec } from './table/index-codec.js'
import { Index, type AnyIndex, type IndexesOf } from './table/index-handle.js'
import { Table, type AnyTable } from './table/table.js'
import type { Transaction } from './transaction.js'
import { expectedOf } from './view.js'

/** Options of an operation that is a transaction of its own. */
export type WriteOptions = Omit<TransactionOptions, 'readOnly'>

export class Database {
  readonly #engine: Engine
  readonly #source: RowSource
  #closing: Promise<void> | undefined

  /** @internal Use `open`. */
  constructor(engine: Engine) {
    this.#engine = engine
    const { store } = engine
    const atNewest = <T>(read: (snapshot: Snapshot) => T): T => {
      const snapshot = store.epochs.acquire(store.acknowledgedTs, false)
      try {
        return read(snapshot)
      } finally {
        store.epochs.release(snapshot)
      }
    }
    const open: RowSource['open'] = (range, reverse, limit) =>
      new RowCursor(store, store.iterators.acquire(store.acknowledgedTs), range, reverse, undefined, { expectedRows: expectedOf(limit) })
    this.#source = {
      assertActive: () => {
        // Also where a range that was asked for outside is iterated inside.
        engine.guard.assertOutside('range')
        store.assertUsable()
      },
      get: key => atNewest(snapshot => store.read(snapshot, key)),
      open,
      getByIndex: (index, entry) => {
        index.assertReady(store.acknowledgedTs)
        return atNewest(snapshot => {
          const holder = store.read(snapshot, entry)
          if (holder?.value === undefined) return undefined
          const key = index.rowKeyOf(entry, holder.value)
          return { key, seen: store.read(snapshot, key) }
        })
      },
      openIndex: (index, range, reverse, limit) => {
        index.assertReady(store.acknowledgedTs)
        return open(range, reverse, limit)
      },
    }
  }

  /**
   * The handle of a table, which is made if there is none of that name. What is declared differently from how it is stored (indexes, the version of the rows) is changed: at once in the catalog, and in steps
   * where rows must be read for it. The handle can be used at once; `await table.ready` waits until all that is done and on disk.
   *
   * Throws `INVALID_ARGUMENT`; `NOT_SYNCHRONOUS` for a schema that is asynchronous; `TABLE_MISMATCH`, naming the difference, where the table is stored with another key or a newer version, or must be
   * migrated and "migrate" is missing; `DISK_FULL`, `POISONED`, `CLOSED`.
   */
  table<const T extends readonly KeyElementType[], S extends StandardSchemaV1 = StandardSchemaV1>(
    name: string,
    definition: TableDefinition<T, S> & { readonly indexes?: undefined },
  ): Table<KeyOf<T>, StandardSchemaV1.InferInput<S>, StandardSchemaV1.InferOutput<S>, BoundOf<T>>
  table<
    const T extends readonly KeyElementType[],
    S extends StandardSchemaV1 = StandardSchemaV1,
    I extends IndexDefinitions<StandardSchemaV1.InferOutput<S>> = IndexDefinitions<StandardSchemaV1.InferOutput<S>>,
  >(
    name: string,
    definition: TableDefinition<T, S, I>,
  ): Table<KeyOf<T>, StandardSchemaV1.InferInput<S>, StandardSchemaV1.InferOutput<S>, BoundOf<T>, IndexesOf<I, KeyOf<T>, StandardSchemaV1.InferOutput<S>>>
  table(name: string, definition: TableDefinition<readonly KeyElementType[], StandardSchemaV1>): AnyTable {
    return this.#engine.catalog.table(name, definition, this.#engine)
  }

  /** The tables there are, with their indexes: plain data. Throws `POISONED`, `CLOSED`. */
  tables(): TableDescription[] {
    this.#engine.store.assertUsable()
    return this.#engine.catalog.describe()
  }

  /**
   * Gives a table another name. Its handles stay valid; transactions that use it meanwhile conflict, and run again. Resolves when that is on disk. Rejects with `INVALID_ARGUMENT` where there is no
   * such table, or one of the new name; `OUTSIDE_TRANSACTION`, `DISK_FULL`, `POISONED`, `CLOSED`, `COMMIT_UNKNOWN`.
   */
  async renameTable(name: string, newName: string): Promise<void> {
    this.#engine.guard.assertOutside('renameTable')
    await this.#engine.catalog.rename(name, newName)
  }

  /**
   * Drops a table with its indexes. Its handles end (`TABLE_DROPPED`); transactions that use it meanwhile conflict, or end with `TABLE_DROPPED`. Resolves when that is on disk; the space becomes free in
   * steps. Rejects as `renameTable`.
   */
  async dropTable(name: string): Promise<void> {
    this.#engine.guard.assertOutside('dropTable')
    await this.#engine.catalog.drop(name)
  }

  /**
   * Runs `body` as a transaction, again on a new snapshot whenever its premise was outdated, and resolves to what it returned once that is on disk. The body may be synchronous or
   * asynchronous; it may run several times, so what it does beside the transaction must bear repeating.
   *
   * Rejects with what the body threw (nothing was changed); `RETRIES_EXHAUSTED`, `TIMEOUT`, `CANCELLED`; `ROW_EXISTS`, `ROW_ABSENT` where a condition fails at
   * commit; `TRANSACTION_TOO_LARGE`, `TOO_MANY_TRANSACTIONS`, `SNAPSHOT_TOO_OLD`, `DISK_FULL`, `COMMIT_UNKNOWN`, `POISONED`, `CLOSED`; `SAVEPOINT_ACTIVE` where the body ended before a savepoint of it.
   */
  transaction<T>(body: (tx: Transaction) => T | PromiseLike<T>, options?: TransactionOptions): Promise<T> {
    try {
      return run(this.#engine, this.#body(body, 'transaction'), this.#settings(options))
    } catch (error) {
      return Promise.reject(error as Error)
    }
  }

  /**
   * Runs a synchronous `body` as a transaction and returns when it is on disk. It takes its place in the one commit order, also while others wait for a sync. Throws what
   * `transaction` rejects with, and `NOT_SYNCHRONOUS` where the body returns a promise.
   */
  transactionSync<T>(body: (tx: Transaction) => T, options?: TransactionOptions): T {
    return runSync(this.#engine, this.#body(body, 'transactionSync'), this.#settings(options))
  }

  /** Begins a transaction that its owner commits or aborts. It is never retried, and ends by itself at its deadline. */
  begin(options?: BeginOptions): ManualTransaction {
    this.#engine.guard.assertOutside('begin')
    const settings = this.#settings(options)
    if (options && 'maxAttempts' in options) throw new UsageError('INVALID_ARGUMENT', 'A transaction begun by db.begin is never retried; leave out "maxAttempts".')
    return beginManual(this.#engine, settings)
  }

  /** Runs `body` with one-shot calls allowed where they would be refused: they act beside the transaction around them. */
  outside<T>(body: () => T): T {
    if (typeof body !== 'function') throw new UsageError('INVALID_ARGUMENT', 'db.outside needs a function.')
    return this.#engine.guard.outside(body)
  }

  /** The row at the newest acknowledged commit, or undefined where it is absent. */
  get<K, In, Out, Bound>(table: Table<K, In, Out, Bound>, key: NoInfer<K>): Out | undefined
  /** The row that holds a key of a unique index, or undefined where none does. As of the newest acknowledged commit. */
  get<IK, K, Out, Bound>(index: Index<IK, K, Out, Bound, true>, indexKey: NoInfer<IK>): IndexRow<IK, K, Out> | undefined
  get(source: AnyTable | AnyIndex, key: unknown): unknown {
    return Index.is(source) ? readUnique(this.#source, this.#useIndex(source, 'get'), key) : readRow(this.#source, this.#use(source, 'get'), key)
  }

  /** The rows of several keys, in the order of the keys, at one commit. */
  getMany<K, In, Out, Bound>(table: Table<K, In, Out, Bound>, keys: Iterable<NoInfer<K>>): (Out | undefined)[] {
    const all = listOf(keys) // before reading: what yields them may commit something
    const codec = this.#use(table, 'getMany')
    return all.map(key => readRow(this.#source, codec, key))
  }

  /** Whether the row is there. */
  has<K, In, Out, Bound>(table: Table<K, In, Out, Bound>, key: NoInfer<K>): boolean {
    return this.#source.get(this.#use(table, 'has').encodeKey(key))?.value !== undefined
  }

  /** The rows of a range; each iteration stays at the newest commit that was acknowledged when it began. */
  range<K, In, Out, Bound>(table: Table<K, In, Out, Bound>, options?: RangeOptions<NoInfer<Bound>>): Rows<K, Out>
  /** The entries of a range of an index: index keys and row keys. The rows are not read. */
  range<IK, K, Out, Bound>(index: Index<IK, K, Out, Bound>, options: IndexRangeOptions<NoInfer<Bound>> & { readonly keysOnly: true }): Iterated<IndexEntry<IK, K>>
  /** The rows of a range of an index, in the order of index keys and then of row keys. */
  range<IK, K, Out, Bound>(index: Index<IK, K, Out, Bound>, options?: IndexRangeOptions<NoInfer<Bound>> & { readonly keysOnly?: false }): Iterated<IndexRow<IK, K, Out>>
  range(source: AnyTable | AnyIndex, options?: IndexRangeOptions<unknown>): unknown {
    return Index.is(source) ? indexRowsOf(this.#source, this.#useIndex(source, 'range'), options) : rowsOf(this.#source, this.#use(source, 'range'), options)
  }

  /** How many rows a range holds. */
  count<K, In, Out, Bound>(table: Table<K, In, Out, Bound>, options?: RangeOptions<NoInfer<Bound>>): number
  /** How many entries a range of an index holds. */
  count<IK, K, Out, Bound>(index: Index<IK, K, Out, Bound>, options?: RangeOptions<NoInfer<Bound>>): number
  count(source: AnyTable | AnyIndex, options?: RangeOptions<unknown>): number {
    return Index.is(source) ? countEntries(this.#source, this.#useIndex(source, 'count'), options) : countRows(this.#source, this.#use(source, 'count'), options)
  }

  /** The first row of a range. */
  first<K, In, Out, Bound>(table: Table<K, In, Out, Bound>, options?: RangeOptions<NoInfer<Bound>>): Row<K, Out> | undefined
  /** The first entry of a range of an index. The row is not read. */
  first<IK, K, Out, Bound>(index: Index<IK, K, Out, Bound>, options: IndexRangeOptions<NoInfer<Bound>> & { readonly keysOnly: true }): IndexEntry<IK, K> | undefined
  /** The row of the first entry of a range of an index. */
  first<IK, K, Out, Bound>(index: Index<IK, K, Out, Bound>, options?: IndexRangeOptions<NoInfer<Bound>> & { readonly keysOnly?: false }): IndexRow<IK, K, Out> | undefined
  first(source: AnyTable | AnyIndex, options?: IndexRangeOptions<unknown>): unknown {
    return Index.is(source) ? endIndexRow(this.#source, this.#useIndex(source, 'first'), 'first', options) : endRow(this.#source, this.#use(source, 'first'), 'first', options)
  }

  /** The last row of a range. */
  last<K, In, Out, Bound>(table: Table<K, In, Out, Bound>, options?: RangeOptions<NoInfer<Bound>>): Row<K, Out> | undefined
  /** The last entry of a range of an index. The row is not read. */
  last<IK, K, Out, Bound>(index: Index<IK, K, Out, Bound>, options: IndexRangeOptions<NoInfer<Bound>> & { readonly keysOnly: true }): IndexEntry<IK, K> | undefined
  /** The row of the last entry of a range of an index. */
  last<IK, K, Out, Bound>(index: Index<IK, K, Out, Bound>, options?: IndexRangeOptions<NoInfer<Bound>> & { readonly keysOnly?: false }): IndexRow<IK, K, Out> | undefined
  last(source: AnyTable | AnyIndex, options?: IndexRangeOptions<unknown>): unknown {
    return Index.is(source) ? endIndexRow(this.#source, this.#useIndex(source, 'last'), 'last', options) : endRow(this.#source, this.#use(source, 'last'), 'last', options)
  }

  /** A transaction of one `put`. Resolves when it is on disk. */
  put<K, In, Out, Bound>(table: Table<K, In, Out, Bound>, key: NoInfer<K>, value: NoInfer<In>, options?: WriteOptions): Promise<void> {
    return this.#once('put', tx => tx.put(table, key, value), options)
  }

  /** A transaction of one `insert`. Rejects with `ROW_EXISTS`. */
  insert<K, In, Out, Bound>(table: Table<K, In, Out, Bound>, key: NoInfer<K>, value: NoInfer<In>, options?: WriteOptions): Promise<void> {
    return this.#once('insert', tx => tx.insert(table, key, value), options)
  }

  /** A transaction of one `update`. Rejects with `ROW_ABSENT`. */
  update<K, In, Out, Bound>(table: Table<K, In, Out, Bound>, key: NoInfer<K>, change: (value: Out) => NoInfer<In>, options?: WriteOptions): Promise<void> {
    return this.#once('update', tx => tx.update(table, key, change), options)
  }

  /** A transaction of one `delete`. */
  delete<K, In, Out, Bound>(table: Table<K, In, Out, Bound>, key: NoInfer<K>, options?: WriteOptions): Promise<void> {
    return this.#once('delete', tx => tx.delete(table, key), options)
  }

  /** A transaction of one `deleteRange`; resolves to the number of rows deleted. */
  deleteRange<K, In, Out, Bound>(table: Table<K, In, Out, Bound>, range?: RangeOptions<NoInfer<Bound>>, options?: WriteOptions): Promise<number> {
    return this.#once('deleteRange', tx => tx.deleteRange(table, range), options)
  }

  /** A transaction of one `compareAndSet`; resolves to whether it wrote. */
  compareAndSet<K, In, Out, Bound>(
    table: Table<K, In, Out, Bound>,
    key: NoInfer<K>,
    expected: NoInfer<Out> | undefined,
    next: NoInfer<In> | undefined,
    options?: WriteOptions,
  ): Promise<boolean> {
    return this.#once('compareAndSet', tx => tx.compareAndSet(table, key, expected, next), options)
  }

  /**
   * Verifies everything on disk, beside other work: the pages of the row file, every row and its checksum, each table's count of rows, the catalog, the log. Changes no row; a
   * checkpoint comes first. Resolves to a report, also of damage. Rejects with `CLOSED`, `POISONED`, `DISK_FULL` (no space for the checkpoint), `INVALID_ARGUMENT`.
   */
  check(options?: CheckOptions): Promise<CheckReport> {
    return checkOpen(this.#engine, options)
  }

  /** What the database holds in memory and on disk, and who keeps old states: plain data, cheap enough to be asked for every second. Throws `POISONED`, `CLOSED`. */
  stats(): Stats {
    this.#engine.store.assertUsable()
    return statsOf(this.#engine)
  }

  /**
   * Closes the database, and writes its row file anew, without the space that deleted and replaced rows have left, before the directory is given free. A crash at any moment leaves the old file or the
   * new one, complete. Needs free space for the new file beside the old one. Rejects with `DISK_FULL` or `CORRUPT` where nothing could be compacted (the database is closed all the same),
   * with what `close` rejects with, and with `POISONED` (also where the system fails otherwise), `CLOSED`, `OUTSIDE_TRANSACTION`; `INVALID_ARGUMENT` for `':memory:'`.
   */
  async compact(): Promise<CompactReport> {
    const { store, guard } = this.#engine
    guard.assertOutside('compact')
    store.assertUsable()
    if (store.isTemporary) throw new UsageError('INVALID_ARGUMENT', "A ':memory:' database is gone when it is closed; there is nothing to compact.")
    let compacting: Promise<CompactReport> | undefined
    const compactTyped = (place: CompactionPlace): Promise<CompactReport> =>
      compactRowFile(place).catch((error: unknown) => {
        throw asStorageError('The row file could not be compacted', error)
      })
    this.#closing = this.#closeStore(place => (compacting = compactTyped(place)))
    await this.#closing
    return compacting!
  }

  /**
   * Finishes what was accepted, refuses what comes, and gives the directory free. Resolves when that is done; every later call returns the same promise.
   *
   * Rejects with `COMMIT_UNKNOWN` or `POISONED`, having given the directory free all the same, where what was accepted could not be brought to disk: relaxed commits whose callers had been told too.
   */
  close(): Promise<void> {
    this.#closing ??= this.#closeStore()
    return this.#closing
  }

  async #closeStore(last?: (place: CompactionPlace) => Promise<unknown>): Promise<void> {
    this.#engine.catalog.stop()
    try {
      await this.#engine.store.close(last)
    } catch (error) {
      throw asStorageError('The database was not closed in order', error)
    } finally {
      this.#engine.guard.close()
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #once<T>(operation: string, body: (tx: Transaction) => T, options: WriteOptions | undefined): Promise<T> {
    this.#engine.guard.assertOutside(operation)
    return run(this.#engine, body, this.#settings(options))
  }

  #body<B>(body: B, operation: string): B {
    if (typeof body !== 'function') throw new UsageError('INVALID_ARGUMENT', `db.${operation} needs a function: the body of the transaction.`)
    this.#engine.guard.assertOutside(operation)
    return body
  }

  #settings(options: TransactionOptions | undefined): Settings {
    return transactionSettings(options, this.#engine)
  }

  #use<K, In, Out, Bound>(table: Table<K, In, Out, Bound>, operation: string): TableCodec<K, In, Out, Bound> {
    this.#engine.guard.assertOutside(operation)
    this.#engine.store.assertUsable()
    return Table.codecOf(table, this.#engine)
  }

  #useIndex<IK, K, Out, Bound>(index: Index<IK, K, Out, Bound>, operation: string): IndexCodec<K, unknown, Out, unknown> {
    this.#engine.guard.assertOutside(operation)
    this.#engine.store.assertUsable()
    return Index.codecOf(index, this.#engine)
  }
}
