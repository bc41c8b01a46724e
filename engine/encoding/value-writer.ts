/**
 * From a value to its bytes, in one pass that also judges it. One pass, so that each property is read once: what was checked is what is written, also
 * where a getter answers differently every time.
 */
import { types as is } from 'node:util'
import { LimitError, UsageError } from '../errors.js'
import { bytesOfMagnitude } from './bigints.js'
import { isWellFormed } from './text.js'
import { binaryKinds, code, errorKinds, errorParts, extension, extHeaderBytes, maxNesting, shortText } from './value-format.js'

/** What a path is made of: property names, array indexes, and objects for what is in a Map or Set. */
type Step = string | number | { readonly member: 'key' | 'value' | 'member'; readonly index: number }

type Visit = (writer: ValueWriter, value: object) => void

const initialSizeBytes = 4096
/** A writer that grew beyond this for one value gives its memory back. */
const keptSizeBytes = 256 * 1024
/** Copying this much is faster than calling `set`. */
const copiedByLoopBytes = 64
const searchedInPlace = 16
const double = new DataView(new ArrayBuffer(8))

export class ValueWriter {
  #bytes = Buffer.allocUnsafeSlow(initialSizeBytes)
  #at = 0
  #limitBytes = 0
  #depth = 0
  /** Where we are, up to `#depth`. */
  readonly #path: (Step | undefined)[] = []
  /** Objects are numbered in the order in which they begin. The first few are searched in place, which is faster than hashing them. */
  #objects = 0
  readonly #firstObjects: (object | undefined)[] = Array.from({ length: searchedInPlace }, () => undefined)
  readonly #laterObjects = new Map<object, number>()
  #hasReferences = false

  /** The bytes of `value`, owned by the caller. Errors are those of `encodeValue`. Not to be entered twice at once: see values.ts. */
  encode(value: unknown, limitBytes: number): Uint8Array {
    this.#at = extHeaderBytes
    this.#limitBytes = limitBytes
    this.#hasReferences = false
    this.#depth = 0
    try {
      this.#write(value)
      return this.#finish()
    } catch (error) {
      if (error instanceof UsageError || error instanceof LimitError) throw error
      throw new UsageError('INVALID_VALUE', `${this.#pathHere()} could not be read.`, { cause: error })
    } finally {
      this.#forget()
    }
  }

