/**
 * Reads what is readable of a commit log, also where an opening would refuse it. Changes nothing.
 *
 *   A-1  Where the scan of an opening gets through, its answer is the answer.
 *   A-2  Behind damage a record counts if its own checksums hold, which its segment seeds, and its sequence number rises. What is missing between two such records is named by timestamps:
 *        what was read is then no prefix of the commits any more.
 *   A-3  Only segments of the newest opening count: it began with a copy of all that counted before (O-1), and what an older one holds besides may have been dropped as a torn tail.
 */
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
import { isUnreadable, openFlags, type Files } from '../environment.js'
import { StorageError } from '../errors.js'
import { asTs, noTs, type CommitTs } from '../../isolation/types.js'
import { listLog, segmentPath } from './files.js'
import { scanLog, type DroppedTail } from './scan.js'

/** Commits that were made and cannot be read; `to` is missing where nothing says how many there were. */
export interface LostCommits {
  readonly from: CommitTs
  readonly to?: CommitTs
}

export interface LogRemains {
  readonly problems: readonly string[]
  /** Ascending, above `appliedTs`. */
  readonly lost: readonly LostCommits[]
  readonly droppedTail: DroppedTail | undefined
  readonly clean: boolean
  readonly incarnation: number
  /** No timestamp above this was given, as far as the log shows. */
  readonly highestTs: CommitTs
}

export interface LogPlace {
  readonly files: Files
  readonly logDirectory: string
  /** Commits up to here are not wanted. Undefined where nobody knows how far the row file is complete: then it is so up to where the log begins, for a log is not cut before. */
  readonly appliedTs: CommitTs | undefined
}

/** What a disk gives or does not give at a time. */
const blockSizeBytes = 4_096
/** Four times what a segment can have. */
const segmentMaxSizeBytes = 2 ** 30
/** Bodies that their checksum refuses may overlap; in what a log ever wrote they do not. */
const readsOfBodiesMax = 4
/** How much is looked at between two chances for others to work. */
const sliceSizeBytes = 1_024 * 1_024

/** A segment of which something can be read. */
interface Segment {
  readonly number: number
  readonly header: SegmentHeader | undefined
  readonly seed: number
  readonly incarnation: number
}

/** Yields every readable commit above `appliedTs`, ascending, a few at a time, or none. Throws `FORMAT_TOO_NEW`. */
export function* readLogRemains(place: LogPlace): Generator<readonly LogCommit[], LogRemains> {
  const { files, logDirectory, appliedTs } = place
  const reading = new Reading(place)
  const segments = reading.segments()
  if (segments === undefined) return reading.remains(appliedTs)
  const afterTs = appliedTs ?? reading.beginningOf(segments)
  try {
    const { commits, droppedTail, clean, incarnation, highestTs } = scanLog(segments, { files, logDirectory, appliedTs: afterTs })
    yield commits
    return { problems: [], lost: [], droppedTail, clean: clean && segments.length > 0, incarnation, highestTs }
  } catch (error) {
    const isDamage = isUnreadable(error) || (error instanceof StorageError && error.code === 'CORRUPT')
    if (!isDamage) throw error
    reading.problems.push((error as Error).message)
    yield* reading.read(segments, afterTs)
    return reading.remains()
  }
}

class Reading {
  readonly problems: string[] = []
  readonly #files: Files
  readonly #logDirectory: string
  readonly #lost: LostCommits[] = []
  /** Every commit up to here is read, named as lost, or applied. */
  #dealtWith: CommitTs = noTs
  #expectedSequence: number | undefined
  #incarnation = 0
  #highestTs = 0

  constructor({ files, logDirectory }: LogPlace) {
    this.#files = files
    this.#logDirectory = logDirectory
  }

  /** Their numbers, or undefined where there is no directory that can be read. */
  segments(): readonly number[] | undefined {
    const found = this.#attempt(() => this.#files.lstatSync(this.#logDirectory, { throwIfNoEntry: false })?.isDirectory() === true)
    const listing = found === true ? this.#attempt(() => listLog(this.#files, this.#logDirectory)) : undefined
    if (listing === undefined) this.problems.push(`the directory of the log ${found === false ? 'is missing' : 'cannot be read'}`)
    return listing?.segments
  }

