/** Runs a process with `interpose.c` between it and the system, and reads what was recorded. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** This file runs as `dist/test/torture/interpose/index.js`. */
const source = fileURLToPath(new URL('../../../../test/torture/interpose/interpose.c', import.meta.url))

/** Kinds of calls, as `interpose.c` has them. */
export const callKinds = {
  open: 'o',
  write: 'w',
  truncate: 't',
  sync: 's',
  rename: 'n',
  unlink: 'u',
  mkdir: 'm',
  rmdir: 'r',
  read: 'd',
  lock: 'l',
  map: 'p',
} as const
export type CallKind = keyof typeof callKinds

export type Action = 'kill' | 'kill-after' | 'kill-within' | 'fail' | 'fail-always' | 'drop' | 'drop-always' | 'short'

export interface Interposed {
  /** The folder whose files are watched; a path without links. */
  readonly under: string
  /** Of these only calls on files in this folder are counted. */
  readonly counted?: string
  /** Where records are appended. */
  readonly trace?: string
  readonly count?: readonly CallKind[]
  /** Where a line is appended for every counted call (`readCalls`). */
  readonly calls?: string
  /** What becomes of the counted call with this number, from 1. */
  readonly at?: { readonly call: number; readonly action: Action; readonly errno?: number }
}

/** Whether there is a compiler, and a loader that takes what it makes. */
export const canInterpose = (): boolean => process.platform === 'linux' && spawnSync('cc', ['--version'], { stdio: 'ignore' }).status === 0

/** Compiles the library into a folder, and returns its path. */
export function buildInterposer(folder: string): string {
  const library = join(folder, 'interpose.so')
  const { status, stderr, error } = spawnSync('cc', ['-O2', '-shared', '-fPIC', '-o', library, source, '-ldl'], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`interpose.c could not be compiled; this takes Linux and a C compiler: ${error?.message ?? stderr}`)
  return library
}

/** A command that runs another with the library before it. */
export function interposeWrapper(library: string, { under, counted, trace, count = [], calls, at }: Interposed): readonly string[] {
  const settings = {
    LD_PRELOAD: library,
    INTERPOSE_UNDER: under,
    INTERPOSE_COUNTED: counted ?? under,
    INTERPOSE_TRACE: trace ?? '',
    INTERPOSE_CALLS: calls ?? '',
    INTERPOSE_COUNT: count.map(kind => callKinds[kind]).join(''),
    INTERPOSE_AT: at === undefined ? '' : `${at.call} ${at.action} ${at.errno ?? 0}`,
    // Its calls would go around the library.
    UV_USE_IO_URING: '0',
  }
  return ['env', ...Object.entries(settings).map(([name, value]) => `${name}=${value}`)]
}

/** One record of a trace. `file` is the inode number; of calls on names it is 0. */
export interface TraceRecord {
  /** A sync has two: when it began, and `synced` when it ended. */
  readonly kind: CallKind | 'synced' | 'close'
  readonly created: boolean
  readonly truncated: boolean
  /** A write through a descriptor whose writes are synced one by one. */
  readonly synchronous: boolean
  readonly directory: boolean
  /** A shared map that can be written through: what is written so is not in the trace. */
  readonly writableMap: boolean
  /** What it failed with; 0 where it succeeded. */
  readonly errno: number
  readonly file: number
  /** Of a write its place, of a truncation the size; of a sync what joins beginning and end. */
  readonly offset: number
  /** Paths: one, or for a rename two. */
  readonly names: readonly string[]
  readonly data: Buffer
}

const headSizeBytes = 32
const kindOf: Readonly<Record<string, TraceRecord['kind']>> = {
  ...Object.fromEntries(Object.entries(callKinds).map(([kind, letter]) => [letter, kind as CallKind])),
  S: 'synced',
  c: 'close',
}

/** The whole records of a trace; a process that was killed may leave part of one. */
export function readTrace(path: string): TraceRecord[] {
  const bytes = readFileSync(path)
  const records: TraceRecord[] = []
  for (let at = 0; at + headSizeBytes <= bytes.length; ) {
    const flags = bytes[at + 1]!
    const nameSize = bytes.readUInt32LE(at + 4)
    const dataSize = Number(bytes.readBigUInt64LE(at + 24))
    const nameAt = at + headSizeBytes
    const end = nameAt + nameSize + dataSize
    if (end > bytes.length) break
    records.push({
      kind: kindOf[String.fromCharCode(bytes[at]!)]!,
      created: (flags & 1) !== 0,
      truncated: (flags & 2) !== 0,
      synchronous: (flags & 4) !== 0,
      directory: (flags & 8) !== 0,
      writableMap: (flags & 16) !== 0,
      errno: bytes.readUInt16LE(at + 2),
      file: Number(bytes.readBigUInt64LE(at + 8)),
      offset: Number(bytes.readBigUInt64LE(at + 16)),
      names: nameSize === 0 ? [] : bytes.toString('utf8', nameAt, nameAt + nameSize).split('\0'),
      data: bytes.subarray(nameAt + nameSize, end),
    })
    at = end
  }
  return records
}

/** A counted call. */
export interface Call {
  readonly kind: CallKind
  /** What the file is called at that time. */
  readonly path: string
}

/** The counted calls, in their order. */
export function readCalls(path: string): Call[] {
  const renamed = new Map<string, string>()
  return readFileSync(path, 'utf8').split('\n').slice(0, -1).map(line => {
    const kind = kindOf[line[0]!] as CallKind
    const [name, to] = line.slice(1).split('\0') as [string, string?]
    if (to !== undefined) renamed.set(name, to)
    // Descriptors are known by the name that was opened.
    else if (kind === 'open') renamed.delete(name)
    return { kind, path: kind === 'rename' ? name : (renamed.get(name) ?? name) }
  })
}
