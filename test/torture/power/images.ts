/** What a power cut may leave of a disk: of everything that is not surely on it, some is, by chance. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Chance } from '../../simulation/chance.js'
import { applyNames, Content, DiskDirectory, isLockFile, type Disk, type DiskFile, type DiskNode, type FileChange, type NameChange } from './disk-model.js'

/** Writes whole sectors: a disk tears nothing smaller. */
const sectorSizeBytes = 512

/** What becomes of the pending changes of a file, or of the names in a directory. */
export type Fate =
  | { readonly how: 'all' | 'none' }
  /** Those before a moment. */
  | { readonly how: 'until'; readonly at: number }
  | { readonly how: 'some' | 'torn'; readonly share: number }

export interface Image {
  readonly directories: readonly string[]
  readonly files: readonly { readonly path: string; readonly bytes: Buffer }[]
  /** Whether there was anything that a power cut could take: the owner's name does not count. */
  readonly isUncertain: boolean
  /** How it came about, for people. */
  readonly choice: string
}

type Contents = Pick<Image, 'directories' | 'files'>

export interface Fates {
  readonly ofFile: (file: DiskFile) => Fate
  /** Names are not torn. */
  readonly ofNames: (directory: DiskDirectory) => Fate
  /** Whether a file keeps the length that lost writes gave it. */
  readonly keepsLength: (file: DiskFile) => boolean
  /** LMDB's lock file, which is not in the trace. */
  readonly lockFile: (file: DiskFile) => Buffer | undefined
  readonly chance: Chance
}

/** The part of the disk under the name `top`. */
export function imageOf(disk: Disk, top: string, fates: Fates): Contents {
  const image = { directories: [] as string[], files: [] as { path: string; bytes: Buffer }[] }
  const visit = (path: string, node: DiskNode): void => {
    if (node instanceof DiskDirectory) {
      image.directories.push(path)
      for (const [name, child] of namesOf(node, fates)) visit(`${path}/${name}`, child)
    } else {
      const bytes = isLockFile(path) ? fates.lockFile(node) : bytesOf(node, fates)
      if (bytes !== undefined) image.files.push({ path, bytes })
    }
  }
  const node = namesOf(disk.top, fates).get(top)
  if (node !== undefined) visit('.', node)
  return image
}

export function materialise({ directories, files }: Contents, folder: string): void {
  for (const path of directories) mkdirSync(join(folder, path), { recursive: true, mode: 0o700 })
  for (const { path, bytes } of files) writeFileSync(join(folder, path), bytes, { mode: 0o600 })
}

function namesOf(directory: DiskDirectory, { ofNames, chance }: Fates): Map<string, DiskNode> {
  const names = new Map(directory.synced)
  const fate = ofNames(directory)
  for (const change of directory.pending) if (isKept(change, fate, chance)) applyNames(names, change)
  return names
}

function bytesOf(file: DiskFile, { ofFile, keepsLength, chance }: Fates): Buffer {
  const fate = ofFile(file)
  const content = new Content(file.synced.bytes)
  for (const change of file.pending) {
    if (fate.how === 'torn' && change.data !== undefined) {
      for (const { offset, data } of sectorsOf(change.offset, change.data)) if (chance.is(fate.share)) content.apply(offset, data)
    } else if (isKept(change, fate, chance)) content.apply(change.offset, change.data)
  }
  const { length } = file.bytes
  if (length > content.size && keepsLength(file)) content.apply(length, undefined)
  return content.bytes
}

function isKept({ at }: FileChange | NameChange, fate: Fate, chance: Chance): boolean {
  if (fate.how === 'until') return at <= fate.at
  return fate.how === 'all' || ('share' in fate && chance.is(fate.share))
}

function sectorsOf(offset: number, data: Buffer): { readonly offset: number; readonly data: Buffer }[] {
  const sectors = []
  for (let from = 0, to: number; from < data.length; from = to) {
    to = Math.min(data.length, from + sectorSizeBytes - ((offset + from) % sectorSizeBytes))
    sectors.push({ offset: offset + from, data: data.subarray(from, to) })
  }
  return sectors
}

const shares = [0.1, 0.5, 0.9] as const
const fatesOfFiles = { none: 3, torn: 3, some: 2, all: 1, until: 1 } as const
/** Most file systems keep the order of names; nothing promises that they do. */
const fatesOfNames = { until: 4, all: 3, none: 2, some: 2 } as const

/** One image of the disk as it is now, drawn by chance: one fate for all files, or one for each. */
export function drawImage(disk: Disk, top: string, chance: Chance, lockFile: Buffer | undefined): Image {
  const choices: string[] = []
  const told = <F extends Fate>(what: string, fate: F): F => {
    choices.push(`${what}: ${fate.how}${fate.how === 'until' ? ` change ${fate.at} of ${disk.now}` : 'share' in fate ? ` (${fate.share})` : ''}`)
    return fate
  }
  const draw = (weights: Readonly<Partial<Record<Fate['how'], number>>>, oldest: number): Fate => {
    const how = chance.weighted(weights as Readonly<Record<Fate['how'], number>>)
    if (how === 'until') return { how, at: chance.between(oldest - 1, disk.now) }
    return how === 'some' || how === 'torn' ? { how, share: chance.of(shares) } : { how }
  }
  const forAll = chance.is(0.5) ? draw(fatesOfFiles, oldestIn(disk.top, disk.now)) : undefined
  if (forAll !== undefined) told('of all files', forAll)
  const fates: Fates = {
    chance,
    ofFile(file) {
      if (forAll !== undefined || file.pending.length === 0) return forAll ?? { how: 'all' }
      return told(`of ${file.pending.length} writes to ${file.path}`, draw(fatesOfFiles, file.pending[0]!.at))
    },
    ofNames(directory) {
      if (directory.pending.length === 0) return { how: 'all' }
      return told(`of ${directory.pending.length} changes of names`, draw(fatesOfNames, directory.pending[0]!.at))
    },
    keepsLength(file) {
      const keeps = chance.is(0.3)
      if (keeps) choices.push(`${file.path} keeps its length`)
      return keeps
    },
    lockFile(file) {
      return chance.is(0.3) ? undefined : chance.is(0.5) ? lockFile : Buffer.alloc(file.bytes.length)
    },
  }
  return { ...imageOf(disk, top, fates), isUncertain: isUncertain(disk.top), choice: choices.join('; ') }
}

function oldestIn(node: DiskNode, now: number): number {
  const own = node.pending[0]?.at ?? now
  return node instanceof DiskDirectory ? [...node.names.values()].reduce((oldest, child) => Math.min(oldest, oldestIn(child, now)), own) : own
}

function isUncertain(node: DiskNode): boolean {
  if (node instanceof DiskDirectory) return node.pending.length > 0 || [...node.names.values()].some(isUncertain)
  return node.pending.length > 0 && !isLockFile(node.path) && !node.path.endsWith('/owner')
}
