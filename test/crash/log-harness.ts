/** A commit log on a simulated disk, and commits whose content follows from their timestamps. */
import { openLog, type OpenLogOptions, type RecoveredLog } from '../../engine/log/open.js'
import type { CommitLog, LogLimits } from '../../engine/log/commit-log.js'
import type { Environment } from '../../engine/environment.js'
import type { StorageError } from '../../engine/errors.js'
import {
  alignRecord,
  commitSizeBytes,
  decodeRecordHeader,
  decodeSegmentHeader,
  recordHeaderSizeBytes,
  segmentHeaderSizeBytes,
  segmentSeed,
  type LogCommit,
  type RecordHeader,
} from '../../engine/encoding/records.js'
import { asKey, asTs, type CommitTs } from '../../isolation/types.js'
import { seededRandom, type SimulatedFiles } from './simulated-files.js'

export const smallLimits: LogLimits = { segmentSizeBytes: 4_096, logReserveSizeBytes: 1_024, relaxedSyncMs: 5, unsyncedCommits: 1_000, loneSyncMs: 0 }

export interface OpenedLog {
  readonly log: CommitLog
  readonly recovered: RecoveredLog
  /** What `onDurable` said, in order. */
  readonly durable: number[]
  readonly failures: { readonly error: StorageError; readonly writtenTs: CommitTs }[]
  /** Timers and deferred calls that have neither run nor been stopped. */
  readonly pendingTimers: Set<unknown>
}

let incarnations = 0
/** Higher with every call, as an owner of the log keeps it. */
export const nextIncarnation = (): number => ++incarnations

export function open(disk: SimulatedFiles, appliedTs = 0, options: Partial<OpenLogOptions> = {}): OpenedLog {
  const durable: number[] = []
  const failures: OpenedLog['failures'] = []
  const pendingTimers = new Set<unknown>()
  const incarnation = options.incarnation ?? nextIncarnation()
  const opened = openLog({
    directory: '/store',
    environment: environmentOf(disk, incarnation, pendingTimers),
    limits: smallLimits,
    appliedTs: asTs(appliedTs),
    incarnation,
    onDurable: ts => durable.push(ts),
    onFailure: (error, writtenTs) => failures.push({ error, writtenTs }),
    ...options,
  })
  return { ...opened, durable, failures, pendingTimers }
}

function environmentOf(disk: SimulatedFiles, seed: number, pending: Set<unknown>): Environment {
  const tracked = (run: () => void, start: (run: () => void) => () => void): (() => void) => {
    const token = {}
    pending.add(token)
    const stop = start(() => {
      pending.delete(token)
      run()
    })
    return () => {
      pending.delete(token)
      stop()
    }
  }
  return {
    files: disk.files,
    nowMs: () => performance.now(),
    random: seededRandom(seed),
    setTimer: (run, delayMs) =>
      tracked(run, timed => {
        const timer = setTimeout(timed, delayMs)
        return () => clearTimeout(timer)
      }),
    defer: run =>
      tracked(run, deferred => {
        const immediate = setImmediate(deferred)
        return () => clearImmediate(immediate)
      }),
  }
}

/** A commit with one to three writes, of a size and content that follow from its timestamp. */
export function commitAt(ts: number, sizeBytes = 20 + ((ts * 37) % 90)): LogCommit {
  const writes = [{ key: asKey(`key\0\xff${ts}`), value: Buffer.alloc(sizeBytes, (ts % 255) + 1) as Uint8Array | undefined }]
  if (ts % 3 === 0) writes.push({ key: asKey(`gone${ts}`), value: undefined })
  if (ts % 5 === 0) writes.push({ key: asKey(`empty${ts}`), value: Buffer.alloc(0) })
  return { ts: asTs(ts), writes }
}

/** Appends the commit as an engine does it. */
export function add(log: CommitLog, commit: LogCommit, relaxed = false): void {
  log.reserve(commitSizeBytes(commit.writes))
  log.append(commit, relaxed)
}

/** Appends durable commits with these timestamps. */
export const addAll = (log: CommitLog, from: number, to: number): void => {
  for (let ts = from; ts <= to; ts++) add(log, commitAt(ts))
}

export const timestamps = (commits: readonly LogCommit[]): number[] => commits.map(commit => commit.ts)

export const between = (from: number, to: number): number[] => Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i)

/** Content without regard to which kind of byte array holds it. */
export const plain = (commits: readonly LogCommit[]): unknown[] =>
  commits.map(({ ts, writes }) => ({
    ts,
    writes: writes.map(({ key, value }) => [key, value === undefined ? 'deleted' : Buffer.from(value).toString('latin1')]),
  }))

/** The segment files, oldest first. */
export const segmentPaths = (disk: SimulatedFiles): string[] =>
  disk
    .list('/store/log')
    .filter(name => name.endsWith('.log'))
    .map(name => `/store/log/${name}`)

export interface FoundRecord extends RecordHeader {
  readonly start: number
  /** Without padding. */
  readonly end: number
}

/** The chain of record headers in a segment file, as far as it goes. */
export function recordsIn(content: Buffer): FoundRecord[] {
  const header = decodeSegmentHeader(content.subarray(0, segmentHeaderSizeBytes))
  if (typeof header === 'string') return []
  const records: FoundRecord[] = []
  for (let start = segmentHeaderSizeBytes; ; ) {
    const record = decodeRecordHeader(content, start, segmentSeed(header))
    if (!record) return records
    const end = start + recordHeaderSizeBytes + record.bodySizeBytes
    records.push({ ...record, start, end })
    start = alignRecord(end)
  }
}

/** All records of all segments. */
export const recordsOf = (disk: SimulatedFiles): FoundRecord[] => segmentPaths(disk).flatMap(path => recordsIn(disk.read(path)))

export const activePath = (disk: SimulatedFiles): string => segmentPaths(disk).at(-1)!

/** Lets deferred calls and simulated syncs that are ready run. */
export async function turns(count = 3): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise(resolve => setImmediate(resolve))
}

const codeIn = (error: unknown): string => (error as { code?: string }).code ?? String(error)

/** The code an action fails with, or 'none'. */
export function codeOf(action: () => unknown): string {
  try {
    action()
    return 'none'
  } catch (error) {
    return codeIn(error)
  }
}

/** The code a promise is rejected with, or 'none'. */
export const codeOfPromise = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: unknown) => codeIn(error),
  )
