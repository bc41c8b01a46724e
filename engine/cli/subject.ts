/**
 * PremiseDB as a subject of the anomaly matrix: for each level a store of its own in a temporary directory, durable as by default.
 * Rows are keyed by space, table and key. Those of tables without indexes are all in one table; a table with indexes is one of its
 * own, and the keys in its indexes begin with the space.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConflictError, ConstraintError, type Database, type Level, levels, type ManualTransaction, open, row, type Transaction } from '../index.js'
import {
  type IndexDefinition,
  type IndexInterval,
  type IndexKey,
  indexKeysOf,
  type IndexRangeOptions,
  type RangeOptions,
  type Row,
  type Subject,
  type SubjectSpace,
  type SubjectStore,
  type SubjectTransaction,
  type TableDefinition,
  type TableInterval,
} from '../../isolation/anomaly/index.js'

/** PremiseDB at each of its levels. */
export const premiseSubjects: readonly Subject[] = levels.map(level => ({
  name: `premisedb/${level}`,
  level,
  control: 'optimistic',
  ours: true,
  open: () => openStore(level),
}))

/** What is stored: the runner's value, and the space, which an index knows only from there. */
type Stored = Readonly<Record<string, unknown>> & { readonly space: number }

const openTable = (db: Database, name: string, indexes: readonly IndexDefinition[]) =>
  db.table(name, {
    key: ['number', 'string', 'string'],
    schema: row<Stored>(),
    indexes: Object.fromEntries(indexes.map(index => [index.name, keysIn(index)])),
  })
type Rows = ReturnType<typeof openTable>

/** A key of an index, with the space in front. */
type SpacedKey = readonly [number, ...string[]]

/** To the types every index has one key for a row, and a unique one; `indexGet` is only asked of those that are. */
function keysIn({ unique = false, many = false, ...index }: IndexDefinition) {
  const keysOf = (stored: Stored): SpacedKey[] => indexKeysOf({ ...index, many }, stored).map(key => [stored.space, ...key])
  return { unique: unique as true, many, on: (stored: Stored) => (many ? keysOf(stored) : keysOf(stored)[0]) as SpacedKey | undefined }
}

/** The tables of one store: one for all tables without indexes, and one for each definition of a table with some. */
class Tables {
  readonly plain: Rows
  readonly #db: Database
  readonly #indexed = new Map<string, Rows>()
  readonly #names = new Set(['rows'])

  constructor(db: Database) {
    this.#db = db
    this.plain = openTable(db, 'rows', [])
  }

  async indexed(definition: TableDefinition): Promise<Rows> {
    const id = JSON.stringify(definition)
    const rows = this.#indexed.get(id) ?? openTable(this.#db, this.#newName(definition.table), definition.indexes)
    this.#indexed.set(id, rows)
    await rows.ready
    return rows
  }

  #newName(wanted: string): string {
    const name = this.#names.has(wanted) ? `${wanted}-${this.#names.size}` : wanted
    this.#names.add(name)
    return name
  }
}

async function openStore(level: Level): Promise<SubjectStore> {
  const directory = await mkdtemp(join(tmpdir(), 'premise-matrix-'))
  const remove = (): Promise<void> => rm(directory, { recursive: true, force: true })
  try {
    const db = await open(directory)
    const tables = new Tables(db)
    let spaces = 0
    const indexedSpace = async (initial: readonly Row[], definitions: readonly TableDefinition[]): Promise<SubjectSpace> => {
      const indexed = new Map<string, Rows>()
      for (const definition of definitions) indexed.set(definition.table, await tables.indexed(definition))
      const space: Space = { number: ++spaces, rowsOf: table => indexed.get(table) ?? tables.plain }
      await db.transaction(tx => initial.forEach(({ table, key, value }) => tx.put(space.rowsOf(table), [space.number, table, key], storedIn(space, value))))
      return {
        begin: ({ label, readOnly }) => inSpace(db.begin({ level, readOnly, label }), space),
        finalState: () =>
          [tables.plain, ...indexed.values()].flatMap(rows =>
            Array.from(db.range(rows, { prefix: [space.number] }), ({ key: [, table, key], value }) => ({ table, key, value })),
          ),
        finalEntries: (table, index) => Array.from(db.range(indexOf(space, table, index), { prefix: [space.number] }), indexKeyed),
      }
    }
    return {
      space: initial => indexedSpace(initial, []),
      indexedSpace,
      async close() {
        await db.close()
        await remove()
      },
    }
  } catch (error) {
    await remove()
    throw error
  }
}

interface Space {
  readonly number: number
  readonly rowsOf: (table: string) => Rows
}

const storedIn = (space: Space, value: unknown): Stored => ({ ...(value as object), space: space.number })

function indexOf(space: Space, table: string, name: string) {
  const index = space.rowsOf(table).indexes[name]
  if (!index) throw new TypeError(`Table ${table} has no index ${name}.`)
  return index
}

/** A row as PremiseDB gives it out: its key says in which space and table it is. */
interface Found {
  readonly key: readonly [number, string, string]
  readonly value: unknown
}

