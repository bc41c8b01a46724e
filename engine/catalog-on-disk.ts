/**
 * The catalog as a state of the row file has it, and what each row of that state must be by it. Where the functions of indexes are known (the database is open, and the program has declared them), rows
 * are held against indexes and indexes against rows; without them, entries against the presence of their rows.
 */
import { indexKeyOf } from './encoding/index-entries.js'
import { decodeKey, encodeKey, tablePrefix } from './encoding/keys.js'
import { decodeValue } from './encoding/values.js'
import { PremiseError, StorageError, UsageError } from './errors.js'
import { catalogPrefix, decodeCatalogRow, type CatalogRow } from './table/catalog-rows.js'
import { keyText } from './table/codec.js'
import { StoredIndex } from './table/stored-index.js'
import { StoredTable } from './table/stored-table.js'
import { noTs, type CommitTs, type Key } from '../isolation/types.js'

/** The row of a key in the same state; its value is on loan until the next call. */
export type RowOf = (key: Key) => { readonly ts: CommitTs; readonly value: Uint8Array } | undefined

/** What a program has declared of the index with this id. */
export type DeclaredIndex = (id: number) => StoredIndex | undefined

/** A row of the catalog that does not fit the others. */
export interface CatalogProblem {
  readonly key: Key
  readonly problem: string
}

export class CatalogOnDisk {
  readonly problems: CatalogProblem[] = []
  readonly #tables = new Map<number, StoredTable>()
  readonly #indexes = new Map<number, StoredIndex>()
  readonly #dropped = new Set<number>()
  readonly #rowOf: RowOf

  /** Rows in the order of their keys. */
  constructor(rows: Iterable<readonly [Key, CatalogRow]>, rowOf: RowOf, declared: DeclaredIndex) {
    this.#rowOf = rowOf
    for (const [key, row] of rows) this.#take(key, row, declared)
  }

