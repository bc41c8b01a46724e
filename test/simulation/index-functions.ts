/** The indexes of random histories: what a row's value puts into each, in the model's words. Index functions are the caller's, so the engine is given the same ones. */
import type { Element, IndexKey, Value } from './model.js'
import { bare } from './row-versions.js'

export interface IndexFunction {
  /** Names that are declared under one name take each other's place: the index is built anew. */
  readonly declaredAs: string
  readonly version: number
  readonly unique: boolean
  readonly many: boolean
  /** One key in a list for an index that is not `many`, or none where the row is left out. */
  readonly keysOf: (value: Value) => readonly IndexKey[]
}

const words = ['a', 'ab', 'b'] as const
const word = (value: Value): string => words[value % words.length]!

type Given = Pick<IndexFunction, 'unique' | 'many' | 'keysOf'> & { readonly replaces?: IndexName; readonly version?: number }

const plain = (keyOf: (value: Value) => IndexKey | undefined, unique = false): Given => ({
  unique,
  many: false,
  keysOf: value => {
    const key = keyOf(value)
    return key === undefined ? [] : [key]
  },
})

const many = (keysOf: IndexFunction['keysOf'], unique = false): Given => ({ unique, many: true, keysOf })

/** A key of each type that an element can be of. */
const ofEveryType: readonly IndexKey[] = [
  [null], [true], [-1], [{ bigint: '-3' }], [{ date: 5 }], ['ab'], [{ bytes: '00ff' }], ['ab', [1, null]], [false, 'a'], [{ bigint: '7' }, 1], [{ bytes: '00' }], [2],
]

export type IndexName =
  | 'byThird' | 'byThirdDown' | 'bySame' | 'byParityAndWord' | 'byLength' | 'byType'
  | 'someOdd' | 'someWords'
  | 'tags' | 'pairsOf' | 'twice'
  | 'uniqueValue' | 'uniqueLarge' | 'uniqueFew' | 'fewNotUnique' | 'uniqueType' | 'uniqueMany'

const given: Readonly<Record<IndexName, Given>> = {
  byThird: plain(value => [value % 3]),
  byThirdDown: { ...plain(value => [2 - (value % 3)]), replaces: 'byThird', version: 2 },
  bySame: plain(() => ['same']),
  byParityAndWord: plain(value => [value % 2 === 0, word(value)]),
  byLength: plain(value => ['a', value % 2, word(value)].slice(0, 1 + (value % 3)) as IndexKey),
  byType: plain(value => ofEveryType[value % ofEveryType.length]),
  someOdd: plain(value => (value % 2 === 1 ? [(value - 1) % 4] : undefined)),
  someWords: plain(value => (value % 4 === 0 ? undefined : [word(value)])),
  tags: many(value => words.filter((_, bit) => Math.floor(value / 2 ** bit) % 2 === 1).map(tag => [tag])),
  pairsOf: many(value => [[value % 3, 'x'], [value % 2, 'y'], ...(value % 5 === 0 ? [[word(value)]] : [])]),
  twice: many(value => [[value % 4], [(value + 1) % 4], [value % 4]]),
  uniqueValue: plain(value => [value], true),
  uniqueLarge: plain(value => (value < 100 ? undefined : [word(value), value]), true),
  uniqueFew: plain(value => (value % 3 === 0 ? undefined : [value % 7]), true),
  fewNotUnique: { ...plain(value => (value % 3 === 0 ? undefined : [value % 7])), replaces: 'uniqueFew' },
  uniqueType: plain(value => (value % 12 < 8 ? ofEveryType[value % 12] : undefined), true),
  uniqueMany: many(value => (value % 2 === 0 ? [] : [[value % 5], [`${value % 3}`, value % 5]]), true),
}

export const indexNames: readonly IndexName[] = Object.keys(given) as IndexName[]

const indexFunctions = new Map(
  indexNames.map((name): [IndexName, IndexFunction] => {
    const { replaces = name, version = 1, ...rest } = given[name]
    return [name, { declaredAs: replaces, version, ...rest }]
  }),
)

export const functionOf = (name: IndexName): IndexFunction => indexFunctions.get(name)!

/** The index that the engine knows as this. */
export function nameIn(declaredAs: string, version: number, unique: boolean): IndexName {
  const name = indexNames.find(one => functionOf(one).declaredAs === declaredAs && functionOf(one).version === version && functionOf(one).unique === unique)
  if (name === undefined) throw new Error(`nobody declared the index ${declaredAs}, version ${version}, ${unique ? '' : 'not '}unique`)
  return name
}

/** An element as the engine takes it. */
export function elementOf(element: Element): unknown {
  if (Array.isArray(element)) return element.map(elementOf)
  if (typeof element !== 'object' || element === null) return element
  if ('bigint' in element) return BigInt(element.bigint)
  if ('date' in element) return new Date(element.date)
  return Uint8Array.from(Buffer.from((element as { readonly bytes: string }).bytes, 'hex'))
}

/** An index key as the engine gives it out: bare where it has one element. */
export const givenKey = (key: IndexKey): unknown => (key.length === 1 ? elementOf(key[0]!) : key.map(elementOf))

/** What the engine gave out, in the model's words. No key here is a single nested tuple, so an array is a tuple. */
export const toldKey = (key: unknown): IndexKey => (Array.isArray(key) ? key.map(toldElement) : [toldElement(key)])

function toldElement(element: unknown): Element {
  if (Array.isArray(element)) return element.map(toldElement)
  if (typeof element === 'bigint') return { bigint: `${element}` }
  if (element instanceof Date) return { date: element.getTime() }
  if (element instanceof Uint8Array) return { bytes: Buffer.from(element).toString('hex') }
  return element as Element
}

/** The definition that `db.table` takes. Rows have the same keys in every version. */
export function definitionOf(name: IndexName): { readonly on: (value: Value) => unknown; readonly unique: boolean; readonly many: boolean; readonly version: number } {
  const { unique, many: isMany, version, keysOf } = functionOf(name)
  return {
    unique,
    many: isMany,
    version,
    on: value => {
      const keys = keysOf(bare(value)).map(givenKey)
      return isMany ? keys : keys[0]
    },
  }
}