  /** With `afterTs`, nothing was read of what came after it. */
  remains(afterTs?: CommitTs): LogRemains {
    const { problems } = this
    const lost = afterTs === undefined ? this.#lost : [{ from: asTs(afterTs + 1) }]
    return { problems, lost, droppedTail: undefined, clean: false, incarnation: this.#incarnation, highestTs: asTs(this.#highestTs) }
  }

  /** What the oldest segment of the newest opening starts after. */
  beginningOf(numbers: readonly number[]): CommitTs {
    return this.#newest(numbers)[0]?.header?.startsAfterTs ?? noTs
  }

  *read(numbers: readonly number[], afterTs: CommitTs): Generator<readonly LogCommit[], void> {
    this.#dealtWith = afterTs
    const newest = this.#newest(numbers)
    const [first] = newest
    // Nothing says what the segments held that nobody can read.
    if (first === undefined) return void this.#lost.push({ from: asTs(this.#dealtWith + 1) })
    this.#incarnation = first.incarnation
    if (first.header !== undefined) this.#missUpTo(first.header.startsAfterTs)
    else if (numbers.includes(first.number - 1)) this.#expectedSequence = 0 // nobody knows whether more came before it
    let endIsKnown = true
    for (const number of numbers.slice(numbers.indexOf(first.number))) {
      const segment = newest.find(one => one.number === number)
      if (segment === undefined) this.problems.push(`nothing of ${segmentPath(this.#logDirectory, number)} can be read`)
      endIsKnown = segment !== undefined && (yield* this.#readSegment(segment))
    }
    if (!endIsKnown) this.#lost.push({ from: asTs(this.#dealtWith + 1) })
  }

  /** The segments of the newest opening of which something can be read. */
  #newest(numbers: readonly number[]): Segment[] {
    const known = numbers.map(number => this.#identify(number)).filter(segment => segment !== undefined)
    const incarnation = Math.max(0, ...known.map(segment => segment.incarnation))
    return known.filter(segment => segment.incarnation === incarnation)
  }

  /** Without a header the first record, which names the segment's seed as the checksum before it, vouches for the seed. Undefined where nothing vouches for anything. */
  #identify(number: number): Segment | undefined {
    const start = this.#contentOf(number, segmentHeaderSizeBytes + recordHeaderSizeBytes)
    if (start === undefined) return undefined
    const header = decodeSegmentHeader(start)
    if (typeof header === 'object' && header.number === number) return { number, header, seed: segmentSeed(header), incarnation: header.incarnation }
    if (start.length < segmentHeaderSizeBytes + recordHeaderSizeBytes) return undefined
    const seed = start.readUInt32LE(segmentHeaderSizeBytes + 56)
    const record = decodeRecordHeader(start, segmentHeaderSizeBytes, seed)
    return record && { number, header: undefined, seed, incarnation: record.incarnation }
  }

  /** Returns whether it ends where its last readable record ends, as far as it shows. */
  *#readSegment(segment: Segment): Generator<readonly LogCommit[], boolean> {
    const { number, header, seed, incarnation } = segment
    const bytes = this.#contentOf(number) ?? Buffer.alloc(0)
    if (header !== undefined) {
      if (this.#expectedSequence !== undefined && header.firstSequence > this.#expectedSequence) this.#missUpTo(header.startsAfterTs)
      this.#expectedSequence = header.firstSequence
      this.#highestTs = Math.max(this.#highestTs, header.boundTs - 1)
    }
    const { records, end, endIsKnown } = yield* recordsIn(bytes, seed, incarnation)
    let syncedEnd = header?.bornEnd ?? 0
    for (const { record, body } of records) {
      syncedEnd = Math.max(syncedEnd, record.syncedEnd)
      if (record.sequence < (this.#expectedSequence ?? 0)) continue // a copy of one that was taken
      const commits = this.#take(record, body)
      if (commits.length > 0) yield commits
    }
    return endIsKnown && syncedEnd <= end
  }

  /** The commits of a record, or that they are missing; and that those are missing which came before it. */
  #take(record: RecordHeader, body: Buffer | undefined): LogCommit[] {
    const { sequence, commitCount, firstTs, lastTs } = record
    if (this.#expectedSequence !== undefined && sequence > this.#expectedSequence) this.#missUpTo(asTs(commitCount === 0 ? lastTs : firstTs - 1))
    this.#expectedSequence = sequence + 1
    this.#highestTs = Math.max(this.#highestTs, lastTs)
    const commits = body && decodeCommits(record, body, this.#dealtWith)
    if (commits === undefined) this.#missUpTo(lastTs, firstTs)
    this.#dealtWith = asTs(Math.max(this.#dealtWith, lastTs))
    return commits ?? []
  }

  #missUpTo(to: CommitTs, from: CommitTs = asTs(0)): void {
    const first = asTs(Math.max(from, this.#dealtWith + 1))
    if (to < first) return
    this.#lost.push({ from: first, to })
    this.#dealtWith = to
  }

  /** The first `sizeBytes` of a segment, what the disk does not give as zeros; undefined where there is no such file. */
  #contentOf(number: number, sizeBytes: number = Infinity): Buffer | undefined {
    const path = segmentPath(this.#logDirectory, number)
    const found = this.#attempt(() => this.#files.lstatSync(path, { throwIfNoEntry: false }))
    if (found?.isFile() !== true) return undefined
    const fd = this.#attempt(() => this.#files.openSync(path, openFlags.O_RDONLY | openFlags.O_NOFOLLOW))
    if (fd === undefined) return undefined
    const content = Buffer.alloc(Math.min(sizeBytes, found.size, segmentMaxSizeBytes))
    try {
      for (let at = 0; at < content.length; at += blockSizeBytes) this.#attempt(() => this.#files.readSync(fd, content, at, Math.min(blockSizeBytes, content.length - at), at))
    } finally {
      this.#files.closeSync(fd)
    }
    return content
  }

  /** Returns undefined where what should be read is damaged. */
  #attempt<T>(read: () => T): T | undefined {
    try {
      return read()
    } catch (error) {
      if (!isUnreadable(error)) throw error
      return undefined
    }
  }
}

interface FoundRecords {
  readonly records: readonly FoundRecord[]
  readonly end: number
  readonly endIsKnown: boolean
}

interface FoundRecord {
  readonly record: RecordHeader
  /** Undefined where it is not what was written. */
  readonly body: Buffer | undefined
}

/** Every record of a segment, wherever it lies, by sequence number; of two with one number a whole one comes first. `endIsKnown` says that nothing but zeros follows, and that all lie in their order. */
function* recordsIn(bytes: Buffer, seed: number, incarnation: number): Generator<readonly LogCommit[], FoundRecords> {
  const records: FoundRecord[] = []
  let end = segmentHeaderSizeBytes
  let highest = -1
  let isInOrder = true
  let endIsKnown = true
  let bodiesLeftBytes = readsOfBodiesMax * bytes.length
  let lookedAtBytes = 0
  for (let at = segmentHeaderSizeBytes; at < bytes.length; ) {
    if (lookedAtBytes >= sliceSizeBytes) {
      lookedAtBytes = 0
      yield []
    }
    const found = decodeRecordHeader(bytes, at, seed)
    const record = found?.incarnation === incarnation ? found : undefined
    const bodyAt = at + recordHeaderSizeBytes
    const body = record && bytes.subarray(bodyAt, bodyAt + record.bodySizeBytes)
    bodiesLeftBytes -= body?.length ?? 0
    lookedAtBytes += recordAlignmentSizeBytes + (found === undefined ? 0 : recordHeaderSizeBytes) + (body?.length ?? 0)
    if (record === undefined || body === undefined || bodiesLeftBytes < 0 || !bodyIsIntact(record, body, seed)) {
      if (record !== undefined) records.push({ record, body: undefined })
      if (bytes.subarray(at, at + recordAlignmentSizeBytes).some(byte => byte !== 0)) endIsKnown = false
      at += recordAlignmentSizeBytes
      continue
    }
    records.push({ record, body })
    if (record.sequence < highest) isInOrder = false
    highest = Math.max(highest, record.sequence)
    at = alignRecord(bodyAt + record.bodySizeBytes)
    end = at
    endIsKnown = true
  }
  records.sort((a, b) => a.record.sequence - b.record.sequence || Number(a.body === undefined) - Number(b.body === undefined))
  return { records, end, endIsKnown: endIsKnown && isInOrder }
}