interface FoundInIndex extends Found {
  readonly indexKey: SpacedKey
}

const keyed = ({ key, value }: Found) => ({ key: key[2], value })
const indexKeyed = ({ indexKey, ...found }: FoundInIndex) => ({ indexKey: indexKey.slice(1) as readonly string[], ...keyed(found) })

function inSpace(manual: ManualTransaction, space: Space): SubjectTransaction {
  /** The handle that operations go to: a savepoint's own while it lasts. */
  let tx: Transaction = manual
  let endSavepoint = (): Promise<void> => Promise.reject(new Error('There is no savepoint to undo.'))
  const one = (found: Found | undefined) => found && keyed(found)
  const { rowsOf } = space
  const at = (table: string, key: string) => [space.number, table, key] as const
  return {
    get: surfacing((table: string, key: string) => tx.get(rowsOf(table), at(table, key))),
    range: surfacing((options: RangeOptions) => Array.from(tx.range(rowsOf(options.table), boundsIn(space, options)), keyed)),
    first: surfacing((interval: TableInterval) => one(tx.first(rowsOf(interval.table), boundsIn(space, interval)))),
    last: surfacing((interval: TableInterval) => one(tx.last(rowsOf(interval.table), boundsIn(space, interval)))),
    count: surfacing((interval: TableInterval) => tx.count(rowsOf(interval.table), boundsIn(space, interval))),
    indexRange: surfacing((options: IndexRangeOptions) =>
      Array.from(tx.range(indexOf(space, options.table, options.index), indexBoundsIn(space, options)), indexKeyed),
    ),
    indexCount: surfacing((interval: IndexInterval) => tx.count(indexOf(space, interval.table, interval.index), indexBoundsIn(space, interval))),
    indexGet: surfacing((table: string, index: string, key: IndexKey) => {
      const found = tx.get(indexOf(space, table, index), [space.number, ...key])
      return found && indexKeyed(found)
    }),
    put: surfacing((table: string, key: string, value: unknown) => tx.put(rowsOf(table), at(table, key), storedIn(space, value))),
    delete: surfacing((table: string, key: string) => tx.delete(rowsOf(table), at(table, key))),
    deleteRange: surfacing((interval: TableInterval) => void tx.deleteRange(rowsOf(interval.table), boundsIn(space, interval))),
    savepoint: surfacing(() => {
      const dropped = new Error('dropped')
      let drop = (): void => undefined
      const ended = manual.transaction(async inner => {
        tx = inner
        await new Promise<void>((_, reject) => {
          drop = () => reject(dropped)
        })
      })
      endSavepoint = async () => {
        tx = manual
        drop()
        await ended.catch((error: unknown) => {
          if (error !== dropped) throw error
        })
      }
    }),
    undo: surfacing(() => endSavepoint()),
    commit: surfacing(() => manual.commit()),
    abort: () => manual.abort(),
  }
}

/** A range over one table of one space. An open end is where the table begins or ends, not where the space does. */
function boundsIn({ number: space }: Space, { table, gt, gte, lt, lte, limit, reverse }: RangeOptions) {
  const at = (key: string) => [space, table, key] as const
  const unbounded = gt === undefined && gte === undefined && lt === undefined && lte === undefined
  const how = { ...(limit !== undefined && { limit }), ...(reverse !== undefined && { reverse }) }
  if (unbounded) return { prefix: [space, table] as const, ...how }
  return {
    ...(gt !== undefined ? { gt: at(gt) } : { gte: gte === undefined ? ([space, table] as const) : at(gte) }),
    ...(lte !== undefined ? { lte: at(lte) } : { lt: lt === undefined ? ([space, `${table}\0`] as const) : at(lt) }),
    ...how,
  }
}

/** A range over one space of an index: an open end is that of the keys with the prefix. */
function indexBoundsIn({ number: space }: Space, { prefix = [], gte, lt, limit, reverse }: IndexRangeOptions) {
  const start = [space, ...prefix] as const
  const how = { ...(limit !== undefined && { limit }), ...(reverse !== undefined && { reverse }) }
  if (gte === undefined && lt === undefined) return { prefix: start, ...how }
  const last = prefix.at(-1)
  const end = last === undefined ? ([space + 1] as const) : ([space, ...prefix.slice(0, -1), `${last}\0`] as const)
  return { gte: gte === undefined ? start : ([...start, gte] as const), lt: lt === undefined ? end : ([...start, lt] as const), ...how }
}

/**
 * To the matrix a retryable error is an abort by concurrency control, so only a conflict may pass as one: a full disk or a
 * deadline can be retried too, but here it is a failure that must be seen. Of constraints the sessions know that keys are unique.
 */
function surfacing<A extends unknown[], T>(operation: (...args: A) => T | Promise<T>): (...args: A) => Promise<T> {
  return async (...args) => {
    try {
      return await operation(...args)
    } catch (error) {
      if (error instanceof ConflictError || (error instanceof ConstraintError && error.code === 'UNIQUE_VIOLATION')) throw error
      throw new Error(error instanceof Error ? error.message : String(error), { cause: error })
    }
  }
}
