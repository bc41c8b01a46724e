/** Copies what is readable of a damaged database to a new one: `salvage(path, out)`, and the command `premise salvage`. */
import { basename, dirname, join, resolve, sep } from 'node:path'
import { tablePrefix } from './encoding/keys.js'
import type { KeyElementType } from './encoding/key-elements.js'
import { isUnreadable, systemEnvironment, type Environment, type Files } from './environment.js'
import { StorageError, UsageError } from './errors.js'
import { defaultLimits, type Limits } from './limits.js'
import { nameKey, SalvagedTables, type SalvagedEntry } from './salvaged-tables.js'
import type { AuditProgress } from './store/audit.js'
import { Directory } from './store/directory.js'
import { OwnerLock } from './store/owner-lock.js'
import { Salvage, type Salvaged, type SalvagePart, type UnreadablePart } from './store/salvage.js'
import { asStorageError } from './system-errors.js'
import { asKey } from '../isolation/types.js'

/** A key as callers know it, with its table. */
export interface SalvageBound {
  readonly table?: string
  readonly key?: unknown
}

export interface SalvageFinding {
  readonly part: SalvagePart
  /** The table and row that it is about, where it is about one. */
  readonly table?: string
  readonly key?: unknown
  /** Where rows may be missing: from `from` up to, not including, `to`, in the order of tables and keys; without one of them, from the first or up to the last row of all. */
  readonly range?: { readonly from?: SalvageBound; readonly to?: SalvageBound }
  readonly problem: string
}

export interface SalvagedTable {
  readonly name: string
  readonly key: readonly KeyElementType[]
  readonly rows: number
  /** Its entry in the catalog is lost: the name is a new one, the key types are those that its rows show. */
  readonly renamed: boolean
}

export interface SalvageReport {
  /** Everything was readable. */
  readonly complete: boolean
  /** Rows of all tables in the new database, the catalog's included. */
  readonly rows: number
  readonly tables: readonly SalvagedTable[]
  /** The first thousand of what is not readable. */
  readonly findings: readonly SalvageFinding[]
  /** How many there were. */
  readonly problems: number
  /** Commits that were read from the log: the row file did not have them yet. */
  readonly logCommits: number
  /** Timestamps of commits that are missing, without `to` where nothing says how many. Later commits are there all the same, so the new database is no earlier state of the old one. */
  readonly lostCommits: readonly { readonly from: number; readonly to?: number }[]
  /** Bytes at the end of the log that were being written when the process or the machine stopped: nobody was told that they are durable. An opening drops them too. */
  readonly droppedTail?: { readonly segment: number; readonly offset: number; readonly sizeBytes: number }
}

export interface SalvageOptions {
  /** Called every few milliseconds. `done` of `total` pages; or so many commits of the log. */
  readonly onProgress?: (progress: AuditProgress) => void
}

/**
 * Copies every readable row and commit of the closed database in the directory `path` to a new database in `out`, a directory that is empty or does not exist, and reports what is not readable. `path`
 * may be damaged in any way, incomplete, or sound; nothing in it is changed but the text of its owner lock. Rows keep their timestamps. `out` has its marker only when it is complete.
 *
 * Rejects with `LOCKED` where the database is open, `NOT_A_DATABASE` where neither a row file nor a log is in `path`, `FORMAT_TOO_NEW`, `DISK_FULL`, `POISONED` where the system
 * fails otherwise, `INVALID_ARGUMENT`. Damage is no rejection: it is the report.
 */
export async function salvage(path: string, out: string, options: SalvageOptions = {}): Promise<SalvageReport> {
  checkArguments(path, out, options)
  return salvageDirectory(path, out, options, systemEnvironment, defaultLimits)
}

/** `salvage`, with parts replaced. Not part of the public surface. */
export async function salvageDirectory(path: string, out: string, options: SalvageOptions, environment: Environment, limits: Limits): Promise<SalvageReport> {
  try {
    return await salvageOwned(path, out, options, environment, limits)
  } catch (error) {
    throw asStorageError(`${path} could not be salvaged to ${out}`, error)
  }
}

async function salvageOwned(path: string, out: string, options: SalvageOptions, environment: Environment, limits: Limits): Promise<SalvageReport> {
  const { files } = environment
  const source = remainsIn(path, files)
  assertApart(source.path, out, files)
  const lock = new OwnerLock(source.ownerPath, files, 'shared if need be')
  try {
    const markerProblem = problemOfMarker(source, files)
    if (isFile(source.markerPath, files)) lock.lockMarker(source.markerPath)
    const isNew = files.mkdirSync(out, { recursive: true, mode: 0o700 }) !== undefined
    const target = Directory.prepare(out, files)
    const targetLock = new OwnerLock(target.ownerPath, files)
    try {
      // Somebody may have made a database there meanwhile.
      assertNothingIn(out, files, [basename(target.ownerPath)])
      return await discardingUnlessDone(target, isNew, files, async () => {
        const tables = new SalvagedTables()
        const work = new Salvage({ source, target, environment, limits, meaning: tables, onProgress: options.onProgress })
        if (markerProblem !== undefined) work.find({ part: 'marker', problem: markerProblem })
        const salvaged = await work.run()
        for (const id of tables.synthesized) work.find({ part: 'catalog', key: asKey(tablePrefix(id)), problem: 'its entry in the catalog is lost: the name is new, the key types are those of its rows' })
        return reportOf(work, salvaged, tables)
      })
    } finally {
      targetLock.release()
    }
  } finally {
    lock.release()
  }
}

async function discardingUnlessDone<T>(target: Directory, isNew: boolean, files: Files, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    discard(target, isNew, files)
    throw error
  }
}

