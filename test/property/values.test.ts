import { isDeepStrictEqual } from 'node:util'
import { runInNewContext } from 'node:vm'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeValue, encodeValue } from '../../engine/encoding/values.js'
import { LimitError, StorageError, UsageError } from '../../engine/errors.js'

const roundTrip = (value: unknown): unknown => decodeValue(encodeValue(value))
const hex = (value: unknown): string => Buffer.from(encodeValue(value)).toString('hex')

const refusal = (value: unknown): string | undefined => {
  try {
    encodeValue(value)
  } catch (error) {
    if (error instanceof UsageError && error.code === 'INVALID_VALUE') return error.message
    throw error
  }
  return undefined
}

/** What structured clone makes of it; the class of each part is compared too. */
const isAsCloned = (actual: unknown, value: unknown): boolean => isDeepStrictEqual(actual, structuredClone(value))

// --- values that must be accepted

const text = fc.oneof(
  fc.string({ unit: fc.constantFrom('\0', 'a', '\x7f', '\x80', 'é', '€', '\ufeff', '\ufffd', '😀', '\u{10ffff}'), maxLength: 40 }),
  fc.string({ unit: 'binary', maxLength: 80 }),
  fc.nat(300).map(length => 'x'.repeat(length)),
)
const name = fc.oneof(fc.constantFrom('__proto__', 'constructor', 'toJSON', 'hasOwnProperty', 'length', '__keys__', '', '0', '17', 'a', 'b'), text)
const number = fc.oneof(
  fc.constantFrom(0, -0, NaN, Infinity, -Infinity, 0.5, 2 ** 53, 5e-324, 1.7976931348623157e308),
  fc.tuple(fc.constantFrom(5, 7, 8, 15, 16, 31, 32, 33, 52), fc.constantFrom(-1, 0, 1), fc.constantFrom(1, -1)).map(([bits, off, sign]) => sign * (2 ** bits + off)),
  fc.integer(),
  fc.double(),
)
const bigint = fc.oneof(
  fc.tuple(fc.constantFrom(0, 7, 8, 31, 63, 64, 65, 127, 2_040, 100_000), fc.constantFrom(-1n, 0n, 1n), fc.constantFrom(1n, -1n)).map(([bits, off, sign]) => sign * (2n ** BigInt(bits) + off)),
  fc.bigInt(),
)
const date = fc.oneof(fc.constantFrom(0, -1, 8.64e15, -8.64e15).map(time => new Date(time)), fc.date({ noInvalidDate: true }))
const typedArray = fc.oneof(
  fc.int8Array(),
  fc.uint8Array(),
  fc.uint8ClampedArray(),
  fc.int16Array(),
  fc.uint16Array(),
  fc.int32Array(),
  fc.uint32Array(),
  fc.float32Array(),
  fc.float64Array(),
  fc.bigInt64Array(),
  fc.bigUint64Array(),
)
const buffer = fc.uint8Array({ maxLength: 300 }).map(bytes => Uint8Array.from(bytes).buffer)
const regexp = fc.constantFrom(/a\/b[\n]/giu, new RegExp(''), /é😀/u, /\ud800/)
const leaf = fc.oneof(fc.constant(null), fc.boolean(), number, bigint, text, date, typedArray, buffer, regexp)

const { value: acceptable } = fc.letrec<{ value: unknown }>(tie => ({
  value: fc.oneof(
    { depthSize: 'small', maxDepth: 4 },
    leaf,
    fc.array(tie('value'), { maxLength: 20 }),
    fc.dictionary(name, tie('value'), { maxKeys: 20 }),
    fc.array(fc.tuple(tie('value'), tie('value')), { maxLength: 5 }).map(entries => new Map(entries)),
    fc.array(tie('value'), { maxLength: 5 }).map(members => new Set(members)),
    fc.tuple(fc.constantFrom(Error, RangeError, TypeError), text, tie('value')).map(([Kind, message, cause]) => new Kind(message, { cause })),
  ),
}))

