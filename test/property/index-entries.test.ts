/** Index entries against a sort that knows nothing of their encoding: order, bounds, prefixes, and what comes back. */
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  afterAllOf,
  entriesBeginningWith,
  fromStart,
  indexKeyOf,
  indexKeyStart,
  plainEntry,
  plainEntryValue,
  readBound,
  rowKeyOfPlain,
  rowKeyOfUnique,
  splitPlain,
  uniqueEntry,
  uniqueEntryValue,
} from '../../engine/encoding/index-entries.js'
import { decodeKey, encodeKey, tablePrefix, tableRange, type KeyElement } from '../../engine/encoding/keys.js'
import { decodeValue } from '../../engine/encoding/values.js'
import { row } from '../../engine/index.js'
import type { Key } from '../../isolation/types.js'
import { sharedDatabase } from '../support/databases.js'

const text = fc.string({ unit: fc.constantFrom('\0', '\x01', 'a', 'b', '\x7f', 'ÿ', '\ud7ff', '\uffff', '😀'), maxLength: 3 })
const bytes = fc.array(fc.constantFrom(0, 1, 0x60, 0x80, 0xfe, 0xff), { maxLength: 3 }).map(list => Uint8Array.from(list))
const number = fc.oneof(fc.constantFrom(0, 1, -1, 255, 0.1, -0.1, 5e-324, Infinity, -Infinity, 2 ** 53), fc.double({ noNaN: true }).map(n => n + 0))
const bigint = fc.oneof(fc.constantFrom(0n, 1n, -1n, 255n, 256n, -256n, 2n ** 64n, -(2n ** 64n)), fc.bigInt())
const date = fc.oneof(fc.constantFrom(0, 1, -1, 8.64e15, -8.64e15).map(time => new Date(time)), fc.date({ noInvalidDate: true }))
const { element } = fc.letrec<{ element: KeyElement; nested: KeyElement[] }>(tie => ({
  element: fc.oneof({ depthSize: 'small', maxDepth: 2 }, fc.constant(null), fc.boolean(), number, bigint, date, text, bytes, tie('nested')),
  nested: fc.array(tie('element'), { maxLength: 2 }),
}))
/** An index key as its elements: at least one. */
const elements = fc.array(element, { minLength: 1, maxLength: 3 })
/** Few distinct ones, so that equal and overlapping keys are common. */
const near = fc.array(fc.constantFrom<KeyElement[]>(null, true, 1, 1n, 'a', 'ab', 'ab\0', '', new Date(1), Uint8Array.of(255), Uint8Array.of(255, 0), ['a'], []) as fc.Arbitrary<KeyElement>, { minLength: 1, maxLength: 3 })
const indexKey = fc.oneof(elements, near)

const rank = (value: KeyElement): number =>
  Array.isArray(value) ? 7 : value === null ? 0 : value instanceof Date ? 4 : value instanceof Uint8Array ? 6 : ['boolean', 'number', 'bigint', '', 'string'].indexOf(typeof value) + 1
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
const compareKeys = (a: readonly KeyElement[], b: readonly KeyElement[]): number => compareLists(a, b, compareElements)
const bare = (key: readonly KeyElement[]): KeyElement => (key.length === 1 ? key[0]! : [...key])
const sign = (x: string, y: string): number => (x < y ? -1 : x > y ? 1 : 0)

const id = fc.constantFrom(1, 7, 0xef, 0xf0, 300, 65_536)
const prefixOf = tablePrefix
const rowKeyOf = (table: number, n: number, name: string): Key => encodeKey(prefixOf(table), [n, name], ['number', 'string'])

