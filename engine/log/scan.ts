/**
 * Reads the commit log after a crash or a close, and tells a torn tail from damage. Changes nothing.
 *
 *     superseded ... | base ............... | next ...... | newest .................................. |
 *     (never read)   | header, record, ...  | header, ... | header, record, record, (torn tail), zeros |
 *
 * Invariants:
 * - C-1 The base is the newest segment that starts at or below `appliedTs`; what lies before it is superseded, readable or not.
 * - C-2 A record counts only if it and all before it, from the base on, are valid and chained: the result is a prefix.
 * - C-3 An invalid record below a position known to be synced is damage, and damage is an error. Known are: the end of the previous
 *   segment once a next one exists, a segment's content at its birth, and what any later record header says. Above all of them an
 *   invalid record is a torn tail; it is dropped with everything behind it, and reported.
 * - C-4 `nextTs` and `nextSequence` lie above every timestamp and sequence that anybody can have seen, in dropped records too.
 */
import { asTs } from '../../isolation/types.js'
import type { CommitTs } from '../../isolation/types.js'
import {
  alignRecord,
  bodyIsIntact,
  decodeCommits,
  decodeRecordHeader,
  decodeSegmentHeader,
  recordAlignmentSizeBytes,
  recordHeaderSizeBytes,
  segmentHeaderSizeBytes,
  segmentSeed,
} from '../encoding/records.js'
import type { LogCommit, RecordHeader, SegmentHeader } from '../encoding/records.js'
import { isUnreadable, type Files } from '../environment.js'
import { StorageError } from '../errors.js'
import { SegmentReader, segmentPath } from './files.js'

/** A torn tail: bytes that were being written when the process or the machine stopped. Nobody was told that they are durable. */
export interface DroppedTail {
  readonly segment: number
  readonly offset: number
  readonly sizeBytes: number
}

export interface ScannedLog {
  /** Every commit above `appliedTs`, ascending. */
  readonly commits: LogCommit[]
  /** The newest of them, or `appliedTs`. */
  readonly lastTs: CommitTs
  /** The log ends with the mark of a clean close, or there never was one. */
  readonly clean: boolean
  readonly droppedTail?: DroppedTail
  /** Of the newest segment; 0 if there is none. */
  readonly incarnation: number
  readonly highestTs: CommitTs
  readonly highestSequence: number
}

interface ScanOptions {
  readonly files: Files
  readonly logDirectory: string
  readonly appliedTs: CommitTs
}

/** What is known after reading some segments. */
interface Progress {
  readonly commits: LogCommit[]
  lastTs: CommitTs
  clean: boolean
  droppedTail?: DroppedTail
  highestTs: number
  highestSequence: number
  /** Offset behind the last usable record, and that record's checksum. */
  end: number
  checksum: number
}

/**
 * Reads the segments with the given numbers (ascending).
 * @throws StorageError `CORRUPT` for damage, with segment, offset and the timestamps that are lost; `FORMAT_TOO_NEW`.
 */
export function scanLog(segments: readonly number[], options: ScanOptions): ScannedLog {
  const { appliedTs } = options
  const headers = readHeaders(segments, options)
  const progress: Progress = {
    commits: [],
    lastTs: appliedTs,
    clean: headers.length === 0,
    highestTs: appliedTs,
    highestSequence: 0,
    end: 0,
    checksum: 0,
  }
  for (const [i, header] of headers.entries()) {
    if (i > 0) checkContinues(headers[i - 1]!, header, progress)
    const next = headers[i + 1]
    scanSegment(header, next?.number === header.number + 1 ? next : undefined, progress, options)
  }
  return { ...progress, highestTs: asTs(progress.highestTs), incarnation: headers.at(-1)?.incarnation ?? 0 }
}

