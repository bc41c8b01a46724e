import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  bytesToKey,
  decodeKey,
  encodeKey,
  encodePartial,
  type KeyElement,
  type KeyElementType,
  keyToBytes,
  type KeyTuple,
  prefixRange,
  tablePrefix,
  tableRange,
} from '../../engine/encoding/keys.js'
import { LimitError, StorageError, UsageError } from '../../engine/errors.js'
import { asKey, type Key, type KeyRange } from '../../isolation/types.js'

// --- keys to try: few distinct values, so that equal beginnings are common, and the values where encodings tend to break

const text = fc.oneof(
  fc.string({ unit: fc.constantFrom('\0', '\x01', 'a', 'b', '\x7f', '\x80', 'ÿ', '\ud7ff', '\ue000', '\ufffd', '\uffff', '😀', '\u{10ffff}'), maxLength: 4 }),
  fc.string({ unit: 'binary', maxLength: 20 }),
)
const bytes = fc.oneof(
  fc.array(fc.constantFrom(0, 1, 0x60, 0x7f, 0x80, 0xfe, 0xff), { maxLength: 4 }).map(list => Uint8Array.from(list)),
  fc.uint8Array({ maxLength: 20 }),
)
const number = fc.oneof(
  fc.constantFrom(0, 1, -1, 2, 255, 256, -256, 0.1, -0.1, 5e-324, -5e-324, Infinity, -Infinity, 2 ** 53, -(2 ** 53), 1.7976931348623157e308),
  fc.integer(),
  fc.double({ noNaN: true }).map(value => value + 0),
)
const edgeBigint = fc
  .tuple(fc.constantFrom(0, 1, 7, 8, 47, 48, 53, 54, 63, 64, 65, 127, 128, 8 * 123, 8 * 124, 8 * 125), fc.constantFrom(-1n, 0n, 1n), fc.boolean())
  .map(([bits, off, negative]) => (2n ** BigInt(bits) + off) * (negative ? -1n : 1n))
const bigint = fc.oneof(edgeBigint, fc.bigInt({ min: -300n, max: 300n }), fc.bigInt())
const date = fc.oneof(fc.constantFrom(0, 1, -1, 8.64e15, -8.64e15).map(time => new Date(time)), fc.date({ noInvalidDate: true }))

const { element } = fc.letrec<{ element: KeyElement; nested: KeyElement[] }>(tie => ({
  element: fc.oneof({ depthSize: 'small', maxDepth: 3 }, fc.constant(null), fc.boolean(), number, bigint, date, text, bytes, tie('nested')),
  nested: fc.array(tie('element'), { maxLength: 3 }),
}))
const tuple = fc.array(element, { maxLength: 3 })
const tableId = fc.oneof(fc.constantFrom(0, 1, 0xef, 0xf0, 0xf1, 255, 256, 65_535, 65_536, 2 ** 32, Number.MAX_SAFE_INTEGER), fc.nat())

const typeOf = (value: KeyElement): KeyElementType => {
  if (value === null) return 'null'
  if (value instanceof Date) return 'date'
  if (value instanceof Uint8Array) return 'bytes'
  if (Array.isArray(value)) return value.map(typeOf)
  return typeof value as 'boolean' | 'number' | 'bigint' | 'string'
}
const encode = (key: KeyTuple, id = 7): Key => encodeKey(tablePrefix(id), key, key.map(typeOf))
const within = (key: Key, { lo, hi }: KeyRange): boolean => lo <= key && key < hi

// --- the order that is promised, written without a look at the encoding

const rank = (value: KeyElement): number =>
  ['null', 'boolean', 'number', 'bigint', 'date', 'string', 'bytes', 'tuple'].indexOf(Array.isArray(value) ? 'tuple' : (typeOf(value) as string))

const compareLists = <T>(a: readonly T[], b: readonly T[], compare: (x: T, y: T) => number): number => {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const order = compare(a[i]!, b[i]!)
    if (order !== 0) return order
  }
  return a.length - b.length
}
const codePoints = (string: string): number[] => Array.from(string, point => point.codePointAt(0)!)
const compareElements = (a: KeyElement, b: KeyElement): number => {
  if (rank(a) !== rank(b)) return rank(a) - rank(b)
  if (Array.isArray(a)) return compareLists(a, b as KeyElement[], compareElements)
  if (a instanceof Uint8Array) return compareLists([...a], [...(b as Uint8Array)], (x, y) => x - y)
  if (typeof a === 'string') return compareLists(codePoints(a), codePoints(b as string), (x, y) => x - y)
  return a! < b! ? -1 : a! > b! ? 1 : 0
}
const compareTuples = (a: KeyTuple, b: KeyTuple): number => compareLists(a, b, compareElements)

