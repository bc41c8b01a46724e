/** Between what callers of an index say (index keys, range options) and the bytes of the one keyspace. */
import { afterAllOf, entriesBeginningWith, fromStart, indexKeyOf, indexKeyStart, splitPlain, uniqueEntry } from '../encoding/index-entries.js'
import type { KeyElement } from '../encoding/key-elements.js'
import { tableRange } from '../encoding/keys.js'
import { UsageError } from '../errors.js'
import type { Key, KeyRange } from '../../isolation/types.js'
import { checkedRange, rangeOptions, type ResolvedRange, type TableCodec } from './codec.js'
import type { IndexRangeOptions } from './definition.js'
import type { StoredIndex } from './stored-index.js'

const indexRangeOptions: ReadonlySet<string> = new Set([...rangeOptions, 'keysOnly'])

export class IndexCodec<K, In, Out, Bound> {
  readonly index: StoredIndex
  readonly rows: TableCodec<K, In, Out, Bound>

  constructor(index: StoredIndex, rows: TableCodec<K, In, Out, Bound>) {
    this.index = index
    this.rows = rows
  }

  /** Where a unique index has its entry for an index key, and where those are that a transaction has made itself. Throws `INVALID_KEY`, `KEY_TOO_LARGE`. */
  encodeUnique(indexKey: unknown): { readonly stored: Key; readonly own: KeyRange } {
    const start = indexKeyStart(this.index.prefix, indexKey)
    return { stored: uniqueEntry(start), own: { lo: fromStart(start), hi: afterAllOf(start) } }
  }

  /** Throws `CORRUPT`. */
  indexKeyOf(entry: Key): KeyElement {
    return indexKeyOf(entry, this.index.prefix)
  }

  /** Index key and row of an entry; `isOwn` where it is one that the transaction has made itself. Throws `CORRUPT`. */
  decodeEntry(entry: Key, value: Uint8Array, isOwn: boolean): { readonly indexKey: KeyElement; readonly rowKey: Key } {
    const { index } = this
    if (isOwn || !index.unique) return splitPlain(entry, index.prefix, index.table.prefix)
    return { indexKey: this.indexKeyOf(entry), rowKey: index.rowKeyOf(entry, value) }
  }

  /** Throws `INVALID_ARGUMENT`, `INVALID_KEY`, `KEY_TOO_LARGE`. */
  range(options: IndexRangeOptions<unknown> = {}): ResolvedRange & { readonly keysOnly: boolean } {
    const of = () => `index ${JSON.stringify(this.index.name)} of table ${JSON.stringify(this.index.table.name)}`
    const { gt, gte, lt, lte, prefix, reverse, limit } = checkedRange(options, of, indexRangeOptions)
    const { keysOnly = false } = options
    if (typeof keysOnly !== 'boolean') throw new UsageError('INVALID_ARGUMENT', `Range of ${of()}: "keysOnly" must be true or false.`)
    const whole = tableRange(this.index.prefix)
    if (prefix !== undefined) return { range: Array.isArray(prefix) && prefix.length === 0 ? whole : entriesBeginningWith(this.index.prefix, prefix), reverse, limit, keysOnly }
    const start = (bound: unknown) => indexKeyStart(this.index.prefix, bound)
    const lo = gte !== undefined ? fromStart(start(gte)) : gt !== undefined ? afterAllOf(start(gt)) : whole.lo
    const hi = lt !== undefined ? fromStart(start(lt)) : lte !== undefined ? afterAllOf(start(lte)) : whole.hi
    return { range: { lo, hi }, reverse, limit, keysOnly }
  }

  /** Throws `TABLE_DROPPED`, `TABLE_MISMATCH`. */
  assertCurrent(): void {
    const { index, rows } = this
    rows.table.assertCurrent(rows.version)
    if (index.dropped === undefined) return
    const { cause } = index.dropped
    const why = cause === undefined ? 'was dropped, or replaced by another definition. Declare it with db.table, and use the new handle.' : `could not be built: ${cause.message}`
    throw new UsageError('TABLE_DROPPED', `Index ${JSON.stringify(index.name)} of table ${JSON.stringify(rows.name)} ${why}`, { cause })
  }

  /** Throws `INVALID_ARGUMENT` unless index keys name one row. */
  assertUnique(operation: string): void {
    if (this.index.unique) return
    throw new UsageError('INVALID_ARGUMENT', `Index ${JSON.stringify(this.index.name)} of table ${JSON.stringify(this.index.table.name)} is not unique, so "${operation}" cannot name one row in it. Use "range" or "first".`)
  }
}