describe('values that are accepted', () => {
  test('a value comes back as structured clone would return it', () => {
    fc.assert(
      fc.property(acceptable, value => {
        expect(isAsCloned(roundTrip(value), value)).toBe(true)
      }),
      { numRuns: 2_000 },
    )
  })

  test('a value that was read has the bytes it was read from', () => {
    fc.assert(
      fc.property(acceptable, value => {
        expect(hex(roundTrip(value))).toBe(hex(value))
      }),
      { numRuns: 1_000 },
    )
  })

  test('whatever there is either comes back as structured clone would return it or is refused', () => {
    const anything = fc.anything({
      withBigInt: true,
      withBoxedValues: true,
      withDate: true,
      withMap: true,
      withNullPrototype: true,
      withObjectString: true,
      withSet: true,
      withSparseArray: true,
      withTypedArray: true,
      withUnicodeString: true,
      maxDepth: 4,
    })
    let accepted = 0
    fc.assert(
      fc.property(anything, value => {
        if (refusal(value) !== undefined) return
        accepted++
        const back = roundTrip(value)
        expect(hex(back)).toBe(hex(value))
        expect(containsInvalidDate(value) || isAsCloned(back, value)).toBe(true)
      }),
      { numRuns: 3_000 },
    )
    expect(accepted).toBeGreaterThan(500)
  })

  test.each([-0, NaN, Infinity, -Infinity, 2 ** 31, -(2 ** 31), 2 ** 32, -(2 ** 31) - 1, 2n ** 64n, -(2n ** 64n), 2n ** 1_000_000n])('%s survives, alone and inside', value => {
    expect(Object.is(roundTrip(value), value)).toBe(true)
    expect(Object.is((roundTrip({ a: [value] }) as { a: unknown[] }).a[0], value)).toBe(true)
  })

  test('an invalid Date survives as an invalid Date', () => {
    expect((roundTrip([new Date(NaN)]) as Date[])[0]!.getTime()).toBeNaN()
  })

  test('__proto__ survives as a property and changes no prototype', () => {
    const value = JSON.parse('{"__proto__":{"polluted":true},"a":{"__proto__":null}}')
    const back = roundTrip(value) as Record<string, unknown>
    expect(Object.keys(back)).toStrictEqual(['__proto__', 'a'])
    expect(Object.getPrototypeOf(back)).toBe(Object.prototype)
    expect(back['polluted']).toBeUndefined()
    expect(JSON.stringify(back)).toBe(JSON.stringify(value))
  })

  test('property order survives', () => {
    expect(Object.keys(roundTrip({ b: 1, 2: 1, a: 1, 1: 1 }) as object)).toStrictEqual(['1', '2', 'b', 'a'])
  })

  test('many properties, entries, members and elements survive', () => {
    const list = Array.from({ length: 70_000 }, (_, i) => i)
    const value = [list, Object.fromEntries(list.map(i => [`k${i}`, i])), new Map(list.map(i => [i, i])), new Set(list)]
    expect(isAsCloned(roundTrip(value), value)).toBe(true)
  })

  test.each([15, 16, 31, 32, 255, 256, 65_535, 65_536])('lengths around %i survive', length => {
    const value = ['x'.repeat(length), 'é'.repeat(length), `\ufeff${'x'.repeat(length)}`, Array.from({ length }, () => 1), new Uint8Array(length).fill(7), new Uint16Array(length)]
    expect(isAsCloned(roundTrip(value), value)).toBe(true)
    const object = Object.fromEntries(value[3]!.length > 1_000 ? [] : (value[3] as number[]).map((_, i) => [`p${i}`, i]))
    expect(isAsCloned(roundTrip(object), object)).toBe(true)
  })

  test('a view keeps its class and its own bytes only', () => {
    const large = new Float32Array(100_000).fill(1.5)
    const views = { floats: large.subarray(10, 12), data: new DataView(new ArrayBuffer(10), 2, 5), buffer: Buffer.from('abc') }
    expect(encodeValue(views).length).toBeLessThan(100)
    const back = roundTrip(views) as typeof views
    expect(back.floats).toStrictEqual(new Float32Array([1.5, 1.5]))
    expect(back.data.byteLength).toBe(5)
    expect(Object.getPrototypeOf(back.buffer)).toBe(Uint8Array.prototype)
    expect([...back.buffer]).toStrictEqual([97, 98, 99])
  })

  test('an object without a prototype comes back as a plain one, as from structured clone', () => {
    const value = Object.assign(Object.create(null), { a: 1, toJSON: 'x', constructor: 2 })
    expect(roundTrip(value)).toStrictEqual({ a: 1, toJSON: 'x', constructor: 2 })
    expect(hex(value)).toBe(hex({ ...value }))
  })

  test('errors keep class, message, stack and cause', () => {
    for (const Kind of [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError]) {
      const error = new Kind('broken', { cause: { at: [1] } })
      const back = roundTrip(error) as Error
      expect(Object.getPrototypeOf(back)).toBe(Kind.prototype)
      expect([back.name, back.message, back.stack, back.cause]).toStrictEqual([error.name, error.message, error.stack, { at: [1] }])
      expect(Object.keys(back)).toStrictEqual([])
    }
    expect(Object.hasOwn(roundTrip(new Error()) as Error, 'message')).toBe(false)
    expect(Object.hasOwn(roundTrip(new Error()) as Error, 'cause')).toBe(false)
  })
})

