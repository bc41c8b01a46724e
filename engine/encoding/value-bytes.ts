/**
 * The bytes of a value while they are written: MessagePack's forms of numbers, text, byte arrays and headers, each in its least size, in memory that grows and is
 * used again. Judges nothing but size.
 */
import { LimitError } from '../errors.js'
import { bytesOfMagnitude } from './bigints.js'
import { isWellFormed } from './text.js'
import { code, extension, extHeaderBytes, shortText } from './value-format.js'

const initialSizeBytes = 4096
/** Memory that grew beyond this for one value is given back. */
const keptSizeBytes = 256 * 1024
/** Copying this much is faster than calling `copy`. */
const copiedByLoopBytes = 128
const double = new DataView(new ArrayBuffer(8))

export class ValueBytes {
  #bytes = Buffer.allocUnsafeSlow(initialSizeBytes)
  #at = 0
  #limitBytes = 0

  /** Starts anew. `take` will refuse to return more than `limitBytes`, and writing stops when it is clear that it will. */
  start(limitBytes: number): void {
    this.#at = extHeaderBytes
    this.#limitBytes = limitBytes
  }

  /**
   * What was written since `start`, in memory that nobody else writes to: Node's pool, for an allocation of its own costs ten times as much. Not to be kept for long.
   *
   * @param asGraph `'graph'` where it holds references
   * @throws LimitError VALUE_TOO_LARGE
   */
  take(asGraph?: 'graph'): Uint8Array {
    const start = asGraph === undefined ? extHeaderBytes : 0
    if (asGraph !== undefined) this.endExtension(0, extension.graph)
    const length = this.#at - start
    if (length > this.#limitBytes) throw this.#tooLarge()
    const result = Buffer.allocUnsafe(length)
    if (length > copiedByLoopBytes) this.#bytes.copy(result, 0, start, this.#at)
    else for (let i = 0; i < length; i++) result[i] = this.#bytes[start + i]!
    return result
  }

  /** Holds on to no large memory. */
  release(): void {
    if (this.#bytes.length > keptSizeBytes) this.#bytes = Buffer.allocUnsafeSlow(initialSizeBytes)
  }

  byte(value: number): void {
    this.#reserve(1)
    this.#bytes[this.#at++] = value
  }

  number(value: number): void {
    this.#reserve(9)
    if (value >>> 0 === value && !Object.is(value, -0)) {
      if (value < 0x80) {
        this.#bytes[this.#at++] = value
      } else if (value < 0x100) {
        this.#bytes[this.#at++] = code.uint8
        this.#bytes[this.#at++] = value
      } else if (value < 0x1_0000) {
        this.#bytes[this.#at++] = code.uint16
        this.#uint16(value)
      } else {
        this.#bytes[this.#at++] = code.uint32
        this.#uint32(value)
      }
    } else if (value >> 0 === value && value < 0) {
      if (value >= -0x20) {
        this.#bytes[this.#at++] = value & 0xff
      } else if (value >= -0x80) {
        this.#bytes[this.#at++] = code.int8
        this.#bytes[this.#at++] = value & 0xff
      } else if (value >= -0x8000) {
        this.#bytes[this.#at++] = code.int16
        this.#uint16(value & 0xffff)
      } else {
        this.#bytes[this.#at++] = code.int32
        this.#uint32(value)
      }
    } else {
      this.#bytes[this.#at++] = code.float64
      this.#float(value)
    }
  }

  /** False for a string that UTF-8 cannot carry; the caller names it. */
  text(text: string): boolean {
    const length = text.length
    this.#reserve(length + 5)
    if (length >= shortText) return this.#longText(text)
    const bytes = this.#bytes
    const at = this.#at
    for (let i = 0; i < length; i++) {
      const unit = text.charCodeAt(i)
      if (unit > 0x7f) return this.#longText(text)
      bytes[at + 1 + i] = unit
    }
    bytes[at] = code.fixText | length
    this.#at = at + 1 + length
    return true
  }

  #longText(text: string): boolean {
    if (!isWellFormed(text)) return false
    const length = Buffer.byteLength(text, 'utf8')
    this.#reserve(length + 5)
    if (length < shortText) {
      this.#bytes[this.#at++] = code.fixText | length
    } else if (length < 0x100) {
      this.#bytes[this.#at++] = code.text8
      this.#bytes[this.#at++] = length
    } else if (length < 0x1_0000) {
      this.#bytes[this.#at++] = code.text16
      this.#uint16(length)
    } else {
      this.#bytes[this.#at++] = code.text32
      this.#uint32(length)
    }
    this.#at += this.#bytes.write(text, this.#at, 'utf8')
    return true
  }

  bigint(value: bigint): void {
    const magnitude = bytesOfMagnitude(value < 0n ? -value : value)
    const length = magnitude.length + 1
    this.#reserve(length + extHeaderBytes)
    if (length < 0x100) {
      this.#bytes[this.#at++] = code.ext8
      this.#bytes[this.#at++] = length
    } else {
      this.#bytes[this.#at++] = code.ext32
      this.#uint32(length)
    }
    this.#bytes[this.#at++] = extension.bigint
    this.#bytes[this.#at++] = value < 0n ? 1 : 0
    this.#bytes.set(magnitude, this.#at)
    this.#at += magnitude.length
  }

  date(time: number): void {
    this.#reserve(10)
    this.#bytes[this.#at++] = code.fixExt8
    this.#bytes[this.#at++] = extension.date
    this.#float(time)
  }

  reference(number: number): void {
    this.#reserve(6)
    this.#bytes[this.#at++] = code.fixExt4
    this.#bytes[this.#at++] = extension.reference
    this.#uint32(number)
  }

  /** MessagePack's `bin`. */
  bin(bytes: Uint8Array): void {
    const length = bytes.length
    this.#reserve(5)
    if (length < 0x100) {
      this.#bytes[this.#at++] = code.bin8
      this.#bytes[this.#at++] = length
    } else if (length < 0x1_0000) {
      this.#bytes[this.#at++] = code.bin16
      this.#uint16(length)
    } else {
      this.#bytes[this.#at++] = code.bin32
      this.#uint32(length)
    }
    this.raw(bytes)
  }

  /** Bytes as they are. */
  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.#at)
    this.#at += bytes.length
  }

