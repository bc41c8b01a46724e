/** An index of one opening: what the catalog says of it, the function that gives its keys, and whether it can be read. */
import { indexKeyStart, plainEntry, plainEntryValue, rowKeyOfPlain, rowKeyOfUnique, uniqueEntry, uniqueEntryOfPlain, uniqueEntryValue, type IndexKeyStart } from '../encoding/index-entries.js'
import { tablePrefix } from '../encoding/keys.js'
import { LimitError, StorageError, UsageError } from '../errors.js'
import { asKey, type CommitTs, type Key } from '../../isolation/types.js'
import { isPromise } from '../promises.js'
import { indexKeyInCatalog } from './catalog-rows.js'
import { keyText } from './codec.js'
import type { IndexFunction } from './definition.js'
import type { StoredTable } from './stored-table.js'

/** One entry that a row has. */
export interface RowEntry {
  readonly index: StoredIndex
  /** Its key in the keyspace. */
  readonly stored: Key
  /** What stands for it among a transaction's own writes: with the row's key in it, also in a unique index, where two rows may claim one index key until the commit. */
  readonly own: Key
  readonly value: Uint8Array
}

export interface IndexParts {
  readonly id: number
  readonly name: string
  readonly unique: boolean
  readonly many: boolean
  readonly version: number
  /** Of the rows that the function is given. */
  readonly tableVersion: number
  /** The ids of unique indexes that it replaces. */
  readonly replaces: readonly number[]
}

export class StoredIndex {
  readonly id: number
  readonly name: string
  readonly unique: boolean
  readonly many: boolean
  readonly version: number
  readonly tableVersion: number
  /** While it is built; see `IndexRow`. */
  replaces: readonly number[]
  readonly prefix: string
  readonly table: StoredTable
  /** Undefined until a program has declared it in this opening. */
  on: IndexFunction | undefined
  /** The commit from which on it can be read; undefined while it is built. */
  readyTs: CommitTs | undefined
  /** Rows up to this one have their entries, while it is built: its key without the table's prefix. */
  builtTo: string | undefined
  /** It is gone; the error is why, where it could not be built. */
  dropped: { readonly cause: Error | undefined } | undefined

  constructor(table: StoredTable, { id, name, unique, many, version, tableVersion, replaces }: IndexParts) {
    this.table = table
    this.id = id
    this.name = name
    this.unique = unique
    this.many = many
    this.version = version
    this.tableVersion = tableVersion
    this.replaces = replaces
    this.prefix = tablePrefix(id)
  }

  /** The key of its entry in the catalog: reading it relies on that. */
  get catalogKey(): Key {
    return indexKeyInCatalog(this.table.name, this.name)
  }

  /** It is gone. What its function holds on to is let go. */
  drop(cause: Error | undefined): void {
    this.dropped = { cause }
    this.on = undefined
  }

  /** Throws `INDEX_BUILDING` where it was not complete at commit `ts`. */
  assertReady(ts: CommitTs): void {
    if (this.readyTs !== undefined && this.readyTs <= ts) return
    throw new StorageError(
      'INDEX_BUILDING',
      `Index ${JSON.stringify(this.name)} of table ${JSON.stringify(this.table.name)} is being built and cannot be read yet. Wait for table.ready, or begin anew where it has become ready since the transaction began.`,
    )
  }

  /** The row that an entry of a transaction's own is of. */
  rowKeyOfOwn(entry: Key): Key {
    return rowKeyOfPlain(entry, this.prefix, this.table.prefix)
  }

  /** Of a unique index: where a committed entry lies among a transaction's own. Throws `CORRUPT`. */
  placeOf({ key, value }: { readonly key: Key; readonly value: Uint8Array }): Key {
    return this.ownOf(key, this.rowKeyOf(key, value))
  }

  /** Of a unique index: what stands for an entry among the own writes of a transaction that claims it for a row. */
  ownOf(entry: Key, rowKey: Key): Key {
    return asKey(entry.slice(0, -1) + rowKey.slice(this.table.prefix.length))
  }

