/**
 * The bytes of the commit log: segment headers, record headers, and the commits inside a record. Pure; `engine/log` reads and
 * writes the files. `docs/log-format.md` has the tables and the reasoning.
 *
 * Invariants:
 * - R-1 A record's checksums are seeded with its segment's seed (number, incarnation, salt), so that bytes of another segment, of
 *   another incarnation, or bytes that a caller stored as a value, are not taken for a record.
 * - R-2 A record names the checksum of its predecessor, the first one of a segment its seed: a record is usable only if all before
 *   it are.
 * - R-3 A record begins at a multiple of 8, so that a scan can find the next one behind damage.
 * - R-4 The header is written no earlier than the body: zeros in its place are the end of the log.
 * - R-5 `commitSizeBytes` is never less than what the commit takes in a record.
 */
import { crc32 } from 'node:zlib'
import { asKey, asTs } from '../../isolation/types.js'
import type { CommitTs, Key } from '../../isolation/types.js'

/** One evaluated write: the new value's bytes, or `undefined` for a delete. The bytes must not change afterwards. */
export interface LogWrite {
  readonly key: Key
  readonly value: Uint8Array | undefined
}

/** The write set of one transaction with its place in the commit order. */
export interface LogCommit {
  readonly ts: CommitTs
  readonly writes: readonly LogWrite[]
}

/** What the first bytes of a segment file say. Written and synced before the file gets its name. */
export interface SegmentHeader {
  /** Rises by one from segment to segment, never used twice. */
  readonly number: number
  readonly incarnation: number
  /** Chance, against bytes that imitate a record. */
  readonly salt: number
  /** The sequence number of the first record. */
  readonly firstSequence: number
  /** Earlier segments hold no commit above this that counts: once this much is applied, they are superseded, readable or not. */
  readonly startsAfterTs: CommitTs
  /** New commits begin no lower than this; whatever an earlier opening may have shown to somebody lies below. */
  readonly boundTs: CommitTs
  /** Offset up to which the file was synced before it got its name. */
  readonly bornEnd: number
  /** Where the previous segment ends, and the checksum of its last record; 0 and 0 if this segment begins the log anew. */
  readonly previousEnd: number
  readonly previousChecksum: number
}

/** What a record says about itself. */
export interface RecordHeader {
  readonly bodySizeBytes: number
  readonly bodyChecksum: number
  /** Zero in the mark of a clean close. */
  readonly commitCount: number
  readonly sequence: number
  readonly incarnation: number
  readonly firstTs: CommitTs
  readonly lastTs: CommitTs
  /** Offset in this segment up to which everything was known to be synced when the record was written. */
  readonly syncedEnd: number
  /** Checksum of the record before; the segment's seed for the first one. */
  readonly previousChecksum: number
  /** Checksum over the header, and through `bodyChecksum` over the body. */
  readonly checksum: number
}

export const segmentHeaderSizeBytes = 80
export const recordHeaderSizeBytes = 64
/** Format of the segments that this program writes, and the newest it reads. */
export const logFormatVersion = 1

const alignmentSizeBytes = 8
const segmentMagic = Buffer.from('premlog\n', 'latin1')
const recordMagic = 0x63_52_6d_50
/** A scan looks for records in steps of this. */
export const recordAlignmentSizeBytes: number = alignmentSizeBytes

/** At most this much of a record is collected before it is written; a larger value is written from where it lies. */
const scratchSizeBytes = 256 * 1024
const directValueSizeBytes = 64 * 1024
/** A count or a length takes at most 5 bytes, a timestamp difference at most 8. */
const writeOverheadSizeBytes = 10
const commitOverheadSizeBytes = recordHeaderSizeBytes + 13 + alignmentSizeBytes

/** The next offset at which a record may begin. */
export const alignRecord = (offset: number): number => Math.ceil(offset / alignmentSizeBytes) * alignmentSizeBytes

/** An upper bound of what a commit adds to the log, whether it shares a record or has its own. */
export function commitSizeBytes(writes: readonly LogWrite[]): number {
  let size = commitOverheadSizeBytes + writes.length * writeOverheadSizeBytes
  for (const write of writes) size += write.key.length + (write.value?.length ?? 0)
  return size
}

// Integers up to 2^53 as two halves: no BigInt on the way.
const high = 0x1_0000_0000
function writeInteger(bytes: Buffer, value: number, at: number): void {
  bytes.writeUInt32LE(value % high, at)
  bytes.writeUInt32LE(Math.floor(value / high), at + 4)
}
const readInteger = (bytes: Buffer, at: number): number => bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * high

