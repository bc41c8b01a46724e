/**
 * Opening a database: composes the parts, in the order that safety asks for.
 *
 *   directory checked -> owner lock -> row file checked in JS -> native open -> new incarnation synced -> marker -> log recovered and written anew
 *   -> recovered commits in the window -> catalog read
 */
import { channel } from 'node:diagnostics_channel'
import type { Engine } from './attempt.js'
import { CommitPath, type Durability } from './commit.js'
import { Database } from './database.js'
import { Deadlines } from './deadlines.js'
import { systemEnvironment, type Environment, type Files } from './environment.js'
import { StorageError, UsageError } from './errors.js'
import { Guard, type GuardMode } from './guard.js'
import { defaultLimits, type Limits } from './limits.js'
import { checkRowFile } from './lmdb/row-file-check.js'
import { isNativeDamage, RowFile } from './lmdb/row-file.js'
import { openLog } from './log/open.js'
import { OpenTransactions } from './open-transactions.js'
import { checkDurability } from './options.js'
import { Directory } from './store/directory.js'
import { Epochs } from './store/epochs.js'
import { OwnerLock } from './store/owner-lock.js'
import { Store } from './store/store.js'
import { asStorageError } from './system-errors.js'
import { Catalog, type TablesByPrefix } from './table/catalog.js'
import { asTs } from '../isolation/types.js'

export interface OpenOptions {
  /** When a commit is acknowledged: on disk (`'durable'`, the default), or at once and synced within 50 ms (`'relaxed'`). */
  readonly durability?: Durability
  /** How far one-shot calls from inside a body are found: up to its first await (`'sync'`, the default) or everywhere (`'async'`). */
  readonly guard?: GuardMode
}

/** What tests put in place of the real machine and the real limits. */
export interface OpenParts {
  readonly environment?: Environment
  readonly limits?: Partial<Limits>
}

/**
 * Every opening publishes here what recovery found: `{ path, clean, commits, droppedTail? }`. A dropped tail (`{ segment, offset, sizeBytes }`) is what was being
 * written when the last owner stopped; nobody had been told that it is durable.
 */
const recoveryChannel = channel('premisedb:recovery')

/** LMDB maps and grows its file at open; on a full disk that ends the process. */
const freeSpaceMinBytes = 4 * 1_024 * 1_024

/**
 * Opens the database in the directory `path`, creating what is missing; `':memory:'` opens a private temporary one that is gone when it is closed and promises nothing.
 *
 * Rejects with `LOCKED` where another opener has it, `NOT_A_DATABASE`, `FORMAT_TOO_NEW`, `CORRUPT`, `DISK_FULL`, `POISONED` where the system fails otherwise, `INVALID_ARGUMENT`.
 */
export async function open(path: string, options: OpenOptions = {}): Promise<Database> {
  return new Database(openEngine(path, options, {}))
}

/** `open`, with parts replaced. Not part of the public surface. */
export function openEngine(path: string, options: OpenOptions, parts: OpenParts): Engine {
  checkOptions(path, options)
  try {
    return openOnce(path, options, parts)
  } catch (error) {
    throw asStorageError(`${path} could not be opened, and what was committed is still there`, error)
  }
}

function openOnce(path: string, options: OpenOptions, parts: OpenParts): Engine {
  const environment = parts.environment ?? systemEnvironment
  const limits = { ...defaultLimits, ...parts.limits }
  const directory = Directory.prepare(path, environment.files)
  let store: Store
  try {
    directory.check()
    const lock = new OwnerLock(directory.ownerPath, environment.files)
    try {
      store = openStore(directory, lock, directory.temporary ? unsynced(environment) : environment, limits)
    } catch (error) {
      lock.release()
      throw error
    }
  } catch (error) {
    if (directory.temporary) directory.remove()
    throw error
  }
  return composeEngine(store, options, environment, limits)
}

function composeEngine(store: Store, { durability = 'durable', guard = 'sync' }: OpenOptions, environment: Environment, limits: Limits): Engine {
  try {
    const tables: TablesByPrefix = new Map()
    const commitPath = new CommitPath(store, tables, limits, environment)
    const catalog = new Catalog({ store, commitPath, tables, environment, limits })
    store.nameRows(catalog.nameRow)
    return { store, commitPath, catalog, guard: new Guard(guard), transactions: new OpenTransactions(limits), environment, deadlines: new Deadlines(environment), limits, durability }
  } catch (error) {
    store.abandon()
    throw error
  }
}