  #finish(): Uint8Array {
    let start = extHeaderBytes
    if (this.#hasReferences) {
      start = 0
      this.#endExtension(0, extension.graph)
    }
    if (this.#at - start > this.#limitBytes) throw tooLarge(this.#limitBytes)
    const length = this.#at - start
    const result = new Uint8Array(length)
    if (length > copiedByLoopBytes) {
      result.set(this.#bytes.subarray(start, this.#at))
    } else {
      for (let i = 0; i < length; i++) result[i] = this.#bytes[start + i]!
    }
    return result
  }

  /** Holds on to nothing of the caller's, and to no large memory. */
  #forget(): void {
    this.#firstObjects.fill(undefined, 0, this.#objects)
    this.#objects = 0
    if (this.#laterObjects.size > 0) this.#laterObjects.clear()
    if (this.#bytes.length > keptSizeBytes) this.#bytes = Buffer.allocUnsafeSlow(initialSizeBytes)
  }

  // --- values

  #write(value: unknown): void {
    switch (typeof value) {
      case 'string':
        if (!this.#text(value)) throw this.#refused('has a lone surrogate')
        return
      case 'number':
        return this.#number(value)
      case 'boolean':
        this.#reserve(1)
        this.#bytes[this.#at++] = value ? code.true : code.false
        return
      case 'object':
        if (value !== null) return this.#object(value)
        this.#reserve(1)
        this.#bytes[this.#at++] = code.nil
        return
      case 'bigint':
        return this.#bigint(value)
      case 'undefined':
        throw this.#refused('is undefined')
      default:
        throw this.#refused(`is a ${typeof value}`)
    }
  }

  #object(value: object): void {
    if (this.#reference(value)) return
    const prototype: object | null = Object.getPrototypeOf(value)
    if (prototype === Object.prototype || prototype === null) return this.#plainObject(value as Record<string, unknown>)
    if (prototype === Array.prototype && Array.isArray(value)) return this.#array(value)
    const visit = visits.get(prototype)
    if (visit === undefined) throw this.#refused(`is ${describeInstance(value, prototype)}`)
    visit(this, value)
  }

  #plainObject(object: Record<string, unknown>): void {
    if (Object.getOwnPropertySymbols(object).length > 0) throw this.#refused('has a property whose name is a symbol')
    const names = Object.keys(object)
    this.#enter()
    this.#header(names.length, code.fixMap, code.map16, code.map32)
    for (let i = 0; i < names.length; i++) {
      const name = names[i]!
      this.#path[this.#depth - 1] = name
      if (!this.#text(name)) throw this.#refused('has a lone surrogate in its property name')
      this.#write(object[name])
    }
    this.#depth--
  }

  #array(array: readonly unknown[]): void {
    const length = array.length
    if (Object.keys(array).length !== length) throw this.#refused('is an array with holes or with named properties')
    this.#enter()
    this.#header(length, code.fixArray, code.array16, code.array32)
    for (let i = 0; i < length; i++) {
      this.#path[this.#depth - 1] = i
      this.#write(array[i])
    }
    this.#depth--
  }

  map(map: Map<unknown, unknown>): void {
    this.#refuseNamedProperties(map)
    this.#enter()
    const start = this.#beginExtension()
    let index = 0
    for (const [key, value] of map) {
      this.#path[this.#depth - 1] = { member: 'key', index }
      this.#write(key)
      this.#path[this.#depth - 1] = { member: 'value', index }
      this.#write(value)
      index++
    }
    this.#endExtension(start, extension.map)
    this.#depth--
  }

  set(set: Set<unknown>): void {
    this.#refuseNamedProperties(set)
    this.#enter()
    const start = this.#beginExtension()
    let index = 0
    for (const member of set) {
      this.#path[this.#depth - 1] = { member: 'member', index }
      this.#write(member)
      index++
    }
    this.#endExtension(start, extension.set)
    this.#depth--
  }

  date(date: Date): void {
    this.#refuseNamedProperties(date)
    const time = Date.prototype.getTime.call(date)
    this.#reserve(10)
    this.#bytes[this.#at++] = code.fixExt8
    this.#bytes[this.#at++] = extension.date
    this.#float(time)
  }

  regexp(regexp: RegExp): void {
    this.#refuseNamedProperties(regexp)
    const start = this.#beginExtension()
    if (!this.#text(regexp.source)) throw this.#refused('has a lone surrogate')
    this.#text(regexp.flags)
    this.#endExtension(start, extension.regexp)
  }

  error(error: Error, kind: number): void {
    if (!is.isNativeError(error)) throw this.#refused('is not an error, though its prototype says so')
    const { message, stack } = error
    const hasMessage = Object.hasOwn(error, 'message')
    const hasCause = Object.hasOwn(error, 'cause')
    const named = Object.keys(error).find(name => name !== 'message' && name !== 'stack' && name !== 'cause')
    if (named !== undefined) throw this.#refused('is an error with properties besides message, stack and cause')
    if (typeof message !== 'string') throw this.#refused('is an error whose message is not a string')

    this.#enter()
    const start = this.#beginExtension()
    this.#reserve(2)
    this.#bytes[this.#at++] = kind
    this.#bytes[this.#at++] =
      (hasMessage ? errorParts.message : 0) | (typeof stack === 'string' ? errorParts.stack : 0) | (hasCause ? errorParts.cause : 0)
    this.#path[this.#depth - 1] = 'message'
    if (hasMessage && !this.#text(message)) throw this.#refused('has a lone surrogate')
    this.#path[this.#depth - 1] = 'stack'
    if (typeof stack === 'string' && !this.#text(stack)) throw this.#refused('has a lone surrogate')
    this.#path[this.#depth - 1] = 'cause'
    if (hasCause) this.#write(error.cause)
    this.#endExtension(start, extension.error)
    this.#depth--
  }

  uint8Array(array: Uint8Array): void {
    const bytes = this.#bytesOf(array)
    const length = bytes.length
    this.#reserve(length + 5)
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
    this.#bytes.set(bytes, this.#at)
    this.#at += length
  }

  binary(view: ArrayBufferView, kind: number): void {
    this.#binary(this.#bytesOf(view), kind)
  }

  arrayBuffer(buffer: ArrayBuffer): void {
    this.#refuseNamedProperties(buffer)
    if ((buffer as ArrayBuffer & { resizable?: boolean }).resizable === true) throw this.#refused('is a resizable ArrayBuffer')
    this.#binary(new Uint8Array(buffer), 0)
  }

  #binary(bytes: Uint8Array, kind: number): void {
    const start = this.#beginExtension()
    this.#reserve(bytes.length + 1)
    this.#bytes[this.#at++] = kind
    this.#bytes.set(bytes, this.#at)
    this.#at += bytes.length
    this.#endExtension(start, extension.binary)
  }

  /** Exactly the bytes that the view shows, however large the buffer beneath it. */
  #bytesOf(view: ArrayBufferView): Uint8Array {
    if (is.isSharedArrayBuffer(view.buffer)) throw this.#refused('is a view of a SharedArrayBuffer')
    return new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
  }

  #bigint(value: bigint): void {
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

  #number(value: number): void {
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
  #text(text: string): boolean {
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

  // --- bytes

  #header(count: number, fix: number, code16: number, code32: number): void {
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
  #beginExtension(): number {
    this.#reserve(extHeaderBytes)
    const start = this.#at
    this.#at += extHeaderBytes
    return start
  }

  /** Fills the room at `start` with the header for everything written since. */
  #endExtension(start: number, type: number): void {
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
    if (this.#at > this.#limitBytes + extHeaderBytes || count > this.#limitBytes + extHeaderBytes) throw tooLarge(this.#limitBytes)
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, this.#at + count))
    grown.set(this.#bytes.subarray(0, this.#at))
    this.#bytes = grown
  }

  // --- identity

  /** Writes a reference where the object was met before; else gives it the next number. */
  #reference(value: object): boolean {
    const number = this.#objects
    const inPlace = Math.min(number, searchedInPlace)
    for (let i = 0; i < inPlace; i++) {
      if (this.#firstObjects[i] === value) return this.#writeReference(i)
    }
    if (number < searchedInPlace) {
      this.#firstObjects[number] = value
    } else {
      const earlier = this.#laterObjects.get(value)
      if (earlier !== undefined) return this.#writeReference(earlier)
      this.#laterObjects.set(value, number)
    }
    this.#objects++
    return false
  }

  #writeReference(number: number): true {
    this.#hasReferences = true
    this.#reserve(6)
    this.#bytes[this.#at++] = code.fixExt4
    this.#bytes[this.#at++] = extension.reference
    this.#uint32(number)
    return true
  }

  // --- refusals

  #enter(): void {
    if (this.#depth === maxNesting) throw new UsageError('INVALID_VALUE', `The value is nested more than ${maxNesting} deep.`)
    this.#path[this.#depth++] = undefined
  }

  #refuseNamedProperties(value: object): void {
    if (Object.keys(value).length > 0) throw this.#refused('has properties of its own, which are not part of such a value')
  }