  /** What is wrong with a row, if anything is. Throws `CORRUPT` for what cannot be decoded. */
  readonly judge = (key: Key, value: Uint8Array, ts: CommitTs): string | undefined => {
    if (key.startsWith(catalogPrefix)) {
      decodeCatalogRow(key, value)
      return undefined
    }
    const { tableId, tuple } = decodeKey(key)
    if (this.#dropped.has(tableId)) return undefined
    const index = this.#indexes.get(tableId)
    if (index !== undefined) return this.#judgeEntry(index, key, value)
    const table = this.#tables.get(tableId)
    if (table === undefined) return `it is of table number ${tableId}, which the catalog does not have`
    const problem = problemOfKey(table, key, tuple)
    if (problem !== undefined) return problem
    decodeValue(value)
    for (const one of table.indexes) {
      const missing = this.#missingEntry(one, key, value, ts)
      if (missing !== undefined) return missing
    }
    return undefined
  }

  /** Table, index and key as callers know them; of a key that cannot be read, nothing. */
  name(key: Key): { readonly table?: string; readonly index?: string; readonly key?: unknown } {
    const whole = [...this.#tables.values(), ...this.#indexes.values()].find(({ prefix }) => prefix === key)
    if (whole instanceof StoredTable) return { table: whole.name }
    if (whole !== undefined) return { table: whole.table.name, index: whole.name }
    try {
      const { tableId, tuple } = decodeKey(key)
      const index = this.#indexes.get(tableId)
      if (index !== undefined) return { table: index.table.name, index: index.name, key: indexKeyOf(key, index.prefix) }
      const table = this.#tables.get(tableId)?.name ?? (key.startsWith(catalogPrefix) ? 'catalog' : `#${tableId}`)
      return { table, key: tuple.length === 1 ? tuple[0] : tuple }
    } catch {
      return {}
    }
  }

  #take(key: Key, row: CatalogRow, declared: DeclaredIndex): void {
    if ('id' in row) {
      const other = this.#tables.get(row.id) ?? this.#indexes.get(row.id)
      if (other !== undefined) this.problems.push({ key, problem: `it has the number of ${other instanceof StoredTable ? 'table' : 'index'} ${JSON.stringify(other.name)}` })
    }
    if (row.is === 'ids') return
    if (row.is === 'dropped') this.#dropped.add(row.id)
    else if (row.is === 'table') this.#tables.set(row.id, new StoredTable(row))
    else this.#takeOfIndex(key, row, declared)
  }

  #takeOfIndex(key: Key, row: CatalogRow & { readonly is: 'index' | 'progress' }, declared: DeclaredIndex): void {
    const table = [...this.#tables.values()].find(({ name }) => name === row.table)
    if (table === undefined) return void this.problems.push({ key, problem: `it is of table ${JSON.stringify(row.table)}, which the catalog does not have` })
    if (row.is === 'progress') {
      const index = table.indexes.find(({ name }) => name === row.index)
      if (index !== undefined) index.builtTo = row.builtTo
      return
    }
    const index = new StoredIndex(table, row)
    for (const id of row.replaces) this.#dropped.add(id)
    const known = declared(row.id)
    index.on = known?.on
    table.migrate ??= known?.table.migrate
    if (row.ready) index.readyTs = noTs
    table.indexes = [...table.indexes, index]
    this.#indexes.set(row.id, index)
  }

  /** An entry must be of a row that is there, and that has it. */
  #judgeEntry(index: StoredIndex, entry: Key, value: Uint8Array): string | undefined {
    const { table } = index
    const rowKey = index.rowKeyOf(entry, value)
    const problem = problemOfKey(table, rowKey, decodeKey(rowKey).tuple)
    if (problem !== undefined) return `the key of its row is none: ${problem}`
    const row = this.#rowOf(rowKey)
    const of = `row ${keyText(table.keyOf(rowKey))}`
    if (row === undefined) return `it is an entry for ${of}, which is absent`
    if (index.on === undefined) return undefined
    const entries = entriesOf(index, rowKey, Uint8Array.from(row.value), row.ts)
    if (typeof entries === 'string') return entries
    return entries.some(({ stored }) => stored === entry) ? undefined : `it is an entry for ${of}, which is not under this key`
  }

  /** Which of a row's entries in an index is not there. */
  #missingEntry(index: StoredIndex, rowKey: Key, value: Uint8Array, ts: CommitTs): string | undefined {
    const isBuilt = index.readyTs !== undefined || (index.builtTo !== undefined && rowKey.slice(index.table.prefix.length) <= index.builtTo)
    if (index.on === undefined || !isBuilt) return undefined
    const entries = entriesOf(index, rowKey, value, ts)
    if (typeof entries === 'string') return entries
    const missing = entries.find(({ stored }) => {
      const entry = this.#rowOf(stored)
      return entry === undefined || index.rowKeyOf(stored, entry.value) !== rowKey
    })
    return missing && `index ${JSON.stringify(index.name)} does not have it under ${keyText(indexKeyOf(missing.stored, index.prefix))}`
  }
}

/** What a row has in an index, or why that cannot be told. */
function entriesOf(index: StoredIndex, rowKey: Key, value: Uint8Array, ts: CommitTs): ReturnType<StoredIndex['entriesOf']> | string {
  try {
    return index.entriesOf(index.table.decode(value, rowKey, ts), rowKey)
  } catch (error) {
    if (error instanceof StorageError || !(error instanceof PremiseError || error instanceof UsageError)) throw error
    return error.message
  }
}

function problemOfKey(table: StoredTable, key: Key, tuple: ReturnType<typeof decodeKey>['tuple']): string | undefined {
  try {
    return encodeKey(tablePrefix(table.id), tuple, table.types) === key ? undefined : 'its key is not written as it should be'
  } catch {
    return `its key is not one of table ${JSON.stringify(table.name)}`
  }
}
