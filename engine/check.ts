/**
 * Verifies a database: everything that is on disk, and whether it is what the catalog says. `db.check()` does so for one that is open, `check(path)` for one that is closed. Both
 * change no row, and report everything they find.
 */
import type { Engine } from './attempt.js'
import { decodeKey, encodeKey, tablePrefix, tableRange } from './encoding/keys.js'
import type { KeyElementType } from './encoding/key-elements.js'
import { decodeRow } from './encoding/rows.js'
import { decodeValue } from './encoding/values.js'
import { systemEnvironment, type Environment } from './environment.js'
import { UsageError } from './errors.js'
import { defaultLimits } from './limits.js'
import { RowFile, type Root } from './lmdb/row-file.js'
import { Audit, type AuditFinding, type AuditPart, type AuditProgress, type JudgeRow } from './store/audit.js'
import { Directory } from './store/directory.js'
import { OwnerLock } from './store/owner-lock.js'
import { catalogPrefix, decodeEntry } from './table/catalog.js'
import { asStorageError } from './system-errors.js'
import { asTs, type Key } from '../isolation/types.js'

export interface CheckFinding {
  readonly part: AuditPart
  /** The table and row that it is about, where it is about one. */
  readonly table?: string
  readonly key?: unknown
  readonly problem: string
}

export interface CheckReport {
  readonly sound: boolean
  /** The first thousand findings. */
  readonly findings: readonly CheckFinding[]
  /** How many there were. */
  readonly problems: number
  readonly pages: number
  readonly freePages: number
  readonly rows: number
  /** Commits that are in the log and not yet in the row file. */
  readonly logCommits: number
}

export interface CheckOptions {
  /** Called every few milliseconds. `done` of `total` pages or rows. */
  readonly onProgress?: (progress: AuditProgress) => void
}

/** How long the check goes on before it lets others work. */
const sliceMs = 8

/** Verifies an open database. A checkpoint comes first, so that what was committed until now is in what is read. Rejects with `CLOSED` where it is closed meanwhile. */
export async function checkOpen({ store, environment }: Engine, options: CheckOptions = {}): Promise<CheckReport> {
  checkOptions(options)
  await store.checkpoint()
  const checking = store.audit(async ({ root, rowsPath, logPath, newestTs }) => {
    const audit = new Audit(environment.files)
    const whenSliced = (): void => store.assertUsable()
    await inSlices(audit.readPages(rowsPath), environment, options, whenSliced)
    if (!audit.pagesAreSound) return withoutRows(audit)
    store.assertUsable()
    const tables = tablesIn(root, audit)
    await inSlices(audit.readRows(root, newestTs, judgeBy(tables)), environment, options, whenSliced)
    store.assertUsable()
    // As of now: of what checkpoints have moved since the root was pinned, the log need not have anything any more.
    audit.readLog(logPath, store.epochs.appliedTs)
    return reportOf(audit, tables)
  })
  return checking.catch((error: unknown) => {
    throw asStorageError('The database could not be checked', error)
  })
}

/**
 * Verifies the closed database in the directory `path`, under its owner lock.
 *
 * Rejects with `LOCKED` where it is open (call `db.check()` there), `NOT_A_DATABASE`, `FORMAT_TOO_NEW`, `POISONED` where the system fails otherwise, `INVALID_ARGUMENT`.
 */
export async function check(path: string, options: CheckOptions = {}): Promise<CheckReport> {
  if (typeof path !== 'string' || path === '' || path === ':memory:') throw new UsageError('INVALID_ARGUMENT', 'check needs the path of a directory.')
  checkOptions(options)
  try {
    return await checkDirectory(path, options, systemEnvironment)
  } catch (error) {
    throw asStorageError(`${path} could not be checked`, error)
  }
}

async function checkDirectory(path: string, options: CheckOptions, environment: Environment): Promise<CheckReport> {
  const { files } = environment
  const directory = Directory.existing(path, files)
  const lock = new OwnerLock(directory.ownerPath, files)
  const audit = new Audit(files)
  let rowFile: RowFile | undefined
  try {
    directory.assertComplete()
    lock.lockMarker(directory.markerPath)
    await inSlices(audit.readPages(directory.rowsPath), environment, options)
    if (!audit.pagesAreSound) return withoutRows(audit)
    rowFile = RowFile.open(directory.rowsPath, files, { readerSlots: defaultLimits.readerSlots, unsynced: false })
    const root = rowFile.pin()
    try {
      const tables = tablesIn(root, audit)
      audit.readLog(directory.logPath, root.appliedTs)
      const newestTs = audit.lastTs ?? asTs(Number.MAX_SAFE_INTEGER)
      await inSlices(audit.readRows(root, newestTs, judgeBy(tables)), environment, options)
      return reportOf(audit, tables)
    } finally {
      root.release()
    }
  } finally {
    await rowFile?.close()
    lock.release()
  }
}

