/**
 * Verifies a database: everything that is on disk, and whether it is what the catalog says. `db.check()` does so for one that is open, `check(path)` for one that is closed. Both
 * change no row, and report everything they find.
 */
import type { Engine } from './attempt.js'
import { CatalogOnDisk, type DeclaredIndex, type RowOf } from './catalog-on-disk.js'
import { tableRange } from './encoding/keys.js'
import { decodeRow } from './encoding/rows.js'
import { systemEnvironment, type Environment } from './environment.js'
import { UsageError } from './errors.js'
import { defaultLimits } from './limits.js'
import { RowFile, type Root } from './lmdb/row-file.js'
import { Audit, type AuditFinding, type AuditPart, type AuditProgress } from './store/audit.js'
import { Directory } from './store/directory.js'
import { OwnerLock } from './store/owner-lock.js'
import { catalogPrefix, decodeCatalogRow, type CatalogRow } from './table/catalog-rows.js'
import { asStorageError } from './system-errors.js'
import { asTs, type Key } from '../isolation/types.js'

export interface CheckFinding {
  readonly part: AuditPart
  /** The table and row, or the index and index key, that it is about, where it is about one. */
  readonly table?: string
  readonly index?: string
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
export async function checkOpen({ store, environment, catalog }: Engine, options: CheckOptions = {}): Promise<CheckReport> {
  checkOptions(options)
  await store.checkpoint()
  const checking = store.audit(async ({ root, rowsPath, logPath, newestTs }) => {
    const audit = new Audit(environment.files)
    const whenSliced = (): void => store.assertUsable()
    await inSlices(audit.readPages(rowsPath), environment, options, whenSliced)
    if (!audit.pagesAreSound) return withoutRows(audit)
    store.assertUsable()
    const tables = catalogIn(root, audit, id => catalog.indexById(id))
    await inSlices(audit.readRows(root, newestTs, tables.judge), environment, options, whenSliced)
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
      audit.readLog(directory.logPath, root.appliedTs)
      const tables = catalogIn(root, audit, () => undefined)
      const newestTs = audit.lastTs ?? asTs(Number.MAX_SAFE_INTEGER)
      await inSlices(audit.readRows(root, newestTs, tables.judge), environment, options)
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

/** A row as an opening would find it. */
function rowOf(key: Key, root: Root, { logged }: Audit): ReturnType<RowOf> {
  const written = logged.get(key)
  if (written === undefined) return root.get(key)
  return written.value && { ts: written.ts, value: written.value }
}

/** The catalog of a state. A row of it that is damaged is found where all rows are read. */
function catalogIn(root: Root, audit: Audit, declared: DeclaredIndex): CatalogOnDisk {
  const { lo, hi } = tableRange(catalogPrefix)
  const stored = new Map<Key, () => Uint8Array | undefined>()
  for (const { key, bytes } of root.storedChunk({ lo, hi }, false, Infinity, Infinity).rows) stored.set(key, () => decodeRow(key, bytes).value)
  for (const [key, { value }] of audit.logged) if (key >= lo && key < hi) stored.set(key, () => value)
  const rows: [Key, CatalogRow][] = []
  for (const key of [...stored.keys()].toSorted((a, b) => (a < b ? -1 : 1))) {
    try {
      const value = stored.get(key)!()
      if (value !== undefined) rows.push([key, decodeCatalogRow(key, value)])
    } catch {
      continue
    }
  }
  const catalog = new CatalogOnDisk(rows, key => rowOf(key, root, audit), declared)
  for (const { key, problem } of catalog.problems) audit.find({ part: 'catalog', key, problem })
  return catalog
}

function withoutRows(audit: Audit): CheckReport {
  audit.find({ part: 'rows', problem: 'Neither rows nor log were read: on damaged pages the native library may end the process.' })
  return reportOf(audit, undefined)
}

function reportOf({ findings, problems, pages, freePages, rows, logCommits }: Audit, catalog: CatalogOnDisk | undefined): CheckReport {
  return { sound: problems === 0, findings: findings.map(finding => describe(finding, catalog)), problems, pages, freePages, rows, logCommits }
}

function describe({ part, key, problem }: AuditFinding, catalog: CatalogOnDisk | undefined): CheckFinding {
  return key === undefined ? { part, problem } : { part, ...catalog?.name(key), problem }
}

function checkOptions(options: unknown): void {
  if (typeof options !== 'object' || options === null) throw new UsageError('INVALID_ARGUMENT', 'The options of check must be an object.')
  const { onProgress, ...others } = options as CheckOptions & Record<string, unknown>
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) throw new UsageError('INVALID_ARGUMENT', `Unknown option ${JSON.stringify(unknown)}; there is "onProgress".`)
  if (onProgress !== undefined && typeof onProgress !== 'function') throw new UsageError('INVALID_ARGUMENT', '"onProgress" must be a function.')
}