const codeOf = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    if (error instanceof UsageError || error instanceof LimitError || error instanceof StorageError) return error.code
    throw error
  }
  return 'accepted'
}

describe('keys', () => {
  test('a key decodes to exactly what was encoded', () => {
    fc.assert(
      fc.property(tableId, tuple, (id, key) => {
        const decoded = decodeKey(encode(key, id))
        expect(decoded).toStrictEqual({ tableId: id, tuple: key })
      }),
      { numRuns: 1_000 },
    )
  })

  test('byte order is logical order, and two different keys never share an encoding', () => {
    fc.assert(
      fc.property(tuple, tuple, (a, b) => {
        const [x, y] = [encode(a), encode(b)]
        expect(x < y ? -1 : x > y ? 1 : 0).toBe(Math.sign(compareTuples(a, b)))
      }),
      { numRuns: 3_000 },
    )
  })

  test.each([
    ['number', number],
    ['bigint', bigint],
    ['date', date],
    ['string', text],
    ['bytes', bytes],
  ] as const)('byte order is logical order among elements of type %s', (_, arbitrary) => {
    fc.assert(
      fc.property(arbitrary as fc.Arbitrary<KeyElement>, arbitrary as fc.Arbitrary<KeyElement>, (a, b) => {
        const [x, y] = [encode([a, 1]), encode([b, 1])]
        expect(x < y ? -1 : x > y ? 1 : 0).toBe(Math.sign(compareElements(a, b)))
      }),
      { numRuns: 1_500 },
    )
  })

  test('no key is a prefix of another, in its own table or in any other', () => {
    fc.assert(
      fc.property(tableId, tuple, tableId, tuple, (id, a, otherId, b) => {
        const [x, y] = [encode(a, id), encode(b, otherId)]
        fc.pre(x !== y)
        expect(x.startsWith(y) || y.startsWith(x)).toBe(false)
      }),
      { numRuns: 2_000 },
    )
  })

  test('nesting, arity and type all tell keys apart', () => {
    const keys = [[1, [2]], [1, 2], [[1, 2]], [[1], 2], [[1], [2]], [1], [], [[]], [[[]]], ['1'], [1n], [null], [false], ['', ''], [''], [new Uint8Array()], ['\0'], ['', '\0']]
    expect(new Set(keys.map(key => encode(key as KeyTuple))).size).toBe(keys.length)
  })

  test('-0 is the key 0', () => {
    expect(encode([-0])).toBe(encode([0]))
    expect(decodeKey(encode([-0])).tuple).toStrictEqual([0])
  })

  test('a Buffer is the same key as its bytes, wherever they lie', () => {
    const view = new Uint8Array([9, 0, 1, 255, 9]).subarray(1, 4)
    expect(encode([Buffer.from([0, 1, 255])])).toBe(encode([view]))
    expect(decodeKey(encode([view])).tuple).toStrictEqual([Uint8Array.of(0, 1, 255)])
  })

  test('encodings stay as docs/key-format.md shows them', () => {
    const hex = (key: Key): string => Buffer.from(key, 'latin1').toString('hex')
    const shown = (spaced: string): string => spaced.replaceAll(' ', '')
    expect(hex(encode(['ab'], 1))).toBe(shown('01 60616200 00'))
    expect(hex(encode(['a\0é'], 1))).toBe(shown('01 606100ffc3a900 00'))
    expect(hex(encode([1, null], 1))).toBe(shown('01 30bff0000000000000 10 00'))
    expect(hex(encode([-1], 300))).toBe(shown('f1012c 30400fffffffffffff 00'))
    expect(hex(encode([300n], 1))).toBe(shown('01 4082012c 00'))
    expect(hex(encode([-300n], 1))).toBe(shown('01 407efed3 00'))
    expect(hex(encode([2n ** 992n - 1n], 1))).toBe(shown(`01 40fc007c${'ff'.repeat(124)} 00`))
    expect(hex(encode([1n - 2n ** 992n], 1))).toBe(shown(`01 4004ff83${'00'.repeat(124)} 00`))
    expect(hex(encode([0n, true], 1))).toBe(shown('01 4080 21 00'))
    expect(hex(encode([[new Date(0)], Uint8Array.of(0, 255)], 1))).toBe(shown('01 80 508000000000000000 00 7000ffff00 00'))
  })
})

