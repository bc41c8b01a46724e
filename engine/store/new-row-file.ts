/** What writing a row file from its beginning takes, beside the native library: room, and certainty that it is on disk before it gets its name. */
import { openFlags, type Files } from '../environment.js'
import { StorageError } from '../errors.js'
import { asKey, type Key } from '../../isolation/types.js'

/** No step is begun with less free space than this beside what it writes. */
const freeSpaceMinBytes = 4 * 1_024 * 1_024

/** No row's key begins with 0xFF. */
export const endOfRows: Key = asKey('\xff')

/** On a full disk LMDB fails in ways that end the process, so a step writes only what the free space surely holds. Throws `DISK_FULL` with `message`. */
export function assertSpace(files: Files, path: string, sizeBytes: number, message: string): void {
  const { bavail, bsize } = files.statfsSync(path)
  if (bavail * bsize < freeSpaceMinBytes + sizeBytes) throw new StorageError('DISK_FULL', message)
}

/** LMDB has synced what it wrote, step by step; this makes sure of the length and the modes too. */
export function syncFile(files: Files, path: string): void {
  const fd = files.openSync(path, openFlags.O_RDONLY | openFlags.O_NOFOLLOW)
  try {
    files.fsyncSync(fd)
  } finally {
    files.closeSync(fd)
  }
}
