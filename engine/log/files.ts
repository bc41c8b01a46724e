/**
 * The files of the commit log: names, and operations that either do all of what they say or throw. A segment is made under a
 * temporary name and gets its own name when its first content is synced, so a name vouches for the header behind it.
 */
import { openFlags } from '../environment.js'
import type { Files } from '../environment.js'
import { StorageError } from '../errors.js'

const noFollow = openFlags.O_NOFOLLOW ?? 0
const pieceSizeBytes = 1024 * 1024

/** A descriptor of a file or directory. */
export type Descriptor = number

export const logDirectoryOf = (directory: string): string => `${directory}/log`
const numberName = (number: number): string => String(number).padStart(10, '0')
export const segmentPath = (logDirectory: string, number: number): string => `${logDirectory}/${numberName(number)}.log`
export const unfinishedPath = (logDirectory: string, number: number): string => `${logDirectory}/${numberName(number)}.tmp`

/** What lies in the log directory: segments in order, and the numbers of segments that were never finished. Other names are ignored. */
export interface LogListing {
  readonly segments: readonly number[]
  readonly unfinished: readonly number[]
}

/** Creates what is missing of the log directory (0700) and makes its name durable. Refuses anything that is not a directory. */
export function ensureLogDirectory(files: Files, directory: string): string {
  const path = logDirectoryOf(directory)
  const found = files.lstatSync(path, { throwIfNoEntry: false })
  if (found && !found.isDirectory()) throw new StorageError('CORRUPT', `${path} is not a directory.`)
  if (!found) files.mkdirSync(path, { mode: 0o700 })
  // Also where it was found: whoever made it may have been killed before this line.
  syncDirectory(files, directory)
  return path
}

export function listLog(files: Files, logDirectory: string): LogListing {
  const segments: number[] = []
  const unfinished: number[] = []
  // A creation may have been interrupted before it was made.
  if (files.lstatSync(logDirectory, { throwIfNoEntry: false }) === undefined) return { segments, unfinished }
  for (const name of files.readdirSync(logDirectory)) {
    const match = /^(\d{10})\.(log|tmp)$/.exec(name)
    if (!match) continue
    const number = Number(match[1])
    if (match[2] === 'tmp') unfinished.push(number)
    else segments.push(number)
  }
  return { segments: segments.sort((a, b) => a - b), unfinished }
}

/** Makes creations, renames and removals in a directory durable. */
export function syncDirectory(files: Files, path: string): void {
  const fd = files.openSync(path, openFlags.O_RDONLY | (openFlags.O_DIRECTORY ?? 0) | noFollow)
  try {
    files.fsyncSync(fd)
  } finally {
    files.closeSync(fd)
  }
}

export const createFile = (files: Files, path: string): Descriptor =>
  files.openSync(path, openFlags.O_RDWR | openFlags.O_CREAT | openFlags.O_EXCL | noFollow, 0o600)

export const openFile = (files: Files, path: string): Descriptor => files.openSync(path, openFlags.O_RDWR | noFollow)

/** Removes a file; one that is not there is as good as removed. */
export function removeFile(files: Files, path: string): void {
  try {
    files.unlinkSync(path)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
  }
}

/** Writes all of `bytes` at `offset`. */
export function writeFully(files: Files, fd: Descriptor, bytes: Uint8Array, offset: number): void {
  let done = 0
  while (done < bytes.length) {
    const count = files.writeSync(fd, bytes, done, bytes.length - done, offset + done)
    if (count <= 0) throw Object.assign(new Error('A write wrote nothing.'), { code: 'EIO' })
    done += count
  }
}

/** Reads a segment forwards through pieces of about 1 MB; each piece is a buffer of its own, so views of it may be kept. */
export class SegmentReader {
  readonly sizeBytes: number
  readonly #files: Files
  readonly #fd: Descriptor
  #piece: Buffer = Buffer.alloc(0)
  #pieceStart = 0

  /** @throws StorageError `CORRUPT` if the path is a symbolic link or not a regular file. */
  constructor(files: Files, path: string) {
    const found = files.lstatSync(path)
    if (!found.isFile()) throw new StorageError('CORRUPT', `${path} is not a regular file.`)
    this.#files = files
    this.sizeBytes = found.size
    this.#fd = files.openSync(path, openFlags.O_RDONLY | noFollow)
  }

  /** The bytes from `offset`, fewer than asked for at the end of the file. */
  bytes(offset: number, sizeBytes: number): Buffer {
    const size = Math.max(0, Math.min(sizeBytes, this.sizeBytes - offset))
    if (size === 0) return Buffer.alloc(0)
    const start = offset - this.#pieceStart
    if (start >= 0 && start + size <= this.#piece.length) return this.#piece.subarray(start, start + size)
    const piece = Buffer.allocUnsafeSlow(Math.min(Math.max(size, pieceSizeBytes), this.sizeBytes - offset))
    let done = 0
    while (done < piece.length) {
      const count = this.#files.readSync(this.#fd, piece, done, piece.length - done, offset + done)
      if (count === 0) break
      done += count
    }
    this.#piece = piece.subarray(0, done)
    this.#pieceStart = offset
    return this.#piece.subarray(0, size)
  }

  close(): void {
    this.#files.closeSync(this.#fd)
  }
}

export const codeOf = (error: unknown): unknown => (error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined)

/** Whether an operation failed for want of space; some file systems say EIO for that. */
export function isDiskFull(files: Files, directory: string, error: unknown): boolean {
  const code = codeOf(error)
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG') return true
  if (code !== 'EIO') return false
  try {
    const { bavail, bsize } = files.statfsSync(directory)
    return bavail * bsize < pieceSizeBytes
  } catch {
    return false
  }
}

export const diskFull = (cause: unknown): StorageError =>
  new StorageError('DISK_FULL', 'There is no space for the commit log. Nothing was changed; it works again when there is space.', { cause })
