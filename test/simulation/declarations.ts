/** The indexes of a stage's tables: declares them, hands out their handles, and follows the catalog commit by commit. */
import { row, type Database } from '../../engine/index.js'
import type { AnyTable, Tables } from './actor.js'
import type { Chance } from './chance.js'
import { definitionOf, functionOf, indexNames, nameIn, toldKey, type IndexName } from './index-functions.js'
import type { Key, TableName, Value } from './model.js'
import { migrate, told } from './row-versions.js'
import { nameOf, type Building, type Catalog, type IndexContent, type IndexId, type IndexRow, type IndexState } from './records.js'

/** What a row of an index is, given out by the engine. */
export interface GivenRow {
  readonly indexKey: unknown
  readonly key: unknown
  readonly value?: unknown
}

/** A handle of an index; of which kind, whoever reads through it knows. */
export type AnyIndex = object

export interface IndexHandle {
  readonly id: IndexId
  readonly table: TableName
  readonly name: IndexName
  readonly unique: boolean
  /** Of the table's rows, as the handle gives them. */
  readonly version: number
  readonly handle: AnyIndex
}

/** The reading half of a transaction or a database, as far as it reads indexes. */
export interface IndexReader {
  get(index: AnyIndex, indexKey: unknown): GivenRow | undefined
  range(index: AnyIndex, range: object): Iterable<GivenRow>
  count(index: AnyIndex, range: object): number
  first(index: AnyIndex, range: object): GivenRow | undefined
  last(index: AnyIndex, range: object): GivenRow | undefined
}

/** A row of the catalog that a commit wrote; undefined where the index is gone. */
export interface CatalogWrite {
  readonly table: TableName
  readonly declaredAs: string
  readonly index: { readonly id: number; readonly version: number; readonly unique: boolean; readonly ready: boolean } | undefined
}

export type Declared = Readonly<Record<TableName, readonly IndexName[]>>
export const noIndexes: Declared = { strings: [], pairs: [] }

interface LastDeclaration {
  /** Rejects as the table's `ready` does. */
  readonly ready: Promise<unknown>
  outcome: string | undefined
}

interface KnownTable {
  readonly name: string
  readonly version: number
  readonly indexes: readonly { readonly name: string; readonly version: number; readonly unique: boolean; readonly state: IndexState }[]
}

/** A database whose tables are declared with indexes that only this module knows. */
interface Declarer {
  table(name: TableName, definition: object): AnyTable & { readonly indexes: Readonly<Record<string, AnyIndex>>; readonly ready: Promise<unknown> }
}

const keys = { strings: ['string'], pairs: ['string', 'number'] } as const

export class Declarations {
  /** The newest handles. */
  readonly tables: Tables
  /** The versions of the rows that they give. */
  readonly versions: Readonly<Record<TableName, number>>
  readonly #tables: Record<TableName, AnyTable>
  readonly #versions: Record<TableName, number>
  readonly #db: Database
  #handles: IndexHandle[] = []
  #current = new Map<string, IndexId>()
  #catalogs: Catalog[] = [{ ts: 0, states: new Map() }]
  #last = new Map<TableName, LastDeclaration>()
  #declared: Declared = noIndexes

  constructor(db: Database) {
    this.#db = db
    const known = (db as unknown as { tables(): readonly KnownTable[] }).tables()
    const versionOf = (table: TableName): number => known.find(({ name }) => name === table)?.version ?? 1
    const table = (name: TableName): AnyTable => this.#table(name, versionOf(name))
    this.versions = this.#versions = { strings: versionOf('strings'), pairs: versionOf('pairs') }
    this.tables = this.#tables = { strings: table('strings'), pairs: table('pairs') }
    // Which numbers they have does not matter: no history reads what an earlier opening declared.
    let id = 0
    const written = known.flatMap(({ name: of, indexes }) => indexes.map(({ name, version, unique, state }): CatalogWrite => ({ table: of as TableName, declaredAs: name, index: { id: --id, version, unique, ready: state === 'ready' } })))
    this.follow(0, written)
  }

  /** What was declared last. */
  get declared(): Declared {
    return this.#declared
  }

  /** A handle of an index that is declared, now and then of one that was. */
  handle(chance: Chance): IndexHandle | undefined {
    const handles = chance.is(0.03) ? this.#handles : this.#handles.filter(handle => this.#isCurrent(handle))
    return handles.length === 0 ? undefined : chance.of(handles)
  }