/** Throws `NOT_A_DATABASE` where nothing of a database is in the directory. */
function remainsIn(path: string, files: Files): Directory {
  if (files.lstatSync(path, { throwIfNoEntry: false }) === undefined) throw new StorageError('NOT_A_DATABASE', `There is no ${path}.`)
  const directory = Directory.prepare(path, files)
  const isThere = (part: string): boolean => files.lstatSync(part, { throwIfNoEntry: false }) !== undefined
  if (isThere(directory.rowsPath) || isThere(directory.logPath)) return directory
  throw new StorageError('NOT_A_DATABASE', `${directory.path} holds neither a row file nor a log: there is nothing to read in it. Give the directory of a database.`)
}

/** What is wrong with the marker, if anything is. Throws `FORMAT_TOO_NEW`. */
function problemOfMarker(directory: Directory, files: Files): string | undefined {
  const missing = `${directory.markerPath} is missing, or is not the marker of a database`
  try {
    if (!isFile(directory.markerPath, files)) return missing
    directory.assertComplete()
    return undefined
  } catch (error) {
    if (error instanceof StorageError && error.code === 'NOT_A_DATABASE') return missing
    if (isUnreadable(error)) return `${directory.markerPath} cannot be read`
    throw error
  }
}

const isFile = (path: string, files: Files): boolean => files.lstatSync(path, { throwIfNoEntry: false })?.isFile() === true

/** Throws `INVALID_ARGUMENT` unless `out` is empty or does not exist, and is not in the database itself. */
function assertApart(path: string, out: string, files: Files): void {
  if (files.lstatSync(out, { throwIfNoEntry: false }) !== undefined) assertNothingIn(out, files, [])
  if (`${realPathOf(out, files)}${sep}`.startsWith(`${path}${sep}`)) throw new UsageError('INVALID_ARGUMENT', `${out} lies in ${path}, which is not to be changed. Give a place beside it.`)
}

/** Throws `INVALID_ARGUMENT` unless `out` is a directory with nothing in it but `names`. */
function assertNothingIn(out: string, files: Files, names: readonly string[]): void {
  let others: readonly string[]
  try {
    others = files.readdirSync(out).filter(name => !names.includes(name))
  } catch (error) {
    // A file, or a link that leads nowhere.
    if (!notADirectory.has((error as NodeJS.ErrnoException).code)) throw error
    throw new UsageError('INVALID_ARGUMENT', `${out} is no directory. ${whatToGive}`, { cause: error })
  }
  if (others.length > 0) throw new UsageError('INVALID_ARGUMENT', `${out} is not empty. ${whatToGive}`)
}

const notADirectory: ReadonlySet<unknown> = new Set(['ENOTDIR', 'ENOENT', 'ELOOP'])
const whatToGive = 'Give an empty directory, or a path that does not exist yet, for the new database.'

/** Of a path whose end need not exist. */
function realPathOf(path: string, files: Files): string {
  const whole = resolve(path)
  if (files.lstatSync(whole, { throwIfNoEntry: false }) !== undefined) return files.realpathSync(whole)
  return join(realPathOf(dirname(whole), files), basename(whole))
}

/** Removes what was begun, and nothing else that somebody may have put there. Where that fails, it is left without a marker. */
function discard({ path, markerPath, rowsPath, newRowsPath, logPath, ownerPath }: Directory, isNew: boolean, files: Files): void {
  try {
    const own = [markerPath, `${markerPath}.new`, rowsPath, `${rowsPath}-lock`, newRowsPath, `${newRowsPath}-lock`, logPath, ownerPath]
    for (const one of own) files.rmSync(one, { recursive: true, force: true })
    if (isNew && files.readdirSync(path).length === 0) files.rmSync(path, { recursive: true })
  } catch {
    // As said above.
  }
}

function reportOf({ findings, problems }: Salvage, { summaries, logCommits, log }: Salvaged, tables: SalvagedTables): SalvageReport {
  const rowsOf = (prefix: string): number => summaries.get(prefix)?.rows ?? 0
  const { entries, synthesized } = tables
  return {
    complete: problems === 0 && log.lost.length === 0,
    rows: [...summaries.values()].reduce((sum, { rows }) => sum + rows, 0),
    tables: [...entries].map(([id, { name, types }]) => ({ name, key: types, rows: rowsOf(tablePrefix(id)), renamed: synthesized.includes(id) })),
    findings: findings.map(finding => describe(finding, entries)),
    problems,
    logCommits,
    lostCommits: log.lost,
    ...(log.droppedTail && { droppedTail: log.droppedTail }),
  }
}

function describe({ part, key, range, problem }: UnreadablePart, tables: ReadonlyMap<number, SalvagedEntry>): SalvageFinding {
  if (range === undefined) return { part, ...(key !== undefined && nameKey(key, tables)), problem }
  const { lo, hi } = range
  return { part, range: { ...(lo !== undefined && { from: nameKey(lo, tables) }), ...(hi !== undefined && { to: nameKey(hi, tables) }) }, problem }
}

function checkArguments(path: unknown, out: unknown, options: unknown): void {
  for (const one of [path, out]) {
    if (typeof one !== 'string' || one === '' || one === ':memory:') throw new UsageError('INVALID_ARGUMENT', 'salvage needs the path of a directory, and another one for the new database.')
  }
  if (typeof options !== 'object' || options === null) throw new UsageError('INVALID_ARGUMENT', 'The options of salvage must be an object.')
  const { onProgress, ...others } = options as SalvageOptions & Record<string, unknown>
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) throw new UsageError('INVALID_ARGUMENT', `Unknown option ${JSON.stringify(unknown)}; there is "onProgress".`)
  if (onProgress !== undefined && typeof onProgress !== 'function') throw new UsageError('INVALID_ARGUMENT', '"onProgress" must be a function.')
}
