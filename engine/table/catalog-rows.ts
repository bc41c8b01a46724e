/**
 * The rows of the catalog (table id 0): which tables and indexes there are, under which ids. They are rows of the one keyspace, so they are versioned, logged and tracked like any other.
 *
 *     [table]                       id, key types, version of the rows; until which commits rows were of older versions, whether such rows may still be there
 *     [table, index]                id, unique, many, version, the rows' version, whether it is ready, the ids of unique indexes that it replaces
 *     [table, index, "progress"]    while the index is built: up to which row it is
 *     [null, id]                    what was under this id is being deleted
 *     [null]                        the next id, once something was dropped: an id is given once
 *
 * Using a table relies on its row, reading an index on that of the index; progress is a row of its own so that it disturbs neither.
 */
import { decodeKey, encodeKey, tablePrefix } from '../encoding/keys.js'
import type { KeyElementType } from '../encoding/key-elements.js'
import { decodeValue, encodeValue } from '../encoding/values.js'
import { StorageError } from '../errors.js'
import type { CommitTs, Key } from '../../isolation/types.js'

export const catalogId = 0
export const catalogPrefix: string = tablePrefix(catalogId)

/** Rows written before commit `untilTs` are of this version, unless an earlier era holds them. */
export interface Era {
  readonly version: number
  readonly untilTs: CommitTs
}

export interface TableRow {
  readonly is: 'table'
  readonly name: string
  readonly id: number
  readonly key: readonly KeyElementType[]
  readonly version: number
  /** Oldest first. Kept for good: by a row's timestamp it is known of which version it is. */
  readonly eras: readonly Era[]
  /** Rows of older versions may be there. */
  readonly migrating: boolean
}

export interface IndexRow {
  readonly is: 'index'
  readonly table: string
  readonly name: string
  readonly id: number
  readonly unique: boolean
  readonly many: boolean
  readonly version: number
  /** Of the rows that its function is given. */
  readonly tableVersion: number
  readonly ready: boolean
  /** Ids whose entries, no longer maintained, say which rows had which unique keys before its building began. */
  readonly replaces: readonly number[]
}

export interface ProgressRow {
  readonly is: 'progress'
  readonly table: string
  readonly index: string
  /** The last row that has its entries: its key without the table's prefix. */
  readonly builtTo: string
}

export interface DroppedRow {
  readonly is: 'dropped'
  readonly id: number
}

export interface IdsRow {
  readonly is: 'ids'
  readonly next: number
}

export type CatalogRow = TableRow | IndexRow | ProgressRow | DroppedRow | IdsRow

export const tableKeyInCatalog = (table: string): Key => encodeKey(catalogPrefix, [table], ['string'])
export const indexKeyInCatalog = (table: string, index: string): Key => encodeKey(catalogPrefix, [table, index], ['string', 'string'])
export const progressKeyInCatalog = (table: string, index: string): Key => encodeKey(catalogPrefix, [table, index, 'progress'], ['string', 'string', 'string'])
const idsKeyInCatalog: Key = encodeKey(catalogPrefix, [null], ['null'])
export const droppedKeyInCatalog = (id: number): Key => encodeKey(catalogPrefix, [null, id], ['null', 'number'])

/** The row as it is stored. */
export function encodeCatalogRow(row: CatalogRow): { readonly key: Key; readonly value: Uint8Array } {
  switch (row.is) {
    case 'table': {
      const { id, key, version, eras, migrating } = row
      return { key: tableKeyInCatalog(row.name), value: encodeValue({ id, key, ...((version !== 1 || eras.length > 0) && { version, eras, migrating }) }) }
    }
    case 'index': {
      const { id, unique, many, version, tableVersion, ready, replaces } = row
      return { key: indexKeyInCatalog(row.table, row.name), value: encodeValue({ id, unique, many, version, tableVersion, ready, ...(replaces.length > 0 && { replaces }) }) }
    }
    case 'progress':
      return { key: progressKeyInCatalog(row.table, row.index), value: encodeValue({ builtTo: Uint8Array.from(Buffer.from(row.builtTo, 'latin1')) }) }
    case 'dropped':
      return { key: droppedKeyInCatalog(row.id), value: encodeValue(null) }
    case 'ids':
      return { key: idsKeyInCatalog, value: encodeValue({ next: row.next }) }
  }
}

/** Throws `CORRUPT`. */
export function decodeCatalogRow(key: Key, value: Uint8Array): CatalogRow {
  const [first, second, third, ...more] = decodeKey(key).tuple
  const stored = decodeValue(value) as Record<string, unknown> | null
  if (first === null && typeof second === 'number' && Number.isSafeInteger(second) && third === undefined) return { is: 'dropped', id: second }
  if (stored === null || typeof stored !== 'object' || more.length > 0) throw notUnderstood()
  if (first === null && second === undefined && isNumber(stored['next'])) return { is: 'ids', next: stored['next'] }
  if (typeof first !== 'string') throw notUnderstood()
  if (second === undefined) return tableRow(first, stored)
  if (typeof second !== 'string') throw notUnderstood()
  if (third === undefined) return indexRow(first, second, stored)
  if (third !== 'progress' || !(stored['builtTo'] instanceof Uint8Array)) throw notUnderstood()
  return { is: 'progress', table: first, index: second, builtTo: Buffer.from(stored['builtTo']).toString('latin1') }
}

function tableRow(name: string, { id, key, version = 1, eras = [], migrating = false }: Record<string, unknown>): TableRow {
  if (!isNumber(id) || !Array.isArray(key) || !isNumber(version) || !Array.isArray(eras) || !eras.every(isEra) || typeof migrating !== 'boolean') throw notUnderstood()
  return { is: 'table', name, id, key: key as KeyElementType[], version, eras, migrating }
}

function indexRow(table: string, name: string, { id, unique, many, version, tableVersion, ready, replaces = [] }: Record<string, unknown>): IndexRow {
  const isUnderstood = isNumber(id) && typeof unique === 'boolean' && typeof many === 'boolean' && isNumber(version) && isNumber(tableVersion) && typeof ready === 'boolean'
  if (!isUnderstood || !Array.isArray(replaces) || !replaces.every(isNumber)) throw notUnderstood()
  return { is: 'index', table, name, id, unique, many, version, tableVersion, ready, replaces }
}

const isNumber = (value: unknown): value is number => Number.isSafeInteger(value)

const isEra = (era: unknown): era is Era => typeof era === 'object' && era !== null && 'version' in era && isNumber(era.version) && 'untilTs' in era && isNumber(era.untilTs)

const notUnderstood = (): StorageError => new StorageError('CORRUPT', 'An entry of the catalog cannot be understood.')
