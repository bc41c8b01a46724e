/**
 * PremiseDB as a subject of the anomaly matrix: for each level a store of its own in a temporary directory, durable as by default,
 * with one table whose rows are keyed by space, table and key.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConflictError, type Database, type Level, levels, type ManualTransaction, open, row } from '../index.js'
import type { RangeOptions, Subject, SubjectStore, SubjectTransaction } from '../../isolation/anomaly/index.js'

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

function inSpace(tx: ManualTransaction, rows: Rows, space: number): SubjectTransaction {
  return {
    get: surfacing((table: string, key: string) => tx.get(rows, [space, table, key])),
    range: surfacing((options: RangeOptions) =>
      Array.from(tx.range(rows, boundsIn(space, options)), ({ key: [, , key], value }) => ({ key, value })),
    ),
    put: surfacing((table: string, key: string, value: unknown) => tx.put(rows, [space, table, key], value)),
    delete: surfacing((table: string, key: string) => tx.delete(rows, [space, table, key])),
    commit: surfacing(() => tx.commit()),
    abort: () => tx.abort(),
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
