/**
 * The catalog in memory: which tables and indexes there are, and what programs have declared of them since the database was opened. Every change is one commit of catalog rows, after which the
 * memory follows; what takes longer (building, migrating, deleting) is then done in steps (`Changes`).
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { CommitPath } from '../commit.js'
import type { KeyElementType } from '../encoding/key-elements.js'
import { decodeKey, keyHex, tableRange } from '../encoding/keys.js'
import type { Environment } from '../environment.js'
import { UsageError } from '../errors.js'
import type { NamedTable } from '../explain.js'
import type { Limits } from '../limits.js'
import { isPromise } from '../promises.js'
import { SnapshotCursor } from '../store/snapshot-cursor.js'
import type { Store } from '../store/store.js'
import type { Write } from '../write-set.js'
import { asTs, noTs, type CommitTs, type Key } from '../../isolation/types.js'
import { catalogId, catalogPrefix, decodeCatalogRow, encodeCatalogRow, indexKeyInCatalog, progressKeyInCatalog, tableKeyInCatalog, type CatalogRow, type Era } from './catalog-rows.js'
import { Changes } from './changes.js'
import { keyText, TableCodec } from './codec.js'
import { checkDefinition, type IndexDefinition, type IndexDefinitions, type IndexFunction, type TableDefinition } from './definition.js'
import { IndexCodec } from './index-codec.js'
import { Index } from './index-handle.js'
import { StoredIndex } from './stored-index.js'
import { StoredTable } from './stored-table.js'
import { Table } from './table.js'

/** Tables by the prefix of their rows' keys: what the commit path looks up. */
export type TablesByPrefix = Map<string, StoredTable>

/** A table as `db.tables()` tells of it. */
export interface TableDescription {
  readonly name: string
  readonly key: readonly KeyElementType[]
  readonly version: number
  /** Rows of older versions may still be there; they are migrated as they are read. */
  readonly migrating: boolean
  readonly indexes: readonly IndexDescription[]
}

export interface IndexDescription {
  readonly name: string
  readonly unique: boolean
  readonly many: boolean
  readonly version: number
  readonly state: 'ready' | 'building'
  /** Whether the program has declared it since the database was opened: without that the table cannot be written. */
  readonly declared: boolean
}

export interface CatalogParts {
  readonly store: Store
  readonly commitPath: CommitPath
  readonly tables: TablesByPrefix
  readonly environment: Environment
  readonly limits: Limits
}

type Definition = TableDefinition<readonly KeyElementType[], StandardSchemaV1, IndexDefinitions<never>>

export class Catalog {
  readonly #parts: CatalogParts
  readonly #byPrefix: TablesByPrefix
  readonly #byName = new Map<string, StoredTable>()
  readonly #byId = new Map<number, StoredTable | StoredIndex>()
  readonly #changes: Changes
  #nextId = catalogId + 1

