/**
 * Looks at an LMDB file in JavaScript before the native library does: on a truncated, zeroed, foreign or wrong-version file the native open, or a later
 * read, would end the process instead of throwing.
 */
import { openFlags, type Files } from '../environment.js'
import { StorageError } from '../errors.js'

const metaPages = 2
const magic = 0xbeefc0de
const dataVersion = 2
/** Positions within a meta page, after its 24 byte page header (LMDB's `MDB_meta`). */
const magicAt = 24
const versionAt = 28
const pageSizeAt = 48
const lastPageAt = 144
const transactionAt = 152
const metaSizeBytes = 160

/** Returns `'absent'` or `'sound'`; throws `CORRUPT` or `NOT_A_DATABASE` for a file that must not be opened. */
export function checkRowFile(path: string, files: Files): 'absent' | 'sound' {
  let fd: number
  try {
    fd = files.openSync(path, openFlags.O_RDONLY | openFlags.O_NOFOLLOW)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT') return 'absent'
    if (code === 'ELOOP') throw new StorageError('NOT_A_DATABASE', `${path} is a symbolic link; the engine opens only files of its own.`)
    throw error
  }
  try {
    const { size } = files.fstatSync(fd)
    const first = readMeta(files, fd, 0)
    if (first === undefined) throw damaged(path, 'its first page is not an LMDB meta page')
    const pages = Array.from({ length: metaPages }, (_, i) => readMeta(files, fd, i * first.pageSize))
    const newest = pages.filter(page => page !== undefined).sort((a, b) => Number(b.transaction - a.transaction))[0]!
    if (newest.pageSize !== first.pageSize) throw damaged(path, 'its meta pages disagree about the page size')
    const needed = (newest.lastPage + 1n) * BigInt(first.pageSize)
    if (BigInt(size) < needed) throw damaged(path, `it is ${size} bytes long and must be at least ${needed}`)
    return 'sound'
  } finally {
    files.closeSync(fd)
  }
}

function readMeta(files: Files, fd: number, at: number): { pageSize: number; lastPage: bigint; transaction: bigint } | undefined {
  const page = Buffer.alloc(metaSizeBytes)
  if (files.readSync(fd, page, 0, metaSizeBytes, at) < metaSizeBytes) return undefined
  if (page.readUInt32LE(magicAt) !== magic || page.readUInt32LE(versionAt) !== dataVersion) return undefined
  const pageSize = page.readUInt32LE(pageSizeAt)
  if (pageSize < 256 || pageSize > 65_536 || (pageSize & (pageSize - 1)) !== 0) return undefined
  return { pageSize, lastPage: page.readBigUInt64LE(lastPageAt), transaction: page.readBigUInt64LE(transactionAt) }
}

function damaged(path: string, how: string): StorageError {
  return new StorageError('CORRUPT', `${path} is damaged: ${how}. Nothing was changed; restore it from a backup.`)
}