/** The headers from the base on (C-1). Goes backwards, so that what is superseded is not even opened. */
function readHeaders(segments: readonly number[], { files, logDirectory, appliedTs }: ScanOptions): SegmentHeader[] {
  const headers: SegmentHeader[] = []
  for (const number of segments.toReversed()) {
    const path = segmentPath(logDirectory, number)
    const header = withReader(files, path, reader => decodeSegmentHeader(reader.bytes(0, segmentHeaderSizeBytes)))
    if (header === 'too-new') {
      throw new StorageError('FORMAT_TOO_NEW', `${path} was written by a newer version of PremiseDB. Open it with that version.`)
    }
    if (header === 'invalid' || header.number !== number) {
      throw new StorageError('CORRUPT', `The commit log is damaged: ${path} has no valid header. Commits above ${appliedTs} are lost.`)
    }
    headers.unshift(header)
    if (header.startsAfterTs <= appliedTs) return headers
  }
  const oldest = headers[0]
  if (!oldest && appliedTs === 0) return headers
  const lost = oldest ? `Commits ${appliedTs + 1} to ${oldest.startsAfterTs} are lost` : `Commits above ${appliedTs} are lost`
  throw new StorageError('CORRUPT', `The commit log is damaged: segments are missing in ${logDirectory}. ${lost}.`)
}

/** The end of a segment is where its successor says, with the record it says (C-3). */
function checkContinues(before: SegmentHeader, header: SegmentHeader, progress: Progress): void {
  const follows = header.number === before.number + 1 && header.previousEnd === progress.end && header.previousChecksum === progress.checksum
  if (follows) return
  throw new StorageError(
    'CORRUPT',
    `The commit log is damaged: segment ${header.number} does not continue segment ${before.number} at offset ${progress.end}. ` +
      `Commits ${progress.lastTs + 1} to ${header.startsAfterTs} are lost, and later ones cannot be used without them.`,
  )
}

function scanSegment(header: SegmentHeader, next: SegmentHeader | undefined, progress: Progress, options: ScanOptions): void {
  const path = segmentPath(options.logDirectory, header.number)
  const seed = segmentSeed(header)
  progress.highestTs = Math.max(progress.highestTs, header.boundTs - 1)
  progress.highestSequence = Math.max(progress.highestSequence, header.firstSequence - 1)
  progress.end = segmentHeaderSizeBytes
  progress.checksum = seed
  progress.clean = false
  withReader(options.files, path, reader => {
    const expected = { header, seed, sequence: header.firstSequence }
    while (acceptRecord(reader, expected, progress, options.appliedTs)) expected.sequence++
    const rest = surveyRest(reader, progress.end, seed, header, progress)
    const syncedEnd = Math.max(header.bornEnd, next?.previousEnd ?? 0, rest.syncedEnd)
    if (syncedEnd > progress.end) throw damage(path, progress, rest.unreadable, next?.startsAfterTs, syncedEnd)
    if (next || rest.usedEnd <= progress.end) return
    progress.clean = false
    progress.droppedTail = { segment: header.number, offset: progress.end, sizeBytes: rest.usedEnd - progress.end }
  })
}

/** Takes the record at `progress.end` if it is valid and continues the chain (C-2). */
function acceptRecord(
  reader: SegmentReader,
  expected: { readonly header: SegmentHeader; readonly seed: number; readonly sequence: number },
  progress: Progress,
  appliedTs: CommitTs,
): boolean {
  const { header, seed, sequence } = expected
  const start = progress.end
  const record = decodeRecordHeader(reader.bytes(start, recordHeaderSizeBytes), 0, seed)
  if (!record || record.incarnation !== header.incarnation || record.sequence !== sequence) return false
  if (record.previousChecksum !== progress.checksum) return false
  const size = recordHeaderSizeBytes + record.bodySizeBytes
  const body = reader.bytes(start, size).subarray(recordHeaderSizeBytes)
  if (!bodyIsIntact(record, body, seed)) return false
  const commits = record.lastTs > appliedTs ? decodeCommits(record, body, appliedTs) : []
  const ascends = record.commitCount === 0 || record.firstTs > Math.max(header.startsAfterTs, progress.commits.at(-1)?.ts ?? 0)
  if (!commits || !ascends) return false
  for (const commit of commits) progress.commits.push(commit)
  if (record.lastTs > progress.lastTs) progress.lastTs = record.lastTs
  progress.clean = record.commitCount === 0
  progress.end = alignRecord(start + size)
  progress.checksum = record.checksum
  noteHighest(record, progress)
  return true
}