// --- shared and cyclic references

/** True when a and b are the same graph: each object of one stands for exactly one of the other. */
const sameGraph = (a: unknown, b: unknown, partner = new Map<unknown, unknown>()): boolean => {
  if (typeof a !== 'object' || a === null) return Object.is(a, b)
  if (partner.has(a) || [...partner.values()].includes(b)) return partner.get(a) === b
  partner.set(a, b)
  const [x, y] = [a, b].map(node => (node instanceof Map ? [...node].flat() : node instanceof Set ? [...node] : Object.entries(node as object).flat()))
  return x!.length === y!.length && Object.getPrototypeOf(a) === Object.getPrototypeOf(b) && x!.every((item, i) => sameGraph(item, y![i], partner))
}

describe('shared references', () => {
  test('an object that is met twice comes back as one object, in every graph', () => {
    const edgesOfGraph = fc.array(fc.tuple(fc.nat(29), fc.nat(29)), { maxLength: 60 })
    const kindsOfNodes = fc.array(fc.constantFrom('object', 'array', 'map', 'set', 'date', 'bytes'), { minLength: 30, maxLength: 30 })
    fc.assert(
      fc.property(kindsOfNodes, edgesOfGraph, (kinds, edges) => {
        const make = { object: () => ({}), array: () => [], map: () => new Map(), set: () => new Set(), date: () => new Date(5), bytes: () => new Uint8Array(2) }
        const nodes = kinds.map(kind => make[kind]())
        for (const [from, to] of edges) {
          const [node, child] = [nodes[from]!, nodes[to]!]
          if (Array.isArray(node)) (node as unknown[]).push(child)
          else if (node instanceof Map) node.set(child, child)
          else if (node instanceof Set) node.add(child)
          else if (Object.getPrototypeOf(node) === Object.prototype) (node as Record<string, unknown>)[`to${to}`] = child
        }
        for (const graph of [nodes, nodes[0]]) {
          const back = roundTrip(graph)
          expect(sameGraph(graph, back)).toBe(true)
          expect(hex(back)).toBe(hex(graph))
        }
      }),
      { numRuns: 300 },
    )
  })

  test('an error may be its own cause', () => {
    const error = new Error('loop')
    error.cause = [error]
    const back = roundTrip(error) as Error
    expect((back.cause as unknown[])[0]).toBe(back)
  })

  test('two equal objects are not one', () => {
    const back = roundTrip([{ a: 1 }, { a: 1 }]) as object[]
    expect(back[0]).not.toBe(back[1])
    const one = { a: 1 }
    expect(hex([one, one])).not.toBe(hex([{ a: 1 }, { a: 1 }]))
  })
})

// --- refusals

const nested = (depth: number): unknown => {
  let value: unknown = 1
  for (let i = 0; i < depth; i++) value = i % 2 ? { a: value } : [value]
  return value
}
class Account {
  balance = 1
}
class Ledger extends Map {}

