/**
 * From bytes to the value. Accepts the forms that value-writer.ts writes and no other MessagePack, allocates no more than the bytes that are
 * left can fill, and copies whatever it keeps.
 */
import { StorageError } from '../errors.js'
import { magnitudeOfBytes } from './bigints.js'
import { shortAscii, textOfUtf8 } from './text.js'
import { binaryKinds, code, errorKinds, errorParts, extension, maxNesting, shortText } from './value-format.js'
import { makeShapes, noteNames, shapeAt, shapeNamesMax, shapeSlot, type Shape } from './value-shapes.js'

const double = new DataView(new ArrayBuffer(8))

export class ValueReader {
  #bytes: Uint8Array
  #at = 0
  #end: number
  #depth = 0
  /** Every object by number; only in a graph. */
  #objects: object[] | undefined

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#end = bytes.length
  }

  /** @throws StorageError CORRUPT */
  decode(): unknown {
    if (this.#end > 5 && this.#bytes[0] === code.ext32 && this.#bytes[5] === extension.graph) {
      this.#objects = []
      this.#at = 1
      if (this.#uint32() !== this.#end - 6) throw corruptValue()
      this.#at = 6
    }
    const value = this.#read()
    if (this.#at !== this.#end) throw corruptValue()
    makeShapes()
    return value
  }

  #read(): unknown {
    const first = this.#byte()
    if (first < 0x80) return first
    if (first >= code.negativeFixInt) return first - 0x100
    if (first < code.fixArray) return this.#object(first & 0x0f)
    if (first < code.fixText) return this.#array(first & 0x0f)
    if (first < code.nil) return this.#string(first & 0x1f)
    switch (first) {
      case code.nil:
        return null
      case code.false:
        return false
      case code.true:
        return true
      case code.float64:
        return this.#float()
      case code.uint8:
        return this.#byte()
      case code.uint16:
        return this.#uint16()
      case code.uint32:
        return this.#uint32()
      case code.int8:
        return (this.#byte() << 24) >> 24
      case code.int16:
        return (this.#uint16() << 16) >> 16
      case code.int32:
        return this.#uint32() | 0
      case code.text8:
        return this.#string(this.#byte())
      case code.text16:
        return this.#string(this.#uint16())
      case code.text32:
        return this.#string(this.#uint32())
      case code.array16:
        return this.#array(this.#uint16())
      case code.array32:
        return this.#array(this.#uint32())
      case code.map16:
        return this.#object(this.#uint16())
      case code.map32:
        return this.#object(this.#uint32())
      case code.bin8:
        return this.#number(this.#copy(this.#byte()))
      case code.bin16:
        return this.#number(this.#copy(this.#uint16()))
      case code.bin32:
        return this.#number(this.#copy(this.#uint32()))
      case code.fixExt8:
        if (this.#byte() !== extension.date) throw corruptValue()
        return this.#number(new Date(this.#float()))
      case code.fixExt4:
        if (this.#byte() !== extension.reference) throw corruptValue()
        return this.#referenced(this.#uint32())
      case code.ext8:
        return this.#extension(this.#byte())
      case code.ext32:
        return this.#extension(this.#uint32())
      default:
        throw corruptValue()
    }
  }

  #object(count: number): object {
    // In a graph objects are numbered before their properties are read.
    const slot = count <= shapeNamesMax && this.#objects === undefined ? this.#shapeSlot(count) : undefined
    if (slot === undefined) return this.#properties(this.#number({}), 0, count, undefined)
    const shape = shapeAt(slot)
    if (shape !== undefined && shape.names.length === count) return this.#shaped(shape, count)
    const names: string[] = []
    const object = this.#properties({}, 0, count, names)
    if (shape === undefined) noteNames(slot, names)
    return object
  }

  /** An object that is likely to have the shape. Where it has not, what was read is kept: reading it again could take time beyond measure where objects lie in each other. */
  #shaped({ names, make }: Shape, count: number): object {
    const values: unknown[] = []
    let read = 0
    this.#enter()
    for (; read < count && this.#skipName(names[read]!); read++) values.push(this.#read())
    this.#depth--
    if (read === count) return make(values)
    const object: Record<string, unknown> = {}
    for (let i = 0; i < read; i++) object[names[i]!] = values[i]
    return this.#properties(object, read, count, undefined)
  }

  /** Reads the properties from number `from` on. Their names are added to `names`, where it is given. */
  #properties(object: Record<string, unknown>, from: number, count: number, names: string[] | undefined): object {
    this.#enter()
    for (let i = from; i < count; i++) {
      const name = this.#name()
      names?.push(name)
      const value = this.#read()
      if (name === '__proto__') {
        Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true })
      } else {
        object[name] = value
      }
    }
    this.#depth--
    return object
  }

  #array(count: number): unknown[] {
    const array: unknown[] = []
    this.#number(array)
    this.#enter()
    for (let i = 0; i < count; i++) array.push(this.#read())
    this.#depth--
    return array
  }

  #extension(length: number): unknown {
    const type = this.#byte()
    if (length > this.#end - this.#at) throw corruptValue()
    const outerEnd = this.#end
    this.#end = this.#at + length
    const value = this.#extensionContent(type)
    if (this.#at !== this.#end) throw corruptValue()
    this.#end = outerEnd
    return value
  }

  #extensionContent(type: number): unknown {
    switch (type) {
      case extension.bigint:
        return this.#bigint()
      case extension.binary:
        return this.#number(this.#binary(this.#byte()))
      case extension.regexp:
        return this.#number(this.#regexp())
      case extension.map:
        return this.#map()
      case extension.set:
        return this.#set()
      case extension.error:
        return this.#error()
      default:
        throw corruptValue()
    }
  }

  #map(): Map<unknown, unknown> {
    const map = this.#number(new Map<unknown, unknown>())
    this.#enter()
    while (this.#at < this.#end) {
      const key = this.#read()
      map.set(key, this.#read())
    }
    this.#depth--
    return map
  }

  #set(): Set<unknown> {
    const set = this.#number(new Set<unknown>())
    this.#enter()
    while (this.#at < this.#end) set.add(this.#read())
    this.#depth--
    return set
  }

  #error(): Error {
    const kind = errorKinds[this.#byte()]
    const parts = this.#byte()
    if (kind === undefined) throw corruptValue()
    // Making an error may call Error.prepareStackTrace, which may read other rows into the memory that these bytes are lent from.
    this.#bytes = Uint8Array.from(this.#bytes)
    const error = parts & errorParts.message ? new kind(this.#anyText()) : new kind()
    const stack = parts & errorParts.stack ? this.#anyText() : undefined
    Object.defineProperty(error, 'stack', { value: stack, writable: true, enumerable: false, configurable: true })
    this.#number(error)
    if (parts & errorParts.cause) {
      this.#enter()
      const cause = this.#read()
      Object.defineProperty(error, 'cause', { value: cause, writable: true, enumerable: false, configurable: true })
      this.#depth--
    }
    return error
  }

  #regexp(): RegExp {
    const source = this.#anyText()
    const flags = this.#anyText()
    try {
      return new RegExp(source, flags)
    } catch (cause) {
      throw corruptValue(cause)
    }
  }

  #bigint(): bigint {
    const sign = this.#byte()
    const magnitude = magnitudeOfBytes(this.#bytes.subarray(this.#at, this.#end))
    this.#at = this.#end
    return sign === 0 ? magnitude : -magnitude
  }

  #binary(kind: number): object {
    const { buffer, length } = this.#copy(this.#end - this.#at)
    if (kind === 0) return buffer
    const View = binaryKinds[kind - 1]
    if (View === undefined) throw corruptValue()
    const elementBytes = (View as { BYTES_PER_ELEMENT?: number }).BYTES_PER_ELEMENT ?? 1
    if (length % elementBytes !== 0) throw corruptValue()
    return new View(buffer)
  }

  // --- identity

  #number<T extends object>(object: T): T {
    this.#objects?.push(object)
    return object
  }

  #referenced(number: number): object {
    const object = this.#objects?.[number]
    if (object === undefined) throw corruptValue()
    return object
  }

  // --- text

  #anyText(): string {
    const text = this.#read()
    if (typeof text !== 'string') throw corruptValue()
    return text
  }

  #string(length: number): string {
    if (length > this.#end - this.#at) throw corruptValue()
    const start = this.#at
    this.#at += length
    return this.#utf8(start, this.#at)
  }

  #utf8(start: number, end: number): string {
    return shortAscii(this.#bytes, start, end) ?? textOfUtf8(this.#bytes, start, end)
  }

  /** A property name. Rows of a table share theirs, so short ASCII names are looked up by their bytes instead of decoded each time. */
  #name(): string {
    const first = this.#byte()
    const length = first - code.fixText
    if (length <= 0 || length >= shortText) {
      this.#at--
      return this.#anyText()
    }
    const start = this.#at
    const end = start + length
    if (end > this.#end) throw corruptValue()
    this.#at = end
    const bytes = this.#bytes
    const slot = (bytes[start]! + bytes[end - 1]! * 7 + bytes[start + (length >> 1)]! * 31 + length * 101) & (nameSlots - 1)
    const known = names[slot]
    if (known !== undefined && known.length === length) {
      let i = 0
      while (i < length && known.charCodeAt(i) === bytes[start + i]) i++
      if (i === length) return known
    }
    const name = this.#utf8(start, end)
    if (name.length === length) names[slot] = name
    return name
  }

  /** Undefined where the first name is none that a shape may have. */
  #shapeSlot(count: number): number | undefined {
    const bytes = this.#bytes
    const at = this.#at
    const length = (bytes[at] ?? 0) - code.fixText
    if (length <= 0 || length >= shortText || at + length >= this.#end) return undefined
    return shapeSlot(count, length, bytes[at + 1]!, bytes[at + length]!)
  }

  /** Whether the next thing is this name, which is ASCII and short. Moves on only where it is. */
  #skipName(name: string): boolean {
    const bytes = this.#bytes
    const { length } = name
    let at = this.#at
    if (at + length >= this.#end || bytes[at] !== code.fixText + length) return false
    for (let i = 0; i < length; i++) if (bytes[++at] !== name.charCodeAt(i)) return false
    this.#at = at + 1
    return true
  }

  // --- bytes

  #byte(): number {
    if (this.#at >= this.#end) throw corruptValue()
    return this.#bytes[this.#at++]!
  }

  #uint16(): number {
    return (this.#byte() << 8) | this.#byte()
  }

  #uint32(): number {
    return ((this.#byte() << 24) | (this.#byte() << 16) | (this.#byte() << 8) | this.#byte()) >>> 0
  }

  #float(): number {
    double.setUint32(0, this.#uint32())
    double.setUint32(4, this.#uint32())
    return double.getFloat64(0)
  }

  #copy(length: number): Uint8Array<ArrayBuffer> {
    if (length > this.#end - this.#at) throw corruptValue()
    const copy = new Uint8Array(length)
    copy.set(this.#bytes.subarray(this.#at, this.#at + length))
    this.#at += length
    return copy
  }

  #enter(): void {
    if (++this.#depth > maxNesting) throw corruptValue()
  }
}

const nameSlots = 1024
/** At most `nameSlots` names of fewer than `shortText` characters. A name of as many characters as bytes is ASCII. */
const names: string[] = []

const corruptValue = (cause?: unknown): StorageError => new StorageError('CORRUPT', 'stored value is malformed', { cause })
