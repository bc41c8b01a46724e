/**
 * The elements of a key tuple, one at a time. An encoded element is a latin1 string that begins with its tag; its end follows from its bytes
 * (E-1), and among elements of one type byte order is logical order (E-2). Tags order the types and are greater than the terminator 0x00 and less than
 * 0xFF (E-3). Every element has exactly one encoding, and decoding refuses all others (E-4).
 *
 * `docs/key-format.md` has the byte table and shows why this gives order and prefix-freeness to whole keys.
 */
import { types as is } from 'node:util'
import { LimitError, StorageError, UsageError } from '../errors.js'
import { defaultLimits } from '../limits.js'
import { bytesOfMagnitude, magnitudeOfBytes } from './bigints.js'
import { isWellFormed } from './text.js'

/** What one element of a table's key may be; a nested array declares a nested tuple. */
export type KeyElementType = 'null' | 'boolean' | 'number' | 'bigint' | 'date' | 'string' | 'bytes' | readonly KeyElementType[]

/** One element of a key, ordered `null < boolean < number < bigint < Date < string < Uint8Array < nested tuple`. */
export type KeyElement = null | boolean | number | bigint | Date | string | Uint8Array | readonly KeyElement[]

/** A key as callers write it, most significant element first. */
export type KeyTuple = readonly KeyElement[]

/** The bytes of an encoded key. At most this many, table id included. */
export const keySizeLimitBytes: number = defaultLimits.keySizeBytes

/** First bytes of elements, in the order of the types. */
export const tag = {
  null: 0x10,
  false: 0x20,
  true: 0x21,
  number: 0x30,
  bigint: 0x40,
  date: 0x50,
  string: 0x60,
  bytes: 0x70,
  tuple: 0x80,
} as const

const char = (byte: number): string => String.fromCharCode(byte)
const tagNull = char(tag.null)
const tagFalse = char(tag.false)
const tagTrue = char(tag.true)
const tagNumber = char(tag.number)
const tagBigint = char(tag.bigint)
const tagDate = char(tag.date)
const tagString = char(tag.string)
const tagBytes = char(tag.bytes)
const tagTuple = char(tag.tuple)

/** Ends strings, bytes and tuples. Inside strings and bytes a 0x00 is written as 0x00 0xFF, and no tag is 0xFF. */
export const terminator = '\0'
const escapedZero = '\0\xff'

/**
 * Encodes one element.
 *
 * @param index position in its tuple, from 0; `outer` is the position of that tuple with a trailing dot (`'2.'`), or empty for the key itself
 * @throws UsageError INVALID_KEY when the element is not of the declared type, or is NaN, an invalid Date or has a lone surrogate
 * @throws LimitError KEY_TOO_LARGE when this element alone is larger than a key may be
 */
export const encodeElement = (element: unknown, type: KeyElementType, index: number, outer: string): string => {
  if (type === 'string') {
    if (typeof element !== 'string') throw wrongType(element, type, index, outer)
    return tagString + textContent(element, index, outer) + terminator
  }
  if (type === 'number') {
    if (typeof element !== 'number') throw wrongType(element, type, index, outer)
    if (element !== element) throw invalid(index, outer, 'is NaN, which has no place in an order')
    return tagNumber + sortableFloat(element)
  }
  if (typeof type === 'object') return encodeNested(element, type, index, outer)
  switch (type) {
    case 'bigint':
      if (typeof element !== 'bigint') throw wrongType(element, type, index, outer)
      return tagBigint + sortableBigint(element)
    case 'bytes':
      if (!is.isUint8Array(element)) throw wrongType(element, type, index, outer)
      return tagBytes + bytesContent(element) + terminator
    case 'date':
      if (!is.isDate(element)) throw wrongType(element, type, index, outer)
      return tagDate + sortableFloat(timeOf(element, index, outer))
    case 'boolean':
      if (typeof element !== 'boolean') throw wrongType(element, type, index, outer)
      return element ? tagTrue : tagFalse
    case 'null':
      if (element !== null) throw wrongType(element, type, index, outer)
      return tagNull
  }
}

