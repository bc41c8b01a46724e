/** The tables, keys and values that runs are made of: few enough to meet again and again, and chosen where encodings and orders are delicate. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { KeyElementType } from '../../engine/index.js'
import { source } from './source.js'

/** A kind of table, with every key that is ever written to it. */
export interface Shape {
  readonly name: string
  readonly types: readonly KeyElementType[]
  /** A table whose key has one element takes and gives it bare. */
  readonly bare: boolean
  readonly keys: readonly unknown[]
  /** What bounds a range beside the keys and, of longer keys, their leading elements. */
  readonly bounds: readonly unknown[]
  readonly prefixes: readonly unknown[]
  /** Refuses 'refused' and turns 'raw' into 'cooked'. */
  readonly checked: boolean
  /** A key of the wrong type. */
  readonly wrongKey: unknown
}

const bytes = (...values: number[]): Uint8Array => new Uint8Array(values)
const pairs = (first: readonly unknown[], second: readonly unknown[]): unknown[] => first.flatMap(a => second.map(b => [a, b]))

const shape = (name: string, types: readonly KeyElementType[], keys: readonly unknown[], rest: Partial<Shape> = {}): Shape => {
  const bare = types.length === 1
  return { name, types, bare, keys, bounds: [], prefixes: bare ? keys : keys.map(key => (key as unknown[]).slice(0, 1)), checked: false, wrongKey: Symbol.iterator, ...rest }
}

export const shapes: readonly Shape[] = [
  shape('words', ['string'], ['', 'a', 'a\0', 'a\0b', 'ab', 'b', '\uffff', '\u{1f600}'], { bounds: ['a\u0001', 'zz', '\u{10ffff}'], prefixes: ['', 'a', 'a\0', '\uffff', 'z'], wrongKey: 1 }),
  shape('blobs', ['bytes'], [bytes(), bytes(0), bytes(0, 255), bytes(1), bytes(255), bytes(255, 255), bytes(255, 255, 0)], {
    bounds: [bytes(0, 0), bytes(2)],
    prefixes: [bytes(), bytes(0), bytes(255), bytes(255, 255)],
    wrongKey: 'text',
  }),
  shape('numbers', ['number'], [-Infinity, -Number.MAX_VALUE, -1.5, -0, Number.MIN_VALUE, 1, 1.0000000000000002, Infinity], { bounds: [-1, 2 ** 53], checked: true, wrongKey: Number.NaN }),
  shape('ticks', ['bigint'], [-(2n ** 1_000n), -256n, -255n, -1n, 0n, 255n, 256n, 2n ** 1_000n], { bounds: [-(2n ** 64n), 1n], wrongKey: 1 }),
  shape('dates', ['date'], [new Date(-8.64e15), new Date(-1), new Date(0), new Date(1), new Date(8.64e15)], { bounds: [new Date(2)], wrongKey: new Date(Number.NaN) }),
  shape('switches', ['boolean'], [false, true], { wrongKey: 'true' }),
  shape('single', ['null'], [null], { wrongKey: 0 }),
  shape('nested', [['string', ['number']]], pairs(['', 'a', 'a\0'], [[-1], [0], [1]]), { bounds: [['b', [0]]], wrongKey: ['a', 1] }),
  shape('bookings', ['string', 'date'], pairs(['', 'blue', 'blue\0'], [new Date(-1), new Date(0), new Date(8.64e15)]), { bounds: [['c'], ['blue', new Date(5)]], checked: true, wrongKey: ['blue'] }),
  shape('ledger', ['bigint', 'boolean', 'null'], pairs([-(2n ** 64n), -1n, 0n, 2n ** 64n], [false, true]).map(pair => [...(pair as unknown[]), null]), {
    bounds: [[1n], [0n, true], [-1n, false]],
    wrongKey: [0n, true, null, null],
  }),
  shape('deep', [['bytes', 'string'], 'number', 'string'], pairs([[bytes(0), 'x'], [bytes(0, 255), ''], [bytes(255), '\0']], [-1, -0, 7]).map(pair => [...(pair as unknown[]), 'end']), {
    bounds: [[[bytes(1), '']], [[bytes(0), 'x'], 0], [[bytes(0), 'x'], 3]],
    wrongKey: [[bytes(0)], 1, 'end'],
  }),
]

/** What a schema makes of a value. */
export type Checked = { readonly value: unknown } | { readonly issues: readonly { readonly message: string }[] }
export const checked = (value: unknown): Checked => (value === 'refused' ? { issues: [{ message: 'it is refused' }] } : { value: value === 'raw' ? 'cooked' : value })

export const schemaOf = ({ checked: isChecked }: Shape): { readonly schema?: StandardSchemaV1 } =>
  isChecked ? { schema: { '~standard': { version: 1, vendor: 'conformance', validate: value => checked(value) } } } : {}

/** The largest encoded value that runs allow. */
export const valueSizeBytes = 2_000

/** Something to write. Made anew each time, so that nobody shares it. */
export interface Sample {
  readonly make: () => unknown
  /** What writing it throws. */
  readonly code?: string
}

