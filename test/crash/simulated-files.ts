/**
 * A file system in memory that forgets what a real one may forget. Every file has content in a "page cache", which reads see, and
 * content on a "disk", which survives a power cut; every directory likewise. Tests count operations, let any of them fail, kill the
 * process before any of them, and cut the power with any part of what was not synced on the disk.
 *
 *     const disk = new SimulatedFiles()            // has the directory /store
 *     disk.onCall = call => { if (call.name === 'fdatasync') throw ioError('EIO') }
 *     disk.kill()                                  // the process is gone, the page cache is not
 *     disk.powerCut(keepSome(random))              // the page cache is gone too
 *
 * As on Linux, a failed write-back is reported once by each descriptor that was open when it happened, and the lost pages read back
 * from the cache as if nothing were wrong until the power is cut.
 */
import { constants } from 'node:fs'
import type { Files } from '../../engine/environment.js'

export interface Call {
  readonly name: string
  /** The file's path, where there is one. */
  readonly path: string
  /** Counts all calls of this disk from 1. */
  readonly index: number
}

/** Whether something that was not synced is on the disk after a power cut: a sector of a write, or a change in a directory. */
export type Keep = (what: 'sector' | 'entry') => boolean

export const keepAll: Keep = () => true
export const keepNone: Keep = () => false
export const keepSome =
  (random: () => number, share = random()): Keep =>
  () =>
    random() < share

export const ioError = (code: string): NodeJS.ErrnoException => Object.assign(new Error(`${code}: simulated`), { code })

/** Thrown by every call of a process that was killed. */
export class SimulatedCrash extends Error {}

