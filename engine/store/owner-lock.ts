/**
 * One process owns a directory: a kernel lock on a file in it, taken before LMDB opens anything and gone with the process, however it ends. What is written in
 * the file (process id and host) serves the error message only.
 */
import { hostname } from 'node:os'
import nativeFiles from 'fs-native-extensions'
import { openFlags, type Files } from '../environment.js'
import { StorageError } from '../errors.js'

const ownerTextMax = 300

export class OwnerLock {
  readonly #files: Files
  readonly #fd: number
  #released = false

  /** Takes the lock, or throws `LOCKED` with an error that names the owner. */
  constructor(path: string, files: Files) {
    this.#files = files
    this.#fd = openOwnFile(path, files)
    try {
      if (!nativeFiles.tryLock(this.#fd)) {
        throw new StorageError(
          'LOCKED',
          `${path} is locked: the database is open in ${readOwner(files, this.#fd)}. One process owns a database at a time; close it there first.`,
        )
      }
      files.ftruncateSync(this.#fd, 0)
      files.writeSync(this.#fd, `process ${process.pid} on ${hostname()}`, 0)
    } catch (error) {
      files.closeSync(this.#fd)
      throw error
    }
  }

  release(): void {
    if (this.#released) return
    this.#released = true
    this.#files.closeSync(this.#fd)
  }
}

function openOwnFile(path: string, files: Files): number {
  try {
    return files.openSync(path, openFlags.O_RDWR | openFlags.O_CREAT | openFlags.O_NOFOLLOW, 0o600)
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
