/** Reading rows through a table's codec: shared by transactions and the one-shot operations of a database. */
import { UsageError } from './errors.js'
import type { EncodedRow, RowCursor, Seen } from './row-cursor.js'
import type { TableCodec } from './table/codec.js'
import type { RangeOptions } from './table/definition.js'
import type { StoredIndex } from './table/stored-index.js'
import type { FoundRow } from './view.js'
import type { Key, KeyRange } from '../isolation/types.js'

export interface Row<K, V> {
  readonly key: K
  readonly value: V
}

/** What a range holds, in key order. Each iteration reads anew, sees the writes made before it began, and releases everything when it ends or is left early. */
export interface Iterated<R> extends Iterable<R> {
  [Symbol.iterator](): IterableIterator<R>
  toArray(): R[]
}

/** The rows of a range, in key order. */
export type Rows<K, V> = Iterated<Row<K, V>>

/** Where encoded rows come from. */
export interface RowSource {
  /** Throws unless reading is possible now. */
  assertActive(): void
  get(key: Key): Seen | undefined
  /** At most `limit` rows will be taken. */
  open(range: KeyRange, reverse: boolean, limit: number): RowCursor
  /** As `View.getByIndex` and `View.openIndex`. */
  getByIndex(index: StoredIndex, entry: Key, ownEntries: KeyRange): FoundRow | undefined
  openIndex(index: StoredIndex, range: KeyRange, reverse: boolean, limit: number): RowCursor
}

export function readRow<K, In, Out, Bound>(source: RowSource, codec: TableCodec<K, In, Out, Bound>, key: K): Out | undefined {
  const encoded = codec.encodeKey(key)
  const seen = source.get(encoded)
  return seen?.value === undefined ? undefined : codec.decodeValue(seen.value, encoded, seen.ts)
}

export function rowsOf<K, In, Out, Bound>(source: RowSource, codec: TableCodec<K, In, Out, Bound>, options?: RangeOptions<Bound>): Rows<K, Out> {
  const { range, reverse, limit } = codec.range(options)
  return iterated(source, () => {
    codec.table.assertCurrent(codec.version) // it may have been dropped since the range was asked for
    return new RowIterator(source, source.open(range, reverse, limit), limit, rowDecoder(codec))
  })
}

const rowDecoder =
  <K, In, Out, Bound>(codec: TableCodec<K, In, Out, Bound>): Decode<Row<K, Out>> =>
  row => ({ key: codec.decodeKey(row.key), value: codec.decodeValue(row.value, row.key, row.ts) })

/** What can be iterated again and again, each time by a new iterator. */
export function iterated<R>(source: RowSource, iterator: () => IterableIterator<R>): Iterated<R> {
  return {
    [Symbol.iterator](): IterableIterator<R> {
      source.assertActive()
      return iterator()
    },
    toArray(): R[] {
      return [...this]
    },
  }
}

/** Makes what is handed out of what a cursor found. */
export type Decode<R> = (row: EncodedRow, cursor: RowCursor) => R

export class RowIterator<R> implements IterableIterator<R> {
  readonly #source: RowSource
  readonly #decode: Decode<R>
  readonly #cursor: RowCursor
  #left: number
  /** Why a step failed. Every later one fails in the same way: the end of a range is an answer, and who goes on after an error must not be given one. */
  #failure: { readonly error: unknown } | undefined

  constructor(source: RowSource, cursor: RowCursor, limit: number, decode: Decode<R>) {
    this.#source = source
    this.#decode = decode
    this.#cursor = cursor
    this.#left = limit
  }

  next(): IteratorResult<R, undefined> {
    this.#source.assertActive()
    if (this.#failure !== undefined) throw this.#failure.error
    try {
      // A limit that is reached leaves the rest of the range unread, and so outside what is relied on.
      const row = this.#left-- > 0 ? this.#cursor.next() : undefined
      if (row === undefined) return this.return()
      return { done: false, value: this.#decode(row, this.#cursor) }
    } catch (error) {
      this.#failure = { error }
      this.#cursor.close()
      throw error
    }
  }

  return(): IteratorResult<R, undefined> {
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
  const { range, reverse, limit } = codec.range(options)
  return countOf(source.open(range, reverse, limit), limit)
}

/** Calls `visit` with the encoded key of each row of the range. */
export function forEachKey<K, In, Out, Bound>(
  source: RowSource,
  codec: TableCodec<K, In, Out, Bound>,
  options: RangeOptions<Bound> | undefined,
  visit: (key: Key) => void,
): void {
  const { range, reverse, limit } = codec.range(options)
  forEach(source.open(range, reverse, limit), limit, ({ key }) => visit(key))
}

export function countOf(cursor: RowCursor, limit: number): number {
  let count = 0
  forEach(cursor, limit, () => count++)
  return count
}

function forEach(cursor: RowCursor, limit: number, visit: (row: EncodedRow) => void): void {
  try {
    for (let left = limit; left > 0; left--) {
      const row = cursor.next()
      if (row === undefined) break
      visit(row)
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
  const one = Math.min(1, limit)
  return onlyOne(new RowIterator(source, source.open(range, reverse === (end === 'first'), one), one, rowDecoder(codec)))
}

export function onlyOne<R>(rows: RowIterator<R>): R | undefined {
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
