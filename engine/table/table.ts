import type { KeyElementType } from '../encoding/key-elements.js'
import { UsageError } from '../errors.js'
import type { TableCodec } from './codec.js'
import { Index } from './index-handle.js'

/** A table of whatever types. */
export type AnyTable = Table<unknown, unknown, unknown, unknown>

/**
 * A table of one database, as a handle: pass it to the operations of a transaction or of the database. Nothing of the rows is in it.
 *
 * `K` is its key, `In` what may be written, `Out` what is read, `Bound` what may bound a range, `Indexes` its indexes by name.
 */
export class Table<K, In, Out, Bound, Indexes extends object = object> {
  readonly key: readonly KeyElementType[]
  /** The version of the rows that this handle reads and writes. */
  readonly version: number
  /**
   * Resolves when what was declared is on disk and done: the catalog's entry, indexes that are built, rows of older versions that are rewritten. The table can be used before; its rows are never durable
   * without its entry. Rejects with `UNIQUE_VIOLATION`, `INVALID_INDEX_KEY` or `KEY_TOO_LARGE` where an index could not be built (it is dropped again), with `MIGRATION` or `SCHEMA` where a row could not be
   * migrated, with `DISK_FULL`, `POISONED`, `CLOSED`: the next declaration then goes on where this one stopped.
   */
  readonly ready: Promise<void>
  /** By name, to be given to the reading operations. */
  readonly indexes: Indexes
  /** Carries the types; never there at run time. */
  declare readonly '~types'?: { readonly key: K; readonly input: In; readonly output: Out; readonly bound: Bound }
  /** Identifies the database that the table belongs to. */
  readonly #owner: object
  readonly #codec: TableCodec<K, In, Out, Bound>

  /** @internal Use `db.table`. */
  constructor(codec: TableCodec<K, In, Out, Bound>, indexes: Indexes, owner: object, ready: Promise<void>) {
    this.key = codec.table.types
    this.version = codec.version
    this.indexes = indexes
    this.ready = ready
    this.#owner = owner
    this.#codec = codec
    // Whoever does not wait for `ready` learns of a failure from the operations that follow.
    ready.catch(() => {})
  }

  get name(): string {
    return this.#codec.table.name
  }

  /**
   * @internal The codec of a table of `owner`. Throws `INVALID_ARGUMENT` for what is no table, `FOREIGN_TABLE` for a table of another database, `TABLE_DROPPED`, `TABLE_MISMATCH` where rows have got
   * another version since the handle was made.
   */
  static codecOf<K, In, Out, Bound>(table: Table<K, In, Out, Bound>, owner: object): TableCodec<K, In, Out, Bound> {
    if (typeof table !== 'object' || table === null || !(#owner in table)) {
      const isIndex = Index.is(table)
      throw new UsageError('INVALID_ARGUMENT', isIndex ? 'This operation takes a table; an index can be read with get, range, count, first and last.' : 'The first argument must be a table: db.table(name, { key, schema }).')
    }
    if (table.#owner !== owner) {
      throw new UsageError('FOREIGN_TABLE', `Table ${JSON.stringify(table.name)} belongs to another database, or to an earlier opening of this one.`)
    }
    table.#codec.table.assertCurrent(table.#codec.version)
    return table.#codec
  }
}
