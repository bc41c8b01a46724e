/** An index of a table, as a handle: pass it to the reading operations of a transaction or of the database, where a table may stand too. */
import { UsageError } from '../errors.js'
import type { IndexBoundOf, IndexKeyOf } from './definition.js'
import type { IndexCodec } from './index-codec.js'

/** The indexes of a declaration, by name. */
export type IndexesOf<I, K, Out> = { readonly [N in keyof I]: Index<IndexKeyOf<I[N]>, K, Out, IndexBoundOf<IndexKeyOf<I[N]>>, I[N] extends { readonly unique: true } ? true : false> }

/** An index of whatever types. */
export type AnyIndex = Index<unknown, unknown, unknown, unknown>

/**
 * `IK` is its key, `K` the key of the rows, `Out` what is read of them, `Bound` what may bound a range of it, `Unique` whether no two rows have one key.
 */
export class Index<IK, K, Out, Bound, Unique extends boolean = boolean> {
  readonly name: string
  readonly unique: Unique
  /** Carries the types; never there at run time. */
  declare readonly '~types'?: { readonly indexKey: IK; readonly key: K; readonly output: Out; readonly bound: Bound }
  /** Identifies the database that the index belongs to. */
  readonly #owner: object
  readonly #codec: IndexCodec<K, unknown, Out, unknown>

  /** @internal Use `db.table`. */
  constructor(codec: IndexCodec<K, unknown, Out, unknown>, owner: object) {
    this.name = codec.index.name
    this.unique = codec.index.unique as Unique
    this.#owner = owner
    this.#codec = codec
  }

  /** The name of its table. */
  get table(): string {
    return this.#codec.index.table.name
  }

  /** @internal Whether a caller has given an index, and not a table. */
  static is(source: unknown): source is Index<unknown, unknown, unknown, unknown> {
    return typeof source === 'object' && source !== null && #owner in source
  }

  /** @internal Throws `FOREIGN_TABLE` for an index of another database, `TABLE_DROPPED`, `TABLE_MISMATCH`. */
  static codecOf<IK, K, Out, Bound>(index: Index<IK, K, Out, Bound>, owner: object): IndexCodec<K, unknown, Out, unknown> {
    const codec = index.#codec
    const { index: stored } = codec
    if (index.#owner !== owner) {
      throw new UsageError('FOREIGN_TABLE', `Index ${JSON.stringify(stored.name)} of table ${JSON.stringify(stored.table.name)} belongs to another database, or to an earlier opening of this one.`)
    }
    codec.assertCurrent()
    return codec
  }
}
