/** Between what callers of a table say (keys, values, range options) and the bytes of the one keyspace. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { decodeKey, encodeKey, encodePartial, prefixRange, tableRange } from '../encoding/keys.js'
import type { KeyElementType, KeyTuple } from '../encoding/key-elements.js'
import { encodeValue } from '../encoding/values.js'
import { ConstraintError, LimitError, UsageError } from '../errors.js'
import { successor, type CommitTs, type Key, type KeyRange } from '../../isolation/types.js'
import { isPromise } from '../promises.js'
import type { RangeOptions } from './definition.js'
import type { StoredTable } from './stored-table.js'

/** Places that a message names: what a schema says of them may quote values, which messages do not. */
const issuesNamed = 3

export const rangeOptions: ReadonlySet<string> = new Set(['gt', 'gte', 'lt', 'lte', 'prefix', 'reverse', 'limit'])

/** A range as the engine walks it. */
export interface ResolvedRange {
  readonly range: KeyRange
  readonly reverse: boolean
  readonly limit: number
}

export interface CodecParts {
  readonly table: StoredTable
  /** Of the rows that this handle writes. */
  readonly version: number
  readonly schema: StandardSchemaV1 | undefined
  readonly valueSizeBytes: number
}

export class TableCodec<K, In, Out, Bound> {
  readonly table: StoredTable
  readonly version: number
  readonly #types: readonly KeyElementType[]
  readonly #prefix: string
  readonly #bare: boolean
  readonly #schema: StandardSchemaV1 | undefined
  readonly #valueSizeBytes: number

  constructor(parts: CodecParts) {
    this.table = parts.table
    this.version = parts.version
    this.#types = parts.table.types
    this.#prefix = parts.table.prefix
    this.#bare = parts.table.types.length === 1
    this.#schema = parts.schema
    this.#valueSizeBytes = parts.valueSizeBytes
  }

  get name(): string {
    return this.table.name
  }

