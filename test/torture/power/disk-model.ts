/**
 * What a disk holds while a process writes to it: fed with a trace record by record, it knows at every moment what surely is on the disk and what a power cut may take or tear.
 *
 *   D-1  What was written to a file before a sync of it began is on the disk when that sync has succeeded; a synchronous write when it has returned. Everything else is pending.
 *   D-2  Names are another thing than files: a name that was made, changed or removed is pending until a sync of its directory, which began later, has succeeded. A synced file without a name is gone.
 *   D-3  After a failed sync the pages it should have written count as clean: reads find them, later syncs do not write them, a power cut leaves of them what it likes.
 *   D-4  A process that ends changes nothing: what is pending stays so for the next one.
 *
 * A file is known by its inode number as long as it has one; the same number may come back for another file.
 */
import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TraceRecord } from '../interpose/index.js'

/** A write, or, without data, a truncation to the size `offset`. */
export interface FileChange {
  /** The order of all changes. */
  readonly at: number
  readonly offset: number
  readonly data: Buffer | undefined
}

/** Names that get another file, or none, at once. */
export interface NameChange {
  readonly at: number
  readonly names: readonly (readonly [string, DiskNode | undefined])[]
}

export type DiskNode = DiskFile | DiskDirectory

/** A content that grows. Between its end and a write behind it there are zeros. */
export class Content {
  #buffer: Buffer
  size: number

