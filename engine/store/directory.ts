/**
 * The database directory: what is in it, how it is created, and what is refused before any native code sees it.
 *
 *   premisedb         the marker: format name and version; written last at creation, so a directory that has it is complete
 *   owner             the owner lock
 *   rows.lmdb         rows (and rows.lmdb-lock, LMDB's own)
 *   rows.lmdb.new     while it is compacted: what will take its place
 *   log/              the commit log's segments
 */
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { openFlags, type Files } from '../environment.js'
import { StorageError } from '../errors.js'

export const formatVersion = 1
const markerName = 'premisedb'
const markerPattern = /^premisedb format (\d+)\n$/
/** An LMDB file that holds nothing but an empty tree is smaller than this. */
const emptyRowFileMaxBytes = 1_048_576

const notOurs: ReadonlySet<unknown> = new Set(['EACCES', 'EPERM', 'EROFS', 'EINVAL', 'ENOTSUP'])

/** Temporary databases of this process that are open; they go when it ends. */
const temporaries = new Set<Directory>()
let watchesExit = false

export class Directory {
  readonly path: string
  readonly #files: Files
  readonly temporary: boolean

  private constructor(path: string, files: Files, temporary: boolean) {
    this.path = path
    this.#files = files
    this.temporary = temporary
  }

  /** Finds or makes the directory itself (0700); looks at nothing in it. */
  static prepare(path: string, files: Files): Directory {
    if (path === ':memory:') return new Directory(files.mkdtempSync(join(tmpdir(), 'premisedb-')), files, true).#untilExit()
    const stat = files.lstatSync(path, { throwIfNoEntry: false })
    if (stat === undefined) files.mkdirSync(path, { recursive: true, mode: 0o700 })
    else if (!stat.isDirectory() && !files.lstatSync(files.realpathSync(path)).isDirectory()) {
      throw new StorageError('NOT_A_DATABASE', `${path} is not a directory. A database is a directory; give its path, or one that does not exist yet.`)
    }
    // One name for one directory: a path through links must not hide that two openers mean the same one.
    return new Directory(files.realpathSync(path), files, false)
  }

  /** Finds a directory that must hold a complete database. Makes nothing. Throws `NOT_A_DATABASE`, `FORMAT_TOO_NEW`. */
  static existing(path: string, files: Files): Directory {
    if (files.lstatSync(path, { throwIfNoEntry: false }) === undefined) throw new StorageError('NOT_A_DATABASE', `There is no ${path}.`)
    const directory = Directory.prepare(path, files)
    directory.assertComplete()
    return directory
  }

  get ownerPath(): string {
    return join(this.path, 'owner')
  }

  get markerPath(): string {
    return join(this.path, markerName)
  }

  get rowsPath(): string {
    return join(this.path, 'rows.lmdb')
  }

  /** Where the row file is written anew. */
  get newRowsPath(): string {
    return `${this.rowsPath}.new`
  }

  get logPath(): string {
    return join(this.path, 'log')
  }

  /** Refuses foreign and newer directories before a lock file is put into them. Returns whether a complete database is here. */
  check(): 'complete' | 'empty' {
    this.#refuseLinks()
    const marker = this.#readMarker()
    if (marker === undefined) {
      this.#refuseForeignFiles()
      return 'empty'
    }
    const version = Number(markerPattern.exec(marker)?.[1])
    if (Number.isNaN(version)) throw new StorageError('NOT_A_DATABASE', `${this.markerPath} is not the marker of a PremiseDB database.`)
    if (version > formatVersion) {
      throw new StorageError('FORMAT_TOO_NEW', `${this.path} has format ${version}; this version reads up to ${formatVersion}. Open it with a newer PremiseDB.`)
    }
    return 'complete'
  }