/** The same numbers for the same seed, in [0, 1). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const sectorSizeBytes = 512

/** Bytes that grow. */
class Content {
  #bytes = Buffer.alloc(0)
  size = 0

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.size)
  }

  write(bytes: Uint8Array, offset: number): void {
    const end = offset + bytes.length
    if (end > this.#bytes.length) {
      const larger = Buffer.alloc(Math.max(end, 2 * this.#bytes.length))
      this.#bytes.copy(larger, 0, 0, this.size)
      this.#bytes = larger
    }
    this.#bytes.set(bytes, offset)
    this.size = Math.max(this.size, end)
  }

  truncate(size: number): void {
    if (size > this.size) this.write(Buffer.alloc(size - this.size), this.size)
    this.#bytes.fill(0, size)
    this.size = size
  }

  copyFrom(other: Content): void {
    this.#bytes = Buffer.from(other.bytes)
    this.size = other.size
  }
}

type Change = { readonly offset: number; readonly bytes: Buffer } | { readonly truncatedTo: number }

class FileNode {
  readonly kind: 'file' | 'link' = 'file'
  readonly cached = new Content()
  readonly durable = new Content()
  /** Not on the disk yet, in order. */
  unsynced: Change[] = []
  /** Failed write-backs so far; a descriptor reports the ones it has not seen. */
  failures = 0
  mode = 0

  persist(changes: readonly Change[]): void {
    const waiting = new Set(this.unsynced)
    for (const change of changes) {
      if (!waiting.has(change)) continue
      if ('truncatedTo' in change) this.durable.truncate(change.truncatedTo)
      else this.durable.write(change.bytes, change.offset)
      waiting.delete(change)
    }
    this.unsynced = [...waiting]
  }
}

class LinkNode {
  readonly kind = 'link'
}

type Node = FileNode | DirectoryNode | LinkNode
/** One step of a directory, atomic: a name goes, a name comes, or both for a rename. */
interface EntryChange {
  readonly deleted?: string
  readonly name?: string
  readonly node?: Node
}

function applyTo(entries: Map<string, Node>, { deleted, name, node }: EntryChange): void {
  if (deleted !== undefined) entries.delete(deleted)
  if (name !== undefined && node) entries.set(name, node)
}

class DirectoryNode {
  readonly kind = 'directory'
  entries = new Map<string, Node>()
  durable = new Map<string, Node>()
  unsynced: EntryChange[] = []
  mode = 0

  change(change: EntryChange): void {
    applyTo(this.entries, change)
    this.unsynced.push(change)
  }

  persist(): void {
    this.durable = new Map(this.entries)
    this.unsynced = []
  }
}

interface Open {
  readonly node: Node
  readonly path: string
  seenFailures: number
}

export class SimulatedFiles {
  /** Runs before every call; what it throws is the outcome of the call. */
  onCall: (call: Call) => void = () => {}
  /** Unless 'no', asynchronous syncs end only by `releaseSync`; they reach the disk 'before' that, or only 'then'. */
  holdSyncs: 'no' | 'before' | 'then' = 'no'
  /** Space for file content. */
  capacitySizeBytes: number = Number.POSITIVE_INFINITY
  /** Syncs say they worked and do nothing: for controls that must fail. */
  syncsLie = false
  readonly calls: Call[] = []
  readonly #root = new DirectoryNode()
  readonly #held: (() => void)[] = []
  #open = new Map<number, Open>()
  #nextFd = 100
  #dead = false
  #life = 0

  constructor(directories: readonly string[] = ['/store']) {
    for (const path of directories) this.#mkdir(path)
    for (const path of directories) this.#parent(path).directory.persist()
  }

  /** Pass this as `Environment.files`. It belongs to the process that runs now: after `kill` or `powerCut` it does nothing any more. */
  get files(): Files {
    return this.#operations(this.#life)
  }

  get openDescriptors(): number {
    return this.#open.size
  }

  get heldSyncs(): number {
    return this.#held.length
  }

  count(name: string): number {
    return this.calls.filter(call => call.name === name).length
  }

  /** Ends the oldest asynchronous sync that is held. */
  releaseSync(): void {
    this.#held.shift()?.()
  }

  /** The process is killed before the call with this index: that call and all later ones throw, until `kill` or `powerCut`. */
  crashBefore(index: number): void {
    this.onCall = call => {
      if (call.index >= index) this.#dead = true
    }
  }

  /** A new process: descriptors, hooks and running syncs are gone, the page cache is not. */
  kill(): void {
    this.#open.clear()
    this.#held.length = 0
    this.#dead = false
    this.#life++
    this.onCall = () => {}
    this.holdSyncs = 'no'
  }

  /** A new boot: of what was not synced, only what `keep` says is there. */
  powerCut(keep: Keep): void {
    this.kill()
    this.#cut(this.#root, keep)
  }

  /** The kernel tries to write a file back and fails: the pages are lost though reads still see them (until the next power cut). */
  failWriteback(path: string): void {
    const node = this.#fileAt(path)
    node.unsynced = []
    node.failures++
  }

  /** A file's content as reads see it. */
  read(path: string): Buffer {
    return Buffer.from(this.#fileAt(path).cached.bytes)
  }

  /** Replaces a file's content in cache and on disk, as a test that damages it does. */
  overwrite(path: string, content: Uint8Array): void {
    const { directory, name } = this.#parent(path)
    const node = directory.entries.get(name) ?? new FileNode()
    if (!(node instanceof FileNode)) throw ioError('EISDIR')
    node.unsynced = []
    node.cached.truncate(0)
    node.cached.write(content, 0)
    node.durable.copyFrom(node.cached)
    directory.change({ name, node })
    directory.persist()
  }

  plantLink(path: string): void {
    const { directory, name } = this.#parent(path)
    directory.change({ name, node: new LinkNode() })
  }

  /** Names in a directory. */
  list(path: string): string[] {
    return [...this.#directoryAt(path).entries.keys()].toSorted()
  }

  modeOf(path: string): number {
    const node = this.#at(path)
    return node instanceof LinkNode ? 0 : node.mode
  }

  /** An independent copy of everything, without descriptors: one state, many futures. */
  clone(): SimulatedFiles {
    const copy = new SimulatedFiles([])
    const seen = new Map<Node, Node>()
    const cloneNode = (node: Node): Node => {
      const known = seen.get(node)
      if (known) return known
      if (node instanceof LinkNode) return node
      if (node instanceof FileNode) {
        const file = new FileNode()
        seen.set(node, file)
        file.cached.copyFrom(node.cached)
        file.durable.copyFrom(node.durable)
        file.unsynced = [...node.unsynced]
        file.mode = node.mode
        return file
      }
      const directory = new DirectoryNode()
      seen.set(node, directory)
      cloneDirectory(node, directory)
      return directory
    }
    const cloneDirectory = (from: DirectoryNode, to: DirectoryNode): void => {
      for (const [name, node] of from.entries) to.entries.set(name, cloneNode(node))
      for (const [name, node] of from.durable) to.durable.set(name, cloneNode(node))
      to.unsynced = from.unsynced.map(change => (change.node ? { ...change, node: cloneNode(change.node) } : change))
      to.mode = from.mode
    }
    cloneDirectory(this.#root, copy.#root)
    return copy
  }

  #cut(directory: DirectoryNode, keep: Keep): void {
    for (const change of directory.unsynced) if (keep('entry')) applyTo(directory.durable, change)
    directory.entries = new Map(directory.durable)
    directory.unsynced = []
    for (const node of directory.entries.values()) {
      if (node instanceof DirectoryNode) this.#cut(node, keep)
      if (!(node instanceof FileNode)) continue
      for (const change of node.unsynced) {
        if ('truncatedTo' in change) {
          if (keep('sector')) node.durable.truncate(change.truncatedTo)
        } else {
          for (const piece of sectorsOf(change)) if (keep('sector')) node.durable.write(piece.bytes, piece.offset)
        }
      }
      node.unsynced = []
      node.cached.copyFrom(node.durable)
    }
  }

  #begin(life: number, name: string, path: string): void {
    if (life !== this.#life) throw new SimulatedCrash(`${name} of a process that is gone`)
    if (!this.#dead) {
      const call = { name, path, index: this.calls.length + 1 }
      this.calls.push(call)
      this.onCall(call)
    }
    if (this.#dead) throw new SimulatedCrash(`killed before ${name}`)
  }

  #at(path: string): Node {
    let node: Node = this.#root
    for (const name of path.split('/').filter(part => part !== '')) {
      const next: Node | undefined = node instanceof DirectoryNode ? node.entries.get(name) : undefined
      if (!next) throw ioError('ENOENT')
      node = next
    }
    return node
  }

  #parent(path: string): { directory: DirectoryNode; name: string } {
    const cut = path.lastIndexOf('/')
    return { directory: this.#directoryAt(path.slice(0, cut)), name: path.slice(cut + 1) }
  }

  #directoryAt(path: string): DirectoryNode {
    const node = this.#at(path)
    if (!(node instanceof DirectoryNode)) throw ioError('ENOTDIR')
    return node
  }

  #fileAt(path: string): FileNode {
    const node = this.#at(path)
    if (!(node instanceof FileNode)) throw ioError('EISDIR')
    return node
  }

  #descriptor(fd: number): Open {
    const open = this.#open.get(fd)
    if (!open) throw ioError('EBADF')
    return open
  }

  #file(fd: number): FileNode {
    const { node } = this.#descriptor(fd)
    if (!(node instanceof FileNode)) throw ioError('EISDIR')
    return node
  }

  #mkdir(path: string, mode = 0o777): void {
    const { directory, name } = this.#parent(path)
    if (directory.entries.has(name)) throw ioError('EEXIST')
    const made = new DirectoryNode()
    made.mode = mode
    directory.change({ name, node: made })
  }

  #usedSizeBytes(directory: DirectoryNode = this.#root): number {
    let sum = 0
    for (const node of directory.entries.values()) {
      if (node instanceof DirectoryNode) sum += this.#usedSizeBytes(node)
      else if (node instanceof FileNode) sum += node.cached.size
    }
    return sum
  }

  #openFile(path: string, flags: number, mode: number): number {
    const { directory, name } = this.#parent(path)
    let node: Node | undefined = path === '/' ? this.#root : directory.entries.get(name)
    if (node && flags & constants.O_CREAT && flags & constants.O_EXCL) throw ioError('EEXIST')
    if (node instanceof LinkNode) throw ioError('ELOOP')
    if (flags & constants.O_DIRECTORY && !(node instanceof DirectoryNode)) throw ioError(node ? 'ENOTDIR' : 'ENOENT')
    if (!node) {
      if (!(flags & constants.O_CREAT)) throw ioError('ENOENT')
      const made = new FileNode()
      made.mode = mode
      directory.change({ name, node: made })
      node = made
    }
    const fd = this.#nextFd++
    this.#open.set(fd, { node, path, seenFailures: node instanceof FileNode ? node.failures : 0 })
    return fd
  }

  #write(fd: number, bytes: Uint8Array, from: number, length: number, offset: number): number {
    const node = this.#file(fd)
    const grows = offset + length - node.cached.size
    const free = this.capacitySizeBytes === Number.POSITIVE_INFINITY ? grows : this.capacitySizeBytes - this.#usedSizeBytes()
    const count = grows > free ? length - (grows - Math.max(0, free)) : length
    if (count <= 0 && length > 0) throw ioError('ENOSPC')
    const written = Buffer.from(bytes.subarray(from, from + count))
    node.cached.write(written, offset)
    node.unsynced.push({ offset, bytes: written })
    return count
  }

  /** Throws EIO for a failed write-back that this descriptor has not reported. */
  #sync(open: Open, covered: readonly Change[]): void {
    const { node } = open
    if (node instanceof DirectoryNode) {
      if (!this.syncsLie) node.persist()
    } else if (node instanceof FileNode) {
      if (!this.syncsLie) node.persist(covered)
      if (open.seenFailures === node.failures) return
      open.seenFailures = node.failures
      throw ioError('EIO')
    }
  }

  #syncAsync(life: number, fd: number, done: (error: NodeJS.ErrnoException | null) => void): void {
    let outcome: NodeJS.ErrnoException | null = null
    const attempt = (run: () => void): void => {
      try {
        run()
      } catch (error) {
        if (error instanceof SimulatedCrash) throw error
        outcome = error as NodeJS.ErrnoException
      }
    }
    attempt(() => this.#begin(life, 'fdatasync', this.#open.get(fd)?.path ?? ''))
    const open = this.#descriptor(fd)
    const covered = open.node instanceof FileNode ? [...open.node.unsynced] : []
    const reach = (): void => attempt(() => outcome ?? this.#sync(open, covered))
    const early = this.holdSyncs === 'before'
    if (early) reach()
    const end = (): void => {
      if (this.#dead || life !== this.#life) return
      if (!early) reach()
      done(outcome)
    }
    if (this.holdSyncs === 'no') setImmediate(end)
    else this.#held.push(end)
  }

  #operations(life: number): Files {
    const onPath =
      <A extends unknown[], R>(name: string, run: (path: string, ...rest: A) => R) =>
      (path: string, ...rest: A): R => {
        this.#begin(life, name, path)
        return run(path, ...rest)
      }
    const onFd =
      <A extends unknown[], R>(name: string, run: (fd: number, ...rest: A) => R) =>
      (fd: number, ...rest: A): R => {
        this.#begin(life, name, this.#open.get(fd)?.path ?? '')
        return run(fd, ...rest)
      }
    const syncFd = (fd: number): void => {
      const open = this.#descriptor(fd)
      this.#sync(open, open.node instanceof FileNode ? [...open.node.unsynced] : [])
    }
    const read = (fd: number, into: Uint8Array, at: number, length: number, offset: number): number => {
      const piece = this.#file(fd).cached.bytes.subarray(offset, offset + length)
      into.set(piece, at)
      return piece.length
    }
    const lstat = (path: string, options?: { throwIfNoEntry?: boolean }): unknown => {
      try {
        return statOf(this.#at(path))
      } catch (error) {
        if (options?.throwIfNoEntry === false) return undefined
        throw error
      }
    }
    const rename = (from: string, to: string): void => {
      const node = this.#at(from)
      const { directory, name } = this.#parent(from)
      const target = this.#parent(to)
      if (target.directory !== directory) throw ioError('EXDEV')
      directory.change({ deleted: name, name: target.name, node })
    }
    const unlink = (path: string): void => {
      this.#at(path)
      const { directory, name } = this.#parent(path)
      directory.change({ deleted: name })
    }
    const truncate = (fd: number, size = 0): void => {
      const node = this.#file(fd)
      node.cached.truncate(size)
      node.unsynced.push({ truncatedTo: size })
    }
    const statfs = (): unknown => ({ bsize: 1, bavail: Math.max(0, this.capacitySizeBytes - this.#usedSizeBytes()) })
    const mkdtemp = (prefix: string): string => {
      const path = `${prefix}${this.calls.length}`
      this.#mkdir(path)
      return path
    }
    const remove = (path: string, options?: { force?: boolean }): void => {
      if (lstat(path, { throwIfNoEntry: false }) === undefined && options?.force) return
      unlink(path)
    }
    return {
      openSync: onPath('openSync', (path, flags: number, mode: number = 0o666) => this.#openFile(path, flags, mode)),
      closeSync: onFd('closeSync', fd => void (this.#descriptor(fd) && this.#open.delete(fd))),
      readSync: onFd('readSync', read),
      writeSync: onFd('writeSync', (fd, bytes: Uint8Array, from: number, length: number, offset: number) =>
        this.#write(fd, bytes, from, length, offset),
      ),
      fdatasync: (fd: number, done: (error: NodeJS.ErrnoException | null) => void) => this.#syncAsync(life, fd, done),
      fdatasyncSync: onFd('fdatasyncSync', syncFd),
      fsyncSync: onFd('fsyncSync', syncFd),
      ftruncateSync: onFd('ftruncateSync', truncate),
      fstatSync: onFd('fstatSync', fd => statOf(this.#descriptor(fd).node)),
      lstatSync: onPath('lstatSync', lstat),
      mkdirSync: onPath('mkdirSync', (path, options?: { mode?: number }) => this.#mkdir(path, options?.mode)),
      readdirSync: onPath('readdirSync', path => this.list(path)),
      renameSync: onPath('renameSync', rename),
      unlinkSync: onPath('unlinkSync', unlink),
      rmSync: onPath('rmSync', remove),
      statfsSync: onPath('statfsSync', statfs),
      mkdtempSync: onPath('mkdtempSync', mkdtemp),
      realpathSync: onPath('realpathSync', path => path),
    } as unknown as Files
  }
}

const statOf = (node: Node): unknown => ({
  size: node instanceof FileNode ? node.cached.size : 0,
  isFile: () => node instanceof FileNode,
  isDirectory: () => node instanceof DirectoryNode,
  isSymbolicLink: () => node instanceof LinkNode,
})

/** A write cut at sector boundaries: a disk writes whole sectors. */
function sectorsOf(change: { readonly offset: number; readonly bytes: Buffer }): { offset: number; bytes: Buffer }[] {
  const pieces: { offset: number; bytes: Buffer }[] = []
  for (let at = 0; at < change.bytes.length; ) {
    const offset = change.offset + at
    const size = Math.min(sectorSizeBytes - (offset % sectorSizeBytes), change.bytes.length - at)
    pieces.push({ offset, bytes: change.bytes.subarray(at, at + size) })
    at += size
  }
  return pieces
}