const fixedStack = <E extends Error>(error: E): E => Object.assign(error, { stack: `${error.name}: as it was` })
const cycle = (): unknown => {
  const inner: unknown[] = []
  const outer = { inner, again: inner }
  inner.push(outer)
  return outer
}
class Own {
  readonly name = 'own'
}

export const samples: readonly Sample[] = [
  { make: () => 1 },
  { make: () => 2 },
  { make: () => 'one' },
  { make: () => ({ name: 'nils', onCall: true }) },
  { make: () => ({ onCall: true, name: 'nils' }) },
  { make: () => 'raw' },
  { make: () => 'refused' },
  { make: () => null },
  { make: () => false },
  { make: () => 0 },
  { make: () => -0 },
  { make: () => Number.NaN },
  { make: () => -Infinity },
  { make: () => 2 ** 53 + 2 },
  { make: () => 1n },
  { make: () => -(2n ** 100n) },
  { make: () => '' },
  { make: () => 'zero\0 and \u{1f600}\uffff' },
  { make: () => 'x'.repeat(1_500) },
  { make: () => [] },
  { make: () => [[1, [2, []]], {}] },
  { make: () => ({ ['__proto__']: 1, '': 2, length: 3 }) },
  { make: () => new Date(0) },
  { make: () => new Date(Number.NaN) },
  { make: () => /a\/b/giu },
  { make: () => new Map<unknown, unknown>([[{ id: 1 }, new Set([1, 'a'])], [null, 2n]]) },
  { make: () => new Set([new Date(1), -0]) },
  { make: () => fixedStack(new RangeError('too far', { cause: fixedStack(new Error('deep')) })) },
  { make: () => new Uint8Array([0, 255]) },
  { make: () => new Float64Array([0.5, -0]) },
  { make: () => new BigUint64Array([2n ** 64n - 1n]) },
  { make: () => new Uint8Array([1, 2]).buffer },
  { make: () => new DataView(new Uint8Array([1, 2, 3]).buffer, 1) },
  { make: cycle },
  { make: () => 'x'.repeat(valueSizeBytes), code: 'VALUE_TOO_LARGE' },
  { make: () => undefined, code: 'INVALID_VALUE' },
  { make: () => ({ absent: undefined }), code: 'INVALID_VALUE' },
  { make: () => [() => 1], code: 'INVALID_VALUE' },
  { make: () => new Own(), code: 'INVALID_VALUE' },
  { make: () => '\ud800', code: 'INVALID_VALUE' },
]

/** Changes for `update`. */
export const changes: readonly { readonly change: (value: unknown) => unknown; readonly code?: string }[] = [
  { change: value => [value] },
  { change: value => (typeof value === 'number' ? value + 1 : 0) },
  { change: value => value },
  { change: () => 'raw' },
  { change: () => 'refused' },
  { change: () => undefined, code: 'INVALID_VALUE' },
  {
    change: () => {
      throw new Error('thrown by change')
    },
    code: 'thrown by change',
  },
]

/** A key as it comes back: -0 is the key 0. */
export function normalKey(key: unknown): unknown {
  if (Array.isArray(key)) return key.map(normalKey)
  return key === 0 ? 0 : key
}

export const idOf = (table: string, key: unknown): string => `${table} ${source(normalKey(key))}`

/** Order of two elements of one type. */
function compareElements(a: unknown, b: unknown): number {
  if (Array.isArray(a) && Array.isArray(b)) return compareTuples(a, b)
  if (typeof a === 'string' && typeof b === 'string') return compareTuples(Array.from(a, char => char.codePointAt(0)), Array.from(b, char => char.codePointAt(0)))
  if (a instanceof Uint8Array && b instanceof Uint8Array) return compareTuples([...a], [...b])
  if (a instanceof Date && b instanceof Date) return a.getTime() - b.getTime()
  if (a === b || a === null || b === null) return 0
  return (a as number | bigint | boolean) < (b as number | bigint | boolean) ? -1 : 1
}

/** The first difference decides; of two that go on alike the shorter is first. */
function compareTuples(a: readonly unknown[], b: readonly unknown[]): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const order = compareElements(a[i], b[i])
    if (order !== 0) return order
  }
  return a.length - b.length
}

const tupleOf = ({ bare }: Shape, key: unknown): readonly unknown[] => (bare ? [key] : (key as unknown[]))

/** Order of keys of one table, or of a key and a bound. */
export const compareKeys = (shapeOf: Shape, a: unknown, b: unknown): number => compareTuples(tupleOf(shapeOf, a), tupleOf(shapeOf, b))

/** Whether a key begins with a prefix. */
export function beginsWith(shapeOf: Shape, key: unknown, prefix: unknown): boolean {
  if (shapeOf.bare && typeof key === 'string') return key.startsWith(prefix as string)
  if (shapeOf.bare && key instanceof Uint8Array) return compareElements(key.slice(0, (prefix as Uint8Array).length), prefix) === 0
  return tupleOf(shapeOf, prefix).every((element, i) => compareElements(element, tupleOf(shapeOf, key)[i]) === 0)
}
