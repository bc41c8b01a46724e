/**
 * The LMDB file: for every key its newest checkpointed version, and the metadata row that says up to which commit the file is complete.
 * The only module that calls `lmdb`, and it does so under one profile, for several of the package's defaults lose data.
 *
 *   R-1  Writes happen only inside `write`: one synchronous native transaction, no user code in it, nothing awaited.
 *   R-2  What a root holds is read from the root itself (`Root.appliedTs`), never remembered beside it.
 *   R-3  No native cursor outlives a call: ranges are read in chunks, so an abandoned iterator pins nothing.
 *   R-4  What `Root.get` returns is on loan: its bytes lie in the package's one buffer, which the next read of any file on this thread overwrites, or in the mapped file (a
 *        copy would cost as much as the read). Values of a chunk own their bytes.
 */
import { open, type RootDatabase } from 'lmdb'
import { decodeLentRow, encodeRow, LentViews, rowChecksum } from '../encoding/rows.js'
import { bytesToKey, keyHex, keyToBytes } from '../encoding/keys.js'
import type { Files } from '../environment.js'
import { StorageError } from '../errors.js'
import { rehearseOpening } from './rehearsal.js'
import { RowSlab } from './row-slab.js'
import { TableEnds } from './table-ends.js'
import { decodeSummary, prefixOfSummary, Summaries, summaryRange, type Summary } from './summaries.js'
import { asKey, noTs, type CommitTs, type Key, type KeyRange } from '../../isolation/types.js'

/** The package's types leave out that reads take a transaction, and how many bytes of its buffer the last read filled. */
type Native = Omit<RootDatabase<Buffer, Key>, 'getBinaryFast' | 'getRange' | 'getStats'> & {
  getRange(options: object): Iterable<{ readonly key: Key; readonly value: LentBytes }>
  getBinaryFast(key: Key, options?: { transaction: NativeTransaction }): Buffer | undefined
  readonly lastSize: number
  getStats(): TreeFigures & { readonly pageSize: number; readonly lastPageNumber: number; readonly root: TreeFigures; readonly free: TreeFigures }
}
interface LentBytes {
  bytes: Uint8Array
  sizeBytes: number
}
interface TreeFigures {
  readonly treeBranchPageCount: number
  readonly treeLeafPageCount: number
  readonly overflowPages: number
}
type NativeTransaction = ReturnType<RootDatabase['useReadTransaction']>

/** No table id begins with this byte. */
export const metadataKey: Key = asKey('\xffpremisedb')
/** The file's first pages, which belong to no tree. */
const metaPages = 2

/** The newest checkpointed version of a row. */
export interface StoredRow {
  readonly key: Key
  readonly ts: CommitTs
  readonly value: Uint8Array
}

export interface Chunk {
  readonly rows: readonly StoredRow[]
  readonly complete: boolean
}

export interface Metadata {
  /** Every commit up to this one is in the file; of later ones, perhaps parts. */
  readonly appliedTs: CommitTs
  /** Rises with every opening. */
  readonly incarnation: number
}

/** How large the file is, as of its newest state. */
export interface RowFileFigures {
  readonly rows: number
  readonly sizeBytes: number
  /** Pages in use; the others are free, or hold states that are still pinned. */
  readonly usedSizeBytes: number
}

export interface RowFileOptions {
  readonly readerSlots: number
  /** For stores that promise nothing (`:memory:`). */
  readonly unsynced: boolean
}

/** What one checkpoint step may do. Valid only inside the callback of `RowFile.write`. */
export interface RowBatch {
  put(key: Key, ts: CommitTs, value: Uint8Array): void
  remove(key: Key): void
  setMetadata(metadata: Metadata): void
}

/** What messages call a row. */
export type NameRow = (key: Key) => string

/** Of values in the package's one buffer. */
const lentValues = new LentViews()
/** Holds the values of chunks. */
const slab = new RowSlab()

/** What a range shows of a row: its bytes where the package has them, on loan. One object, for no row is looked at when the next one has come. */
const lent: LentBytes = { bytes: new Uint8Array(0), sizeBytes: 0 }

/** Rows are bytes already; the package would make an array for each that a range shows. */
const rowCoder = {
  encode: (row: Uint8Array): Uint8Array => row,
  decode: (bytes: Uint8Array, sizeBytes: number): LentBytes => {
    lent.bytes = bytes
    lent.sizeBytes = sizeBytes
    return lent
  },
}

const keyEncoder = {
  writeKey: (key: Key, target: Buffer, start: number): number => keyToBytes(key, target, start),
  readKey: (source: Buffer, start: number, end: number): Key => bytesToKey(source, start, end),
}

export class RowFile {
  readonly #db: Native
  readonly #batch: RowBatch
  readonly #summaries: Summaries
  readonly #naming: { nameRow: NameRow } = { nameRow: key => `The row with key ${keyHex(key)}` }
  #closed = false