async function inSlices(work: Generator<AuditProgress, void>, environment: Environment, { onProgress }: CheckOptions, between: () => void = () => {}): Promise<void> {
  let sinceMs = environment.nowMs()
  for (let step = work.next(); !step.done; step = work.next()) {
    if (environment.nowMs() - sinceMs < sliceMs) continue
    onProgress?.(step.value)
    await new Promise<void>(resolve => environment.defer(resolve))
    between()
    sinceMs = environment.nowMs()
  }
}

interface TableOnDisk {
  readonly name: string
  readonly types: readonly KeyElementType[]
}

type Tables = ReadonlyMap<number, TableOnDisk>

const noTables: Tables = new Map()

function tablesIn(root: Root, audit: Audit): Tables {
  const tables = new Map<number, TableOnDisk>()
  for (const { key, bytes } of root.storedChunk(tableRange(catalogPrefix), false, Infinity, Infinity).rows) {
    const entry = entryIn(key, bytes)
    if (entry === undefined) continue
    const { name, id, types } = entry
    if (tables.has(id)) audit.find({ part: 'catalog', key, problem: `the table has the number of table ${JSON.stringify(tables.get(id)!.name)}` })
    tables.set(id, { name, types })
  }
  return tables
}

/** Undefined for a damaged one: that is found where all rows are read. */
function entryIn(key: Key, bytes: Uint8Array): ReturnType<typeof decodeEntry> | undefined {
  try {
    return decodeEntry(key, decodeRow(key, bytes).value)
  } catch {
    return undefined
  }
}

/** Whether a row is one of a table in the catalog, and its value one that can be read. */
function judgeBy(tables: Tables): JudgeRow {
  return (key, value) => {
    const { tableId, tuple } = decodeKey(key)
    if (key.startsWith(catalogPrefix)) {
      decodeEntry(key, value)
      return undefined
    }
    const table = tables.get(tableId)
    if (table === undefined) return `it is of table number ${tableId}, which the catalog does not have`
    try {
      if (encodeKey(tablePrefix(tableId), tuple, table.types) !== key) return 'its key is not written as it should be'
    } catch {
      return `its key is not one of table ${JSON.stringify(table.name)}`
    }
    decodeValue(value)
    return undefined
  }
}

function withoutRows(audit: Audit): CheckReport {
  audit.find({ part: 'rows', problem: 'Neither rows nor log were read: on damaged pages the native library may end the process.' })
  return reportOf(audit, noTables)
}

function reportOf({ findings, problems, pages, freePages, rows, logCommits }: Audit, tables: Tables): CheckReport {
  return { sound: problems === 0, findings: findings.map(finding => describe(finding, tables)), problems, pages, freePages, rows, logCommits }
}

function describe({ part, key, problem }: AuditFinding, tables: Tables): CheckFinding {
  return key === undefined ? { part, problem } : { part, ...named(key, tables), problem }
}

/** Table and key as callers know them; of a key that cannot be read, nothing. */
function named(key: Key, tables: Tables): { table?: string; key?: unknown } {
  const isTable = [...tables.keys()].find(id => tablePrefix(id) === key)
  if (isTable !== undefined) return { table: tables.get(isTable)!.name }
  try {
    const { tableId, tuple } = decodeKey(key)
    const table = tables.get(tableId)
    return { table: table?.name ?? (key.startsWith(catalogPrefix) ? 'catalog' : `#${tableId}`), key: tuple.length === 1 ? tuple[0] : tuple }
  } catch {
    return {}
  }
}

function checkOptions(options: unknown): void {
  if (typeof options !== 'object' || options === null) throw new UsageError('INVALID_ARGUMENT', 'The options of check must be an object.')
  const { onProgress, ...others } = options as CheckOptions & Record<string, unknown>
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) throw new UsageError('INVALID_ARGUMENT', `Unknown option ${JSON.stringify(unknown)}; there is "onProgress".`)
  if (onProgress !== undefined && typeof onProgress !== 'function') throw new UsageError('INVALID_ARGUMENT', '"onProgress" must be a function.')
}