function openStore(directory: Directory, lock: OwnerLock, environment: Environment, limits: Limits): Store {
  const { files } = environment
  // Under the lock: whoever held it before may have completed the creation meanwhile.
  const isNew = directory.check() === 'empty'
  if (isNew) directory.clearIncomplete()
  else lock.lockMarker(directory.markerPath)
  directory.clearCompaction()
  const { bavail, bsize } = files.statfsSync(directory.path)
  if (bavail * bsize < freeSpaceMinBytes) {
    throw new StorageError('DISK_FULL', `${directory.path} has ${bavail * bsize} bytes of free space; opening a database needs ${freeSpaceMinBytes}.`)
  }
  if (checkRowFile(directory.rowsPath, files, limits.openCheckSizeBytes) === 'absent' && !isNew) {
    throw new StorageError('CORRUPT', `${directory.rowsPath} is missing; it holds the rows. Restore the directory from a backup.`)
  }
  const rowFile = RowFile.open(directory.rowsPath, files, { readerSlots: limits.readerSlots, unsynced: directory.temporary })
  try {
    const before = rowFile.pin()
    const { appliedTs } = before
    const incarnation = before.incarnation + 1
    before.release()
    // Also makes sure of what an earlier opening may have left in the page cache only, before anything in the log is given up for it.
    rowFile.write(batch => batch.setMetadata({ appliedTs, incarnation }))
    if (isNew) {
      directory.writeMarker()
      lock.lockMarker(directory.markerPath)
    }
    const opened: { store?: Store } = {}
    const { log, recovered } = openLog({
      directory: directory.path,
      environment,
      limits,
      appliedTs,
      incarnation,
      onDurable: () => {},
      onFailure: error => opened.store?.fail(error),
    })
    const { clean, commits, droppedTail } = recovered
    recoveryChannel.publish({ path: directory.path, clean, commits: commits.length, droppedTail })
    const epochs = new Epochs(rowFile.pin(), limits)
    let recoveredSizeBytes = 0
    for (const { ts, writes } of recovered.commits) {
      const commit = epochs.window.install(ts, writes, ts)
      epochs.install(commit)
      recoveredSizeBytes += commit.sizeBytes
    }
    const lastTs = asTs(Math.max(recovered.nextTs - 1, appliedTs))
    opened.store = new Store({ directory, lock, rowFile, epochs, log, environment, limits, incarnation, lastTs, recoveredSizeBytes })
    return opened.store
  } catch (error) {
    rowFile.close().catch(() => {}) // what went wrong first is what the caller must know
    throw asDamage(directory.rowsPath, error)
  }
}

/** What the native library says of a damaged file: its own codes are far below those of the system. */
function asDamage(path: string, error: unknown): unknown {
  if (!isNativeDamage(error)) return error
  return new StorageError('CORRUPT', `${path} is damaged. Nothing of the log was given up; restore the directory from a backup.`, { cause: error })
}

/** Files of a store that promises nothing: written, never synced. */
function unsynced(environment: Environment): Environment {
  const files: Files = {
    ...environment.files,
    fdatasyncSync: () => {},
    fsyncSync: () => {},
    fdatasync: ((_fd: number, done: (error: null) => void) => void environment.defer(() => done(null))) as Files['fdatasync'],
  }
  return { ...environment, files }
}

function checkOptions(path: unknown, options: OpenOptions): void {
  if (typeof path !== 'string' || path === '' || path.includes('\0')) throw bad("open needs the path of a directory, or ':memory:'.")
  if (typeof options !== 'object' || options === null) throw bad('The options of open must be an object.')
  for (const option of Object.keys(options)) {
    if (option !== 'durability' && option !== 'guard') throw bad(`Unknown option ${JSON.stringify(option)}; there are "durability" and "guard".`)
  }
  if (options.durability !== undefined) checkDurability(options.durability)
  if (options.guard !== undefined && options.guard !== 'sync' && options.guard !== 'async') throw bad('"guard" must be \'sync\' or \'async\'.')
}

function bad(message: string): UsageError {
  return new UsageError('INVALID_ARGUMENT', message)
}
