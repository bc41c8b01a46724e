/**
 * The segment that is being written: two descriptors, the end of its records, and the space reserved behind it.
 *
 *     0        header   bornEnd        syncedEnd     end          reservedEnd
 *     | header | tail   | synced ..... | written ... | zeros .... |
 *
 * Invariants:
 * - S-1 A segment gets its name only when its header and first content are synced; until then it has a temporary name.
 * - S-2 Both descriptors are opened before the first write: Linux reports a write-back error once per descriptor, so each of the two
 *   ways to sync (asynchronous and blocking) learns of every error by itself.
 * - S-3 Between `end` and `reservedEnd` the file holds zeros: a record overwrites reserved bytes, and zeros are the end of the log.
 * - S-4 `bornEnd <= syncedEnd <= end`; every record says the `syncedEnd` that was known when it was written.
 */
import type { CommitTs } from '../../isolation/types.js'
import {
  alignRecord,
  commitSizeBytes,
  encodeSegmentHeader,
  RecordEncoder,
  segmentHeaderSizeBytes,
  segmentSeed,
} from '../encoding/records.js'
import type { LogCommit, SegmentHeader } from '../encoding/records.js'
import type { Files } from '../environment.js'
import { codeOf, createFile, diskFull, isDiskFull, openFile, removeFile, segmentPath, syncDirectory, unfinishedPath, writeFully } from './files.js'
import type { Descriptor } from './files.js'

/** What segments share. */
export interface SegmentPlace {
  readonly files: Files
  readonly logDirectory: string
  /** Space is reserved in pieces of this size. */
  readonly reserveSizeBytes: number
}

export interface SegmentStart {
  readonly header: Omit<SegmentHeader, 'bornEnd'>
  /** Commits that the segment begins with; they are synced when it is born. */
  readonly tail: readonly LogCommit[]
  /** Space that must be there from the start, or the segment is not made; more is tried. */
  readonly neededSizeBytes: number
}

/** A record is ended when it reaches this size, so that a scan need not hold more than a transaction in one piece. */
const recordSizeBytes = 1024 * 1024

/** Reserved space is written from here. */
const zeros = Buffer.alloc(1024 * 1024)

export class Segment {
  readonly number: number
  readonly #place: SegmentPlace
  readonly #incarnation: number
  readonly #seed: number
  readonly #encoder: RecordEncoder = new RecordEncoder()
  #asyncFd: Descriptor = -1
  #blockingFd: Descriptor = -1
  #end: number = segmentHeaderSizeBytes
  #syncedEnd: number = segmentHeaderSizeBytes
  #reservedEnd: number = segmentHeaderSizeBytes
  #sequence: number
  #lastTs: CommitTs
  #checksum: number

  private constructor(place: SegmentPlace, header: SegmentStart['header']) {
    this.#place = place
    this.number = header.number
    this.#incarnation = header.incarnation
    this.#seed = segmentSeed(header)
    this.#checksum = this.#seed
    this.#sequence = header.firstSequence
    this.#lastTs = header.startsAfterTs
  }

