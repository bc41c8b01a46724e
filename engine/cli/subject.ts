/**
 * PremiseDB as a subject of the anomaly matrix: for each level a store of its own in a temporary directory, durable as by default,
 * with one table whose rows are keyed by space, table and key.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConflictError, type Database, type Level, levels, type ManualTransaction, open, row, type Transaction } from '../index.js'
import type { RangeOptions, Subject, SubjectStore, SubjectTransaction, TableInterval } from '../../isolation/anomaly/index.js'

/** PremiseDB at each of its levels. */
export const premiseSubjects: readonly Subject[] = levels.map(level => ({
  name: `premisedb/${level}`,
  level,
  control: 'optimistic',
  ours: true,
  open: () => openStore(level),
}))

const openTable = (db: Database) => db.table('rows', { key: ['number', 'string', 'string'], schema: row<unknown>() })
type Rows = ReturnType<typeof openTable>

async function openStore(level: Level): Promise<SubjectStore> {
  const directory = await mkdtemp(join(tmpdir(), 'premise-matrix-'))
  const remove = (): Promise<void> => rm(directory, { recursive: true, force: true })
  try {
    const db = await open(directory)
    const rows = openTable(db)
    let spaces = 0
    return {
      async space(initial) {
        const space = ++spaces
        await db.transaction(tx => initial.forEach(({ table, key, value }) => tx.put(rows, [space, table, key], value)))
        return {
          begin: ({ label, readOnly }) => inSpace(db.begin({ level, readOnly, label }), rows, space),
          finalState: () => Array.from(db.range(rows, { prefix: [space] }), ({ key: [, table, key], value }) => ({ table, key, value })),
        }
      },
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

/** A row as PremiseDB gives it out: its key says in which space and table it is. */
interface Found {
  readonly key: readonly [number, string, string]
  readonly value: unknown
}

function inSpace(manual: ManualTransaction, rows: Rows, space: number): SubjectTransaction {
  /** The handle that operations go to: a savepoint's own while it lasts. */
  let tx: Transaction = manual
  let endSavepoint = (): Promise<void> => Promise.reject(new Error('There is no savepoint to undo.'))
  const keyed = ({ key, value }: Found) => ({ key: key[2], value })
  const one = (found: Found | undefined) => found && keyed(found)
  return {
    get: surfacing((table: string, key: string) => tx.get(rows, [space, table, key])),
    range: surfacing((options: RangeOptions) => Array.from(tx.range(rows, boundsIn(space, options)), keyed)),
    first: surfacing((interval: TableInterval) => one(tx.first(rows, boundsIn(space, interval)))),
    last: surfacing((interval: TableInterval) => one(tx.last(rows, boundsIn(space, interval)))),
    count: surfacing((interval: TableInterval) => tx.count(rows, boundsIn(space, interval))),
    put: surfacing((table: string, key: string, value: unknown) => tx.put(rows, [space, table, key], value)),
    delete: surfacing((table: string, key: string) => tx.delete(rows, [space, table, key])),
    deleteRange: surfacing((interval: TableInterval) => void tx.deleteRange(rows, boundsIn(space, interval))),
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
function boundsIn(space: number, { table, gt, gte, lt, lte, limit, reverse }: RangeOptions) {
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

/**
 * To the matrix a retryable error is an abort by concurrency control, so only a conflict may pass as one: a full disk or a
 * deadline can be retried too, but here it is a failure that must be seen.
 */
function surfacing<A extends unknown[], T>(operation: (...args: A) => T | Promise<T>): (...args: A) => Promise<T> {
  return async (...args) => {
    try {
      return await operation(...args)
    } catch (error) {
      if (error instanceof ConflictError) throw error
      throw new Error(error instanceof Error ? error.message : String(error), { cause: error })
    }
  }
}