describe('values that are refused', () => {
  const cases: [string, unknown, string][] = [
    ['undefined', undefined, 'value is undefined.'],
    ['undefined in an object', { a: { b: undefined } }, 'value.a.b is undefined.'],
    ['undefined in an array', { items: [0, { price: undefined }] }, 'value.items[1].price is undefined.'],
    ['a hole', [Object.assign([], { 0: 1, 2: 3 })], 'value[0] is an array with holes or with named properties.'],
    ['an array of holes', Object.assign([], { length: 4_000_000_000 }), 'value is an array with holes or with named properties.'],
    ['a named property of an array', { hit: /a/.exec('a') }, 'value.hit is an array with holes or with named properties.'],
    ['undefined as a Map key', new Map([[undefined, 1]]), 'value<key 0> is undefined.'],
    ['undefined as a Map value', { m: new Map([[1, 2], [3, undefined as never]]) }, 'value.m<value 1> is undefined.'],
    ['undefined in a Set', new Set([1, undefined]), 'value<member 1> is undefined.'],
    ['a function', { 'on click': () => 1 }, 'value["on click"] is a function.'],
    ['a method', { nested: { toJSON() {} } }, 'value.nested.toJSON is a function.'],
    ['a class', { type: Account }, 'value.type is a function.'],
    ['a symbol', [Symbol('s')], 'value[0] is a symbol.'],
    ['a symbol as a property name', { a: { [Symbol('s')]: 1 } }, 'value.a has a property whose name is a symbol.'],
    ['an instance', { account: new Account() }, 'value.account is an instance of Account.'],
    ['an instance of a subclass of Map', { ledger: new Ledger() }, 'value.ledger is an instance of Ledger.'],
    ['an array of a subclass', new (class List extends Array {})(), 'value is an instance of List.'],
    ['an object with a prototype of its own', Object.create({ inherited: 1 }), 'value is an instance of an unnamed class.'],
    ['a boxed primitive', { n: Object(1) }, 'value.n is a boxed primitive.'],
    ['a promise', [Promise.resolve()], 'value[0] is an instance of Promise.'],
    ['a WeakMap', new WeakMap(), 'value is an instance of WeakMap.'],
    ['shared memory', { shared: new SharedArrayBuffer(4) }, 'value.shared is an instance of SharedArrayBuffer.'],
    ['a view of shared memory', { shared: new Uint8Array(new SharedArrayBuffer(4)) }, 'value.shared is a view of a SharedArrayBuffer.'],
    ['a lone surrogate', { name: 'a\ud800' }, 'value.name has a lone surrogate.'],
    ['a lone surrogate far into a string', { name: `${'x'.repeat(100)}\udc00` }, 'value.name has a lone surrogate.'],
    ['a lone surrogate in a property name', { a: { 'b\udc00': 1 } }, 'value.a["b\\udc00"] has a lone surrogate in its property name.'],
    ['a lone surrogate in a Map key', new Map([['\ud800', 1]]), 'value<key 0> has a lone surrogate.'],
    ['a lone surrogate in a pattern', [new RegExp('\ud800')], 'value[0] has a lone surrogate.'],
    ['a lone surrogate in an error message', [new Error('\ud800')], 'value[0].message has a lone surrogate.'],
    ['an error with a code', { e: Object.assign(new Error('x'), { code: 'EIO' }) }, 'value.e is an error with properties besides message, stack and cause.'],
    ['an AggregateError', new AggregateError([], 'x'), 'value is an instance of AggregateError.'],
    ['an undefined cause', new Error('x', { cause: undefined }), 'value.cause is undefined.'],
    ['a Map with a property', Object.assign(new Map(), { a: 1 }), 'value has properties of its own, which are not part of such a value.'],
    ['what only claims to be a Map', [Object.setPrototypeOf({}, Map.prototype)], 'value[0] could not be read.'],
    ['what only claims to be an error', Object.create(Error.prototype), 'value is not an error, though its prototype says so.'],
    ['a getter that throws', { a: { get b() { throw new Error('secret') } } }, 'value.a.b could not be read.'],
    ['arguments', (function () { return arguments })(), 'value has a property whose name is a symbol.'],
    ['an object of another realm', runInNewContext('({})'), 'value is an instance of Object.'],
    ['too much nesting', nested(501), 'The value is nested more than 500 deep.'],
    ['far too much nesting', nested(1_000_000), 'The value is nested more than 500 deep.'],
    ['a long path', [[[[[[[[[[[[{ a: [[[[[[[[[[undefined]]]]]]]]]] }]]]]]]]]]]]], `value${'[0]'.repeat(10)}…${'[0]'.repeat(10)} is undefined.`],
    ['a long property name', { ['n'.repeat(50)]: undefined }, `value["${'n'.repeat(40)}…"] is undefined.`],
  ]
  test.each(cases)('%s is refused with its path', (_, value, message) => {
    expect(refusal(value)).toBe(message)
  })

  test('a refusal leaves nothing behind: the next value is encoded as if nothing had happened', () => {
    const shared = { a: 1 }
    const good = { list: [shared, shared], m: new Map([[1, [2]]]) }
    const before = hex(good)
    for (const [, value] of cases) {
      expect(refusal({ x: [shared, shared, value] })).toBeDefined()
      expect(hex(good)).toBe(before)
      expect(hex([shared])).toBe('9181a16101')
    }
  })

  test('nesting up to the limit is accepted both ways', () => {
    const value = nested(500)
    expect(JSON.stringify(roundTrip(value))).toBe(JSON.stringify(value))
  })

  test('what a getter threw is the cause', () => {
    const cause = new Error('mine')
    const value = { get a() { throw cause } }
    expect(() => encodeValue(value)).toThrow(expect.objectContaining({ code: 'INVALID_VALUE', cause }))
  })

  test('a value larger than the limit is refused before it fills the memory', () => {
    const hundred = 'x'.repeat(100)
    expect(encodeValue(hundred, 102)).toHaveLength(102)
    expect(() => encodeValue(hundred, 101)).toThrow(LimitError)
    expect(() => encodeValue(Array.from({ length: 100_000 }, () => hundred), 50_000)).toThrow(expect.objectContaining({ code: 'VALUE_TOO_LARGE' }))
  })
})

