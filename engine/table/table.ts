import type { KeyElementType } from '../encoding/key-elements.js'
import { UsageError } from '../errors.js'
import type { TableCodec } from './codec.js'

/**
 * A table of one database, as a handle: pass it to the operations of a transaction or of the database. Nothing of the rows is in it.
 *
 * `K` is its key, `In` what may be written, `Out` what is read, `Bound` what may bound a range.
 */
export class Table<K, In, Out, Bound> {
  readonly name: string
  readonly key: readonly KeyElementType[]
  /** Resolves when the table's catalog entry is on disk. The table can be used before; its rows are never durable without it. */
  readonly ready: Promise<void>
  /** Carries the types; never there at run time. */
  declare readonly '~types'?: { readonly key: K; readonly input: In; readonly output: Out; readonly bound: Bound }
  /** Identifies the database that the table belongs to. */
  readonly #owner: object
  readonly #codec: TableCodec<K, In, Out, Bound>

  /** @internal Use `db.table`. */
  constructor(codec: TableCodec<K, In, Out, Bound>, owner: object, ready: Promise<void>) {
    this.name = codec.name
    this.key = codec.types
    this.ready = ready
    this.#owner = owner
    this.#codec = codec
    // Whoever does not wait for `ready` learns of a failure from the operations that follow.
    ready.catch(() => {})
  }

  /** @internal The codec of a table of `owner`. Throws `INVALID_ARGUMENT` for what is no table, `FOREIGN_TABLE` for a table of another database. */
  static codecOf<K, In, Out, Bound>(table: Table<K, In, Out, Bound>, owner: object): TableCodec<K, In, Out, Bound> {
    if (typeof table !== 'object' || table === null || !(#owner in table)) {
      throw new UsageError('INVALID_ARGUMENT', 'The first argument must be a table: db.table(name, { key, schema }).')
    }
    if (table.#owner !== owner) {
      throw new UsageError('FOREIGN_TABLE', `Table ${JSON.stringify(table.name)} belongs to another database, or to an earlier opening of this one.`)
    }
    return table.#codec
  }
}
