/**
 * The machine that a run's database stands on: real files in memory, a clock that stands still, syncs that can be held back, and crashes.
 *
 * A crash does not end a process (a run has thousands of them). The directory is copied as it lies there, without LMDB's lock file, and the copy is opened by a
 * new engine; the old one is closed where nobody looks. That the copy is what a crash leaves follows from three things: every file operation
 * of the commit log is counted here, and of what was written to the log since its last finished sync only so many bytes are in the copy as the crash is
 * said to keep, the rest is as before; LMDB's file is synced in the same synchronous call that writes it, and no such call is running; and creations, renames and removals of
 * files are taken to be on disk at once, as `test/crash` does not. Killed processes and disks that lose more are the matter of that folder.
 */
import * as fs from 'node:fs'
import { join } from 'node:path'
import { Database } from '../../engine/database.js'
import type { Engine } from '../../engine/attempt.js'
import type { Files } from '../../engine/environment.js'
import type { Limits } from '../../engine/limits.js'
import { openEngine, type OpenOptions } from '../../engine/open.js'
import { testEnvironment, type TestEnvironment } from '../support/test-environment.js'
import { valueSizeBytes } from './shapes.js'

export interface MachineOptions extends OpenOptions {
  /** Limits so small that segments, checkpoints and revalidation below the conflict index's floor come all the time. */
  readonly tight?: boolean
  /** A disk that reports syncs and does not do them. */
  readonly lies?: boolean
}

const wide: Partial<Limits> = { valueSizeBytes, checkpointAgeMs: 1_000, timeoutMs: 1_000_000, segmentSizeBytes: 50_000, logReserveSizeBytes: 4_096 }
const tight: Partial<Limits> = {
  ...wide,
  conflictIndexWrites: 3,
  revalidateSliceKeys: 1,
  segmentSizeBytes: 500,
  logReserveSizeBytes: 512,
  windowCheckpointSizeBytes: 300,
  stepSizeBytes: 100,
}

/** Bytes that were written and are not known to be on disk. */
interface Unsynced {
  readonly offset: number
  readonly before: Buffer
}

/** Commit logs lie on the machine's disk; what was not synced may be lost. */
class Disk {
  readonly files: Files
  readonly #paths = new Map<number, string>()
  readonly #unsynced = new Map<string, Unsynced[]>()
  readonly #lies: boolean

  constructor(files: Files, lies: boolean) {
    this.#lies = lies
    this.files = {
      ...files,
      openSync: ((path: string, ...rest: [number, number?]) => {
        const fd = files.openSync(path, ...rest)
        this.#paths.set(fd, path)
        return fd
      }) as Files['openSync'],
      renameSync: (from, to) => {
        files.renameSync(from, to)
        for (const [fd, path] of this.#paths) if (path === from) this.#paths.set(fd, String(to))
      },
      writeSync: ((fd: number, bytes: Uint8Array, start: number, length: number, offset: number) => {
        if (typeof bytes !== 'string' && this.#of(fd).endsWith('.log')) this.#note(fd, offset, length)
        return files.writeSync(fd, bytes, start, length, offset)
      }) as Files['writeSync'],
      fdatasync: ((fd: number, done: (error: NodeJS.ErrnoException | null) => void) => {
        const path = this.#of(fd)
        const covered = this.#unsynced.get(path)?.length ?? 0
        files.fdatasync(fd, error => {
          if (error === null) this.#synced(path, covered)
          done(error)
        })
      }) as Files['fdatasync'],
      fdatasyncSync: fd => {
        files.fdatasyncSync(fd)
        this.#synced(this.#of(fd), Infinity)
      },
      fsyncSync: fd => {
        files.fsyncSync(fd)
        this.#synced(this.#of(fd), Infinity)
      },
    }
  }

  /** Takes back in `directory` what was not synced in the file of the same name that lies in `original`, but for a share of the bytes, first come first kept. */
  loseUnsynced(original: string, directory: string, kept: number): void {
    for (const [path, writes] of this.#unsynced) {
      const copy = join(directory, path.slice(original.length))
      if (!fs.existsSync(copy)) continue
      const fd = fs.openSync(copy, 'r+')
      let keptBytes = Math.floor(writes.reduce((sum, { before }) => sum + before.length, 0) * kept)
      // The newest first: earlier ones may lie beneath it.
      const lost = writes.flatMap(({ offset, before }) => {
        const keep = Math.min(keptBytes, before.length)
        keptBytes -= keep
        return keep === before.length ? [] : [{ offset: offset + keep, before: before.subarray(keep) }]
      })
      for (const { offset, before } of lost.toReversed()) fs.writeSync(fd, before, 0, before.length, offset)
      fs.closeSync(fd)
    }
  }

  #of(fd: number): string {
    return this.#paths.get(fd) ?? ''
  }

  #note(fd: number, offset: number, length: number): void {
    const path = this.#of(fd)
    const before = Buffer.alloc(length)
    fs.readSync(fd, before, 0, length, offset)
    this.#unsynced.set(path, [...(this.#unsynced.get(path) ?? []), { offset, before }])
  }

  #synced(path: string, count: number): void {
    if (this.#lies) return
    const left = (this.#unsynced.get(path) ?? []).slice(count)
    if (left.length > 0) this.#unsynced.set(path, left)
    else this.#unsynced.delete(path)
  }
}

export class Machine {
  readonly #root: string
  readonly #options: MachineOptions
  #copies = 0
  #environment!: TestEnvironment
  #disk!: Disk
  #engine: Engine | undefined
  #db: Database | undefined

  /** `root` is an empty directory, which the caller removes. */
  constructor(root: string, options: MachineOptions = {}) {
    this.#root = root
    this.#options = options
  }

  get #path(): string {
    return join(this.#root, `copy-${this.#copies}`)
  }

  open(): Database {
    const { tight: isTight, lies = false, ...options } = this.#options
    this.#environment = testEnvironment()
    this.#environment.skipPauses = true
    this.#disk = new Disk(this.#environment.files, lies)
    const environment = Object.assign(this.#environment, { files: this.#disk.files })
    this.#engine = openEngine(this.#path, options, { environment, limits: isTight ? tight : wide })
    this.#db = new Database(this.#engine)
    return this.#db
  }

  /** Another process would be refused in the same way: the lock goes by open file, not by process. */
  openAgain(): void {
    openEngine(this.#path, {}, { environment: testEnvironment() })
  }

  /** Syncs of the log begin and do not end. */
  holdSyncs(): void {
    this.#environment.holdSyncs = true
  }

  releaseSyncs(): void {
    this.#environment.releaseSyncs()
  }

  passTime(ms: number): void {
    this.#environment.advance(ms)
  }

  /** The power goes; of the bytes that were not synced the given share had reached the disk. Then the database is opened again. */
  async crash(kept: number): Promise<Database> {
    const original = this.#path
    const [disk, engine, db] = [this.#disk, this.#engine!, this.#db!]
    this.#copies++
    fs.cpSync(original, this.#path, { recursive: true, filter: path => !path.endsWith('rows.lmdb-lock') && !path.endsWith('owner') })
    disk.loseUnsynced(original, this.#path, kept)
    this.releaseSyncs()
    engine.store.fail(new Error('the machine crashed'))
    await db.close()
    fs.rmSync(original, { recursive: true, force: true })
    return this.open()
  }

  async dispose(): Promise<void> {
    this.releaseSyncs()
    await this.#db?.close().catch(() => {})
  }
}