  header(count: number, fix: number, code16: number, code32: number): void {
    this.#reserve(5)
    if (count < 0x10) {
      this.#bytes[this.#at++] = fix | count
    } else if (count < 0x1_0000) {
      this.#bytes[this.#at++] = code16
      this.#uint16(count)
    } else {
      this.#bytes[this.#at++] = code32
      this.#uint32(count)
    }
  }

  /** Leaves room for the header of an extension, and returns where. */
  beginExtension(): number {
    this.#reserve(extHeaderBytes)
    const start = this.#at
    this.#at += extHeaderBytes
    return start
  }

  /** Fills the room at `start` with the header for everything written since. */
  endExtension(start: number, type: number): void {
    const end = this.#at
    this.#at = start
    this.#bytes[this.#at++] = code.ext32
    this.#uint32(end - start - extHeaderBytes)
    this.#bytes[this.#at] = type
    this.#at = end
  }

  /** NaN has many bit patterns; one is written. */
  #float(value: number): void {
    double.setFloat64(0, value)
    if (value === value) {
      this.#uint32(double.getUint32(0))
      this.#uint32(double.getUint32(4))
    } else {
      this.#uint32(0x7ff8_0000)
      this.#uint32(0)
    }
  }

  #uint16(value: number): void {
    this.#bytes[this.#at++] = value >>> 8
    this.#bytes[this.#at++] = value
  }

  #uint32(value: number): void {
    this.#bytes[this.#at++] = value >>> 24
    this.#bytes[this.#at++] = value >>> 16
    this.#bytes[this.#at++] = value >>> 8
    this.#bytes[this.#at++] = value
  }

  #reserve(count: number): void {
    if (this.#at + count <= this.#bytes.length) return
    if (this.#at > this.#limitBytes + extHeaderBytes || count > this.#limitBytes + extHeaderBytes) throw this.#tooLarge()
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, this.#at + count))
    grown.set(this.#bytes.subarray(0, this.#at))
    this.#bytes = grown
  }

  #tooLarge(): LimitError {
    return new LimitError('VALUE_TOO_LARGE', `The encoded value is larger than the limit of ${this.#limitBytes} bytes.`)
  }
}
