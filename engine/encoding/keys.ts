/**
 * Keys: from tuples to bytes that sort like the tuples, and back.
 *
 *     key = table id (1 to 8 bytes) + elements + 0x00
 *
 * held as a latin1 string, one character per byte, so that `<` is memcmp. What every other layer builds on:
 *
 * - K-1 byte order is logical order, element by element, a shorter tuple before its extensions
 * - K-2 two different keys of a table never share an encoding, and a key decodes to what was encoded (but `-0`, which is the key `0`)
 * - K-3 no key is a prefix of another
 * - K-4 the byte after a table id or a whole element is less than 0xFF, so `prefix + '\xff'` is above everything that begins with `prefix`
 * - K-5 no key begins with 0xFF; keys that do are free for metadata
 *
 * `docs/key-format.md` has the byte table and the argument for each.
 */
import { asKey, type Key, type KeyRange } from '../../isolation/types.js'
import { UsageError } from '../errors.js'
import {
  corruptKey,
  ElementReader,
  encodeAsciiKey,
  encodeBeginning,
  encodeElement,
  encodeNumberKey,
  type KeyElement,
  type KeyElementType,
  type KeyTuple,
  keySizeLimitBytes,
  keyTooLarge,
  terminator,
} from './key-elements.js'
import { textOfLatin1 } from './text.js'

export type { KeyElement, KeyElementType, KeyTuple } from './key-elements.js'

/** Ids below this are one byte; above, the first byte says how many follow, so that longer ids sort after shorter ones. */
const longId = 0xf0
const maxIdBytes = 7

/**
 * The bytes that every key of a table begins with. No table's prefix is a prefix of another's, and they sort like the ids.
 *
 * @throws UsageError INVALID_ARGUMENT unless `id` is a safe integer of at least 0
 */
export const tablePrefix = (id: number): string => {
  if (!Number.isSafeInteger(id) || id < 0) throw new UsageError('INVALID_ARGUMENT', `A table id must be an integer of at least 0, not ${id}.`)
  if (id < longId) return String.fromCharCode(id)
  let bytes = ''
  for (let rest = id; rest > 0; rest = Math.floor(rest / 256)) bytes = String.fromCharCode(rest % 256) + bytes
  return String.fromCharCode(longId + bytes.length - 1) + bytes
}

/** The `tablePrefix` that a key begins with. */
export const tablePrefixOf = (key: Key): string => {
  const first = key.charCodeAt(0)
  return key.slice(0, first < longId ? 1 : first - longId + 2)
}

/**
 * Encodes a whole key.
 *
 * @param prefix from `tablePrefix`
 * @param types the table's declared key, one entry per element
 * @throws UsageError INVALID_KEY when the number of elements or an element's type differs from the declared one, or an element is NaN, an invalid
 * Date or has a lone surrogate
 * @throws LimitError KEY_TOO_LARGE beyond `limits.keySizeBytes`
 */
export const encodeKey = (prefix: string, tuple: KeyTuple, types: readonly KeyElementType[]): Key => {
  if (tuple.length !== types.length) throw wrongLength(tuple, types, '')
  return limited((types.length === 1 ? encodeInOneStep(prefix, tuple[0], types[0]) : undefined) ?? encodeElements(prefix, tuple, types) + terminator)
}

/**
 * Encodes the key that a range bound names: as `encodeKey`, but the tuple may be shorter than declared. `['a']` sorts before every `['a', x]`.
 *
 * @throws as `encodeKey`, where too few elements are no error
 */
export const encodePartial = (prefix: string, tuple: KeyTuple, types: readonly KeyElementType[]): Key => {
  if (tuple.length > types.length) throw wrongLength(tuple, types, 'at most ')
  return limited(encodeElements(prefix, tuple, types) + terminator)
}

/**
 * The range of exactly the keys that begin with the given elements. In a table whose key is one string or one byte array, the prefix `['ab']` means
 * the strings (byte arrays) that begin with `ab`.
 *
 * @throws as `encodePartial`
 */