describe('entries', () => {
  test('decode to index key and row key, in one pass or in two, and as keys of the one keyspace', () => {
    fc.assert(
      fc.property(id, id, indexKey, fc.integer(), text, (index, table, key, n, name) => {
        const [prefix, rowPrefix, rowKey] = [prefixOf(index), prefixOf(table), rowKeyOf(table, n, name)]
        const entry = plainEntry(indexKeyStart(prefix, key), rowKey, rowPrefix)
        expect(splitPlain(entry, prefix, rowPrefix)).toStrictEqual({ indexKey: bare(key), rowKey })
        expect([indexKeyOf(entry, prefix), rowKeyOfPlain(entry, prefix, rowPrefix)]).toStrictEqual([bare(key), rowKey])
        expect(decodeKey(entry)).toStrictEqual({ tableId: index, tuple: [key, n, name] })
        expect(decodeValue(plainEntryValue)).toBeNull()
        const single = uniqueEntry(indexKeyStart(prefix, key))
        expect(indexKeyOf(single, prefix)).toStrictEqual(bare(key))
        expect(decodeKey(single)).toStrictEqual({ tableId: index, tuple: [key] })
        expect(rowKeyOfUnique(uniqueEntryValue(rowKey, rowPrefix), rowPrefix)).toBe(rowKey)
        for (const stored of [entry, single]) expect(stored >= tableRange(prefix).lo && stored < tableRange(prefix).hi).toBe(true)
      }),
      { numRuns: 1_000 },
    )
  })

  test('sort by index key, then by row key, and two rows or index keys never share one', () => {
    fc.assert(
      fc.property(indexKey, indexKey, fc.integer({ min: 0, max: 2 }), fc.integer({ min: 0, max: 2 }), text, (a, b, m, n, name) => {
        const entryOf = (key: KeyElement[], of: number): Key => plainEntry(indexKeyStart(prefixOf(7), key), rowKeyOf(3, of, name), prefixOf(3))
        expect(sign(entryOf(a, m), entryOf(b, n))).toBe(Math.sign(compareKeys(a, b) || m - n))
        const singleOf = (key: KeyElement[]): Key => uniqueEntry(indexKeyStart(prefixOf(7), key))
        expect(sign(singleOf(a), singleOf(b))).toBe(Math.sign(compareKeys(a, b)))
      }),
      { numRuns: 4_000 },
    )
  })

  test('a bare element is the tuple of one', () => {
    fc.assert(
      fc.property(element, one => {
        fc.pre(!Array.isArray(one))
        expect(indexKeyStart(prefixOf(7), one)).toBe(indexKeyStart(prefixOf(7), [one]))
      }),
    )
  })
})

describe('bounds', () => {
  const entryOf = (key: readonly KeyElement[]): readonly Key[] => [
    plainEntry(indexKeyStart(prefixOf(7), key), rowKeyOf(3, -1, ''), prefixOf(3)),
    plainEntry(indexKeyStart(prefixOf(7), key), rowKeyOf(3, Infinity, '\uffff'), prefixOf(3)),
    uniqueEntry(indexKeyStart(prefixOf(7), key)),
  ]

  test('lie before or after all entries of exactly their index key', () => {
    fc.assert(
      fc.property(indexKey, indexKey, (a, b) => {
        const start = indexKeyStart(prefixOf(7), b)
        const order = compareKeys(a, b)
        for (const entry of entryOf(a)) {
          expect([entry >= fromStart(start), entry >= afterAllOf(start)]).toEqual([order >= 0, order > 0])
        }
      }),
      { numRuns: 3_000 },
    )
  })

  test('of a beginning hold exactly the keys that begin with those elements, or whose first begins with that text or those bytes', () => {
    const within = (entry: Key, { lo, hi }: { lo: Key; hi: Key }): boolean => lo <= entry && entry < hi
    fc.assert(
      fc.property(indexKey, indexKey, fc.nat(2), (a, b, take) => {
        const start = b.slice(0, take + 1)
        const range = entriesBeginningWith(prefixOf(7), start)
        for (const entry of entryOf(a)) expect(within(entry, range)).toBe(compareKeys(a.slice(0, start.length), start) === 0)
      }),
      { numRuns: 2_000 },
    )
    fc.assert(
      fc.property(indexKey, fc.oneof(text, bytes), fc.nat(3), (a, beginning, cut) => {
        const range = entriesBeginningWith(prefixOf(7), beginning)
        const begins = (first: KeyElement): boolean =>
          typeof beginning === 'string'
            ? typeof first === 'string' && first.startsWith(beginning)
            : first instanceof Uint8Array && Buffer.compare(first.subarray(0, beginning.length), beginning) === 0
        for (const entry of entryOf(a)) expect(within(entry, range)).toBe(begins(a[0]!))
        const extended = typeof beginning === 'string' ? beginning + 'x'.repeat(cut) : Uint8Array.of(...beginning, ...new Uint8Array(cut))
        for (const entry of entryOf([extended, ...a])) expect(within(entry, range)).toBe(true)
      }),
      { numRuns: 2_000 },
    )
  })

  test('are read back for messages', () => {
    fc.assert(
      fc.property(indexKey, key => {
        const prefix = prefixOf(7)
        const start = indexKeyStart(prefix, key)
        expect(readBound(fromStart(start), prefix)).toStrictEqual({ elements: key, end: 'key' })
        expect(readBound(afterAllOf(start), prefix)).toStrictEqual({ elements: key, end: 'after' })
        expect(readBound(plainEntry(start, rowKeyOf(3, 1, 'x'), prefixOf(3)), prefix)).toStrictEqual({ elements: key, end: 'row' })
        const { lo, hi } = entriesBeginningWith(prefix, key)
        expect([readBound(lo, prefix), readBound(hi, prefix)]).toStrictEqual([
          { elements: key, end: 'open' },
          { elements: key, end: 'open' },
        ])
      }),
      { numRuns: 1_000 },
    )
    for (const edge of Object.values(tableRange(prefixOf(7)))) expect(readBound(edge as Key, prefixOf(7))).toBeUndefined()
  })
})

