/**
 * One process owns a directory: a kernel lock on a file in it, taken before LMDB opens anything and gone with the process, however it ends. What is written in
 * the file (process id and host) serves the error message only. Of a complete database the marker is locked too: who takes `owner` for the leftover of a crash and removes it lets nobody in.
 */
import { hostname } from 'node:os'
import nativeFiles from 'fs-native-extensions'
import { openFlags, type Files } from '../environment.js'
import { StorageError } from '../errors.js'

const ownerTextMax = 300

export class OwnerLock {
  readonly #files: Files
  readonly #fds: number[] = []

  /** Takes the lock, or throws `LOCKED` with an error that names the owner. */
  constructor(path: string, files: Files) {
    this.#files = files
    const fd = openOwnFile(path, files, openFlags.O_CREAT)
    this.#fds.push(fd)
    try {
      if (!tryLock(fd)) throw locked(path, readOwner(files, fd))
      files.ftruncateSync(fd, 0)
      files.writeSync(fd, `process ${process.pid} on ${hostname()}`, 0)
    } catch (error) {
      this.release()
      throw error
    }
  }

  /** Locks the marker too, which is there. Throws `LOCKED`; what is locked already stays so until `release`. */
  lockMarker(path: string): void {
    const fd = openOwnFile(path, this.#files, 0)
    this.#fds.push(fd)
    if (!tryLock(fd)) throw locked(path, 'another process, whose file "owner" was removed')
  }

  /** Does nothing the second time. */
  release(): void {
    for (const fd of this.#fds.splice(0)) this.#files.closeSync(fd)
  }
}

/** Whether the lock is ours now. It belongs to the open file, not to the process: this process asking again is refused too. */
const tryLock = (fd: number): boolean => nativeFiles.tryLock(fd)

const locked = (path: string, owner: string): StorageError =>
  new StorageError('LOCKED', `${path} is locked: the database is open in ${owner}. One process owns a database at a time; close it there first.`)

function openOwnFile(path: string, files: Files, more: number): number {
  try {
    return files.openSync(path, openFlags.O_RDWR | openFlags.O_NOFOLLOW | more, 0o600)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ELOOP') throw error
    throw new StorageError('NOT_A_DATABASE', `${path} is a symbolic link; the engine opens only files of its own.`)
  }
}

function readOwner(files: Files, fd: number): string {
  const text = Buffer.alloc(ownerTextMax)
  const length = files.readSync(fd, text, 0, text.length, 0)
  return text.toString('utf8', 0, length) || 'another process'
}
