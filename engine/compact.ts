/** Compacts a closed database: `compact(path)`, and the command `premise compact`. `db.compact()` does the same for an open one, which it closes. */
import { systemEnvironment, type Environment } from './environment.js'
import { UsageError } from './errors.js'
import { defaultLimits, type Limits } from './limits.js'
import { compactRowFile, type CompactReport } from './store/compaction.js'
import { Directory } from './store/directory.js'
import { OwnerLock } from './store/owner-lock.js'
import { asStorageError } from './system-errors.js'

/**
 * Writes the row file of the closed database in the directory `path` anew, without the space that deleted and replaced rows have left, under its owner lock. A crash at any moment leaves the old file
 * or the new one, complete. Needs free space for the new file beside the old one.
 *
 * Rejects with `LOCKED` where it is open (call `db.compact()` there), `NOT_A_DATABASE`, `FORMAT_TOO_NEW`, `CORRUPT`, `DISK_FULL`, `POISONED` where the system fails otherwise, `INVALID_ARGUMENT`.
 */
export async function compact(path: string): Promise<CompactReport> {
  if (typeof path !== 'string' || path === '' || path === ':memory:') throw new UsageError('INVALID_ARGUMENT', 'compact needs the path of a directory.')
  return compactDirectory(path, systemEnvironment, defaultLimits)
}

/** `compact`, with parts replaced. Not part of the public surface. */
export async function compactDirectory(path: string, environment: Environment, limits: Limits): Promise<CompactReport> {
  try {
    return await compactOwned(path, environment, limits)
  } catch (error) {
    throw asStorageError(`The row file in ${path} could not be compacted, and what was committed is still there`, error)
  }
}

async function compactOwned(path: string, environment: Environment, limits: Limits): Promise<CompactReport> {
  const { files } = environment
  const directory = Directory.existing(path, files) // before a lock file is put into it
  const lock = new OwnerLock(directory.ownerPath, files)
  try {
    directory.assertComplete()
    lock.lockMarker(directory.markerPath)
    return await compactRowFile({ directory, environment, limits })
  } finally {
    lock.release()
  }
}
