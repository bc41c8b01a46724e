/**
 * A row as LMDB holds it. The key is not in it, but under the checksum, so that a value found under another row's key is noticed.
 *
 *     0      format, 0
 *     1..6   commitTs, unsigned, big endian
 *     7..10  CRC-32 of key bytes, bytes 1..6 and value bytes, in this order; big endian
 *     11..   value bytes, see values.ts
 */
import { crc32 } from 'node:zlib'
import { asTs, type CommitTs, type Key } from '../../isolation/types.js'
import { StorageError } from '../errors.js'

const rowFormat = 0
const crcAt = 7
const valueAt = 11
const maxTs = 2 ** 48 - 1

/**
 * The bytes of a row, in memory that nobody else writes to.
 *
 * @throws RangeError when `ts` does not fit in six bytes; at a million commits a second that takes nine years
 */
export const encodeRow = (key: Key, ts: CommitTs, value: Uint8Array): Uint8Array => {
  if (!(ts >= 0 && ts <= maxTs)) throw new RangeError(`commit timestamp ${ts} does not fit in a row`)
  const bytes = Buffer.allocUnsafe(valueAt + value.length)
  bytes[0] = rowFormat
  writeUint32(bytes, 1, Math.floor(ts / 0x1_0000))
  bytes[5] = ts >>> 8
  bytes[6] = ts
  bytes.set(value, valueAt)
  writeUint32(bytes, crcAt, checksum(key, bytes, bytes.length))
  return bytes
}

/**
 * The row that `encodeRow` wrote under `key`, at the beginning of `bytes`. Its `value` is a view of `bytes`, valid as long as they are: whoever keeps it longer copies it.
 *
 * @throws StorageError CORRUPT when the bytes are no row, or not the row of this key
 */
export const decodeRow = (key: Key, bytes: Uint8Array, sizeBytes: number = bytes.length): { key: Key; ts: CommitTs; value: Uint8Array } => {
  const ts = checkedTs(key, bytes, sizeBytes)
  return { key, ts, value: new Uint8Array(bytes.buffer, bytes.byteOffset + valueAt, sizeBytes - valueAt) }
}

/** As `decodeRow`, for rows that lie one after the other in the same few buffers: the value is a view that `views` has. */
export const decodeLentRow = (key: Key, bytes: Uint8Array, sizeBytes: number, views: LentViews): { key: Key; ts: CommitTs; value: Uint8Array } => {
  const ts = checkedTs(key, bytes, sizeBytes)
  return { key, ts, value: views.of(bytes, valueAt, sizeBytes - valueAt) }
}

/** Views that begin at one place of the buffer that rows are lent in, one for each size: making a view costs more than decoding a number. */
export class LentViews {
  #buffer: Uint8Array | undefined
  #views: Uint8Array[] = []

  /** `length` bytes of `bytes` from `start` on, which is always the same. */
  of(bytes: Uint8Array, start: number, length: number): Uint8Array {
    if (length > viewSizeMax) return new Uint8Array(bytes.buffer, bytes.byteOffset + start, length)
    if (bytes !== this.#buffer) {
      this.#buffer = bytes
      this.#views = []
    }
    return (this.#views[length] ??= new Uint8Array(bytes.buffer, bytes.byteOffset + start, length))
  }
}

/** Larger ones are made anew: what they cost is little beside their decoding, and large values are lent in buffers of their own. */
const viewSizeMax = 1_024

const checkedTs = (key: Key, bytes: Uint8Array, sizeBytes: number): CommitTs => {
  if (sizeBytes < valueAt) throw corruptRow('it is cut short')
  if (bytes[0] !== rowFormat) throw corruptRow('its format is unknown')
  if (checksum(key, bytes, sizeBytes) !== readUint32(bytes, crcAt)) throw corruptRow('its checksum is wrong')
  return asTs(readUint32(bytes, 1) * 0x1_0000 + bytes[5]! * 0x100 + bytes[6]!)
}

/** The checksum that a row says it has. Of bytes that are no row, 0. */
export const rowChecksum = (bytes: Uint8Array, sizeBytes: number = bytes.length): number => (sizeBytes < valueAt ? 0 : readUint32(bytes, crcAt))

/** CRC-32 as zlib has it, computed here unless the row is long: a native call costs as much as about 200 bytes of this, and keys exist as strings only. */
const checksum = (key: Key, row: Uint8Array, sizeBytes: number): number => {
  let crc = 0xffff_ffff
  const keyLength = key.length
  let i = 0
  for (; i + 4 <= keyLength; i += 4) {
    crc ^= key.charCodeAt(i) | (key.charCodeAt(i + 1) << 8) | (key.charCodeAt(i + 2) << 16) | (key.charCodeAt(i + 3) << 24)
    crc = table[0x300 | (crc & 0xff)]! ^ table[0x200 | ((crc >>> 8) & 0xff)]! ^ table[0x100 | ((crc >>> 16) & 0xff)]! ^ table[crc >>> 24]!
  }
  for (; i < keyLength; i++) crc = table[(crc ^ key.charCodeAt(i)) & 0xff]! ^ (crc >>> 8)
  crc ^= row[1]! | (row[2]! << 8) | (row[3]! << 16) | (row[4]! << 24)
  crc = table[0x300 | (crc & 0xff)]! ^ table[0x200 | ((crc >>> 8) & 0xff)]! ^ table[0x100 | ((crc >>> 16) & 0xff)]! ^ table[crc >>> 24]!
  for (i = 5; i < crcAt; i++) crc = table[(crc ^ row[i]!) & 0xff]! ^ (crc >>> 8)
  if (sizeBytes > nativeFromBytes) return crc32(new Uint8Array(row.buffer, row.byteOffset + valueAt, sizeBytes - valueAt), ~crc >>> 0)
  let at = valueAt
  for (; at + 8 <= sizeBytes; at += 8) {
    crc ^= row[at]! | (row[at + 1]! << 8) | (row[at + 2]! << 16) | (row[at + 3]! << 24)
    crc =
      table[0x700 | (crc & 0xff)]! ^
      table[0x600 | ((crc >>> 8) & 0xff)]! ^
      table[0x500 | ((crc >>> 16) & 0xff)]! ^
      table[0x400 | (crc >>> 24)]! ^
      table[0x300 | row[at + 4]!]! ^
      table[0x200 | row[at + 5]!]! ^
      table[0x100 | row[at + 6]!]! ^
      table[row[at + 7]!]!
  }
  for (; at < sizeBytes; at++) crc = table[(crc ^ row[at]!) & 0xff]! ^ (crc >>> 8)
  return ~crc >>> 0
}

const nativeFromBytes = 256

/** Eight tables of 256 entries: the k-th advances a byte over k more zero bytes, so that eight bytes are taken at a time ("slicing by 8": Kounavis & Berry, ISCC 2005). */
const table = new Int32Array(8 * 256)
for (let byte = 0; byte < 256; byte++) {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb8_8320 : crc >>> 1
  table[byte] = crc
}
for (let i = 256; i < table.length; i++) table[i] = table[table[i - 256]! & 0xff]! ^ (table[i - 256]! >>> 8)

const writeUint32 = (bytes: Uint8Array, at: number, value: number): void => {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

const readUint32 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0

/** Whoever reads says which row. */
const corruptRow = (problem: string): StorageError => new StorageError('CORRUPT', problem)