// --- bytes

describe('encoded values', () => {
  test('bytes are the caller’s own, and so is what is decoded from them', () => {
    for (const value of ['x', { a: 'y'.repeat(200), b: new Uint8Array(20) }, 'z'.repeat(300_000)]) {
      const bytes = encodeValue(value)
      const copy = Uint8Array.from(bytes)
      encodeValue(['something', 'else', 'q'.repeat(1_000)])
      expect(Buffer.compare(bytes, copy)).toBe(0)
      const back = decodeValue(bytes)
      bytes.fill(0)
      expect(isDeepStrictEqual(back, value)).toBe(true)
    }
  })

  test('mutating the object after encoding changes nothing', () => {
    const value = { list: [1, 2], bytes: new Uint8Array([1]) }
    const bytes = encodeValue(value)
    value.list.push(3)
    value.bytes[0] = 9
    expect(decodeValue(bytes)).toStrictEqual({ list: [1, 2], bytes: new Uint8Array([1]) })
  })

  test('a getter may encode values itself, and is asked once', () => {
    let asked = 0
    const value = { before: [1], get inner() { asked++; return hex({ other: 'value' }) }, after: [2] }
    expect(roundTrip(value)).toStrictEqual({ before: [1], inner: hex({ other: 'value' }), after: [2] })
    expect(asked).toBe(1)
  })

  test('equal values have equal bytes, and what differs in content or order does not', () => {
    expect(hex({ a: 1, b: 2 })).toBe(hex({ a: 1, b: 2 }))
    expect(hex({ a: 1, b: 2 })).not.toBe(hex({ b: 2, a: 1 }))
    expect(hex(new Set([1, 2]))).not.toBe(hex(new Set([2, 1])))
    expect(hex(0)).not.toBe(hex(-0))
    expect(hex(1)).not.toBe(hex(1n))
    expect(hex([1])).not.toBe(hex(new Set([1])))
    expect(hex(new Uint8Array(2))).not.toBe(hex(new Int8Array(2)))
    const otherNaN = new Float64Array(new BigUint64Array([0xfff8_0000_0000_0001n]).buffer)[0]
    expect(hex(otherNaN)).toBe(hex(NaN))
    expect(hex(`x€${'y'.repeat(40)}`.slice(2))).toBe(hex('y'.repeat(40)))
  })

  test('bytes stay as docs/key-format.md shows them', () => {
    expect(hex({ name: 'nils', onCall: true, n: 1_000, share: -0 })).toBe('84a46e616d65a46e696c73a66f6e43616c6cc3a16ecd03e8a57368617265cb8000000000000000')
    expect(hex(new Map([['a', 1n]]))).toBe('c90000000705a161c702020001')
    expect(hex(new Date(0))).toBe('d7010000000000000000')
    const shared: unknown[] = []
    expect(hex([shared, shared])).toBe('c900000008099290d60800000001')
  })

  test.each([
    [0, '00'],
    [127, '7f'],
    [128, 'cc80'],
    [256, 'cd0100'],
    [65_536, 'ce00010000'],
    [2 ** 32 - 1, 'ceffffffff'],
    [2 ** 32, 'cb41f0000000000000'],
    [-1, 'ff'],
    [-32, 'e0'],
    [-33, 'd0df'],
    [-128, 'd080'],
    [-129, 'd1ff7f'],
    [-32_768, 'd18000'],
    [-32_769, 'd2ffff7fff'],
    [-(2 ** 31), 'd280000000'],
    [-(2 ** 31) - 1, 'cbc1e0000000200000'],
    [0.5, 'cb3fe0000000000000'],
    [NaN, 'cb7ff8000000000000'],
    [0n, 'c7010200'],
    [-1n, 'c702020101'],
    [2n ** 64n, 'c70a0200010000000000000000'],
    ['é', 'a2c3a9'],
  ])('%s is written as %s', (value, bytes) => {
    expect(hex(value)).toBe(bytes)
  })

  test('property names that are alike are told apart', () => {
    // The reader keeps names by a hash of their bytes. These pairs share a slot: one begins with the other, one is the other's bytes taken for Latin-1.
    const alike = [
      ['aond', 'aon'],
      ['abbbbbbbabuÃ©Ã©z', 'abbbbbbbabuééz'],
    ]
    const random = fc.sample(fc.string({ unit: fc.constantFrom('a', 'b', 'c', '1', '2', 'é', 'Ã', '©'), minLength: 2, maxLength: 8 }), 5_000)
    const pairs = [...alike, ...random.map(long => [long, long.slice(0, -1)])]
    const wrong = pairs.filter(pair => pair.some(key => Object.keys(roundTrip({ [key]: 1 }) as object)[0] !== key))
    expect(wrong).toStrictEqual([])
  })

  test('damaged bytes are reported as damage or decode to something, and never do anything else', () => {
    fc.assert(
      fc.property(acceptable, fc.nat(), fc.nat(4), fc.uint8Array({ maxLength: 4 }), (value, at, drop, add) => {
        const bytes = encodeValue([value, value])
        const cut = at % bytes.length
        const damaged = Buffer.concat([bytes.subarray(0, cut), add, bytes.subarray(cut + drop)])
        try {
          decodeValue(damaged)
        } catch (error) {
          expect(error).toBeInstanceOf(StorageError)
          expect((error as StorageError).code).toBe('CORRUPT')
        }
      }),
      { numRuns: 2_000 },
    )
  })

  test.each([
    ['nothing', ''],
    ['two values', '0101'],
    ['a string cut short', 'a361'],
    ['an array of four thousand million', 'ddffffffff'],
    ['an object of four thousand million', 'dfffffffff'],
    ['bytes beyond the end', 'c6ffffffff00'],
    ['a reference outside a graph', '91d60800000000'],
    ['a reference to what has not begun', 'c9000000070991d60800000005'],
    ['a graph of another length', 'c900000001099101'],
    ['an extension shorter than its content', 'c90000000105a16101'],
    ['an extension longer than its content', '92c90000000404a161a000'],
    ['an unknown extension', 'c9000000016301'],
    ['an unknown error class', 'c900000002070900'],
    ['a pattern that is none', 'c90000000304a128a0'],
    ['half a float in a typed array', 'c900000002030801'],
    ['a never used byte', 'c1'],
    ['nesting without end', '91'.repeat(100_000)],
  ])('%s is damage', (_, bytes) => {
    expect(() => decodeValue(Buffer.from(bytes, 'hex'))).toThrow(expect.objectContaining({ code: 'CORRUPT' }))
  })
})