/** The seed of all record checksums of a segment. */
export function segmentSeed(header: Pick<SegmentHeader, 'number' | 'incarnation' | 'salt'>): number {
  const identity = Buffer.alloc(24)
  writeInteger(identity, header.number, 0)
  writeInteger(identity, header.incarnation, 8)
  identity.writeUInt32LE(header.salt, 16)
  return crc32(identity)
}

export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(segmentHeaderSizeBytes)
  segmentMagic.copy(bytes)
  bytes.writeUInt32LE(logFormatVersion, 8)
  bytes.writeUInt32LE(header.salt, 12)
  writeInteger(bytes, header.number, 16)
  writeInteger(bytes, header.incarnation, 24)
  writeInteger(bytes, header.firstSequence, 32)
  writeInteger(bytes, header.startsAfterTs, 40)
  writeInteger(bytes, header.boundTs, 48)
  writeInteger(bytes, header.bornEnd, 56)
  writeInteger(bytes, header.previousEnd, 64)
  bytes.writeUInt32LE(header.previousChecksum, 72)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 76)), 76)
  return bytes
}

/** The header, or why there is none. Magic, version and the checksum keep their places in every later format. */
export function decodeSegmentHeader(bytes: Buffer): SegmentHeader | 'invalid' | 'too-new' {
  if (bytes.length < segmentHeaderSizeBytes || segmentMagic.compare(bytes, 0, 8) !== 0) return 'invalid'
  if (crc32(bytes.subarray(0, 76)) !== bytes.readUInt32LE(76)) return 'invalid'
  if (bytes.readUInt32LE(8) > logFormatVersion) return 'too-new'
  return {
    salt: bytes.readUInt32LE(12),
    number: readInteger(bytes, 16),
    incarnation: readInteger(bytes, 24),
    firstSequence: readInteger(bytes, 32),
    startsAfterTs: asTs(readInteger(bytes, 40)),
    boundTs: asTs(readInteger(bytes, 48)),
    bornEnd: readInteger(bytes, 56),
    previousEnd: readInteger(bytes, 64),
    previousChecksum: bytes.readUInt32LE(72),
  }
}

function encodeRecordHeader(header: Omit<RecordHeader, 'checksum'>, seed: number, bytes: Buffer): number {
  bytes.writeUInt32LE(recordMagic, 0)
  bytes.writeUInt32LE(header.bodyChecksum, 4)
  bytes.writeUInt32LE(header.bodySizeBytes, 8)
  bytes.writeUInt32LE(header.commitCount, 12)
  writeInteger(bytes, header.sequence, 16)
  writeInteger(bytes, header.incarnation, 24)
  writeInteger(bytes, header.firstTs, 32)
  writeInteger(bytes, header.lastTs, 40)
  writeInteger(bytes, header.syncedEnd, 48)
  bytes.writeUInt32LE(header.previousChecksum, 56)
  const checksum = crc32(bytes.subarray(0, 60), seed)
  bytes.writeUInt32LE(checksum, 60)
  return checksum
}

/** The record header at `at`, or undefined where none is; `seed` is the segment's. The body is not looked at. */
export function decodeRecordHeader(bytes: Buffer, at: number, seed: number): RecordHeader | undefined {
  if (bytes.length - at < recordHeaderSizeBytes || bytes.readUInt32LE(at) !== recordMagic) return undefined
  const checksum = bytes.readUInt32LE(at + 60)
  if (crc32(bytes.subarray(at, at + 60), seed) !== checksum) return undefined
  return {
    bodyChecksum: bytes.readUInt32LE(at + 4),
    bodySizeBytes: bytes.readUInt32LE(at + 8),
    commitCount: bytes.readUInt32LE(at + 12),
    sequence: readInteger(bytes, at + 16),
    incarnation: readInteger(bytes, at + 24),
    firstTs: asTs(readInteger(bytes, at + 32)),
    lastTs: asTs(readInteger(bytes, at + 40)),
    syncedEnd: readInteger(bytes, at + 48),
    previousChecksum: bytes.readUInt32LE(at + 56),
    checksum,
  }
}

/** Whether `body` is what the header's writer wrote. */
export const bodyIsIntact = (header: RecordHeader, body: Buffer, seed: number): boolean =>
  body.length === header.bodySizeBytes && crc32(body, seed) === header.bodyChecksum

/** Writes `bytes` at `at` bytes from the beginning of the record; they are reused afterwards. */
export type WriteBytes = (bytes: Uint8Array, at: number) => void

/** What the log fills in; the rest follows from the commits. */
export type RecordPlace = Pick<RecordHeader, 'sequence' | 'incarnation' | 'syncedEnd' | 'previousChecksum'>

/**
 * Turns commits into record bytes and hands them on in bounded pieces, so that a record of any size costs one scratch buffer. A small
 * record is one piece; of a large one the header comes last.
 */