  /** Throws `INVALID_KEY`, `KEY_TOO_LARGE`. */
  encodeKey(key: K): Key {
    return encodeKey(this.#prefix, this.#tuple(key), this.#types)
  }

  decodeKey(key: Key): K {
    const { tuple } = decodeKey(key)
    return (this.#bare ? tuple[0] : tuple) as K
  }

  /** Validates against the schema, then encodes. Throws `SCHEMA`, `INVALID_VALUE`, `VALUE_TOO_LARGE`, `NOT_SYNCHRONOUS`. */
  encodeValue(value: In, key: K): Uint8Array {
    const bytes = encodeValue(this.validate(value, key))
    if (bytes.length > this.#valueSizeBytes) {
      throw new LimitError('VALUE_TOO_LARGE', `A value for table ${JSON.stringify(this.name)} takes ${bytes.length} bytes; the limit is ${this.#valueSizeBytes}.`)
    }
    return bytes
  }

  /** The encoded form of a value that was read or is only compared. */
  encodeUnchecked(value: Out): Uint8Array {
    return encodeValue(value)
  }

  /** What commit `ts` wrote; without `ts`, what a running transaction has written. Throws as `StoredTable.decode`. */
  decodeValue(bytes: Uint8Array, key: Key, ts: CommitTs | undefined): Out {
    if (this.version !== this.table.version) this.table.assertCurrent(this.version)
    return this.table.decode(bytes, key, ts) as Out
  }

  /** The bytes of a row: as they are stored, and as `StoredTable.asOfNow` has them. Undefined where it is absent. Throws as `decodeValue`. */
  bytesOf(key: Key, seen: { readonly value: Uint8Array | undefined; readonly ts?: CommitTs | undefined } | undefined): { readonly stored: Uint8Array; readonly asOfNow: Uint8Array; readonly ts: CommitTs | undefined } | undefined {
    if (seen?.value === undefined) return undefined
    const stored = Uint8Array.from(seen.value) // what was read is on loan, and a migration may read something
    return { stored, asOfNow: this.table.asOfNow(stored, key, seen.ts), ts: seen.ts }
  }

  /** Throws `INVALID_ARGUMENT` for options that contradict each other or do not exist, `INVALID_KEY`, `KEY_TOO_LARGE`. */
  range(options: RangeOptions<Bound> = {}): ResolvedRange {
    const { gt, gte, lt, lte, prefix, reverse, limit } = checkedRange(options, () => `table ${JSON.stringify(this.name)}`, rangeOptions)
    if (prefix !== undefined) return { range: prefixRange(this.#prefix, this.#tuple(prefix), this.#types), reverse, limit }
    const whole = tableRange(this.#prefix)
    const lo = gte !== undefined ? this.#bound(gte) : gt !== undefined ? successor(this.#bound(gt)) : whole.lo
    const hi = lt !== undefined ? this.#bound(lt) : lte !== undefined ? successor(this.#bound(lte)) : whole.hi
    return { range: { lo, hi }, reverse, limit }
  }

  #bound(bound: Bound): Key {
    return encodePartial(this.#prefix, this.#tuple(bound), this.#types)
  }

  #tuple(key: unknown): KeyTuple {
    if (this.#bare) return [key] as KeyTuple
    if (Array.isArray(key)) return key as KeyTuple
    throw new UsageError('INVALID_KEY', `A key of table ${JSON.stringify(this.name)} is an array of ${this.#types.length} elements (${JSON.stringify(this.#types)}).`)
  }

  /** The value as the schema makes it. Throws `SCHEMA`, `NOT_SYNCHRONOUS`. */
  validate(value: In, key: K): unknown {
    if (this.#schema === undefined) return value
    const result = this.#schema['~standard'].validate(value)
    if (isPromise(result)) {
      result.then(undefined, () => {}) // its outcome no longer matters, and must not surface as an unhandled rejection
      throw new UsageError('NOT_SYNCHRONOUS', `The schema of table ${JSON.stringify(this.name)} validates asynchronously; writes are synchronous and need one that does not.`)
    }
    if (result.issues === undefined) return result.value
    // Plain arrays, whatever the library has for them.
    const issues = Array.from(result.issues, ({ message, path }) => ({ message, path: Array.from(path ?? [], part => (typeof part === 'object' ? part.key : part)) }))
    const where = issues.slice(0, issuesNamed).map(({ path }) => path.map(String).join('.') || 'value')
    throw new ConstraintError(
      'SCHEMA',
      `The row ${keyText(key)} of table ${JSON.stringify(this.name)} does not fit its schema: ${where.join(', ')}${issues.length > issuesNamed ? ` and ${issues.length - issuesNamed} more` : ''}. "issues" has what the schema says of each.`,
      { table: this.name, key, issues },
    )
  }
}

/** What options of a range say, all of it. */
export interface CheckedRange<Bound> extends Record<'gt' | 'gte' | 'lt' | 'lte' | 'prefix', Bound | undefined> {
  readonly reverse: boolean
  readonly limit: number
}

/** Options of a range, with what is left out filled in; messages say `of` what. Throws `INVALID_ARGUMENT` for options that contradict each other or do not exist. */
export function checkedRange<Bound>(options: RangeOptions<Bound>, of: () => string, known: ReadonlySet<string>): CheckedRange<Bound> {
  const bad = (what: string): UsageError => new UsageError('INVALID_ARGUMENT', `Range of ${of()}: ${what}.`)
  if (typeof options !== 'object' || options === null) throw bad('the options must be an object')
  for (const option of Object.keys(options)) {
    if (!known.has(option)) throw bad(`unknown option ${JSON.stringify(option)}`)
  }
  const { gt, gte, lt, lte, prefix, reverse = false, limit = Infinity } = options
  if (typeof reverse !== 'boolean') throw bad('"reverse" must be true or false')
  if (limit !== Infinity && !(Number.isSafeInteger(limit) && limit >= 0)) throw bad('"limit" must be an integer of at least 0')
  if (gt !== undefined && gte !== undefined) throw bad('"gt" and "gte" exclude each other')
  if (lt !== undefined && lte !== undefined) throw bad('"lt" and "lte" exclude each other')
  if (prefix !== undefined && (gt !== undefined || gte !== undefined || lt !== undefined || lte !== undefined)) throw bad('"prefix" excludes other bounds')
  return { gt, gte, lt, lte, prefix, reverse, limit }
}

/** JSON has no bigint. */
function bigintAsText(_name: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `${value}n` : value
}

/** A key as messages name it. */
export function keyText(key: unknown): string {
  return JSON.stringify(key, bigintAsText)
}
