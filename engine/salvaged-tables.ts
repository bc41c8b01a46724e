/**
 * Which tables the rows of a damaged database belong to: those of its catalog, as far as it can be read, and others that their rows show. Indexes are not kept: what they lost, and what of them is of rows
 * that are lost, cannot be told without their functions. Whoever declares them next has them built anew.
 */
import { decodeKey, encodeKey, tablePrefix } from './encoding/keys.js'
import { typeOfElement, type KeyElement, type KeyElementType } from './encoding/key-elements.js'
import { decodeValue } from './encoding/values.js'
import type { Meaning } from './store/salvage.js'
import { catalogPrefix, decodeCatalogRow, encodeCatalogRow, tableKeyInCatalog, type TableRow } from './table/catalog-rows.js'
import type { Key } from '../isolation/types.js'

export interface SalvagedEntry {
  readonly name: string
  readonly types: readonly KeyElementType[]
  /** Its row in the catalog, where that was found. */
  readonly row?: TableRow
}

export class SalvagedTables implements Meaning {
  readonly #named = new Map<number, SalvagedEntry>()
  /** Key types of tables whose name is not known, from their first row: all rows of a table have the same. */
  readonly #shown = new Map<number, readonly KeyElementType[]>()
  readonly #synthesized: number[] = []
  /** Ids of indexes, by the keys of their rows in the catalog. */
  readonly #indexes = new Map<Key, readonly number[]>()
  readonly #progress = new Set<Key>()
  #highestId = 0
  /** Ids of what was being deleted, likewise. */
  readonly #dropped = new Map<Key, number>()

  readonly judge: Meaning['judge'] = (key, value) => {
    const { tableId, tuple } = decodeKey(key)
    if (key.startsWith(catalogPrefix)) {
      const row = decodeCatalogRow(key, value)
      if ('id' in row) this.#highestId = Math.max(this.#highestId, row.id)
      if (row.is === 'ids') this.#highestId = Math.max(this.#highestId, row.next - 1)
      else if (row.is === 'table') this.#named.set(row.id, { name: row.name, types: row.key, row })
      else if (row.is === 'index') this.#indexes.set(key, [row.id, ...row.replaces])
      else if (row.is === 'progress') this.#progress.add(key)
      else if (row.is === 'dropped') this.#dropped.set(key, row.id)
      return undefined
    }
    if (this.#isNoTable(tableId)) {
      decodeValue(value)
      return undefined
    }
    const named = this.#named.get(tableId)
    const types = named?.types ?? this.#shown.get(tableId) ?? tuple.map((element, i) => typeOfElement(element, i, ''))
    if (named === undefined) this.#shown.set(tableId, types)
    if (!isKeyOf(key, tableId, tuple, types)) return `its key is not one of ${named === undefined ? 'the table that the other rows show' : `table ${JSON.stringify(named.name)}`}`
    decodeValue(value)
    return undefined
  }

  readonly forget: Meaning['forget'] = key => {
    if (!key.startsWith(catalogPrefix)) return
    for (const [id, { name }] of this.#named) if (tableKeyInCatalog(name) === key) this.#named.delete(id)
    this.#indexes.delete(key)
    this.#progress.delete(key)
    this.#dropped.delete(key)
  }

  readonly complete: Meaning['complete'] = prefixes => {
    const rows: { key: Key; value: Uint8Array | undefined }[] = []
    for (const [key, ids] of this.#indexes) {
      rows.push({ key, value: undefined })
      for (const id of ids) if (!this.#named.has(id)) rows.push(encodeCatalogRow({ is: 'dropped', id }))
    }
    for (const key of this.#progress) rows.push({ key, value: undefined })
    if (this.#indexes.size > 0) rows.push(encodeCatalogRow({ is: 'ids', next: this.#highestId + 1 }))
    // Commits that rewrote rows of older versions may be lost, whatever became of the last of them.
    for (const { row } of this.#named.values()) if (row !== undefined && row.eras.length > 0 && !row.migrating) rows.push(encodeCatalogRow({ ...row, migrating: true }))
    for (const [id, types] of this.#shown) {
      if (this.#named.has(id) || this.#isNoTable(id) || !prefixes.includes(tablePrefix(id))) continue
      const name = this.#freeName(`salvaged-${id}`)
      this.#named.set(id, { name, types })
      this.#synthesized.push(id)
      rows.push(encodeCatalogRow({ is: 'table', name, id, key: types, version: 1, eras: [], migrating: false }))
    }
    return rows
  }

  /** Whether what is under an id are entries of an index, or rows that were being deleted. */
  #isNoTable(id: number): boolean {
    if (this.#named.has(id)) return false
    for (const dropped of this.#dropped.values()) if (dropped === id) return true
    for (const ids of this.#indexes.values()) if (ids.includes(id)) return true
    return false
  }

  /** Numbers of tables that got a new entry. */
  get synthesized(): readonly number[] {
    return this.#synthesized
  }

  get entries(): ReadonlyMap<number, SalvagedEntry> {
    return this.#named
  }

  #freeName(wanted: string): string {
    const taken = new Set([...this.#named.values()].map(({ name }) => name))
    let name = wanted
    for (let i = 2; taken.has(name); i++) name = `${wanted}-${i}`
    return name
  }
}

function isKeyOf(key: Key, tableId: number, tuple: readonly KeyElement[], types: readonly KeyElementType[]): boolean {
  try {
    return encodeKey(tablePrefix(tableId), tuple, types) === key
  } catch {
    return false
  }
}

/** Table and key as callers know them; of a key that cannot be read, nothing. */
export function nameKey(key: Key, tables: ReadonlyMap<number, SalvagedEntry>): { readonly table?: string; readonly key?: unknown } {
  const isTable = [...tables.keys()].find(id => tablePrefix(id) === key)
  if (isTable !== undefined) return { table: tables.get(isTable)!.name }
  if (key === catalogPrefix) return { table: 'catalog' }
  try {
    const { tableId, tuple } = decodeKey(key)
    const table = tables.get(tableId)?.name ?? (key.startsWith(catalogPrefix) ? 'catalog' : `#${tableId}`)
    return { table, key: tuple.length === 1 ? tuple[0] : tuple }
  } catch {
    return {}
  }
}