  /** Declares a table with these indexes, and what else it has is dropped; without any, its indexes stay as they are. Where it `raises` the version, every row is made anew. */
  declare(table: TableName, names: readonly IndexName[] | undefined, raises: boolean = false): void {
    const version = this.#versions[table] + (raises ? 1 : 0)
    const handle = this.#table(table, version, names && Object.fromEntries(names.map(name => [functionOf(name).declaredAs, definitionOf(name)])))
    this.#versions[table] = version
    const isLeft = (name: IndexName): boolean => this.#idOf(table, name) !== undefined // others could not be built
    if (!names) this.#declared = { ...this.#declared, [table]: this.#declared[table].filter(isLeft) }
    else this.#declared = { ...this.#declared, [table]: names.filter(name => names.findLast(other => functionOf(other).declaredAs === functionOf(name).declaredAs) === name) }
    this.#tables[table] = handle
    const last: LastDeclaration = { ready: handle.ready, outcome: undefined }
    this.#last.set(table, last)
    handle.ready.then(() => (last.outcome = 'done'), (error: unknown) => (last.outcome = error instanceof Error && 'code' in error ? String(error.code) : String(error)))
    for (const name of this.#declared[table]) {
      const { declaredAs, unique } = functionOf(name)
      const id = this.#idOf(table, name)
      if (id !== undefined) this.#handles.push({ id, table, name, unique, version, handle: handle.indexes[declaredAs]! })
    }
  }

  /** Takes what commit `ts` wrote to the catalog. */
  follow(ts: number, writes: readonly CatalogWrite[]): void {
    if (writes.length === 0) return
    const states = new Map(this.#catalogs.at(-1)!.states)
    for (const { table, declaredAs, index } of writes) {
      const place = `${table} ${declaredAs}`
      const before = this.#current.get(place)
      const id: IndexId | undefined = index && `${nameIn(declaredAs, index.version, index.unique)}#${index.id}`
      if (before !== undefined && before !== id) states.set(before, { table, state: 'dropped' })
      if (id === undefined) this.#current.delete(place)
      else {
        this.#current.set(place, id)
        states.set(id, { table, state: index!.ready ? 'ready' : 'building' })
      }
    }
    this.#catalogs.push({ ts, states })
  }

  #table(table: TableName, version: number, indexes?: object): ReturnType<Declarer['table']> {
    const versioned = version > 1 && { version, migrate: (old: unknown, from: number) => migrate(old, from, version) }
    return (this.#db as unknown as Declarer).table(table, { key: keys[table], schema: row<number>(), ...versioned, ...(indexes && { indexes }) })
  }

  #isCurrent({ id, table, name }: IndexHandle): boolean {
    return this.#idOf(table, name) === id
  }

  /** Undefined where there is no such index, or another one under its name. */
  #idOf(table: TableName, name: IndexName): IndexId | undefined {
    const id = this.#current.get(`${table} ${functionOf(name).declaredAs}`)
    return id !== undefined && nameOf(id) === name ? id : undefined
  }

  /** Forgets what was before: handles that are not current, catalogs but the newest, which is that of `ts`. */
  beginAt(ts: number): void {
    this.#handles = this.#handles.filter(handle => this.#isCurrent(handle))
    const { states } = this.#catalogs.at(-1)!
    this.#catalogs = [{ ts, states: new Map([...states].filter(([, { state }]) => state !== 'dropped')) }]
  }

  get catalogs(): readonly Catalog[] {
    return [...this.#catalogs]
  }

  /** Whether all that was declared has been built, or could not be. */
  get areSettled(): boolean {
    const isBuilding = [...this.#catalogs.at(-1)!.states.values()].some(({ state }) => state === 'building')
    return !isBuilding && [...this.#last.values()].every(({ outcome }) => outcome !== undefined)
  }

  get buildings(): readonly Building[] {
    const { states } = this.#catalogs.at(-1)!
    return [...this.#last].map(([table, { outcome }]) => {
      const isReady = (name: IndexName): boolean => states.get(this.#idOf(table, name)!)?.state === 'ready'
      return { table, outcome: outcome ?? 'unsettled', unready: this.#declared[table].filter(name => !isReady(name)) }
    })
  }

  /** Every index that is ready, in whole. */
  get contents(): readonly IndexContent[] {
    const { states } = this.#catalogs.at(-1)!
    const reader = this.#db as unknown as IndexReader
    const newest = new Map(this.#handles.map(handle => [handle.id, handle]))
    return [...newest.values()].flatMap(({ id, table, name, version, handle }) => {
      if (states.get(id)?.state !== 'ready') return []
      const all = (keysOnly: boolean): IndexRow[] => Array.from(reader.range(handle, { keysOnly }), given => indexRowOf(given, keysOnly, value => told(value, version)))
      return [{ table, index: name, keysOnly: all(true), rows: all(false) }]
    })
  }
}

export const indexRowOf = ({ indexKey, key, value }: GivenRow, keysOnly: boolean, valueOf: (row: number) => Value): IndexRow =>
  keysOnly ? [toldKey(indexKey), key as Key] : [toldKey(indexKey), key as Key, valueOf(value as number)]

/** Some indexes for each table, often none for one of them. */
export function someIndexes(chance: Chance): readonly IndexName[] {
  const count = chance.of([0, 1, 1, 2, 2, 3, 5])
  return indexNames
    .map(name => ({ name, place: chance.next() }))
    .sort((a, b) => a.place - b.place)
    .slice(0, count)
    .map(({ name }) => name)
}