function noteHighest(record: RecordHeader, progress: Progress): void {
  progress.highestTs = Math.max(progress.highestTs, record.lastTs)
  progress.highestSequence = Math.max(progress.highestSequence, record.sequence)
}

interface Rest {
  /** What record headers behind the last usable record say was synced. */
  readonly syncedEnd: number
  /** Behind the last byte that is not zero. */
  readonly usedEnd: number
  /** Timestamps of the first unusable record, as far as they can be known. */
  readonly unreadable: { readonly from?: number; readonly to?: number }
}

/** Looks behind the last usable record for headers: their commits are not used, but what they say about syncs is (C-3, C-4). */
function surveyRest(reader: SegmentReader, from: number, seed: number, header: SegmentHeader, progress: Progress): Rest {
  const pieceSizeBytes = 1024 * 1024
  let syncedEnd = 0
  let usedEnd = 0
  let unreadable: Rest['unreadable'] = {}
  let offset = from
  while (offset < reader.sizeBytes) {
    const piece = reader.bytes(offset, pieceSizeBytes)
    const last = piece.length < pieceSizeBytes || offset + piece.length >= reader.sizeBytes
    // A header must lie in the piece as a whole; the next piece begins where that is no longer so.
    const stop = last ? piece.length : piece.length - recordHeaderSizeBytes
    let at = 0
    for (; at < stop; at += recordAlignmentSizeBytes) {
      const record = decodeRecordHeader(piece, at, seed)
      if (!record || record.incarnation !== header.incarnation) continue
      if (offset + at === from) unreadable = { from: record.firstTs, to: record.lastTs }
      // The mark of a clean close names the last commit before it.
      else unreadable = { to: record.commitCount > 0 ? record.firstTs - 1 : record.lastTs, ...unreadable }
      syncedEnd = Math.max(syncedEnd, record.syncedEnd)
      noteHighest(record, progress)
    }
    const used = lastUsed(piece)
    if (used > 0) usedEnd = offset + used
    if (last) break
    offset += at
  }
  return { syncedEnd, usedEnd, unreadable }
}

const zeros = Buffer.alloc(4096)

/** Index behind the last byte that is not zero. */
function lastUsed(bytes: Buffer): number {
  let end = bytes.length
  while (end >= zeros.length && bytes.compare(zeros, 0, zeros.length, end - zeros.length, end) === 0) end -= zeros.length
  while (end > 0 && bytes[end - 1] === 0) end--
  return end
}

function damage(
  path: string,
  progress: Progress,
  unreadable: Rest['unreadable'],
  nextStartsAfterTs: number | undefined,
  syncedEnd: number,
): StorageError {
  const from = unreadable.from ?? progress.lastTs + 1
  const to = unreadable.to ?? nextStartsAfterTs
  const isApplied = to !== undefined && to < from
  const range = to === undefined ? `from ${from} on` : `${from} to ${to}`
  const later = to !== undefined && progress.highestTs > to ? `, and later ones up to ${progress.highestTs} cannot be used without them` : ''
  return new StorageError(
    'CORRUPT',
    `The commit log is damaged: ${path} is unreadable at offset ${progress.end}, below offset ${syncedEnd} which was synced. ` +
      `${isApplied ? 'What cannot be read is in the row file already' : `Commits ${range} are lost`}${later}.`,
  )
}

function withReader<T>(files: Files, path: string, use: (reader: SegmentReader) => T): T {
  let reader: SegmentReader | undefined
  try {
    reader = new SegmentReader(files, path)
    return use(reader)
  } catch (error) {
    if (!isUnreadable(error)) throw error
    throw new StorageError('CORRUPT', `The commit log is damaged: ${path} cannot be read.`, { cause: error })
  } finally {
    reader?.close()
  }
}