  /** Of a unique index: the entry of the index key that one of a transaction's own has. */
  keyAt(own: Key): Key {
    return uniqueEntryOfPlain(own, this.prefix)
  }

  /** The row that an entry is of. Throws `CORRUPT`. */
  rowKeyOf(entry: Key, value: Uint8Array): Key {
    return this.unique ? rowKeyOfUnique(value, this.table.prefix) : rowKeyOfPlain(entry, this.prefix, this.table.prefix)
  }

  /**
   * The entries of a row, whose value nobody else has: what `on` does to it does not matter. Runs `on` twice, for one that gives other keys the second time would leave entries behind that nobody
   * finds again. Throws `INVALID_INDEX_KEY`, `KEY_TOO_LARGE`.
   */
  entriesOf(row: unknown, rowKey: Key): RowEntry[] {
    const starts = this.#startsOf(row, rowKey)
    const again = this.#startsOf(row, rowKey)
    if (starts.length !== again.length || starts.some((start, i) => start !== again[i])) {
      throw this.#refused(rowKey, 'gave other keys when it was asked again. It must depend on nothing but the row, and not change it')
    }
    try {
      return starts.map(start => this.#entry(start, rowKey))
    } catch (error) {
      throw this.#tooLarge(rowKey, error)
    }
  }

  #entry(start: IndexKeyStart, rowKey: Key): RowEntry {
    const own = plainEntry(start, rowKey, this.table.prefix)
    return this.unique
      ? { index: this, stored: uniqueEntry(start), own, value: uniqueEntryValue(rowKey, this.table.prefix) }
      : { index: this, stored: own, own, value: plainEntryValue }
  }

  #startsOf(row: unknown, rowKey: Key): IndexKeyStart[] {
    let keys: unknown[]
    try {
      const given: unknown = this.on!(row as never)
      if (given === undefined) return []
      keys = this.many && Array.isArray(given) ? [...(given as unknown[])] : [given]
      if (keys.filter(isSilencedPromise).length > 0) throw this.#refused(rowKey, 'returned a promise; it must be synchronous')
      if (this.many && !Array.isArray(given)) throw this.#refused(rowKey, 'must return an array of keys, for the index is declared with many: true')
    } catch (error) {
      throw error instanceof UsageError && error.code === 'INVALID_INDEX_KEY' ? error : this.#refused(rowKey, 'threw an error', error)
    }
    try {
      const starts = keys.map(key => indexKeyStart(this.prefix, key))
      return starts.length > 1 ? [...new Set(starts)] : starts
    } catch (error) {
      if (error instanceof LimitError) throw this.#tooLarge(rowKey, error)
      throw this.#refused(rowKey, `gave what cannot be a key: ${error instanceof UsageError ? error.message : 'it cannot be read'}`, error)
    }
  }

  #refused(rowKey: Key, what: string, cause?: unknown): UsageError {
    return new UsageError(
      'INVALID_INDEX_KEY',
      `Index ${JSON.stringify(this.name)} of table ${JSON.stringify(this.table.name)} cannot take the row ${keyText(this.table.keyOf(rowKey))}: its function "on" ${what.replace(/\.$/, '')}. Nothing was changed.`,
      { cause },
    )
  }

  #tooLarge(rowKey: Key, error: unknown): unknown {
    if (!(error instanceof LimitError)) return error
    return new LimitError(
      error.code as 'KEY_TOO_LARGE',
      `The row ${keyText(this.table.keyOf(rowKey))} is too large for index ${JSON.stringify(this.name)} of table ${JSON.stringify(this.table.name)}, whose key and the row's key make one key. ${error.message}`,
    )
  }
}

/** Whether it is a promise; if so, its rejection does not surface as an unhandled one. */
function isSilencedPromise(key: unknown): boolean {
  if (!isPromise(key)) return false
  key.then(undefined, () => {})
  return true
}