  constructor(parts: CatalogParts) {
    this.#parts = parts
    this.#byPrefix = parts.tables
    this.#changes = new Changes(parts, {
      indexFailed: (index, error) => this.#removeFailed(index, error),
      migrated: table => void this.#build(table.indexes).catch(() => {}), // whoever waits for an index has a promise of their own
    })
    this.#load()
  }

  /**
   * The table's handle; what differs from the catalog is changed there. Throws `INVALID_ARGUMENT`, `NOT_SYNCHRONOUS` for a schema that is not, `TABLE_MISMATCH` naming the difference where the
   * table cannot become what is declared, `DISK_FULL`; nothing was changed.
   */
  table<K, In, Out, Bound, Indexes extends object>(name: string, definition: Definition, owner: object): Table<K, In, Out, Bound, Indexes> {
    checkDefinition(name, definition)
    return this.#table(name, copyOf(definition), owner)
  }

  #table<K, In, Out, Bound, Indexes extends object>(name: string, definition: Definition, owner: object): Table<K, In, Out, Bound, Indexes> {
    this.#parts.store.assertUsable()
    const known = this.#byName.get(name)
    const table = known ?? new StoredTable({ is: 'table', id: this.#nextId, name, key: definition.key, version: definition.version ?? 1, eras: [], migrating: false })
    const codec = new TableCodec<K, In, Out, Bound>({ table, version: definition.version ?? 1, schema: definition.schema, valueSizeBytes: this.#parts.limits.valueSizeBytes })
    const ready = this.#declare(table, known === undefined, definition, codec)
    const indexes: Record<string, unknown> = Object.create(null) as Record<string, unknown>
    for (const index of table.indexes) indexes[index.name] = new Index(new IndexCodec(index, codec as TableCodec<K, unknown, Out, unknown>), owner)
    return new Table(codec, Object.freeze(indexes) as Indexes, owner, ready)
  }

  /** What there is, by name. */
  describe(): TableDescription[] {
    return [...this.#byName.values()]
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
      .map(({ name, types, version, isMigrating, indexes }) => ({
        name,
        key: types,
        version,
        migrating: isMigrating,
        indexes: indexes.map(({ name: indexName, unique, many, version: indexVersion, readyTs, on }) => ({
          name: indexName,
          unique,
          many,
          version: indexVersion,
          state: readyTs === undefined ? 'building' : 'ready',
          declared: on !== undefined,
        })),
      }))
  }

  /** Gives a table another name. Its handles stay valid. Throws `INVALID_ARGUMENT`, `DISK_FULL`; nothing was changed. */
  rename(from: string, to: string): Promise<void> {
    const table = this.#existing(from)
    if (typeof to !== 'string' || to === '') throw new UsageError('INVALID_ARGUMENT', 'A table needs a name: a string that is not empty.')
    if (to === from) return Promise.resolve()
    if (this.#byName.has(to)) throw new UsageError('INVALID_ARGUMENT', `There is a table ${JSON.stringify(to)} already.`)
    const rows = new CatalogWrites()
    rows.remove(tableKeyInCatalog(from))
    rows.put({ ...table.row, name: to })
    for (const index of table.indexes) {
      progressKeyInCatalog(to, index.name) // must fit, too
      this.#removeIndexRows(rows, index)
      rows.put({ ...rowOf(index), table: to })
      if (index.builtTo !== undefined) rows.put({ is: 'progress', table: to, index: index.name, builtTo: index.builtTo })
    }
    const durable = this.#commit(rows, `rename table ${JSON.stringify(from)}`)
    this.#byName.delete(from)
    this.#byName.set(to, table)
    table.name = to
    table.catalogKey = tableKeyInCatalog(to)
    return durable
  }

  /** Removes a table; its rows and index entries are deleted in steps. Resolves when that can no longer be undone. Throws `INVALID_ARGUMENT`, `DISK_FULL`; nothing was changed. */
  drop(name: string): Promise<void> {
    const table = this.#existing(name)
    const rows = new CatalogWrites()
    rows.remove(table.catalogKey)
    rows.put({ is: 'dropped', id: table.id })
    rows.put({ is: 'ids', next: this.#nextId })
    for (const index of table.indexes) this.#dropIndex(rows, index)
    const durable = this.#commit(rows, `drop table ${JSON.stringify(name)}`)
    this.#byName.delete(name)
    this.#byPrefix.delete(table.prefix)
    table.isDropped = true
    table.migrate = undefined
    for (const index of table.indexes) index.drop(undefined)
    for (const id of [table.id, ...table.indexes.flatMap(idsOf)]) this.#changes.deleteAll(id)
    table.indexes = []
    return durable
  }

  /** The database is being closed: what is left to be done waits for the next opening. */
  stop(): void {
    this.#changes.stop()
  }

  /** Whose keys these are, for explanations. */
  readonly nameTable = (id: number): NamedTable => {
    const found = this.#byId.get(id)
    if (found === undefined) return { name: id === catalogId ? 'catalog' : `#${id}`, bare: id === catalogId }
    if (found instanceof StoredIndex) return { name: found.table.name, bare: found.table.types.length === 1, index: { name: found.name, prefix: found.prefix } }
    return { name: found.name, bare: found.types.length === 1 }
  }

  /** Table and key that an encoded key means, for messages. */
  describeKey(encoded: Key): { readonly name: string; readonly key: unknown } {
    const { tableId, tuple } = decodeKey(encoded)
    const { name, bare } = this.nameTable(tableId)
    return { name, key: bare ? tuple[0] : tuple }
  }

  /** A row, at the beginning of a sentence. */
  readonly nameRow = (encoded: Key): string => {
    try {
      const { tableId } = decodeKey(encoded)
      const found = this.#byId.get(tableId)
      if (found instanceof StoredIndex) return `An entry of index ${JSON.stringify(found.name)} of table ${JSON.stringify(found.table.name)}`
      const { name, key } = this.describeKey(encoded)
      return `Row ${keyText(key)} of table ${JSON.stringify(name)}`
    } catch {
      return `The row with key ${keyHex(encoded)}`
    }
  }

  /** The index under an id, if it is maintained. */
  indexById(id: number): StoredIndex | undefined {
    const found = this.#byId.get(id)
    return found instanceof StoredIndex && found.dropped === undefined ? found : undefined
  }

  #existing(name: string): StoredTable {
    this.#parts.store.assertUsable()
    const table = this.#byName.get(name)
    if (table === undefined) throw new UsageError('INVALID_ARGUMENT', `There is no table ${keyText(name)}.`)
    return table
  }

  /** Brings the catalog to what is declared, and begins what that takes. */
  #declare<K, In, Out, Bound>(table: StoredTable, isNew: boolean, definition: Definition, codec: TableCodec<K, In, Out, Bound>): Promise<void> {
    const isEmpty = isNew || this.#isEmpty(table)
    const { version, era } = this.#versionOf(table, definition, isEmpty)
    const eras = era === undefined ? table.eras : [...table.eras, era]
    const migrating = table.isMigrating || (era !== undefined && !isEmpty)
    const declared = definition.indexes === undefined ? undefined : Object.entries(definition.indexes)
    if (declared === undefined && version !== table.version && table.indexes.length > 0) {
      throw mismatch(table, `gets version ${version} and has indexes, whose functions must be declared together with it`)
    }
    const rows = new CatalogWrites()
    if (isNew || version !== table.version) rows.put({ ...table.row, version, eras, migrating })
    let nextId = isNew ? table.id + 1 : this.#nextId
    const kept: StoredIndex[] = []
    const added: StoredIndex[] = []
    for (const [name, index] of declared ?? []) {
      progressKeyInCatalog(table.name, name) // must fit, too
      const existing = table.indexes.find(other => other.name === name)
      if (existing !== undefined && isSame(existing, index, version)) kept.push(existing)
      else {
        const { unique = false, many = false, version: indexVersion = 1 } = index
        const replaces = unique && existing?.unique === true && !isEmpty ? [existing.id, ...existing.replaces] : []
        added.push(new StoredIndex(table, { id: nextId++, name, unique, many, version: indexVersion, tableVersion: version, replaces }))
      }
    }
    const dropped = declared === undefined ? [] : table.indexes.filter(index => !kept.includes(index))
    const replaced = new Set(added.flatMap(({ replaces }) => replaces))
    const deleted = dropped.flatMap(idsOf).filter(id => !replaced.has(id))
    for (const index of dropped) this.#removeIndexRows(rows, index)
    for (const id of deleted) rows.put({ is: 'dropped', id })
    for (const index of added) rows.put({ ...rowOf(index), ready: isEmpty })
    if (dropped.length > 0) rows.put({ is: 'ids', next: nextId })

    const label = `declare table ${JSON.stringify(table.name)}`
    const durable = rows.isEmpty ? this.#parts.store.whenDurable(this.#parts.store.visibleTs) : this.#commit(rows, label)
    // From here on nothing fails.
    this.#nextId = nextId
    table.version = version
    table.eras = eras
    table.isMigrating = migrating
    const { migrate } = definition
    if (migrate !== undefined) table.migrate = (old, from, key) => codec.encodeValue(synchronous(migrate(old, from)) as In, key as K)
    if (isNew) this.#remember(table)
    for (const index of dropped) index.drop(undefined)
    for (const id of deleted) this.#changes.deleteAll(id)
    for (const index of added) {
      this.#byId.set(index.id, index)
      if (isEmpty) index.readyTs = isNew ? noTs : this.#parts.store.visibleTs // older states of a table that was there may hold rows
    }
    if (declared !== undefined) {
      for (const index of [...kept, ...added]) index.on = definition.indexes![index.name]!.on as IndexFunction
      table.indexes = declared.map(([name]) => [...kept, ...added].find(index => index.name === name)!)
    }
    const { indexes } = table
    const work = table.isMigrating && table.migrate !== undefined ? this.#changes.migrate(table).then(() => this.#build(indexes)) : this.#build(indexes)
    return allDone([durable, work])
  }

  /** Builds those of the indexes that are not ready. */
  #build(indexes: readonly StoredIndex[]): Promise<void> {
    // Of those that were dropped meanwhile, the building says so.
    const unready = indexes.filter(({ readyTs, on, dropped, table }) => readyTs === undefined && (on !== undefined || dropped !== undefined) && !table.isMigrating)
    return allDone(unready.map(index => this.#changes.build(index)))
  }

  /** The version that a declaration gives a table's rows, and the era that ends with it. Throws `TABLE_MISMATCH`. */
  #versionOf(table: StoredTable, { key, version = 1, migrate }: Definition, isEmpty: boolean): { readonly version: number; readonly era: Era | undefined } {
    if (JSON.stringify(table.types) !== JSON.stringify(key)) {
      throw mismatch(table, `is stored with key ${JSON.stringify(table.types)} and was declared with key ${JSON.stringify(key)}`)
    }
    if (version < table.version) throw mismatch(table, `is stored with version ${table.version} and was declared with version ${version}`)
    if (version === table.version) {
      if (table.isMigrating && migrate === undefined && table.migrate === undefined) {
        throw mismatch(table, `has rows of versions before ${version}, and was declared without "migrate"`)
      }
      return { version, era: undefined }
    }
    if (migrate === undefined && !isEmpty) throw mismatch(table, `is stored with version ${table.version} and was declared with version ${version}, without "migrate"`)
    return { version, era: { version: table.version, untilTs: asTs(this.#parts.store.visibleTs + 1) } }
  }

  #isEmpty(table: StoredTable): boolean {
    const { epochs, visibleTs } = this.#parts.store
    const snapshot = epochs.acquire(visibleTs, false)
    try {
      return new SnapshotCursor(epochs.window, snapshot, tableRange(table.prefix), false).peek() === undefined
    } finally {
      epochs.release(snapshot)
    }
  }

  /** An index that cannot be built goes, and the table is as it was before the index was declared. */
  #removeFailed(index: StoredIndex, error: Error): void {
    if (index.dropped !== undefined) return
    const rows = new CatalogWrites()
    this.#dropIndex(rows, index)
    rows.put({ is: 'ids', next: this.#nextId })
    void this.#commit(rows, `drop index ${JSON.stringify(index.name)}, which could not be built`).catch(() => {}) // whoever waits for the index is told why it is gone
    index.drop(error)
    index.table.indexes = index.table.indexes.filter(other => other !== index)
    for (const id of idsOf(index)) this.#changes.deleteAll(id)
  }

  #dropIndex(rows: CatalogWrites, index: StoredIndex): void {
    this.#removeIndexRows(rows, index)
    for (const id of idsOf(index)) rows.put({ is: 'dropped', id })
  }

  #removeIndexRows(rows: CatalogWrites, { table, name, readyTs }: StoredIndex): void {
    rows.remove(indexKeyInCatalog(table.name, name))
    if (readyTs === undefined) rows.remove(progressKeyInCatalog(table.name, name))
  }

  /** Installs rows of the catalog as one commit. Throws `DISK_FULL`, having changed nothing; resolves when it is on disk. */
  #commit(rows: CatalogWrites, label: string): Promise<void> {
    const { commitPath, store } = this.#parts
    const ts = commitPath.install(rows.all, { label, durability: 'durable' })
    return store.whenDurable(ts)
  }

  #remember(table: StoredTable): void {
    this.#byName.set(table.name, table)
    this.#byPrefix.set(table.prefix, table)
    this.#byId.set(table.id, table)
  }

  #load(): void {
    const { epochs, visibleTs } = this.#parts.store
    const rows: CatalogRow[] = []
    const snapshot = epochs.acquire(visibleTs, false)
    try {
      const cursor = new SnapshotCursor(epochs.window, snapshot, tableRange(catalogPrefix), false)
      for (let row = cursor.peek(); row !== undefined && row !== 'moved'; row = cursor.peek()) {
        cursor.take()
        rows.push(decodeCatalogRow(row.key, row.value))
      }
    } finally {
      epochs.release(snapshot)
    }
    this.#take(rows, visibleTs)
  }

  /** Rows come in the order of their keys: a table before its indexes, an index before its progress. */
  #take(rows: readonly CatalogRow[], ts: CommitTs): void {
    const used = new Set(rows.flatMap(row => (row.is === 'table' ? row.id : row.is === 'index' ? [row.id, ...row.replaces] : [])))
    for (const row of rows) {
      if ('id' in row) this.#nextId = Math.max(this.#nextId, row.id + 1)
      if (row.is === 'ids') this.#nextId = Math.max(this.#nextId, row.next)
      else if (row.is === 'table') this.#remember(new StoredTable(row))
      else if (row.is === 'dropped') {
        if (!used.has(row.id)) this.#changes.deleteAll(row.id)
      }
      else if (row.is === 'index') {
        const table = this.#byName.get(row.table)
        if (table === undefined) continue // check says so
        const index = new StoredIndex(table, row)
        if (row.ready) index.readyTs = ts
        table.indexes = [...table.indexes, index]
        this.#byId.set(index.id, index)
      } else {
        const index = this.#byName.get(row.table)?.indexes.find(({ name }) => name === row.index)
        if (index !== undefined) index.builtTo = row.builtTo
      }
    }
  }
}

/** Read once, before anything is looked up: properties may be getters. */
function copyOf({ key, schema, version, migrate, indexes }: Definition): Definition {
  return {
    key,
    ...(schema && { schema }),
    ...(version !== undefined && { version }),
    ...(migrate && { migrate }),
    ...(indexes && { indexes: Object.fromEntries(Object.entries(indexes).map(([name, index]) => [name, { ...index }])) }),
  }
}

/** What a migration returned; throws for a promise. */
function synchronous(row: unknown): unknown {
  if (!isPromise(row)) return row
  row.then(undefined, () => {}) // it is refused; its rejection must not surface as an unhandled one
  throw new UsageError('NOT_SYNCHRONOUS', '"migrate" returned a promise; it must be synchronous')
}

/** Rejects with the first failure, once all have come to an end. */
async function allDone(work: readonly Promise<unknown>[]): Promise<void> {
  const failed = (await Promise.allSettled(work)).find(({ status }) => status === 'rejected')
  if (failed !== undefined) throw (failed as PromiseRejectedResult).reason
}

/** Rows of the catalog that one commit changes. */
class CatalogWrites {
  readonly all = new Map<Key, Write>()

  get isEmpty(): boolean {
    return this.all.size === 0
  }

  put(row: CatalogRow): void {
    const { key, value } = encodeCatalogRow(row)
    this.all.set(key, { value, kind: 'put' })
  }

  remove(key: Key): void {
    this.all.set(key, { value: undefined, kind: 'delete' })
  }
}

function rowOf({ table, id, name, unique, many, version, tableVersion, readyTs, replaces }: StoredIndex): CatalogRow & { readonly is: 'index' } {
  return { is: 'index', table: table.name, id, name, unique, many, version, tableVersion, ready: readyTs !== undefined, replaces }
}

/** Under which ids an index has entries. */
function idsOf({ id, replaces }: StoredIndex): number[] {
  return [id, ...replaces]
}

/** Functions are not compared: what an index is, its declaration says. */
function isSame(stored: StoredIndex, { unique = false, many = false, version = 1 }: IndexDefinition<never>, tableVersion: number): boolean {
  return stored.unique === unique && stored.many === many && stored.version === version && stored.tableVersion === tableVersion
}

function mismatch(table: StoredTable, what: string): UsageError {
  return new UsageError('TABLE_MISMATCH', `Table ${JSON.stringify(table.name)} ${what}. Declare it as it is stored, or use another name.`)
}
