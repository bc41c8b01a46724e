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
import { keyHex } from './keys.js'

const rowFormat = 0
const crcAt = 7
const valueAt = 11
const maxTs = 2 ** 48 - 1

/**
 * The bytes of a row: a new array that shares no memory with `value`.
 *
 * @throws RangeError when `ts` does not fit in six bytes; at a million commits a second that takes nine years
 */
export const encodeRow = (key: Key, ts: CommitTs, value: Uint8Array): Uint8Array => {
  if (!(ts >= 0 && ts <= maxTs)) throw new RangeError(`commit timestamp ${ts} does not fit in a row`)
  const bytes = new Uint8Array(valueAt + value.length)
  bytes[0] = rowFormat
  writeUint32(bytes, 1, Math.floor(ts / 0x1_0000))
  bytes[5] = ts >>> 8
  bytes[6] = ts
  bytes.set(value, valueAt)
  writeUint32(bytes, crcAt, checksum(key, bytes, value))
  return bytes
}

/**
 * The row that `encodeRow` wrote under `key`. `value` is a view of `bytes`, valid as long as they are: whoever keeps it beyond the life of LMDB's
 * buffer copies it.
 *
 * @throws StorageError CORRUPT when the bytes are no row, or not the row of this key
 */
export const decodeRow = (key: Key, bytes: Uint8Array): { ts: CommitTs; value: Uint8Array } => {
  if (bytes.length < valueAt) throw corruptRow('row is cut short', key)
  if (bytes[0] !== rowFormat) throw corruptRow('row has an unknown format', key)
  const value = bytes.subarray(valueAt)
  if (checksum(key, bytes, value) !== readUint32(bytes, crcAt)) throw corruptRow('row checksum mismatch', key)
  return { ts: asTs(readUint32(bytes, 1) * 0x1_0000 + bytes[5]! * 0x100 + bytes[6]!), value }
}

/**
 * CRC-32 as zlib has it, the short parts computed here: a native call costs as much as about 70 bytes of this loop, and keys exist as
 * strings only.
 */
const checksum = (key: Key, row: Uint8Array, value: Uint8Array): number => {
  let crc = 0xffff_ffff
  for (let i = 0; i < key.length; i++) crc = table[(crc ^ key.charCodeAt(i)) & 0xff]! ^ (crc >>> 8)
  for (let i = 1; i < crcAt; i++) crc = table[(crc ^ row[i]!) & 0xff]! ^ (crc >>> 8)
  if (value.length > nativeFromBytes) return crc32(value, ~crc >>> 0)
  for (let i = 0; i < value.length; i++) crc = table[(crc ^ value[i]!) & 0xff]! ^ (crc >>> 8)
  return ~crc >>> 0
}

const nativeFromBytes = 64

const table = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb8_8320 : crc >>> 1
  return crc
})

const writeUint32 = (bytes: Uint8Array, at: number, value: number): void => {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

const readUint32 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0

/** Names the key's bytes only: the layer that knows the table adds its name. */
const corruptRow = (problem: string, key: Key): StorageError => new StorageError('CORRUPT', `${problem} (key ${keyHex(key)})`)