/** The type that an element is of, for keys whose elements are not declared. Throws `INVALID_KEY` for what can be in no key; `index` and `outer` as for `encodeElement`. */
export const typeOfElement = (element: unknown, index: number, outer: string): KeyElementType => {
  if (typeof element === 'string' || typeof element === 'number' || typeof element === 'bigint' || typeof element === 'boolean') return typeof element as KeyElementType
  if (element === null) return 'null'
  if (is.isDate(element)) return 'date'
  if (is.isUint8Array(element)) return 'bytes'
  if (Array.isArray(element)) return element.map((inner, i) => typeOfElement(inner, i, `${outer}${index + 1}.`))
  throw invalid(index, outer, `cannot be ${nameOfActual(element)}`)
}

/** The tag and content of a string or byte array without terminator: what every string or byte array that begins with it begins with. */
export const encodeBeginning = (element: unknown, type: 'string' | 'bytes'): string => encodeElement(element, type, 0, '').slice(0, -1)

const encodeNested = (element: unknown, types: readonly KeyElementType[], index: number, outer: string): string => {
  if (!Array.isArray(element)) throw wrongType(element, types, index, outer)
  if (element.length !== types.length) {
    throw invalid(index, outer, `must be a tuple of ${types.length} elements, not of ${element.length}`)
  }
  const inner = `${outer}${index + 1}.`
  let encoded = tagTuple
  for (let i = 0; i < types.length; i++) encoded += encodeElement(element[i], types[i]!, i, inner)
  return encoded + terminator
}

// --- strings and bytes

const textContent = (text: string, index: number, outer: string): string => {
  if (text.length > keySizeLimitBytes) throw keyTooLarge(`at least ${text.length}`)
  return isItsOwnContent(text) ? text : utf8Content(text, index, outer)
}

/** True for ASCII without 0x00: the characters are the bytes, and none is escaped. */
const isItsOwnContent = (text: string): boolean => {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 0 || code > 0x7f) return false
  }
  return true
}

/**
 * The whole key of a table whose key is one string, joined in one step: the engine defers joining, and pays for each part when it hashes the key.
 * Undefined where the string needs the general way.
 */
export const encodeAsciiKey = (prefix: string, text: unknown): string | undefined =>
  typeof text === 'string' && text.length <= keySizeLimitBytes && isItsOwnContent(text) ? prefix + tagString + text + '\0\0' : undefined

const utf8Content = (text: string, index: number, outer: string): string => {
  if (!isWellFormed(text)) throw invalid(index, outer, 'has a lone surrogate')
  return escaped(Buffer.from(text, 'utf8').toString('latin1'))
}