export class RecordEncoder {
  readonly #scratch: Buffer = Buffer.allocUnsafeSlow(scratchSizeBytes)
  #used = 0
  #spilled = 0
  #checksum = 0
  #write: WriteBytes = () => {}

  /**
   * Encodes one record. No commits make the mark of a clean close, which carries the timestamp `markTs`.
   * @returns the size with header, not aligned, and the checksum that the next record names. Errors are those of `write`.
   */
  encode(
    place: RecordPlace,
    commits: readonly LogCommit[],
    markTs: CommitTs,
    seed: number,
    write: WriteBytes,
  ): { sizeBytes: number; checksum: number } {
    this.#used = recordHeaderSizeBytes
    this.#spilled = 0
    this.#checksum = seed
    this.#write = write
    const firstTs = commits[0]?.ts ?? markTs
    let lastTs = firstTs
    for (const commit of commits) {
      this.#room(13)
      this.#varint(commit.ts - lastTs)
      this.#varint(commit.writes.length)
      lastTs = commit.ts
      for (const { key, value } of commit.writes) this.#oneWrite(key, value)
    }
    const scratch = this.#scratch
    const head = this.#spilled === 0 ? scratch.subarray(0, recordHeaderSizeBytes) : Buffer.allocUnsafe(recordHeaderSizeBytes)
    const bodyStart = this.#spilled === 0 ? recordHeaderSizeBytes : 0
    const sizeBytes = this.#spilled + this.#used
    const bodyChecksum = crc32(scratch.subarray(bodyStart, this.#used), this.#checksum)
    const bodySizeBytes = sizeBytes - recordHeaderSizeBytes
    const checksum = encodeRecordHeader({ ...place, bodyChecksum, bodySizeBytes, commitCount: commits.length, firstTs, lastTs }, seed, head)
    if (this.#used > 0) write(scratch.subarray(0, this.#used), this.#spilled)
    if (this.#spilled > 0) write(head, 0)
    return { sizeBytes, checksum }
  }

  #oneWrite(key: Key, value: Uint8Array | undefined): void {
    this.#room(key.length + writeOverheadSizeBytes)
    this.#varint(key.length)
    this.#used += this.#scratch.write(key, this.#used, 'latin1')
    this.#varint(value === undefined ? 0 : value.length + 1)
    if (value === undefined) return
    if (value.length < directValueSizeBytes) {
      this.#room(value.length)
      this.#scratch.set(value, this.#used)
      this.#used += value.length
      return
    }
    this.#spill()
    this.#checksum = crc32(value, this.#checksum)
    this.#write(value, this.#spilled)
    this.#spilled += value.length
  }

  #room(sizeBytes: number): void {
    if (this.#used + sizeBytes > scratchSizeBytes) this.#spill()
  }

  #spill(): void {
    const start = this.#spilled === 0 ? recordHeaderSizeBytes : 0
    const piece = this.#scratch.subarray(start, this.#used)
    this.#checksum = crc32(piece, this.#checksum)
    if (piece.length > 0) this.#write(piece, this.#spilled + start)
    this.#spilled += this.#used
    this.#used = 0
  }

  #varint(value: number): void {
    const scratch = this.#scratch
    let rest = value
    while (rest > 0x7f) {
      scratch[this.#used++] = (rest % 0x80) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    scratch[this.#used++] = rest
  }
}

/**
 * The commits of an intact body whose timestamps are above `afterTs`. Values are views of `body`.
 * @returns undefined where the bytes are not what a `RecordEncoder` makes.
 */
export function decodeCommits(header: RecordHeader, body: Buffer, afterTs: CommitTs): LogCommit[] | undefined {
  const commits: LogCommit[] = []
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let scale = 1; ; scale *= 0x80) {
      const byte = body[at++]
      if (byte === undefined || scale > Number.MAX_SAFE_INTEGER) return Number.NaN
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
  }
  let ts: number = header.firstTs
  for (let i = 0; i < header.commitCount; i++) {
    ts += varint()
    const writeCount = varint()
    if (!(writeCount <= body.length)) return undefined
    const writes: LogWrite[] = []
    for (let j = 0; j < writeCount; j++) {
      const keySize = varint()
      const keyEnd = at + keySize
      if (!(keyEnd <= body.length)) return undefined
      const key = asKey(body.toString('latin1', at, keyEnd))
      at = keyEnd
      const size = varint() - 1
      if (!(at + size <= body.length)) return undefined
      writes.push({ key, value: size < 0 ? undefined : body.subarray(at, at + size) })
      if (size > 0) at += size
    }
    if (ts > afterTs) commits.push({ ts: asTs(ts), writes })
  }
  return at === body.length && ts === header.lastTs ? commits : undefined
}
