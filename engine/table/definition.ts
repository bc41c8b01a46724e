/** What a table is declared as, and the types that follow from it. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { KeyElementType } from '../encoding/key-elements.js'
import { UsageError } from '../errors.js'

export type { KeyElementType }

/** The JavaScript type of one declared key element. */
export type KeyElementOf<T> = T extends 'null'
  ? null
  : T extends 'boolean'
    ? boolean
    : T extends 'number'
      ? number
      : T extends 'bigint'
        ? bigint
        : T extends 'date'
          ? Date
          : T extends 'string'
            ? string
            : T extends 'bytes'
              ? Uint8Array
              : T extends readonly KeyElementType[]
                ? { readonly [I in keyof T]: KeyElementOf<T[I]> }
                : never

type Tuple<T extends readonly KeyElementType[]> = { readonly [I in keyof T]: KeyElementOf<T[I]> }

/** A table's key: bare where it has one element, a tuple where it has more. */
export type KeyOf<T extends readonly KeyElementType[]> = T extends readonly [infer One] ? KeyElementOf<One> : Tuple<T>

type LeadingOf<T extends readonly KeyElementType[]> = T extends readonly [...infer Init extends readonly KeyElementType[], KeyElementType]
  ? Tuple<T> | (Init extends readonly [] ? never : LeadingOf<Init>)
  : never

/** What may bound a range: a key, or of a key with several elements some leading ones. */
export type BoundOf<T extends readonly KeyElementType[]> = T extends readonly [infer One] ? KeyElementOf<One> : LeadingOf<T>

/** Which rows, and in which order. Bounds are compared as tuples: `['a']` comes before every `['a', x]`. */
export interface RangeOptions<Bound> {
  readonly gt?: Bound
  readonly gte?: Bound
  readonly lt?: Bound
  readonly lte?: Bound
  /** Rows whose key begins with these elements; in a table whose key is one string or one byte array, rows whose key begins with it. Excludes other bounds. */
  readonly prefix?: Bound
  /** From the last row to the first. */
  readonly reverse?: boolean
  /** At most this many rows. */
  readonly limit?: number
}

export interface TableDefinition<T extends readonly KeyElementType[], S extends StandardSchemaV1> {
  /** The types of the key's elements, most significant first. */
  readonly key: T
  /** A Standard Schema: types the rows, and validates them at every write. `row<T>()` types without validating. */
  readonly schema?: S
}

/** A Standard Schema that gives rows a type and accepts every value. */
export function row<T>(): StandardSchemaV1<T, T> {
  return { '~standard': { version: 1, vendor: 'premisedb', validate: value => ({ value: value as T }) } }
}

const elementTypes: ReadonlySet<unknown> = new Set(['null', 'boolean', 'number', 'bigint', 'date', 'string', 'bytes'])

/** Throws `INVALID_ARGUMENT` for a definition that is none. */
export function checkDefinition(name: unknown, definition: unknown): void {
  if (typeof name !== 'string' || name === '') throw new UsageError('INVALID_ARGUMENT', 'A table needs a name: a string that is not empty.')
  const where = `The definition of table ${JSON.stringify(name)}`
  if (typeof definition !== 'object' || definition === null) throw new UsageError('INVALID_ARGUMENT', `${where} must be an object: { key, schema }.`)
  const { key, schema } = definition as { key?: unknown; schema?: unknown }
  for (const option of Object.keys(definition)) {
    if (option !== 'key' && option !== 'schema') throw new UsageError('INVALID_ARGUMENT', `${where} has an unknown option ${JSON.stringify(option)}.`)
  }
  if (!Array.isArray(key) || key.length === 0 || !key.every(isElementType)) {
    throw new UsageError(
      'INVALID_ARGUMENT',
      `${where} needs "key": an array of 'null', 'boolean', 'number', 'bigint', 'date', 'string', 'bytes', or arrays of them.`,
    )
  }
  const standard = (schema as Partial<StandardSchemaV1> | undefined)?.['~standard']
  if (schema !== undefined && typeof standard?.validate !== 'function') {
    throw new UsageError('INVALID_ARGUMENT', `${where} has a "schema" that is no Standard Schema (https://standardschema.dev); row<T>() is one that only types.`)
  }
}

function isElementType(type: unknown): boolean {
  return elementTypes.has(type) || (Array.isArray(type) && type.every(isElementType))
}
