/** What a table is declared as, and the types that follow from it. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { KeyElement, KeyElementType } from '../encoding/key-elements.js'
import { UsageError } from '../errors.js'
import { asynchronousPartOf } from './schema.js'

export type { KeyElement, KeyElementType }

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

/** What a range of an index may also say. */
export interface IndexRangeOptions<Bound> extends RangeOptions<Bound> {
  /** Index keys and row keys only: the rows themselves are neither read nor relied on. */
  readonly keysOnly?: boolean
}

/** The keys of a row in an index. It is given a copy of the row, and must depend on nothing else. */
export type IndexFunction = (row: never) => KeyElement | undefined

/** An index of a table: which keys its rows have in it. */
export interface IndexDefinition<Row> {
  /**
   * The row's key in the index, an array for one of several elements; undefined leaves the row out. With `many`, an array of keys. It is given a copy of the row. Synchronous and pure: it depends on the
   * row only.
   */
  readonly on: (row: Row) => KeyElement | readonly [KeyElement, ...KeyElement[]] | undefined
  /** No two rows have one key. */
  readonly unique?: boolean
  /** A row has any number of keys. */
  readonly many?: boolean
  /** To be raised when `on` gives other keys than before: the index is then built anew. 1 where it is left out. */
  readonly version?: number
}

export type IndexDefinitions<Row> = Readonly<Record<string, IndexDefinition<Row>>>

type KeyGivenBy<D> = D extends { readonly on: (row: never) => infer R } ? (D extends { readonly many: true } ? ElementOf<Exclude<R, undefined>> : Exclude<R, undefined>) : never
type ElementOf<R> = R extends readonly (infer E)[] ? E : never

/** An index's key as it is read: bare where it is an array of one element. */
export type IndexKeyOf<D> = KeyGivenBy<D> extends infer R ? (R extends readonly [infer One] ? One : R) : never

type LeadingElements<T extends readonly unknown[]> = T extends readonly [...infer Init, unknown] ? Readonly<T> | (Init extends readonly [] ? never : LeadingElements<Init>) : Readonly<T>

/** What may bound a range of an index: a key, or some leading elements of one. */
export type IndexBoundOf<K> = K extends readonly unknown[] ? LeadingElements<K> | K[0] : K | readonly [K]

export interface TableDefinition<T extends readonly KeyElementType[], S extends StandardSchemaV1, I extends IndexDefinitions<never> = IndexDefinitions<never>> {
  /** The types of the key's elements, most significant first. */
  readonly key: T
  /** A Standard Schema: types the rows, and validates them at every write. It must be synchronous. `row<T>()` types without validating. */
  readonly schema?: S
  /** The version of the rows; 1 where it is left out. To be raised together with `migrate` where rows get another shape. */
  readonly version?: number
  /**
   * Makes a row of this version from one of an older version, which is given; what it returns is validated as a write is. Synchronous and pure: older rows are migrated whenever they are read, until
   * they have been rewritten in the background.
   */
  readonly migrate?: (old: unknown, version: number) => StandardSchemaV1.InferInput<S>
  /** By name. Indexes that the table has and that are not here are dropped; without `indexes` they stay as they are. */
  readonly indexes?: I
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
  const { key, schema, version, migrate, indexes } = definition as { key?: unknown; schema?: unknown; version?: unknown; migrate?: unknown; indexes?: unknown }
  for (const option of Object.keys(definition)) {
    if (!tableOptions.has(option)) throw new UsageError('INVALID_ARGUMENT', `${where} has an unknown option ${JSON.stringify(option)}.`)
  }
  if (!Array.isArray(key) || key.length === 0 || !key.every(isElementType)) {
    throw new UsageError(
      'INVALID_ARGUMENT',
      `${where} needs "key": an array of 'null', 'boolean', 'number', 'bigint', 'date', 'string', 'bytes', or arrays of them.`,
    )
  }
  if (schema !== undefined) checkSchema(schema, where)
  checkVersion(version, where)
  if (migrate !== undefined && typeof migrate !== 'function') throw new UsageError('INVALID_ARGUMENT', `${where} has a "migrate" that is no function.`)
  if (indexes !== undefined) checkIndexes(indexes, where)
}

const tableOptions: ReadonlySet<string> = new Set(['key', 'schema', 'version', 'migrate', 'indexes'])
const indexOptions: ReadonlySet<string> = new Set(['on', 'unique', 'many', 'version'])

function checkSchema(schema: unknown, where: string): void {
  const standard = (schema as Partial<StandardSchemaV1> | null)?.['~standard']
  if (typeof standard?.validate !== 'function') {
    throw new UsageError('INVALID_ARGUMENT', `${where} has a "schema" that is no Standard Schema (https://standardschema.dev); row<T>() is one that only types.`)
  }
  const asynchronous = asynchronousPartOf(schema as StandardSchemaV1)
  if (asynchronous !== undefined) {
    throw new UsageError('NOT_SYNCHRONOUS', `${where} has a schema that validates asynchronously (${asynchronous}); writes are synchronous and need one that does not.`)
  }
}

function checkIndexes(indexes: unknown, where: string): void {
  if (typeof indexes !== 'object' || indexes === null || Array.isArray(indexes)) throw new UsageError('INVALID_ARGUMENT', `${where} has "indexes" that are no object: { name: { on, unique, many, version } }.`)
  for (const [name, index] of Object.entries(indexes as Record<string, unknown>)) {
    const which = `${where} has an index ${JSON.stringify(name)} that`
    if (name === '') throw new UsageError('INVALID_ARGUMENT', `${where} has an index without a name.`)
    if (typeof index !== 'object' || index === null) throw new UsageError('INVALID_ARGUMENT', `${which} is no object: { on, unique, many, version }.`)
    const { on, unique, many, version } = index as { on?: unknown; unique?: unknown; many?: unknown; version?: unknown }
    for (const option of Object.keys(index)) {
      if (!indexOptions.has(option)) throw new UsageError('INVALID_ARGUMENT', `${which} has an unknown option ${JSON.stringify(option)}.`)
    }
    if (typeof on !== 'function') throw new UsageError('INVALID_ARGUMENT', `${which} has no function "on", which gives a row's key in it.`)
    for (const [option, value] of Object.entries({ unique, many })) {
      if (value !== undefined && typeof value !== 'boolean') throw new UsageError('INVALID_ARGUMENT', `${which} has ${JSON.stringify(option)} that is neither true nor false.`)
    }
    checkVersion(version, which)
  }
}

function checkVersion(version: unknown, where: string): void {
  if (version !== undefined && !(Number.isSafeInteger(version) && (version as number) >= 1)) throw new UsageError('INVALID_ARGUMENT', `${where} has a "version" that is no integer of at least 1.`)
}

function isElementType(type: unknown): boolean {
  return elementTypes.has(type) || (Array.isArray(type) && type.every(isElementType))
}
