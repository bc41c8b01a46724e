/**
 * One process owns a directory: a kernel lock on a file in it, taken before LMDB opens anything and gone with the process, however it ends. What is written in
 * the file (process id and host) serves the error message only. Who only reads what may be damaged takes a shared lock where nothing can be written. Of a complete database the marker is locked too: who takes `owner` for the leftover of a crash and removes it lets nobody in.
 */
import { hostname } from 'node:os'
import nativeFiles from 'fs-native-extensions'
import { isUnreadable, openFlags, type Files } from '../environment.js'
import { StorageError } from '../errors.js'

const ownerTextMax = 300
/** Why a file cannot be opened for writing that can perhaps be read. */
const notWritable: ReadonlySet<unknown> = new Set(['EROFS', 'EACCES', 'EPERM', 'EISDIR'])

/** `shared if need be`: for who only reads, also where nothing can be written any more, as on a file system with errors. */
export type LockKind = 'exclusive' | 'shared if need be'

interface Opened {
  readonly fd: number
  readonly isShared: boolean
}

export class OwnerLock {
  readonly #files: Files
  readonly #kind: LockKind
  readonly #fds: number[] = []

  /** Takes the lock, or throws `LOCKED` with an error that names the owner. */
  constructor(path: string, files: Files, kind: LockKind = 'exclusive') {
    this.#files = files
    this.#kind = kind
    try {
      const fd = this.#lock(path, openFlags.O_CREAT, taken => readOwner(files, taken))
      if (fd !== undefined) this.#sayWhoOwns(fd)
    } catch (error) {
      this.release()
      throw error
    }
  }

  /** Locks the marker too, which is there. Throws `LOCKED`; what is locked already stays so until `release`. */
  lockMarker(path: string): void {
    this.#lock(path, 0, () => 'another process, whose file "owner" was removed')
  }

  #sayWhoOwns(fd: number): void {
    try {
      this.#files.ftruncateSync(fd, 0)
      this.#files.writeSync(fd, `process ${process.pid} on ${hostname()}`, 0)
    } catch (error) {
      // The lock holds without it, and who only reads can do so on a full disk.
      if (this.#kind === 'exclusive') throw error
    }
  }

  /** Returns the descriptor, if the file can be written to. A shared lock keeps out owners, and they it; where there is no file to lock, there can be no owner. */
  #lock(path: string, more: number, ownerOf: (fd: number) => string): number | undefined {
    const files = this.#files
    const opened: Opened | undefined = this.#kind === 'exclusive' ? { fd: openOwnFile(path, files, openFlags.O_RDWR | more), isShared: false } : openIfPossible(path, files, more)
    if (opened === undefined) return undefined
    const { fd, isShared } = opened
    this.#fds.push(fd)
    // It belongs to the open file, not to the process: this process asking again is refused too.
    if (!nativeFiles.tryLock(fd, { shared: isShared })) throw locked(path, ownerOf(fd))
    return isShared ? undefined : fd
  }

  /** Does nothing the second time. */
  release(): void {
    for (let fd = this.#fds.pop(); fd !== undefined; fd = this.#fds.pop()) {
      try {
        this.#files.closeSync(fd)
      } catch {
        // A descriptor is gone with its lock, whatever the system says of it; nothing that counts was written through it.
      }
    }
  }
}

const locked = (path: string, owner: string): StorageError =>
  new StorageError('LOCKED', `${path} is locked: the database is open in ${owner}. One process owns a database at a time; close it there first.`)

/** Opens it to be read where it cannot be written to. Undefined where there is no such file, or it cannot be opened by anybody. */
function openIfPossible(path: string, files: Files, more: number): Opened | undefined {
  try {
    return { fd: openOwnFile(path, files, openFlags.O_RDWR | more), isShared: false }
  } catch (error) {
    if (isUnreadable(error)) return undefined
    if (!notWritable.has(codeOf(error))) throw error
    const isFile = files.lstatSync(path, { throwIfNoEntry: false })?.isFile() === true
    return isFile ? { fd: openOwnFile(path, files, openFlags.O_RDONLY), isShared: true } : undefined
  }
}

const codeOf = (error: unknown): unknown => (error as NodeJS.ErrnoException).code

function openOwnFile(path: string, files: Files, flags: number): number {
  try {
    return files.openSync(path, flags | openFlags.O_NOFOLLOW, 0o600)
  } catch (error) {
    if (codeOf(error) !== 'ELOOP') throw error
    throw new StorageError('NOT_A_DATABASE', `${path} is a symbolic link; the engine opens only files of its own.`)
  }
}

function readOwner(files: Files, fd: number): string {
  const text = Buffer.alloc(ownerTextMax)
  const length = files.readSync(fd, text, 0, text.length, 0)
  return text.toString('utf8', 0, length) || 'another process'
}