  /** As the constructor, after a rehearsal in which the errors of the system can be caught that would end the process in the native open. Throws them. */
  static open(path: string, files: Files, options: RowFileOptions): RowFile {
    rehearseOpening(path, files)
    return new RowFile(path, options)
  }

  /** `path` has been checked by `checkRowFile`: on a damaged file the native open would end the process. */
  constructor(path: string, options: RowFileOptions) {
    this.#db = open<Buffer, Key>({
      path,
      noSubdir: true,
      encoding: 'binary',
      encoder: rowCoder,
      keyEncoder,
      overlappingSync: false,
      maxReaders: options.readerSlots,
      permissionsMode: 0o600,
      ...(options.unsynced ? { noSync: true, noMetaSync: true } : {}),
    } as Parameters<typeof open>[0]) as unknown as Native
    const db = this.#db
    const summaries = this.#readSummaries()
    this.#summaries = summaries
    const ends = new TableEnds(range => this.#lastKeyIn(range))
    const checksumOf = (key: Key): number | undefined => {
      const bytes = db.getBinaryFast(key) // as this transaction has it
      return bytes && rowChecksum(bytes, db.lastSize)
    }
    this.#batch = {
      put: (key, ts, value) => {
        const row = encodeRow(key, ts, value)
        const isLast = ends.passes(key)
        summaries.replace(key, isLast ? undefined : checksumOf(key), rowChecksum(row))
        void db.put(key, row as Buffer)
      },
      remove: key => {
        const before = checksumOf(key)
        if (before === undefined) return
        summaries.replace(key, before, undefined)
        void db.remove(key)
      },
      setMetadata: ({ appliedTs, incarnation }) => {
        const value = Buffer.alloc(6)
        value.writeUIntBE(incarnation, 0, 6)
        void db.put(metadataKey, encodeRow(metadataKey, appliedTs, value) as Buffer)
      },
    }
  }

  #lastKeyIn({ lo, hi }: KeyRange): Key | undefined {
    for (const key of this.#db.getKeys({ start: hi, end: lo, reverse: true, limit: 1 })) if (key >= lo && key < hi) return key
    return undefined
  }

  /** Where they cannot be read, the file is closed: nobody else has it yet. */
  #readSummaries(): Summaries {
    try {
      const root = this.pin()
      try {
        return new Summaries(root.summaries())
      } finally {
        root.release()
      }
    } catch (error) {
      void this.close()
      throw error
    }
  }

  /** Runs `fill` in one native transaction and returns when it is synced. Throws `CORRUPT` or `POISONED` where the native commit failed; the file is then unusable. */
  write(fill: (batch: RowBatch) => void): void {
    const db = this.#db
    try {
      db.transactionSync(() => {
        fill(this.#batch)
        for (const { key, value } of this.#summaries.takeChanged()) void db.put(key, encodeRow(key, noTs, value) as Buffer)
      })
    } catch (error) {
      throw writeFailed(error)
    }
  }

  /** From now on messages about damaged rows call them so, also those of roots that are pinned already. */
  nameRows(nameRow: NameRow): void {
    this.#naming.nameRow = nameRow
  }

  /** Pins the newest root. The caller releases it. */
  pin(): Root {
    this.#db.resetReadTxn()
    return new Root(this.#db, this.#naming)
  }

  figures(): RowFileFigures {
    this.#db.resetReadTxn()
    const { pageSize, lastPageNumber, root, free } = this.#db.getStats()
    const usedPages = metaPages + pagesOf(root) + pagesOf(free)
    return { rows: this.#summaries.rows, sizeBytes: (lastPageNumber + 1) * pageSize, usedSizeBytes: usedPages * pageSize }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#db.close()
  }
}

/** An immutable state of the file: a native read transaction. Holds one reader slot until released. */
export class Root {
  readonly appliedTs: CommitTs
  readonly incarnation: number
  readonly #db: Native
  readonly #transaction: NativeTransaction
  readonly #options: { transaction: NativeTransaction }
  readonly #naming: { readonly nameRow: NameRow }
  #released = false

  constructor(db: Native, naming: { readonly nameRow: NameRow }) {
    this.#db = db
    this.#naming = naming
    this.#transaction = db.useReadTransaction()
    this.#options = { transaction: this.#transaction }
    const { appliedTs, incarnation } = this.#readMetadata()
    this.appliedTs = appliedTs
    this.incarnation = incarnation
  }

  #readMetadata(): Metadata {
    try {
      const metadata = this.get(metadataKey)
      return metadata ? decodeMetadata(metadata) : { appliedTs: noTs, incarnation: 0 }
    } catch (error) {
      this.release()
      throw error
    }
  }

  /** The row, its value on loan until the next read, or undefined where there is none. Throws `CORRUPT` where its checksum fails. */
  get(key: Key): StoredRow | undefined {
    try {
      const bytes = this.#db.getBinaryFast(key, this.#options)
      return bytes && decodeLentRow(key, bytes, this.#db.lastSize, lentValues)
    } catch (error) {
      throw this.#unreadable(error, key)
    }
  }

  /**
   * Up to `maxRows` rows of the range in key order (from the end where `reverse`), fewer when they hold more than `maxBytes`. `complete` says that the
   * range holds no others.
   */
  chunk(range: KeyRange, reverse: boolean, maxRows: number, maxBytes: number): Chunk {
    const rows: StoredRow[] = []
    let damaged: { readonly key: Key; readonly error: unknown } | undefined
    const complete = this.#walk(range, reverse, maxRows, maxBytes, (key, bytes, sizeBytes) => {
      try {
        if (damaged === undefined) rows.push(slab.keepValue(decodeLentRow(key, bytes, sizeBytes, lentValues)))
      } catch (error) {
        damaged = { key, error }
      }
    })
    if (damaged !== undefined) throw this.#unreadable(damaged.error, damaged.key)
    return { rows, complete }
  }

  /** As `chunk`, the rows as they are stored: whether each is sound is for the caller to find out. */
  storedChunk(range: KeyRange, reverse: boolean, maxRows: number, maxBytes: number): { readonly rows: readonly { readonly key: Key; readonly bytes: Uint8Array }[]; readonly complete: boolean } {
    const rows: { key: Key; bytes: Uint8Array }[] = []
    const complete = this.#walk(range, reverse, maxRows, maxBytes, (key, bytes, sizeBytes) => {
      rows.push({ key, bytes: Uint8Array.prototype.slice.call(bytes, 0, sizeBytes) })
    })
    return { rows, complete }
  }

  /** Shows the rows of a chunk, their bytes on loan while `visit` runs. Returns whether the range holds no others. */
  #walk(range: KeyRange, reverse: boolean, maxRows: number, maxBytes: number, visit: (key: Key, bytes: Uint8Array, sizeBytes: number) => void): boolean {
    if (range.lo >= range.hi) return true
    let rows = 0
    let sizeBytes = 0
    const { lo, hi } = range
    const transaction = this.#transaction
    const options = reverse
      ? { start: hi, end: lo, reverse: true, exclusiveStart: true, inclusiveEnd: true, limit: maxRows, transaction }
      : { start: lo, end: hi, limit: maxRows, transaction }
    try {
      let last: Key | undefined
      for (const { key, value } of this.#db.getRange(options)) {
        if (key < lo || key >= hi || (last !== undefined && (reverse ? key >= last : key <= last))) throw new Error('keys are out of order')
        last = key
        rows++
        sizeBytes += value.sizeBytes
        visit(key, value.bytes, value.sizeBytes)
        if (sizeBytes > maxBytes) return false
      }
    } catch (error) {
      throw this.#unreadable(error, undefined)
    }
    return rows < maxRows
  }

  /** What the file says that it holds, by table prefix. */
  summaries(): Map<string, Summary> {
    const { rows } = this.chunk(summaryRange, false, Infinity, Infinity)
    return new Map(rows.map(({ key, value }) => [prefixOfSummary(key), decodeSummary(value)]))
  }

  /** Does nothing the second time. */
  release(): void {
    if (this.#released) return
    this.#released = true
    this.#transaction.done()
  }

  /** What the native library throws where pages are damaged, and what a row throws that is not what was written. */
  #unreadable(error: unknown, key: Key | undefined): StorageError {
    if (error instanceof StorageError && key !== undefined) {
      return new StorageError('CORRUPT', `${this.#naming.nameRow(key)} is damaged: ${error.message}. It was not read; db.check() tells what else is.`, { cause: error })
    }
    return new StorageError('CORRUPT', 'The row file is damaged: a page in it cannot be read.', { cause: error })
  }
}

/** What the metadata row says. */
export const decodeMetadata = ({ ts, value }: Pick<StoredRow, 'ts' | 'value'>): Metadata => ({ appliedTs: ts, incarnation: Buffer.from(value).readUIntBE(0, 6) })

const pagesOf = ({ treeBranchPageCount, treeLeafPageCount, overflowPages }: TreeFigures): number => treeBranchPageCount + treeLeafPageCount + overflowPages

/** `MDB_LAST_ERRCODE`: the package's codes for what is wrong with a file are this and below it, far below those of the system. */
const lmdbErrorMax = -30_774

/** Whether the native library says so of a file that is not as it should be. */
export function isNativeDamage(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'number' && code <= lmdbErrorMax
}

function writeFailed(error: unknown): StorageError {
  if (error instanceof StorageError) return error
  return isNativeDamage(error)
    ? new StorageError('CORRUPT', 'The row file is damaged: it could not be written.', { cause: error })
    : new StorageError('POISONED', 'A write to the row file failed; what was acknowledged is in the log. Look at the disk, and open the database again.', { cause: error })
}
