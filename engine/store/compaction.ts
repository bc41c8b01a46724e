/**
 * Compaction: the row file is written anew without the pages that nothing uses, and put in the place of the old one. LMDB by itself never gives a page back.
 *
 *   rows.lmdb        the old file, whole until the rename: nothing is written to it
 *   rows.lmdb.new    the new one (with LMDB's rows.lmdb.new-lock); whoever opens or compacts the database removes what an interrupted compaction left
 *
 *     copying, step by step --last step: F--> complete --compared, closed, synced--> durable --rename--> in place --directory synced--> done
 *
 *   N-1  The owner lock is held, and nobody else has the row file open: no row can change while it is copied, and no native handle outlives the file it was opened for.
 *   N-2  The new file gets the old one's name only when it is synced, and its summaries, which were made of the rows that were written, are those of the old one.
 *   N-3  Every row is verified by its checksum when it is read. Rows, F and incarnation stay as they are, so the log means the same to the new file as to the old one.
 *   N-4  A step writes only what the free space surely holds: on a full disk LMDB fails in ways that end the process.
 */
import type { Environment } from '../environment.js'
import { StorageError } from '../errors.js'
import type { Limits } from '../limits.js'
import { checkRowFile } from '../lmdb/row-file-check.js'
import { RowFile, type Root, type StoredRow } from '../lmdb/row-file.js'
import type { Summary } from '../lmdb/summaries.js'
import { asKey, successor, type Key } from '../../isolation/types.js'
import { syncDirectory, type Directory } from './directory.js'
import { assertSpace, endOfRows, syncFile } from './new-row-file.js'

export interface CompactReport {
  /** Rows of all tables, the catalog's included. */
  readonly rows: number
  /** Size of the row file. */
  readonly beforeSizeBytes: number
  readonly afterSizeBytes: number
}

export interface CompactionPlace {
  readonly directory: Directory
  readonly environment: Environment
  readonly limits: Limits
}

/** Rows of one step, at most. */
const stepRows = 5_000

/**
 * Compacts the row file of a directory whose owner lock is held and whose row file is closed (N-1). Lets others work between two steps. Throws `DISK_FULL`, `CORRUPT`, or what the file system says;
 * the old file is then still in its place, unless only the last sync of the directory failed: then either file may be there after a power cut.
 */
export async function compactRowFile(place: CompactionPlace): Promise<CompactReport> {
  const { directory, environment, limits } = place
  const { files } = environment
  directory.clearCompaction()
  if (checkRowFile(directory.rowsPath, files, limits.openCheckSizeBytes) === 'absent') {
    throw new StorageError('CORRUPT', `${directory.rowsPath} is missing; it holds the rows. Restore the directory from a backup.`)
  }
  try {
    const report = await writeAnew(place)
    syncFile(files, directory.newRowsPath)
    files.rmSync(`${directory.newRowsPath}-lock`, { force: true })
    files.renameSync(directory.newRowsPath, directory.rowsPath)
    syncDirectory(files, directory.path)
    return report
  } catch (error) {
    discard(directory)
    throw error
  }
}

/** If that fails, the next opening does it. */
function discard(directory: Directory): void {
  try {
    directory.clearCompaction()
  } catch {
    // As said above.
  }
}

/** Leaves a complete new file, closed. */
async function writeAnew(place: CompactionPlace): Promise<CompactReport> {
  const { directory } = place
  assertRoom(place, 0)
  const options = { readerSlots: place.limits.readerSlots, unsynced: false }
  const before = RowFile.open(directory.rowsPath, place.environment.files, options)
  try {
    const root = before.pin()
    try {
      const after = RowFile.open(directory.newRowsPath, place.environment.files, options)
      try {
        await copy(root, after, place)
        return { rows: after.figures().rows, beforeSizeBytes: before.figures().sizeBytes, afterSizeBytes: after.figures().sizeBytes }
      } finally {
        await after.close()
      }
    } finally {
      root.release()
    }
  } finally {
    await before.close()
  }
}

async function copy(root: Root, target: RowFile, place: CompactionPlace): Promise<void> {
  const { environment, limits } = place
  for (let from = asKey(''), complete = false; !complete; ) {
    const chunk = root.chunk({ lo: from, hi: endOfRows }, false, stepRows, limits.stepSizeBytes)
    complete = chunk.complete
    from = afterLast(chunk.rows, from)
    assertRoom(place, chunk.rows.reduce((sum, { key, value }) => sum + key.length + value.length, 0))
    target.write(batch => {
      for (const { key, ts, value } of chunk.rows) batch.put(key, ts, value)
      if (complete) batch.setMetadata({ appliedTs: root.appliedTs, incarnation: root.incarnation })
    })
    await new Promise<void>(resolve => environment.defer(resolve))
  }
  const copied = target.pin()
  try {
    if (!areSame(root.summaries(), copied.summaries())) {
      throw new StorageError('CORRUPT', 'The rows that were found are not those that the row file says it holds. Nothing was changed; `premise check` tells more.')
    }
  } finally {
    copied.release()
  }
}

function afterLast(rows: readonly StoredRow[], from: Key): Key {
  const last = rows.at(-1)
  return last === undefined ? from : successor(last.key)
}

/** Tables that have lost all their rows may have a summary or none. */
function areSame(a: ReadonlyMap<string, Summary>, b: ReadonlyMap<string, Summary>): boolean {
  return [...new Set([...a.keys(), ...b.keys()])].every(prefix => {
    const [left, right] = [a.get(prefix), b.get(prefix)]
    return (left?.rows ?? 0) === (right?.rows ?? 0) && (left?.checksums ?? 0) === (right?.checksums ?? 0)
  })
}

/** N-4. Pages of the new file are filled in order; twice the bytes of the rows is more than they and the pages above them take. */
function assertRoom({ directory: { path }, environment: { files } }: CompactionPlace, sizeBytes: number): void {
  assertSpace(files, path, 2 * sizeBytes, `There is no space in ${path} for a second row file beside the first. Nothing was changed.`)
}
