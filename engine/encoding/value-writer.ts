/**
 * From a value to its bytes, in one pass that also judges it. One pass, so that each property is read once: what was checked is what is written, also
 * where a getter answers differently every time.
 */
import { types as is } from 'node:util'
import { LimitError, UsageError } from '../errors.js'
import { ValueBytes } from './value-bytes.js'
import { binaryKinds, code, errorKinds, errorParts, extension, maxNesting } from './value-format.js'

/** What a path is made of: property names, array indexes, and objects for what is in a Map or Set. */
type Step = string | number | { readonly member: 'key' | 'value' | 'member'; readonly index: number }

type Visit = (writer: ValueWriter, value: object) => void

const searchedInPlace = 16

export class ValueWriter {
  readonly #out = new ValueBytes()
  #depth = 0
  /** Where we are, up to `#depth`. */
  readonly #path: (Step | undefined)[] = []
  /** Objects are numbered in the order in which they begin. The first few are searched in place, which is faster than hashing them. */
  #objects = 0
  readonly #firstObjects: (object | undefined)[] = Array.from({ length: searchedInPlace }, () => undefined)
  readonly #laterObjects = new Map<object, number>()
  #hasReferences = false

  /** The bytes of `value`, in memory that nobody else writes to. Errors are those of `encodeValue`. Not to be entered twice at once: see values.ts. */
  encode(value: unknown, limitBytes: number): Uint8Array {
    this.#out.start(limitBytes)
    this.#hasReferences = false
    this.#depth = 0
    try {
      this.#write(value)
      return this.#out.take(this.#hasReferences ? 'graph' : undefined)
    } catch (error) {
      if (error instanceof UsageError || error instanceof LimitError) throw error
      throw new UsageError('INVALID_VALUE', `${this.#pathHere()} could not be read.`, { cause: error })
    } finally {
      this.#out.release()
      this.#forgetObjects()
    }
  }

  /** Holds on to nothing of the caller's. */
  #forgetObjects(): void {
    this.#firstObjects.fill(undefined, 0, this.#objects)
    this.#objects = 0
    if (this.#laterObjects.size > 0) this.#laterObjects.clear()
  }

  // --- values

  #write(value: unknown): void {
    switch (typeof value) {
      case 'string':
        if (!this.#out.text(value)) throw this.#refused('has a lone surrogate')
        return
      case 'number':
        return this.#out.number(value)
      case 'boolean':
        return this.#out.byte(value ? code.true : code.false)
      case 'object':
        return value === null ? this.#out.byte(code.nil) : this.#object(value)
      case 'bigint':
        return this.#out.bigint(value)
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
    this.#out.header(names.length, code.fixMap, code.map16, code.map32)
    for (let i = 0; i < names.length; i++) {
      const name = names[i]!
      this.#path[this.#depth - 1] = name
      if (!this.#out.text(name)) throw this.#refused('has a lone surrogate in its property name')
      this.#write(object[name])
    }
    this.#depth--
  }

  #array(array: readonly unknown[]): void {
    const length = array.length
    if (Object.keys(array).length !== length) throw this.#refused('is an array with holes or with named properties')
    this.#enter()
    this.#out.header(length, code.fixArray, code.array16, code.array32)
    for (let i = 0; i < length; i++) {
      this.#path[this.#depth - 1] = i
      this.#write(array[i])
    }
    this.#depth--
  }

  map(map: Map<unknown, unknown>): void {
    this.#refuseNamedProperties(map)
    this.#enter()
    const start = this.#out.beginExtension()
    let index = 0
    for (const [key, value] of map) {
      this.#path[this.#depth - 1] = { member: 'key', index }
      this.#write(key)
      this.#path[this.#depth - 1] = { member: 'value', index }
      this.#write(value)
      index++
    }
    this.#out.endExtension(start, extension.map)
    this.#depth--
  }

  set(set: Set<unknown>): void {
    this.#refuseNamedProperties(set)
    this.#enter()
    const start = this.#out.beginExtension()
    let index = 0
    for (const member of set) {
      this.#path[this.#depth - 1] = { member: 'member', index }
      this.#write(member)
      index++
    }
    this.#out.endExtension(start, extension.set)
    this.#depth--
  }

  date(date: Date): void {
    this.#refuseNamedProperties(date)
    this.#out.date(Date.prototype.getTime.call(date))
  }

  regexp(regexp: RegExp): void {
    this.#refuseNamedProperties(regexp)
    const start = this.#out.beginExtension()
    if (!this.#out.text(regexp.source)) throw this.#refused('has a lone surrogate')
    this.#out.text(regexp.flags)
    this.#out.endExtension(start, extension.regexp)
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
    const start = this.#out.beginExtension()
    this.#out.byte(kind)
    this.#out.byte((hasMessage ? errorParts.message : 0) | (typeof stack === 'string' ? errorParts.stack : 0) | (hasCause ? errorParts.cause : 0))
    this.#path[this.#depth - 1] = 'message'
    if (hasMessage && !this.#out.text(message)) throw this.#refused('has a lone surrogate')
    this.#path[this.#depth - 1] = 'stack'
    if (typeof stack === 'string' && !this.#out.text(stack)) throw this.#refused('has a lone surrogate')
    this.#path[this.#depth - 1] = 'cause'
    if (hasCause) this.#write(error.cause)
    this.#out.endExtension(start, extension.error)
    this.#depth--
  }

  uint8Array(array: Uint8Array): void {
    this.#out.bin(this.#bytesOf(array))
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
    const start = this.#out.beginExtension()
    this.#out.byte(kind)
    this.#out.raw(bytes)
    this.#out.endExtension(start, extension.binary)
  }

  /** Exactly the bytes that the view shows, however large the buffer beneath it. */
  #bytesOf(view: ArrayBufferView): Uint8Array {
    if (is.isSharedArrayBuffer(view.buffer)) throw this.#refused('is a view of a SharedArrayBuffer')
    return new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
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
    this.#out.reference(number)
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
    const steps = this.#path.slice(0, this.#depth).map(stepText)
    if (steps.length > shownSteps) steps.splice(shownSteps / 2, steps.length - shownSteps, '…')
    return `value${steps.join('')}`
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
const shownSteps = 20

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
