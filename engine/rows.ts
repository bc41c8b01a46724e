/** Reading rows through a table's codec: shared by transactions and the one-shot operations of a database. */
import { UsageError } from './errors.js'
import type { RowCursor } from './row-cursor.js'
import type { TableCodec } from './table/codec.js'
import type { RangeOptions } from './table/definition.js'
import type { Key, KeyRange } from '../isolation/types.js'

export interface Row<K, V> {
  readonly key: K
  readonly value: V
}

/** The rows of a range, in key order. Each iteration reads anew, sees the writes made before it began, and releases everything when it ends or is left early. */
export interface Rows<K, V> extends Iterable<Row<K, V>> {
  [Symbol.iterator](): IterableIterator<Row<K, V>>
  toArray(): Row<K, V>[]
}

/** Where encoded rows come from. */
export interface RowSource {
  /** Throws unless reading is possible now. */
  assertActive(): void
  get(key: Key): Uint8Array | undefined
  open(range: KeyRange, reverse: boolean): RowCursor
}

export function readRow<K, In, Out, Bound>(source: RowSource, codec: TableCodec<K, In, Out, Bound>, key: K): Out | undefined {
  const encoded = codec.encodeKey(key)
  const bytes = source.get(encoded)
  return bytes === undefined ? undefined : codec.decodeValue(bytes, encoded)
}

export function rowsOf<K, In, Out, Bound>(source: RowSource, codec: TableCodec<K, In, Out, Bound>, options?: RangeOptions<Bound>): Rows<K, Out> {
  const { range, reverse, limit } = codec.range(options)
  return {
    [Symbol.iterator](): IterableIterator<Row<K, Out>> {
      source.assertActive()
      return new RowIterator(source, codec, source.open(range, reverse), limit)
    },
    toArray(): Row<K, Out>[] {
      return [...this]
    },
  }
}

class RowIterator<K, In, Out, Bound> implements IterableIterator<Row<K, Out>> {
  readonly #source: RowSource
  readonly #codec: TableCodec<K, In, Out, Bound>
  readonly #cursor: RowCursor
  #left: number
  /** Why a step failed. Every later one fails in the same way: the end of a range is an answer, and who goes on after an error must not be given one. */
  #failure: { readonly error: unknown } | undefined

  constructor(source: RowSource, codec: TableCodec<K, In, Out, Bound>, cursor: RowCursor, limit: number) {
    this.#source = source
    this.#codec = codec
    this.#cursor = cursor
    this.#left = limit
  }

  next(): IteratorResult<Row<K, Out>, undefined> {
    this.#source.assertActive()
    if (this.#failure !== undefined) throw this.#failure.error
    try {
      // A limit that is reached leaves the rest of the range unread, and so outside what is relied on.
      const row = this.#left-- > 0 ? this.#cursor.next() : undefined
      if (row === undefined) return this.return()
      return { done: false, value: { key: this.#codec.decodeKey(row.key), value: this.#codec.decodeValue(row.value, row.key) } }
    } catch (error) {
      this.#failure = { error }
      this.#cursor.close()
      throw error
    }
  }

  return(): IteratorResult<Row<K, Out>, undefined> {
    this.#left = 0
    this.#failure = undefined
    this.#cursor.close()
    return { done: true, value: undefined }
  }

  [Symbol.iterator](): this {
    return this
  }
}

/** How many rows, without decoding them. */
export function countRows<K, In, Out, Bound>(source: RowSource, codec: TableCodec<K, In, Out, Bound>, options?: RangeOptions<Bound>): number {
  let count = 0
  forEachKey(source, codec, options, () => count++)
  return count
}

/** Calls `visit` with the encoded key of each row of the range. */
export function forEachKey<K, In, Out, Bound>(
  source: RowSource,
  codec: TableCodec<K, In, Out, Bound>,
  options: RangeOptions<Bound> | undefined,
  visit: (key: Key) => void,
): void {
  const { range, reverse, limit } = codec.range(options)
  const cursor = source.open(range, reverse)
  try {
    for (let left = limit; left > 0; left--) {
      const row = cursor.next()
      if (row === undefined) break
      visit(row.key)
    }
  } finally {
    cursor.close()
  }
}

/** The first row of a range or the last one, in the order that the options ask for. Relies on the range from that end up to that row only. */
export function endRow<K, In, Out, Bound>(
  source: RowSource,
  codec: TableCodec<K, In, Out, Bound>,
  end: 'first' | 'last',
  options: RangeOptions<Bound> | undefined,
): Row<K, Out> | undefined {
  const { range, reverse, limit } = codec.range(options)
  const rows = new RowIterator(source, codec, source.open(range, reverse === (end === 'first')), Math.min(1, limit))
  try {
    return rows.next().value
  } finally {
    rows.return()
  }
}

/** The keys that somebody lists. Throws `INVALID_ARGUMENT` for what is no list. What yields them may do anything. */
export function listOf<K>(keys: Iterable<K>): K[] {
  // A string is iterable, and never what is meant.
  if (typeof keys === 'string' || typeof (keys as Partial<Iterable<K>> | null | undefined)?.[Symbol.iterator] !== 'function') {
    throw new UsageError('INVALID_ARGUMENT', 'getMany needs an array, or another iterable, of keys.')
  }
  return [...keys]
}