const containsInvalidDate = (value: unknown): boolean => {
  if (value instanceof Date) return Number.isNaN(value.getTime())
  if (value instanceof Map) return [...value].flat().some(containsInvalidDate)
  if (value instanceof Set) return [...value].some(containsInvalidDate)
  return typeof value === 'object' && value !== null && Object.values(value).some(containsInvalidDate)
}

describe('objects alike, again and again', () => {
  const often = 60
  const again = (value: unknown): void => {
    for (let i = 0; i < often; i++) expect(isAsCloned(roundTrip(value), value)).toBe(true)
  }

  test('are what the first of them was, in the order of their names', () => {
    const rows = [{ id: 1, name: 'ä', tags: [{ at: 1 }, { at: 2 }] }, { 10: 'b', 9: 'a', z: 'c' }, { 'a"b\\c${d}`\'': 1, 'new\u007f': 2 }, JSON.parse('{"__proto__":{"x":1},"a":2}'), { a: 1, __proto__: null }]
    for (const row of rows) {
      again(row)
      expect(Object.keys(roundTrip(row) as object)).toEqual(Object.keys(row as object))
    }
    expect(Object.getPrototypeOf(roundTrip(rows[3]))).toBe(Object.prototype)
    expect(Object.hasOwn(roundTrip(rows[3]) as object, '__proto__')).toBe(true)
    expect('x' in {}).toBe(false)
  })

  test('are writable and extensible, and share nothing', () => {
    const row = { first: { n: 1 }, second: [1] }
    again(row)
    const [a, b] = [roundTrip(row), roundTrip(row)] as { first: { n: number }; second: number[]; third?: number }[]
    a!.first.n = 2
    a!.third = 3
    expect([a, b]).toEqual([{ first: { n: 2 }, second: [1], third: 3 }, row])
    expect(Object.getOwnPropertyDescriptor(a, 'second')).toEqual({ value: [1], writable: true, enumerable: true, configurable: true })
  })

  test('are not mistaken for others that begin in the same way', () => {
    again({ kind: 1, size: 2, last: 3 })
    for (const other of [{ kind: 1, sizes: 2, last: 3 }, { kind: 1, size: 2, list: 3 }, { kind: 1, size: 2 }, { kind: 1, last: 3, size: 2 }, { kink: 1, size: 2, last: 3 }, { kind: 1, size: 2, ['l'.repeat(40)]: 3 }]) {
      expect(isAsCloned(roundTrip(other), other)).toBe(true)
      expect(Object.keys(roundTrip(other) as object)).toEqual(Object.keys(other))
    }
    const protos = JSON.parse('{"kind":1,"__proto__":2,"last":3}') as object
    expect(Object.keys(roundTrip(protos) as object)).toEqual(['kind', '__proto__', 'last'])
  })

  test('keep their references', () => {
    const shared = { of: 'two' }
    const row = { left: shared, right: shared, itself: undefined as unknown }
    row.itself = row
    for (let i = 0; i < often; i++) {
      const back = roundTrip(row) as typeof row
      expect([back.left === back.right, back.itself === back, back.left.of]).toEqual([true, true, 'two'])
    }
  })

  test('take no longer where they lie in each other and differ at their ends', () => {
    const chain = (depth: number, last: string): object => (depth === 0 ? {} : { inner: chain(depth - 1, last), [last]: 1 })
    again(chain(40, 'right'))
    const other = chain(40, 'wrong')
    expect(isAsCloned(roundTrip(other), other)).toBe(true)
  })

  test('that are cut short or damaged are refused, or other objects, and never a crash', () => {
    const row = { balance: 1_000, owner: 'anna', when: new Date(0), more: { deep: [1, 2, 3] } }
    again(row)
    const bytes = Uint8Array.from(encodeValue(row))
    for (let end = 0; end < bytes.length; end++) expect(() => decodeValue(bytes.subarray(0, end))).toThrow(StorageError)
    for (let at = 0; at < bytes.length; at++) {
      for (const bit of [1, 8, 64, 128]) {
        const damaged = Uint8Array.from(bytes)
        damaged[at]! ^= bit
        try {
          decodeValue(damaged)
        } catch (error) {
          expect(error).toBeInstanceOf(StorageError)
        }
      }
    }
  })
})