  #refused(problem: string): UsageError {
    return new UsageError('INVALID_VALUE', `${this.#pathHere()} ${problem}.`)
  }

  #pathHere(): string {
    return `value${this.#path.slice(0, this.#depth).map(stepText).join('')}`
  }
}

/** By prototype, so that instances of subclasses are refused. What claims a prototype it was not made with fails when it is read. */
const visits = new Map<object, Visit>([
  [Map.prototype, (writer, value) => writer.map(value as Map<unknown, unknown>)],
  [Set.prototype, (writer, value) => writer.set(value as Set<unknown>)],
  [Date.prototype, (writer, value) => writer.date(value as Date)],
  [RegExp.prototype, (writer, value) => writer.regexp(value as RegExp)],
  [Uint8Array.prototype, (writer, value) => writer.uint8Array(value as Uint8Array)],
  [Buffer.prototype, (writer, value) => writer.uint8Array(value as Uint8Array)],
  [ArrayBuffer.prototype, (writer, value) => writer.arrayBuffer(value as ArrayBuffer)],
  ...binaryKinds.map((kind, index): [object, Visit] => [
    kind.prototype as object,
    (writer, value) => writer.binary(value as ArrayBufferView, index + 1),
  ]),
  ...errorKinds.map((kind, index): [object, Visit] => [kind.prototype, (writer, value) => writer.error(value as Error, index)]),
])

const identifier = /^[A-Za-z_$][\w$]*$/
const shownNameLength = 40

const stepText = (step: Step | undefined): string => {
  if (step === undefined) return ''
  if (typeof step === 'number') return `[${step}]`
  if (typeof step === 'object') return `<${step.member} ${step.index}>`
  const shown = step.length > shownNameLength ? `${step.slice(0, shownNameLength)}…` : step
  return identifier.test(shown) ? `.${shown}` : `[${JSON.stringify(shown)}]`
}

const describeInstance = (value: object, prototype: object): string => {
  if (is.isBoxedPrimitive(value)) return 'a boxed primitive'
  const constructor: unknown = Object.getOwnPropertyDescriptor(prototype, 'constructor')?.value
  const name = typeof constructor === 'function' ? constructor.name : ''
  return name === '' ? 'an instance of an unnamed class' : `an instance of ${name}`
}

const tooLarge = (limitBytes: number): LimitError =>
  new LimitError('VALUE_TOO_LARGE', `The encoded value is larger than the limit of ${limitBytes} bytes.`)