describe('ranges', () => {
  test('a prefix range holds exactly the keys that begin with the given elements', () => {
    fc.assert(
      fc.property(tuple, tuple, fc.nat(3), (a, b, take) => {
        const types = b.map(typeOf)
        fc.pre(types.length !== 1 || (types[0] !== 'string' && types[0] !== 'bytes'))
        const start = b.slice(0, Math.min(take, b.length))
        const range = prefixRange(tablePrefix(7), start, types)
        expect(within(encode(b), range)).toBe(true)
        expect(within(encode(a), range)).toBe(compareTuples(a.slice(0, start.length), start) === 0)
        expect(within(encode(b, 8), range) || within(encode(b, 6), range)).toBe(false)
      }),
      { numRuns: 2_000 },
    )
  })

  test('where the key is one string, a prefix range holds exactly the strings that begin with it', () => {
    fc.assert(
      fc.property(text, text, text, (start, rest, other) => {
        const range = prefixRange(tablePrefix(7), [start], ['string'])
        expect(within(encode([start + rest]), range)).toBe(true)
        expect(within(encode([other]), range)).toBe(other.startsWith(start))
      }),
      { numRuns: 2_000 },
    )
  })

  test('where the key is one byte array, a prefix range holds exactly the arrays that begin with it', () => {
    fc.assert(
      fc.property(bytes, bytes, bytes, (start, rest, other) => {
        const range = prefixRange(tablePrefix(7), [start], ['bytes'])
        expect(within(encode([Uint8Array.of(...start, ...rest)]), range)).toBe(true)
        expect(within(encode([other]), range)).toBe(Buffer.compare(other.subarray(0, start.length), start) === 0)
      }),
      { numRuns: 2_000 },
    )
  })

  test('a table range holds exactly the keys of the table', () => {
    fc.assert(
      fc.property(tableId, tableId, tuple, (id, other, key) => {
        expect(within(encode(key, id), tableRange(tablePrefix(id)))).toBe(true)
        expect(within(encode(key, other), tableRange(tablePrefix(id)))).toBe(other === id)
      }),
    )
  })

  test('tables sort by id, and none begins with 0xFF', () => {
    fc.assert(
      fc.property(tableId, tableId, (a, b) => {
        const [x, y] = [tablePrefix(a), tablePrefix(b)]
        expect(x < y ? -1 : x > y ? 1 : 0).toBe(Math.sign(a - b))
        expect(x < '\xff').toBe(true)
      }),
    )
  })

  test('a partial key sorts before all keys that extend it and after all keys below them', () => {
    fc.assert(
      fc.property(tuple, tuple, fc.nat(3), (a, b, take) => {
        const start = b.slice(0, Math.min(take, b.length))
        const bound = encodePartial(tablePrefix(7), start, b.map(typeOf))
        const key = encode(a)
        expect(key < bound ? -1 : key > bound ? 1 : 0).toBe(Math.sign(compareTuples(a, start)))
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('refused keys', () => {
  const cases: [string, KeyTuple, KeyElementType[], string][] = [
    ['NaN', [NaN], ['number'], 'Key element 1 is NaN'],
    ['an invalid Date', [1, new Date(NaN)], ['number', 'date'], 'Key element 2 is an invalid Date'],
    ['a lone surrogate', ['a\ud800'], ['string'], 'Key element 1 has a lone surrogate'],
    ['a lone surrogate in a nested tuple', [1, ['a', '\udc00b']], ['number', ['string', 'string']], 'Key element 2.2 has a lone surrogate'],
    ['a wrong type', ['1'], ['number'], 'Key element 1 must be a number, not a string'],
    ['undefined', [undefined as never], ['string'], 'Key element 1 must be a string, not undefined'],
    ['an object', [{} as never], ['string'], 'Key element 1 must be a string, not an object'],
    ['a bare value for a nested tuple', [1], [['number']], 'Key element 1 must be a tuple, not a number'],
    ['a nested tuple of the wrong length', [[1]], [['number', 'number']], 'Key element 1 must be a tuple of 2 elements, not of 1'],
    ['too few elements', [1], ['number', 'number'], 'The key must have 2 elements, not 1'],
    ['too many elements', [1, 2], ['number'], 'The key must have 1 elements, not 2'],
  ]
  test.each(cases)('%s is refused with its place and reason', (_, key, types, message) => {
    expect(() => encodeKey(tablePrefix(1), key, types)).toThrow(message)
    expect(codeOf(() => encodeKey(tablePrefix(1), key, types))).toBe('INVALID_KEY')
  })

  test('a prefix is judged like a key', () => {
    expect(codeOf(() => prefixRange(tablePrefix(1), ['\ud83d'], ['string']))).toBe('INVALID_KEY')
    expect(codeOf(() => prefixRange(tablePrefix(1), [1], ['string', 'string']))).toBe('INVALID_KEY')
    expect(codeOf(() => prefixRange(tablePrefix(1), ['a', 'b'], ['string']))).toBe('INVALID_KEY')
    expect(codeOf(() => encodePartial(tablePrefix(1), ['a', 'b'], ['string']))).toBe('INVALID_KEY')
    expect(codeOf(() => prefixRange(tablePrefix(1), ['a'.repeat(1_899)], ['string']))).toBe('KEY_TOO_LARGE')
  })

  test('a key of exactly 1,900 bytes fits and one more byte does not', () => {
    expect(encode(['x'.repeat(1_896)], 1)).toHaveLength(1_900)
    expect(codeOf(() => encode(['x'.repeat(1_897)], 1))).toBe('KEY_TOO_LARGE')
    expect(() => encode(['x'.repeat(1_897)], 1)).toThrow(/1901 .*1900/)
    expect(codeOf(() => encode(['\0'.repeat(949)], 1))).toBe('KEY_TOO_LARGE')
    expect(codeOf(() => encode(['é'.repeat(949)], 1))).toBe('KEY_TOO_LARGE')
    expect(codeOf(() => encode(['x'.repeat(1_000), 'x'.repeat(1_000)], 1))).toBe('KEY_TOO_LARGE')
    expect(codeOf(() => encode([new Uint8Array(100_000)]))).toBe('KEY_TOO_LARGE')
    expect(codeOf(() => encode([2n ** 100_000n]))).toBe('KEY_TOO_LARGE')
    expect(codeOf(() => encode([-(2n ** (8n * 1_900n))]))).toBe('KEY_TOO_LARGE')
    expect(decodeKey(encode([2n ** (8n * 1_890n) - 1n])).tuple).toStrictEqual([2n ** (8n * 1_890n) - 1n])
  })

  test.each([-1, 0.5, NaN, 2 ** 53])('a table id of %s is refused', id => {
    expect(codeOf(() => tablePrefix(id))).toBe('INVALID_ARGUMENT')
  })
})

describe('stored bytes', () => {
  test('bytes decode to the one key that encodes to them, or are reported as damage', () => {
    const edit = fc.record({ at: fc.nat(), drop: fc.nat(3), add: fc.uint8Array({ maxLength: 3 }) })
    fc.assert(
      fc.property(tableId, tuple, edit, (id, key, { at, drop, add }) => {
        const whole = encode(key, id)
        const cut = at % (whole.length + 1)
        const damaged = asKey(whole.slice(0, cut) + Buffer.from(add).toString('latin1') + whole.slice(cut + drop))
        let decoded
        try {
          decoded = decodeKey(damaged)
        } catch (error) {
          expect(error).toBeInstanceOf(StorageError)
          expect((error as StorageError).code).toBe('CORRUPT')
          return
        }
        expect(encode(decoded.tuple, decoded.tableId)).toBe(damaged)
      }),
      { numRuns: 5_000 },
    )
  })

  test.each([
    ['nothing', ''],
    ['a table id alone', '01'],
    ['metadata', 'ff7072656d697365'],
    ['an id in a longer form than needed', 'f00100'],
    ['an id with a leading zero', 'f100f000'],
    ['an unknown tag', '019000'],
    ['bytes after the end', '010000'],
    ['a string without end', '01606161'],
    ['a string that is not UTF-8', '0160c30000'],
    ['an overlong form', '0160c0800000'],
    ['an encoded surrogate', '0160eda0800000'],
    ['a number cut short', '0130bff0'],
    ['-0', '01307fffffffffffffff00'],
    ['NaN', '0130fff800000000000000'],
    ['a time that is no integer', '0150bfe000000000000000'],
    ['a bigint with a leading zero', '01408200ff00'],
    ['a bigint longer than the key', '0140fcffff00'],
    ['a long bigint with a leading zero', '01408700ffffffffffff00'],
    ['a bigint in a longer form than needed', '0140fc00010500'],
    ['tuples without end', `01${'80'.repeat(1_800)}`],
  ])('%s is damage, not a key', (_, hex) => {
    expect(codeOf(() => decodeKey(asKey(Buffer.from(hex, 'hex').toString('latin1'))))).toBe('CORRUPT')
  })

  test('keys survive the way through a byte array, and neighbours stay untouched', () => {
    fc.assert(
      fc.property(tuple, fc.boolean(), (elements, asBuffer) => {
        const key = encode(elements)
        const target = (asBuffer ? Buffer.alloc(key.length + 4) : new Uint8Array(key.length + 4)).fill(0xaa)
        expect(keyToBytes(key, target, 2)).toBe(key.length + 2)
        expect(bytesToKey(target, 2, key.length + 2)).toBe(key)
        expect([target[0], target[1], target.at(-2), target.at(-1)]).toStrictEqual([0xaa, 0xaa, 0xaa, 0xaa])
      }),
    )
  })

  test('a key is not written where it does not fit', () => {
    const target = new Uint8Array(4)
    expect(() => keyToBytes(encode(['abcdef']), target, 0)).toThrow(RangeError)
    expect([...target]).toStrictEqual([0, 0, 0, 0])
  })
})
