/**
 * Looks at an LMDB file in JavaScript before the native library does: on a truncated, zeroed, foreign or wrong-version file the native open, or a later
 * read, would end the process instead of throwing.
 */
import { openFlags, type Files } from '../environment.js'
import { StorageError } from '../errors.js'
import { PageWalk, type PageAudit, type WalkProgress } from './page-walk.js'
import { metaPages } from './pages.js'

const magic = 0xbeefc0de
const dataVersion = 2
/** Positions within a meta page, after its 24 byte page header (LMDB's `MDB_meta`). */
const magicAt = 24
const versionAt = 28
const freeTreeAt = 48
const rowTreeAt = 96
const lastPageAt = 144
const transactionAt = 152
const metaSizeBytes = 160
/** The root of a tree that holds nothing. */
const noPage = 2n ** 64n - 1n
/** More levels than a tree of the largest file can have. */
const depthMax = 32
/** Far more than one transaction takes at the end of the file and gives back; more cannot be missing, so a walk need not look for them. */
const unwrittenPagesMax = 16_384

/** What a meta page says of one of the two trees. */
export interface TreeRecord {
  /** Levels, the leaves included. */
  readonly depth: number
  readonly branchPages: number
  readonly leafPages: number
  readonly overflowPages: number
  readonly entries: number
  /** Undefined where the tree is empty. */
  readonly root: number | undefined
}

/** The newest of the file's two meta pages: the state that an opening would find. */
export interface RowFileMeta {
  readonly pageSizeBytes: number
  readonly lastPage: number
  /** Whole pages that the file has. It may end before its last page: pages that a transaction took at the end and gave back are never written, and are in the free list. */
  readonly presentPages: number
  /** LMDB's own number of the transaction that wrote it. */
  readonly transaction: number
  readonly rows: TreeRecord
  readonly free: TreeRecord
}

/**
 * Returns `'absent'` or `'sound'`; throws `CORRUPT` or `NOT_A_DATABASE` for a file that must not be opened. Every page in use is looked at where the file is no larger than
 * `leavesMaxBytes`; else those above the leaves.
 */
export function checkRowFile(path: string, files: Files, leavesMaxBytes: number): 'absent' | 'sound' {
  const fd = openOwn(path, files)
  if (fd === undefined) return 'absent'
  try {
    const meta = readMeta(path, files, fd)
    const isSmall = (meta.lastPage + 1) * meta.pageSizeBytes <= leavesMaxBytes
    const walk = new PageWalk(files, fd, meta).run(isSmall ? 'used pages' : 'branches')
    let step = walk.next()
    while (!step.done) step = walk.next()
    const [first] = step.value.findings
    if (first !== undefined) throw damaged(path, `page ${first.page} ${first.problem}`, first.cause)
    return 'sound'
  } finally {
    files.closeSync(fd)
  }
}

/** Looks at every page, in slices: whoever runs the generator may do something else between them. The file's newest state must stay as it is meanwhile. */
export function* auditRowFile(path: string, files: Files): Generator<WalkProgress, PageAudit> {
  const fd = openOwn(path, files)
  if (fd === undefined) throw damaged(path, 'it is missing')
  try {
    return yield* new PageWalk(files, fd, readMeta(path, files, fd)).run('all pages')
  } finally {
    files.closeSync(fd)
  }
}

/** Opens it to be read, or returns undefined where it is not there. Throws `NOT_A_DATABASE` for a link. */
export function openOwn(path: string, files: Files): number | undefined {
  const found = files.lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return undefined
  // A pipe would else be waited for.
  if (!found.isFile()) throw new StorageError('NOT_A_DATABASE', `${path} is no regular file; the engine opens only files of its own.`)
  return files.openSync(path, openFlags.O_RDONLY | openFlags.O_NOFOLLOW)
}

/** Throws `CORRUPT` where a meta page is not sound (the native library takes the one with the greater transaction, whatever else it says), or where it names what the file is too short for. */
function readMeta(path: string, files: Files, fd: number): RowFileMeta {
  const { size } = files.fstatSync(fd)
  const first = readMetaPage(files, fd, 0)
  if (first === undefined) throw damaged(path, 'its first page is not an LMDB meta page')
  const second = readMetaPage(files, fd, first.pageSizeBytes)
  if (second === undefined) throw damaged(path, 'its second page is not an LMDB meta page')
  if (second.pageSizeBytes !== first.pageSizeBytes) throw damaged(path, 'its meta pages disagree about the page size')
  const newest = second.transaction > first.transaction ? second : first
  const presentPages = Math.floor(size / newest.pageSizeBytes)
  const missingPages = newest.lastPage + 1 - presentPages
  if (!(presentPages >= metaPages && missingPages <= presentPages + unwrittenPagesMax)) {
    throw damaged(path, `it is ${size} bytes long, and says that it has ${newest.lastPage + 1} pages of ${newest.pageSizeBytes}`)
  }
  for (const { root, depth } of [newest.rows, newest.free]) {
    if (root === undefined ? depth !== 0 : depth < 1 || depth > depthMax) throw damaged(path, `a tree in it has ${depth} levels and ${root === undefined ? 'no' : 'a'} root`)
  }
  return { ...newest, presentPages }
}

/** What the meta page at `at` says, or undefined where there is none. */
export function readMetaPage(files: Files, fd: number, at: number): Omit<RowFileMeta, 'presentPages'> | undefined {
  const page = Buffer.alloc(metaSizeBytes)
  if (files.readSync(fd, page, 0, metaSizeBytes, at) < metaSizeBytes) return undefined
  if (page.readUInt32LE(magicAt) !== magic || page.readUInt32LE(versionAt) !== dataVersion) return undefined
  const pageSizeBytes = page.readUInt32LE(freeTreeAt)
  if (pageSizeBytes < 256 || pageSizeBytes > 65_536 || (pageSizeBytes & (pageSizeBytes - 1)) !== 0) return undefined
  return {
    pageSizeBytes,
    lastPage: Number(page.readBigUInt64LE(lastPageAt)),
    transaction: Number(page.readBigUInt64LE(transactionAt)),
    rows: treeRecord(page, rowTreeAt),
    free: treeRecord(page, freeTreeAt),
  }
}

/** LMDB's `MDB_db`. */
function treeRecord(page: Buffer, at: number): TreeRecord {
  const numberAt = (offset: number): number => Number(page.readBigUInt64LE(at + offset))
  return {
    depth: page.readUInt16LE(at + 6),
    branchPages: numberAt(8),
    leafPages: numberAt(16),
    overflowPages: numberAt(24),
    entries: numberAt(32),
    root: page.readBigUInt64LE(at + 40) === noPage ? undefined : numberAt(40),
  }
}

function damaged(path: string, how: string, cause?: unknown): StorageError {
  return new StorageError('CORRUPT', `${path} is damaged: ${how}. Nothing was changed; restore it from a backup.`, { cause })
}