export const prefixRange = (prefix: string, tuplePrefix: KeyTuple, types: readonly KeyElementType[]): KeyRange => {
  if (tuplePrefix.length > types.length) throw wrongLength(tuplePrefix, types, 'at most ')
  const only = types[0]
  if (types.length === 1 && tuplePrefix.length === 1 && (only === 'string' || only === 'bytes')) {
    const lo = limited(prefix + encodeBeginning(tuplePrefix[0], only))
    return { lo, hi: afterAllThatBeginWith(lo) }
  }
  const lo = limited(encodeElements(prefix, tuplePrefix, types))
  return { lo, hi: asKey(`${lo}\xff`) }
}

/** The range of exactly the keys of a table. */
export const tableRange = (prefix: string): KeyRange => ({ lo: asKey(prefix), hi: asKey(`${prefix}\xff`) })

/**
 * The inverse of `encodeKey`.
 *
 * @throws StorageError CORRUPT when no key encodes to these bytes
 */
export const decodeKey = (key: Key): { tableId: number; tuple: KeyElement[] } => {
  const first = key.charCodeAt(0)
  const idBytes = first < longId ? 0 : first - longId + 1
  if (key.length <= idBytes || idBytes > maxIdBytes) throw corruptKey()
  let tableId = idBytes === 0 ? first : 0
  for (let i = 1; i <= idBytes; i++) tableId = tableId * 256 + key.charCodeAt(i)
  if (idBytes > 0 && (tableId < longId || key.charCodeAt(1) === 0 || !Number.isSafeInteger(tableId))) throw corruptKey()

  const reader = new ElementReader(key, idBytes + 1)
  const tuple = reader.tuple()
  if (!reader.atEnd) throw corruptKey()
  return { tableId, tuple }
}

/** From about this size on the native call is faster than a loop. */
const nativeWriteBytes = 24

/** Writes the bytes of `key` at `start` of `target`, which must have room for them, and returns the position after the last. */
export const keyToBytes = (key: Key, target: Uint8Array, start: number): number => {
  const length = key.length
  if (start + length > target.length) throw new RangeError(`no room for a key of ${length} bytes`)
  if (length > nativeWriteBytes && Buffer.isBuffer(target)) return start + target.write(key, start, 'latin1')
  for (let i = 0; i < length; i++) target[start + i] = key.charCodeAt(i)
  return start + length
}

/** The key whose bytes are those of `bytes` from `start` up to, not including, `end`. Copies; does not check that they are a key. */
export const bytesToKey = (bytes: Uint8Array, start: number, end: number): Key => asKey(textOfLatin1(bytes, start, end))

/** The bytes of a key in hexadecimal, for messages: the first 64, and an ellipsis where there are more. */
export const keyHex = (key: Key): string => {
  const shown = Buffer.from(key.slice(0, 64), 'latin1').toString('hex')
  return key.length > 64 ? `${shown}…` : shown
}

const encodeInOneStep = (prefix: string, element: unknown, type: KeyElementType | undefined): string | undefined =>
  type === 'number' ? encodeNumberKey(prefix, element) : type === 'string' ? encodeAsciiKey(prefix, element) : undefined

const encodeElements = (prefix: string, tuple: KeyTuple, types: readonly KeyElementType[]): string => {
  let encoded = prefix
  for (let i = 0; i < tuple.length; i++) encoded += encodeElement(tuple[i], types[i]!, i, '')
  return encoded
}

/** The least string above every string that begins with `start`. Content of byte arrays may hold 0xFF, so appending one is not enough. */
export const afterAllThatBeginWith = (start: string): Key => {
  let end = start.length
  while (start.charCodeAt(end - 1) === 0xff) end--
  return asKey(start.slice(0, end - 1) + String.fromCharCode(start.charCodeAt(end - 1) + 1))
}

const limited = (encoded: string): Key => {
  if (encoded.length > keySizeLimitBytes) throw keyTooLarge(encoded.length)
  return asKey(encoded)
}

const wrongLength = (tuple: KeyTuple, types: readonly KeyElementType[], atMost: string): UsageError =>
  new UsageError('INVALID_KEY', `The key must have ${atMost}${types.length} elements, not ${tuple.length}.`)
