/** Reading rows through an index: entries give index key and row key, and the row is fetched at the commit that the entry was read at. */
import { StorageError } from './errors.js'
import { countOf, iterated, onlyOne, RowIterator, type Decode, type Iterated, type RowSource } from './rows.js'
import type { RowCursor } from './row-cursor.js'
import { keyText } from './table/codec.js'
import type { IndexRangeOptions } from './table/definition.js'
import type { IndexCodec } from './table/index-codec.js'
import type { Key } from '../isolation/types.js'

/** An entry of an index: where a row lies in it. */
export interface IndexEntry<IK, K> {
  readonly indexKey: IK
  /** The row's. */
  readonly key: K
}

/** A row as it was found through an index. */
export interface IndexRow<IK, K, V> extends IndexEntry<IK, K> {
  readonly value: V
}

/** The row that holds a key of a unique index. */
export function readUnique<IK, K, In, Out, Bound>(source: RowSource, codec: IndexCodec<K, In, Out, Bound>, indexKey: IK): IndexRow<IK, K, Out> | undefined {
  codec.assertUnique('get')
  const { stored, own } = codec.encodeUnique(indexKey)
  const found = source.getByIndex(codec.index, stored, own)
  if (found === undefined) return undefined
  const { key, seen } = found
  if (seen?.value === undefined) throw dangling(codec, key)
  const value = codec.rows.decodeValue(seen.value, key, seen.ts)
  return { indexKey: codec.indexKeyOf(stored) as IK, key: codec.rows.decodeKey(key), value }
}

/** Rows, or with `keysOnly` entries, in the order of index keys and, where these are equal, of row keys. */
export function indexRowsOf<IK, K, In, Out, Bound>(
  source: RowSource,
  codec: IndexCodec<K, In, Out, Bound>,
  options?: IndexRangeOptions<unknown>,
): Iterated<IndexRow<IK, K, Out> | IndexEntry<IK, K>> {
  const { range, reverse, limit, keysOnly } = codec.range(options)
  const decode: Decode<IndexRow<IK, K, Out> | IndexEntry<IK, K>> = keysOnly ? entryDecoder(codec) : rowDecoder(codec)
  return iterated(source, () => {
    codec.assertCurrent() // it may have been dropped since the range was asked for
    return new RowIterator(source, source.openIndex(codec.index, range, reverse, limit), limit, decode)
  })
}

/** How many entries, without reading rows. */
export function countEntries<K, In, Out, Bound>(source: RowSource, codec: IndexCodec<K, In, Out, Bound>, options?: IndexRangeOptions<unknown>): number {
  const { range, reverse, limit } = codec.range(options)
  return countOf(source.openIndex(codec.index, range, reverse, limit), limit)
}

/** As `endRow`, of an index. */
export function endIndexRow<IK, K, In, Out, Bound>(
  source: RowSource,
  codec: IndexCodec<K, In, Out, Bound>,
  end: 'first' | 'last',
  options?: IndexRangeOptions<unknown>,
): IndexRow<IK, K, Out> | IndexEntry<IK, K> | undefined {
  const { range, reverse, limit, keysOnly } = codec.range(options)
  const one = Math.min(1, limit)
  const cursor = source.openIndex(codec.index, range, reverse === (end === 'first'), one)
  const decode: Decode<IndexRow<IK, K, Out> | IndexEntry<IK, K>> = keysOnly ? entryDecoder(codec) : rowDecoder(codec)
  return onlyOne(new RowIterator(source, cursor, one, decode))
}

/** An own write has no timestamp, and its row comes with it. */
const entryDecoder =
  <IK, K, In, Out, Bound>(codec: IndexCodec<K, In, Out, Bound>): Decode<IndexEntry<IK, K>> =>
  ({ key: entry, value, ts }) => {
    const { indexKey, rowKey } = codec.decodeEntry(entry, value, ts === undefined)
    return { indexKey: indexKey as IK, key: codec.rows.decodeKey(rowKey) }
  }

const rowDecoder =
  <IK, K, In, Out, Bound>(codec: IndexCodec<K, In, Out, Bound>): Decode<IndexRow<IK, K, Out>> =>
  ({ key: entry, value: entryValue, ts }, cursor: RowCursor) => {
    const { indexKey, rowKey } = codec.decodeEntry(entry, entryValue, ts === undefined)
    const seen = ts === undefined ? { value: entryValue, ts } : cursor.fetch(rowKey)
    if (seen?.value === undefined) throw dangling(codec, rowKey)
    const value = codec.rows.decodeValue(seen.value, rowKey, seen.ts)
    return { indexKey: indexKey as IK, key: codec.rows.decodeKey(rowKey), value }
  }

function dangling<K, In, Out, Bound>({ index, rows }: IndexCodec<K, In, Out, Bound>, rowKey: Key): StorageError {
  return new StorageError(
    'CORRUPT',
    `Index ${JSON.stringify(index.name)} of table ${JSON.stringify(rows.name)} has an entry for row ${keyText(rows.decodeKey(rowKey))}, which is absent. Run db.check(), and raise the index's "version" to build it anew.`,
  )
}