  /** Throws `NOT_A_DATABASE` where no complete database is here, `FORMAT_TOO_NEW`. */
  assertComplete(): void {
    if (this.#readMarker() === undefined) throw new StorageError('NOT_A_DATABASE', `${this.path} is not a database, or has lost its marker file "${markerName}".`)
    this.check()
  }

  /** Removes what an interrupted creation left. Only for a directory that `check` called empty, under the owner lock. */
  clearIncomplete(): void {
    for (const path of [this.rowsPath, `${this.rowsPath}-lock`, this.logPath]) this.#files.rmSync(path, { recursive: true, force: true })
  }

  /** Removes what a compaction left that was interrupted, or failed. Under the owner lock. */
  clearCompaction(): void {
    for (const path of [this.newRowsPath, `${this.newRowsPath}-lock`]) this.#files.rmSync(path, { force: true })
  }

  /** Creation is complete: everything in the directory is on disk, and then the marker. */
  writeMarker(): void {
    syncDirectory(this.#files, this.path)
    if (!this.temporary) this.#syncParents()
    const files = this.#files
    const temporary = `${this.markerPath}.new`
    const fd = files.openSync(temporary, openFlags.O_WRONLY | openFlags.O_CREAT | openFlags.O_TRUNC | openFlags.O_NOFOLLOW, 0o600)
    try {
      files.writeSync(fd, `premisedb format ${formatVersion}\n`)
      files.fdatasyncSync(fd)
    } finally {
      files.closeSync(fd)
    }
    files.renameSync(temporary, this.markerPath)
    syncDirectory(files, this.path)
  }

  /** All of them: whoever made one may have been killed before it could see to that. What may not be read, or lies where nothing can be synced, is left to whoever made it so. */
  #syncParents(): void {
    for (let { path } = this; path !== dirname(path); path = dirname(path)) {
      try {
        syncDirectory(this.#files, dirname(path))
      } catch (error) {
        if (!notOurs.has((error as NodeJS.ErrnoException).code)) throw error
      }
    }
  }

  /** Removes a temporary database. */
  remove(): void {
    temporaries.delete(this)
    this.#files.rmSync(this.path, { recursive: true, force: true })
  }

  #untilExit(): this {
    temporaries.add(this)
    if (!watchesExit) process.once('exit', () => temporaries.forEach(directory => directory.remove()))
    watchesExit = true
    return this
  }

  #readMarker(): string | undefined {
    const path = this.markerPath
    const found = this.#files.lstatSync(path, { throwIfNoEntry: false })
    if (found === undefined) return undefined
    // A pipe would else be waited for.
    if (!found.isFile()) throw new StorageError('NOT_A_DATABASE', `${path} is no regular file; the marker of a database is one.`)
    const fd = this.#files.openSync(path, openFlags.O_RDONLY | openFlags.O_NOFOLLOW)
    try {
      const text = Buffer.alloc(64)
      return text.toString('utf8', 0, this.#files.readSync(fd, text, 0, text.length, 0))
    } finally {
      this.#files.closeSync(fd)
    }
  }

  /** The native library would follow them. */
  #refuseLinks(): void {
    for (const path of [this.rowsPath, `${this.rowsPath}-lock`]) {
      if (this.#files.lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) {
        throw new StorageError('NOT_A_DATABASE', `${path} is a symbolic link; the engine opens only files of its own.`)
      }
    }
  }

  /** Without a marker the directory may hold nothing but what an interrupted creation can have left. */
  #refuseForeignFiles(): void {
    const ours = new Set(['owner', 'rows.lmdb', 'rows.lmdb-lock', 'log', `${markerName}.new`])
    const names = this.#files.readdirSync(this.path)
    const foreign = names.find(name => !ours.has(name))
    if (foreign !== undefined) {
      throw new StorageError(
        'NOT_A_DATABASE',
        `${this.path} holds ${JSON.stringify(foreign)} and is not a PremiseDB database. Give an empty directory, or a path that does not exist yet.`,
      )
    }
    const size = this.#files.lstatSync(this.rowsPath, { throwIfNoEntry: false })?.size ?? 0
    const segments = names.includes('log') ? this.#files.readdirSync(this.logPath) : []
    if (size > emptyRowFileMaxBytes || segments.length > 0) {
      throw new StorageError('NOT_A_DATABASE', `${this.path} holds rows but its marker file "${markerName}" is gone. Put the marker back, or restore a backup.`)
    }
  }
}

/** Makes the directory's entries durable. */
export function syncDirectory(files: Files, path: string): void {
  const fd = files.openSync(path, openFlags.O_RDONLY | openFlags.O_DIRECTORY)
  try {
    files.fsyncSync(fd)
  } finally {
    files.closeSync(fd)
  }
}
