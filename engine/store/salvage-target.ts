/**
 * The new database that salvaged rows are written into, in steps. It gets its marker when all is on disk, and until its last but one moment not even a row file of that name: whatever
 * an interrupted salvage leaves is refused by everybody.
 *
 *     rows.lmdb.new, step by step --closed, synced--> log --rename--> rows.lmdb --directory synced--> marker
 *
 *   V-1  Of two versions of a row the one with the greater timestamp stays. Commits come in their order, and after what the row file held, so that a deleted row comes back only by a later one.
 *   V-2  A step writes only what the free space surely holds (N-4).
 */
import type { Environment } from '../environment.js'
import type { Limits } from '../limits.js'
import { RowFile, type Metadata, type Root } from '../lmdb/row-file.js'
import type { Summary } from '../lmdb/summaries.js'
import { createClosedLog } from '../log/create.js'
import { asKey, successor, type CommitTs, type Key } from '../../isolation/types.js'
import { syncDirectory, type Directory } from './directory.js'
import { assertSpace, endOfRows, syncFile } from './new-row-file.js'

/** Rows of one step, at most. */
const stepRows = 1_000
/** A row that lies among others may make LMDB write the pages above it anew, and half a page of its own. */
const rowOverheadBytes = 3 * 4_096

interface Version {
  readonly ts: CommitTs
  /** Undefined where the row was deleted. */
  readonly value: Uint8Array | undefined
}

export class SalvageTarget {
  readonly #directory: Directory
  readonly #environment: Environment
  readonly #limits: Limits
  readonly #rowFile: RowFile
  #root: Root
  readonly #waiting = new Map<Key, Version>()
  #waitingBytes = 0
  /** Rows above it are new. */
  #highestKey: Key = asKey('')

  /** `directory` is empty but for its owner lock, which is held. */
  constructor(directory: Directory, environment: Environment, limits: Limits) {
    this.#directory = directory
    this.#environment = environment
    this.#limits = limits
    this.#assertRoom()
    this.#rowFile = RowFile.open(directory.newRowsPath, environment.files, { readerSlots: limits.readerSlots, unsynced: false })
    this.#root = this.#rowFile.pin()
  }

  /** V-1. Without `value` the row was deleted. `value` is kept until the step is written. */
  put(key: Key, ts: CommitTs, value: Uint8Array | undefined): void {
    if (this.#tsOf(key) >= ts) return
    this.#waiting.set(key, { ts, value })
    this.#waitingBytes += key.length + (value?.length ?? 0)
    if (key > this.#highestKey) this.#highestKey = key
    if (this.#waiting.size >= stepRows || this.#waitingBytes >= this.#limits.stepSizeBytes) this.flush()
  }

  flush(metadata?: Metadata): void {
    if (this.#waiting.size === 0 && metadata === undefined) return
    this.#assertRoom()
    this.#rowFile.write(batch => {
      for (const [key, { ts, value }] of this.#waiting) {
        if (value === undefined) batch.remove(key)
        else batch.put(key, ts, value)
      }
      if (metadata !== undefined) batch.setMetadata(metadata)
    })
    this.#waiting.clear()
    this.#waitingBytes = 0
    this.#root.release()
    this.#root = this.#rowFile.pin()
  }

  /** Whether it held rows between two keys, both included, when the last step was written. */
  hasRowsIn(lo: Key, hi: Key): boolean {
    const afterHi = successor(hi)
    return this.#root.storedChunk({ lo, hi: afterHi < endOfRows ? afterHi : endOfRows }, false, 1, Infinity).rows.length > 0
  }

  /** How many rows there are, and which, by table prefix. */
  summaries(): Map<string, Summary> {
    this.flush()
    return this.#root.summaries()
  }

  /** Puts everything in its place. */
  async complete(metadata: Metadata, nextTs: CommitTs): Promise<void> {
    const { path, newRowsPath, rowsPath } = this.#directory
    const { files } = this.#environment
    this.flush(metadata)
    await this.close()
    syncFile(files, newRowsPath)
    createClosedLog({ ...metadata, directory: path, environment: this.#environment, limits: this.#limits, nextTs })
    files.rmSync(`${newRowsPath}-lock`, { force: true })
    files.renameSync(newRowsPath, rowsPath)
    syncDirectory(files, path)
    this.#directory.writeMarker()
  }

  async close(): Promise<void> {
    this.#root.release()
    await this.#rowFile.close()
  }

  #tsOf(key: Key): number {
    const waiting = this.#waiting.get(key)
    if (waiting !== undefined) return waiting.ts
    return key > this.#highestKey ? -1 : (this.#root.get(key)?.ts ?? -1)
  }

  #assertRoom(): void {
    const { path } = this.#directory
    const sizeBytes = 2 * this.#waitingBytes + this.#waiting.size * rowOverheadBytes
    assertSpace(this.#environment.files, path, sizeBytes, `There is no space in ${path} for the new database. Nothing was changed but what was begun there, which is removed; give a place with more space.`)
  }
}