describe('a database', () => {
  const opened = sharedDatabase()
  const option = fc.record(
    { low: fc.tuple(fc.constantFrom('gt', 'gte'), indexKey), high: fc.tuple(fc.constantFrom('lt', 'lte'), indexKey), reverse: fc.boolean(), limit: fc.nat(5) },
    { requiredKeys: ['reverse'] },
  )
  let round = 0

  test('answers ranges as sorting and filtering all rows does, with own writes among them', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(6), fc.option(indexKey, { nil: undefined })), { maxLength: 14 }), fc.nat(14), fc.array(option, { minLength: 1, maxLength: 4 }), async (puts, committed, options) => {
        const { db } = opened()
        const t = db.table(`t${round++}`, { key: ['number'], schema: row<{ k?: KeyElement }>(), indexes: { byK: { on: ({ k }) => k } } })
        await t.ready
        const rows = new Map<number, KeyElement[] | undefined>()
        await db.transaction(tx => {
          for (const [key, k] of puts.slice(0, committed)) tx.put(t, key, k === undefined ? {} : { k })
        })
        await db.transaction(tx => {
          for (const [key, k] of puts.slice(committed)) tx.put(t, key, k === undefined ? {} : { k })
          for (const [key, k] of puts) rows.set(key, k)
          const sorted = [...rows].flatMap(([key, k]) => (k === undefined ? [] : [{ key, k }])).toSorted((a, b) => compareKeys(a.k, b.k) || a.key - b.key)
          for (const { low, high, reverse, limit } of options) {
            const wanted = sorted.filter(({ k }) => {
              const above = low === undefined || compareKeys(k, low[1]) > (low[0] === 'gt' ? 0 : -1)
              return above && (high === undefined || compareKeys(k, high[1]) < (high[0] === 'lt' ? 0 : 1))
            })
            const expected = (reverse ? wanted.toReversed() : wanted).slice(0, limit).map(({ key, k }) => ({ indexKey: bare(k), key, value: { k } }))
            const asked = { ...(low && { [low[0]]: low[1] }), ...(high && { [high[0]]: high[1] }), reverse, ...(limit !== undefined && { limit }) }
            expect(tx.range(t.indexes.byK, asked as never).toArray()).toStrictEqual(expected)
            expect(tx.count(t.indexes.byK, asked as never)).toBe(expected.length)
            expect(tx.first(t.indexes.byK, asked as never)).toStrictEqual(expected[0])
          }
        })
        const all = [...rows].flatMap(([key, k]) => (k === undefined ? [] : [{ key, k }])).toSorted((a, b) => compareKeys(a.k, b.k) || a.key - b.key)
        expect(Array.from(db.range(t.indexes.byK, { keysOnly: true }), ({ key }) => key)).toEqual(all.map(({ key }) => key))
      }),
      { numRuns: 150 },
    )
  })
})