const bytesContent = (bytes: Uint8Array): string => {
  if (bytes.byteLength > keySizeLimitBytes) throw keyTooLarge(`at least ${bytes.byteLength}`)
  return escaped(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1'))
}

const escaped = (content: string): string => (content.includes(terminator) ? content.replaceAll(terminator, escapedZero) : content)

// --- numbers

const double = new DataView(new ArrayBuffer(8))

/**
 * The whole key of a table whose key is one number, made in one step, as `encodeAsciiKey`. Undefined where the number, or a prefix of more than one byte, needs the general way.
 */
export const encodeNumberKey = (prefix: string, value: unknown): string | undefined => {
  if (typeof value !== 'number' || value !== value || prefix.length !== 1) return undefined
  const { high, low } = sortableBits(value)
  return String.fromCharCode(
    prefix.charCodeAt(0),
    tag.number,
    high >>> 24,
    (high >>> 16) & 0xff,
    (high >>> 8) & 0xff,
    high & 0xff,
    low >>> 24,
    (low >>> 16) & 0xff,
    (low >>> 8) & 0xff,
    low & 0xff,
    0,
  )
}

/** IEEE 754, big endian: a positive number gets its sign bit set, a negative one all its bits inverted. `-0` becomes `0`. */
const sortableBits = (value: number): { high: number; low: number } => {
  double.setFloat64(0, value + 0)
  const high = double.getUint32(0)
  const low = double.getUint32(4)
  return high >>> 31 === 1 ? { high: ~high, low: ~low } : { high: high | 0x8000_0000, low }
}

const sortableFloat = (value: number): string => {
  const { high, low } = sortableBits(value)
  return String.fromCharCode(
    high >>> 24,
    (high >>> 16) & 0xff,
    (high >>> 8) & 0xff,
    high & 0xff,
    low >>> 24,
    (low >>> 16) & 0xff,
    (low >>> 8) & 0xff,
    low & 0xff,
  )
}

const timeOf = (date: Date, index: number, outer: string): number => {
  const time = Date.prototype.getTime.call(date)
  if (Number.isNaN(time)) throw invalid(index, outer, 'is an invalid Date')
  return time
}

/** The header says sign and length of the magnitude: zero is 0x80, `n` bytes are 0x80 + n, and 0x80 - n for negative numbers. */
const zeroHeader = 0x80
const longLength = 0x7c
const maxBits = keySizeLimitBytes * 8

const sortableBigint = (value: bigint): string => {
  if (value <= maxSafe && value >= -maxSafe) return sortableSmallBigint(Number(value))
  if (BigInt.asIntN(maxBits, value) !== value) throw keyTooLarge(`more than ${keySizeLimitBytes}`)
  const negative = value < 0n
  const magnitude = bytesOfMagnitude(negative ? -value : value)
  const length = magnitude.length
  const flip = negative ? 0xff : 0
  let encoded: string
  if (length < longLength) {
    encoded = char(negative ? zeroHeader - length : zeroHeader + length)
  } else {
    encoded = char(negative ? zeroHeader - longLength : zeroHeader + longLength) + char((length >>> 8) ^ flip) + char((length & 0xff) ^ flip)
  }
  for (let i = 0; i < length; i++) encoded += char(magnitude[i]! ^ flip)
  return encoded
}

const maxSafe = BigInt(Number.MAX_SAFE_INTEGER)

/** The same bytes, several times faster. */
const sortableSmallBigint = (value: number): string => {
  const flip = value < 0 ? 0xff : 0
  let magnitude = ''
  for (let rest = Math.abs(value); rest > 0; rest = Math.floor(rest / 256)) magnitude = char((rest & 0xff) ^ flip) + magnitude
  return char(value < 0 ? zeroHeader - magnitude.length : zeroHeader + magnitude.length) + magnitude
}

// --- decoding

/**
 * Reads elements off an encoded key. Stops at the key's end, and every call moves on, so it ends on any input.
 *
 * @throws StorageError CORRUPT from every method where the bytes are not what encoding writes
 */
export class ElementReader {
  readonly #key: string
  #at: number

  constructor(key: string, at: number) {
    this.#key = key
    this.#at = at
  }

  get atEnd(): boolean {
    return this.#at >= this.#key.length
  }

  /** Where the next element begins. */
  get at(): number {
    return this.#at
  }

  /** The elements up to the terminator, and the terminator. */
  tuple(): KeyElement[] {
    const elements: KeyElement[] = []
    for (;;) {
      const first = this.#byte()
      if (first === 0) return elements
      elements.push(this.#element(first))
    }
  }

  #element(first: number): KeyElement {
    switch (first) {
      case tag.string:
        return this.#text()
      case tag.number:
        return this.#number()
      case tag.bigint:
        return this.#bigint()
      case tag.bytes:
        return Uint8Array.from(Buffer.from(this.#content(), 'latin1'))
      case tag.date:
        return this.#date()
      case tag.null:
        return null
      case tag.false:
        return false
      case tag.true:
        return true
      case tag.tuple:
        return this.tuple()
      default:
        throw corruptKey()
    }
  }

  #byte(): number {
    if (this.#at >= this.#key.length) throw corruptKey()
    return this.#key.charCodeAt(this.#at++)
  }

  /** The content of a string or byte array, unescaped, and its terminator. */
  #content(): string {
    let end = this.#key.indexOf(terminator, this.#at)
    let hasEscapes = false
    while (end >= 0 && this.#key.charCodeAt(end + 1) === 0xff) {
      hasEscapes = true
      end = this.#key.indexOf(terminator, end + 2)
    }
    if (end < 0) throw corruptKey()
    const content = this.#key.slice(this.#at, end)
    this.#at = end + 1
    return hasEscapes ? content.replaceAll(escapedZero, terminator) : content
  }

  #text(): string {
    const content = this.#content()
    for (let i = 0; i < content.length; i++) {
      if (content.charCodeAt(i) > 0x7f) return textOfUtf8(content)
    }
    return content
  }

  #number(): number {
    let high = this.#uint32()
    let low = this.#uint32()
    if (high >>> 31 === 1) {
      high &= 0x7fff_ffff
    } else {
      high = ~high
      low = ~low
    }
    double.setInt32(0, high)
    double.setInt32(4, low)
    const value = double.getFloat64(0)
    if (Number.isNaN(value) || Object.is(value, -0)) throw corruptKey()
    return value
  }

  #uint32(): number {
    return ((this.#byte() << 24) | (this.#byte() << 16) | (this.#byte() << 8) | this.#byte()) >>> 0
  }

  #date(): Date {
    const time = this.#number()
    const date = new Date(time)
    if (date.getTime() !== time) throw corruptKey()
    return date
  }

  #bigint(): bigint {
    const header = this.#byte()
    const negative = header < zeroHeader
    const flip = negative ? 0xff : 0
    let length = Math.abs(header - zeroHeader)
    if (length > longLength) throw corruptKey()
    if (length === longLength) {
      length = ((this.#byte() ^ flip) << 8) | (this.#byte() ^ flip)
      if (length < longLength) throw corruptKey()
    }
    if (length > this.#key.length - this.#at) throw corruptKey()
    if (length <= 6) return this.#smallBigint(length, flip)
    const magnitude = new Uint8Array(length)
    for (let i = 0; i < length; i++) magnitude[i] = this.#byte() ^ flip
    if (length > 0 && magnitude[0] === 0) throw corruptKey()
    const value = magnitudeOfBytes(magnitude)
    return negative ? -value : value
  }

  #smallBigint(length: number, flip: number): bigint {
    let magnitude = 0
    for (let i = 0; i < length; i++) {
      magnitude = magnitude * 256 + (this.#byte() ^ flip)
      if (magnitude === 0) throw corruptKey()
    }
    return BigInt(flip === 0 ? magnitude : -magnitude)
  }
}

/** Invalid UTF-8 decodes to U+FFFD; so does a valid U+FFFD, which alone comes back as the same bytes. */
const textOfUtf8 = (content: string): string => {
  const text = Buffer.from(content, 'latin1').toString('utf8')
  if (text.includes('\ufffd') && Buffer.from(text, 'utf8').toString('latin1') !== content) throw corruptKey()
  return text
}

// --- errors

/** For bytes that no tuple encodes to. Names nothing: the layer that knows table and place adds them. */
export const corruptKey = (): StorageError => new StorageError('CORRUPT', 'stored key is malformed')

/** `size` is a number of bytes, or a bound where the whole was not encoded. */
export const keyTooLarge = (size: number | string): LimitError =>
  new LimitError('KEY_TOO_LARGE', `An encoded key of ${size} bytes is too large: the limit is ${keySizeLimitBytes} bytes, table id included.`)

const invalid = (index: number, outer: string, problem: string): UsageError =>
  new UsageError('INVALID_KEY', `Key element ${outer}${index + 1} ${problem}.`)

const wrongType = (element: unknown, expected: KeyElementType, index: number, outer: string): UsageError =>
  invalid(index, outer, `must be ${nameOfType(expected)}, not ${nameOfActual(element)}`)

const nameOfType = (type: KeyElementType): string => {
  if (typeof type === 'object') return 'a tuple'
  return { null: 'null', boolean: 'a boolean', number: 'a number', bigint: 'a bigint', date: 'a Date', string: 'a string', bytes: 'a Uint8Array' }[type]
}

const nameOfActual = (element: unknown): string => {
  if (element === null || element === undefined) return String(element)
  if (is.isDate(element)) return 'a Date'
  if (is.isUint8Array(element)) return 'a Uint8Array'
  if (Array.isArray(element)) return 'an array'
  return typeof element === 'object' ? 'an object' : `a ${typeof element}`
}