  /**
   * Makes a segment file with its header and first content, synced and named (S-1).
   * @throws StorageError `DISK_FULL`; then nothing with a segment's name was made. Other errors as the file system gives them.
   */
  static create(place: SegmentPlace, start: SegmentStart): Segment {
    const { files, logDirectory } = place
    const { header } = start
    const temporary = unfinishedPath(logDirectory, header.number)
    const segment = new Segment(place, header)
    try {
      removeFile(files, temporary)
      segment.#asyncFd = createFile(files, temporary)
      segment.#blockingFd = openFile(files, temporary)
      if (start.tail.length > 0) segment.append(start.tail, Number.POSITIVE_INFINITY)
      writeFully(files, segment.#asyncFd, encodeSegmentHeader({ ...header, bornEnd: segment.#end }), 0)
      segment.reserve(start.neededSizeBytes)
      segment.#reserveAhead()
      files.fdatasyncSync(segment.#asyncFd)
      segment.#syncedEnd = segment.#end
    } catch (error) {
      segment.close()
      discard(files, temporary)
      throw asDiskFull(place, error)
    }
    try {
      files.renameSync(temporary, segmentPath(logDirectory, header.number))
      syncDirectory(files, logDirectory)
    } catch (error) {
      segment.close()
      throw error
    }
    return segment
  }

  get end(): number {
    return this.#end
  }

  /** The newest commit in this segment, or what it starts after. */
  get lastTs(): CommitTs {
    return this.#lastTs
  }

  get nextSequence(): number {
    return this.#sequence
  }

  get lastChecksum(): number {
    return this.#checksum
  }

  get isSynced(): boolean {
    return this.#syncedEnd === this.#end
  }

  /**
   * Makes sure that `sizeBytes` more can be written behind `end` (S-3).
   * @throws StorageError `DISK_FULL`; nothing is lost. Other errors as the file system gives them.
   */
  reserve(sizeBytes: number): void {
    const needed = this.#end + sizeBytes
    if (this.#reservedEnd >= needed) return
    const piece = zeros.subarray(0, this.#place.reserveSizeBytes)
    try {
      while (this.#reservedEnd < needed) {
        writeFully(this.#place.files, this.#asyncFd, piece, this.#reservedEnd)
        this.#reservedEnd += piece.length
      }
    } catch (error) {
      throw asDiskFull(this.#place, error)
    }
  }

  /**
   * Appends commits that take at most `sizeBytes`: as one record, or as several where one would become needlessly large to read back.
   * Any error leaves the end of the file in doubt.
   */
  append(commits: readonly LogCommit[], sizeBytes: number): void {
    if (sizeBytes <= recordSizeBytes) return this.#appendRecord(commits)
    let from = 0
    let size = 0
    for (const [i, commit] of commits.entries()) {
      size += commitSizeBytes(commit.writes)
      if (size < recordSizeBytes && i < commits.length - 1) continue
      this.#appendRecord(commits.slice(from, i + 1))
      from = i + 1
      size = 0
    }
  }

  /** Appends the mark of a clean close. Everything before it is synced, and by the mark's `syncedEnd` known to be. */
  appendMark(): void {
    this.#appendRecord([])
  }

  /** Syncs what is written now; `done` gets the error, if any. */
  sync(done: (error: NodeJS.ErrnoException | null) => void): void {
    const end = this.#end
    this.#place.files.fdatasync(this.#asyncFd, error => {
      if (!error) this.#syncedEnd = Math.max(this.#syncedEnd, end)
      done(error)
    })
  }

  /** Syncs what is written now, blocking, on the descriptor kept for that (S-2). */
  syncNow(): void {
    this.#place.files.fdatasyncSync(this.#blockingFd)
    this.#syncedEnd = this.#end
  }

  /** Releases the descriptors. What matters is synced by then, so errors say nothing that would change an answer. */
  close(): void {
    for (const fd of [this.#asyncFd, this.#blockingFd]) {
      try {
        if (fd >= 0) this.#place.files.closeSync(fd)
      } catch {
        // As said above.
      }
    }
    this.#asyncFd = -1
    this.#blockingFd = -1
  }

  #appendRecord(commits: readonly LogCommit[]): void {
    const place = {
      sequence: this.#sequence,
      incarnation: this.#incarnation,
      syncedEnd: this.#syncedEnd,
      previousChecksum: this.#checksum,
    }
    const start = this.#end
    const { sizeBytes, checksum } = this.#encoder.encode(place, commits, this.#lastTs, this.#seed, (bytes, at) =>
      writeFully(this.#place.files, this.#asyncFd, bytes, start + at),
    )
    this.#end = alignRecord(start + sizeBytes)
    this.#reservedEnd = Math.max(this.#reservedEnd, this.#end)
    this.#checksum = checksum
    this.#sequence++
    this.#lastTs = commits.at(-1)?.ts ?? this.#lastTs
  }

  /** A full disk is no reason not to open a store that wants to be read. */
  #reserveAhead(): void {
    try {
      this.reserve(this.#place.reserveSizeBytes)
    } catch (error) {
      if (codeOf(error) !== 'DISK_FULL') throw error
    }
  }
}

const asDiskFull = (place: SegmentPlace, error: unknown): unknown =>
  isDiskFull(place.files, place.logDirectory, error) ? diskFull(error) : error

/** Removes what is of no use; if that fails, the next opening does it. */
function discard(files: Files, path: string): void {
  try {
    removeFile(files, path)
  } catch {
    // As said above.
  }
}
