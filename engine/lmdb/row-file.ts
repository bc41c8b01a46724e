/**
 * The LMDB file: for every key its newest checkpointed version, and the metadata row that says up to which commit the file is complete.
 * The only module that calls `lmdb`, and it does so under one profile, for several of the package's defaults lose data.
 *
 *   R-1  Writes happen only inside `write`: one synchronous native transaction, no user code in it, nothing awaited.
 *   R-2  What a root holds is read from the root itself (`Root.appliedTs`), never remembered beside it.
 *   R-3  No native cursor outlives a call: ranges are read in chunks, so an abandoned iterator pins nothing.
 *   R-4  What `Root.get` returns is on loan: its bytes lie in the package's one buffer, which the next read overwrites (a copy would cost as much as the read). Values of
 *        a chunk own their bytes.
 */
import { open, type RootDatabase } from 'lmdb'
import { decodeRow, encodeRow } from '../encoding/rows.js'
import { bytesToKey, keyToBytes } from '../encoding/keys.js'
import { StorageError } from '../errors.js'
import { asKey, noTs, type CommitTs, type Key, type KeyRange } from '../../isolation/types.js'

/** The package's types leave out that reads take a transaction, and how many bytes of its buffer the last read filled. */
type Native = Omit<RootDatabase<Buffer, Key>, 'getBinaryFast'> & {
  getBinaryFast(key: Key, options: { transaction: NativeTransaction }): Buffer | undefined
  readonly lastSize: number
}
type NativeTransaction = ReturnType<RootDatabase['useReadTransaction']>

/** No table id begins with this byte. */
const metadataKey = asKey('\xffpremisedb')

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

const keyEncoder = {
  writeKey: (key: Key, target: Buffer, start: number): number => keyToBytes(key, target, start),
  readKey: (source: Buffer, start: number, end: number): Key => bytesToKey(source, start, end),
}

export class RowFile {
  readonly #db: Native
  readonly #batch: RowBatch
  #closed = false

  /** `path` has been checked by `checkRowFile`: on a damaged file the native open would end the process. */
  constructor(path: string, options: RowFileOptions) {
    this.#db = open<Buffer, Key>({
      path,
      noSubdir: true,
      encoding: 'binary',
      keyEncoder,
      overlappingSync: false,
      maxReaders: options.readerSlots,
      permissionsMode: 0o600,
      ...(options.unsynced ? { noSync: true, noMetaSync: true } : {}),
    } as Parameters<typeof open>[0]) as unknown as Native
    const db = this.#db
    this.#batch = {
      put: (key, ts, value) => void db.put(key, encodeRow(key, ts, value) as Buffer),
      remove: key => void db.remove(key),
      setMetadata: ({ appliedTs, incarnation }) => {
        const value = Buffer.alloc(6)
        value.writeUIntBE(incarnation, 0, 6)
        void db.put(metadataKey, encodeRow(metadataKey, appliedTs, value) as Buffer)
      },
    }
  }

  /** Runs `fill` in one native transaction and returns when it is synced. Throws what the native commit threw; the file is then unusable. */
  write(fill: (batch: RowBatch) => void): void {
    this.#db.transactionSync(() => {
      fill(this.#batch)
    })
  }

  /** Pins the newest root. The caller releases it. */
  pin(): Root {
    this.#db.resetReadTxn()
    return new Root(this.#db)
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

  constructor(db: Native) {
    this.#db = db
    this.#transaction = db.useReadTransaction()
    this.#options = { transaction: this.#transaction }
    const metadata = this.get(metadataKey)
    this.appliedTs = metadata?.ts ?? noTs
    this.incarnation = metadata ? Buffer.from(metadata.value).readUIntBE(0, 6) : 0
  }

  /** The row, its value on loan until the next read, or undefined where there is none. Throws `CORRUPT` where its checksum fails. */
  get(key: Key): StoredRow | undefined {
    try {
      const bytes = this.#db.getBinaryFast(key, this.#options)
      return bytes && decodeRow(key, bytes, this.#db.lastSize)
    } catch (error) {
      throw unreadable(error)
    }
  }

  /**
   * Up to `maxRows` rows of the range in key order (from the end where `reverse`), fewer when they hold more than `maxBytes`. `complete` says that the
   * range holds no others.
   */
  chunk(range: KeyRange, reverse: boolean, maxRows: number, maxBytes: number): Chunk {
    const rows: StoredRow[] = []
    if (range.lo >= range.hi) return { rows, complete: true }
    let sizeBytes = 0
    const bounds = reverse
      ? { start: range.hi, end: range.lo, reverse: true, exclusiveStart: true, inclusiveEnd: true }
      : { start: range.lo, end: range.hi }
    try {
      for (const { key, value } of this.#db.getRange({ ...bounds, limit: maxRows, transaction: this.#transaction })) {
        rows.push(decodeRow(key, value))
        sizeBytes += value.length
        if (sizeBytes > maxBytes) return { rows, complete: false }
      }
    } catch (error) {
      throw unreadable(error)
    }
    return { rows, complete: rows.length < maxRows }
  }

  release(): void {
    this.#transaction.done()
  }
}

/** What the native library throws where pages are damaged, and what a row throws that is not what was written. */
function unreadable(error: unknown): StorageError {
  return error instanceof StorageError ? error : new StorageError('CORRUPT', 'The row file is damaged: a page or a row in it cannot be read.', { cause: error })
}