  constructor(bytes: Buffer) {
    this.#buffer = Buffer.from(bytes)
    this.size = bytes.length
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.size)
  }

  apply(offset: number, data: Buffer | undefined): void {
    if (data === undefined) {
      if (offset < this.size) this.#buffer.fill(0, offset, this.size)
      else this.#reach(offset)
      this.size = offset
    } else if (data.length > 0) {
      this.#reach(offset + data.length)
      data.copy(this.#buffer, offset)
      this.size = Math.max(this.size, offset + data.length)
    }
  }

  #reach(end: number): void {
    if (end <= this.#buffer.length) return
    const larger = Buffer.alloc(Math.max(end, 2 * this.#buffer.length))
    this.#buffer.copy(larger, 0, 0, this.size)
    this.#buffer = larger
  }
}

export class DiskFile {
  path: string
  readonly synced: Content
  pending: FileChange[] = []
  /** D-3: pending changes that no sync will write any more. */
  readonly #abandoned = new Set<number>()

  constructor(path: string, bytes: Buffer = Buffer.alloc(0)) {
    this.path = path
    this.synced = new Content(bytes)
  }

  /** What reads find. */
  get bytes(): Buffer {
    const content = new Content(this.synced.bytes)
    for (const { offset, data } of this.pending) content.apply(offset, data)
    return content.bytes
  }

  settle(isCovered: (change: FileChange) => boolean): void {
    let left: FileChange[] = []
    for (const change of this.pending) {
      if (this.#abandoned.has(change.at) || !isCovered(change)) {
        left.push(change)
        continue
      }
      this.synced.apply(change.offset, change.data)
      // What is on the disk by now is not replaced by what came before it.
      left = left.flatMap(older => without(older, change))
    }
    this.pending = left
  }

  abandon(upTo: number): void {
    for (const { at } of this.pending) if (at <= upTo) this.#abandoned.add(at)
  }
}

function without(older: FileChange, { offset, data }: FileChange): FileChange[] {
  const end = data === undefined ? Infinity : offset + data.length
  if (older.data === undefined || older.offset >= end || older.offset + older.data.length <= offset) return [older]
  const before = older.data.subarray(0, Math.max(0, offset - older.offset))
  const behind = older.data.subarray(Math.min(older.data.length, end - older.offset))
  return [
    ...(before.length > 0 ? [{ ...older, data: before }] : []),
    ...(behind.length > 0 ? [{ ...older, offset: end, data: behind }] : []),
  ]
}

export class DiskDirectory {
  readonly synced: Map<string, DiskNode> = new Map()
  /** As lookups find them. */
  readonly names: Map<string, DiskNode> = new Map()
  pending: NameChange[] = []

  change(change: NameChange): void {
    this.pending.push(change)
    applyNames(this.names, change)
  }

  settle(upTo: number): void {
    for (const change of this.pending) if (change.at <= upTo) applyNames(this.synced, change)
    this.pending = this.pending.filter(({ at }) => at > upTo)
  }
}

export function applyNames(names: Map<string, DiskNode>, { names: changed }: NameChange): void {
  for (const [name, node] of changed) {
    if (node === undefined) names.delete(name)
    else names.set(name, node)
  }
}

export class Disk {
  readonly top: DiskDirectory = new DiskDirectory()
  readonly #root: string
  readonly #nodes = new Map<number, DiskNode>()
  /** Syncs that have begun. */
  #syncs = new Map<string, { readonly node: DiskNode; readonly upTo: number }[]>()
  #at = 0

  /** The folder as it is now, all of it on the disk. */
  constructor(root: string) {
    this.#root = root
    this.#scan(root, this.top)
  }

  /** Time, as changes have it. */
  get now(): number {
    return this.#at
  }

  /** D-4. */
  processEnded(): void {
    this.#syncs = new Map()
  }

  /** `during` is called where a synchronous write has begun and not returned. */
  take(record: TraceRecord, during: () => void = () => {}): void {
    const { kind, errno, file, offset, names, data } = record
    if (kind === 'synced') return this.#synced(record)
    if (errno !== 0) return
    this.#at++
    if (kind === 'open') this.#opened(record)
    else if (kind === 'mkdir') this.#rename([names[0]!, new DiskDirectory()])
    else if (kind === 'unlink' || kind === 'rmdir') this.#rename([names[0]!, undefined])
    else if (kind === 'rename') this.#renamed(names[0]!, names[1]!)
    else if (kind === 'sync') this.#sync(record)
    else if (kind === 'truncate') this.#file(file).pending.push({ at: this.#at, offset, data: undefined })
    else if (kind === 'map' && record.writableMap) this.#mapped(file)
    else if (kind === 'write') {
      const at = this.#at
      this.#file(file).pending.push({ at, offset, data })
      if (!record.synchronous) return
      during()
      this.#file(file).settle(change => change.at === at)
    }
  }

  /** What a record is about, for people. */
  nameOf({ file, names }: TraceRecord): string {
    if (names.length > 0) return names.map(name => this.#relative(name)).join(' to ')
    const node = this.#nodes.get(file)
    return node instanceof DiskFile ? node.path : node === undefined ? '' : 'a directory'
  }

  #scan(path: string, directory: DiskDirectory): void {
    for (const name of readdirSync(path)) {
      const found = lstatSync(join(path, name))
      const node = found.isDirectory() ? new DiskDirectory() : new DiskFile(this.#relative(join(path, name)), readFileSync(join(path, name)))
      if (node instanceof DiskDirectory) this.#scan(join(path, name), node)
      directory.synced.set(name, node)
      directory.names.set(name, node)
      this.#nodes.set(found.ino, node)
    }
  }

  #relative(path: string): string {
    return path === this.#root ? '.' : path.slice(this.#root.length + 1)
  }

  #opened({ names: [path], created, truncated, file }: TraceRecord): void {
    if (created) this.#rename([path!, new DiskFile(this.#relative(path!))])
    const node = this.#lookup(path!)
    if (node === undefined) throw new Error(`The trace opens ${path}, which nobody has made.`)
    this.#nodes.set(file, node)
    if (truncated && node instanceof DiskFile && node.bytes.length > 0) node.pending.push({ at: this.#at, offset: 0, data: undefined })
  }

  #renamed(from: string, to: string): void {
    const node = this.#lookup(from)
    if (node === undefined) throw new Error(`The trace renames ${from}, which nobody has made.`)
    if (node instanceof DiskFile) node.path = this.#relative(to)
    this.#rename([from, undefined], [to, node])
  }

  /** All of one directory. */
  #rename(...changed: readonly (readonly [string, DiskNode | undefined])[]): void {
    const places = changed.map(([path, node]) => ({ ...this.#place(path), node }))
    const [{ directory }] = places as [(typeof places)[0]]
    if (places.some(place => place.directory !== directory)) throw new Error('A rename from one directory to another is more than this model knows.')
    directory.change({ at: this.#at, names: places.map(({ name, node }) => [name, node]) })
  }

  #place(path: string): { directory: DiskDirectory; name: string } {
    const parts = this.#relative(path).split('/')
    const directory = parts.slice(0, -1).reduce<DiskNode | undefined>(step, this.top)
    if (!(directory instanceof DiskDirectory)) throw new Error(`The trace names ${path}, whose directory nobody has made.`)
    return { directory, name: parts.at(-1)! }
  }

  #lookup(path: string): DiskNode | undefined {
    return path === this.#root ? this.top : this.#relative(path).split('/').reduce<DiskNode | undefined>(step, this.top)
  }

  #file(inode: number): DiskFile {
    const node = this.#nodes.get(inode)
    if (!(node instanceof DiskFile)) throw new Error('The trace writes to a file that was not opened.')
    return node
  }

  #mapped(inode: number): void {
    const { path } = this.#file(inode)
    if (!isLockFile(path)) throw new Error(`${path} is written through a map, which no trace shows.`)
  }

  #sync({ file, offset }: TraceRecord): void {
    const node = this.#nodes.get(file)
    if (node === undefined) throw new Error('The trace syncs a file that was not opened.')
    const name = `${file} ${offset}`
    this.#syncs.set(name, [...(this.#syncs.get(name) ?? []), { node, upTo: this.#at }])
  }

  #synced({ file, offset, errno }: TraceRecord): void {
    const begun = this.#syncs.get(`${file} ${offset}`)?.shift()
    if (begun === undefined) throw new Error('The trace ends a sync that has not begun.')
    const { node, upTo } = begun
    if (node instanceof DiskDirectory) {
      if (errno === 0) node.settle(upTo)
    } else if (errno === 0) node.settle(({ at }) => at <= upTo)
    else node.abandon(upTo)
  }
}

const step = (node: DiskNode | undefined, name: string): DiskNode | undefined => (node instanceof DiskDirectory ? node.names.get(name) : undefined)

/** LMDB's own, which it writes through a map; nothing in it matters to the next opening. */
export const isLockFile = (path: string): boolean => path.endsWith('-lock')

/** Where the real folder is not what all records together come to: the trace has holes, or the model is wrong. */
export function differencesFrom(folder: string, directory: DiskDirectory, isIgnored: (path: string) => boolean): string[] {
  const real = new Set(readdirSync(folder))
  const names = [...new Set([...real, ...directory.names.keys()])].map(name => ({ name, path: join(folder, name) })).filter(({ path }) => !isIgnored(path))
  return names.flatMap(({ name, path }) => {
    const node = directory.names.get(name)
    if (node === undefined || !real.has(name)) return [`${path} is ${node === undefined ? 'there' : 'not there'}`]
    if (node instanceof DiskDirectory) return differencesFrom(path, node, isIgnored)
    return node.bytes.equals(readFileSync(path)) ? [] : [`${path} has another content`]
  })
}
