/** Between what callers of a table say (keys, values, range options) and the bytes of the one keyspace. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { decodeKey, encodeKey, encodePartial, prefixRange, tablePrefix, tableRange } from '../encoding/keys.js'
import type { KeyElementType, KeyTuple } from '../encoding/key-elements.js'
import { decodeValue, encodeValue } from '../encoding/values.js'
import { ConstraintError, LimitError, StorageError, UsageError } from '../errors.js'
import { successor, type Key, type KeyRange } from '../../isolation/types.js'
import type { RangeOptions } from './definition.js'

const rangeOptions: ReadonlySet<string> = new Set(['gt', 'gte', 'lt', 'lte', 'prefix', 'reverse', 'limit'])

/** A range as the engine walks it. */
export interface ResolvedRange {
  readonly range: KeyRange
  readonly reverse: boolean
  readonly limit: number
}

export interface CodecParts {
  readonly id: number
  readonly name: string
  readonly types: readonly KeyElementType[]
  readonly schema: StandardSchemaV1 | undefined
  readonly catalogKey: Key
  readonly valueSizeBytes: number
}

export class TableCodec<K, In, Out, Bound> {
  readonly name: string
  readonly types: readonly KeyElementType[]
  /** The key of the table's catalog entry: using the table reads it. */
  readonly catalogKey: Key
  readonly #prefix: string
  readonly #bare: boolean
  readonly #schema: StandardSchemaV1 | undefined
  readonly #valueSizeBytes: number

  constructor(parts: CodecParts) {
    this.name = parts.name
    this.types = parts.types
    this.catalogKey = parts.catalogKey
    this.#prefix = tablePrefix(parts.id)
    this.#bare = parts.types.length === 1
    this.#schema = parts.schema
    this.#valueSizeBytes = parts.valueSizeBytes
  }

  /** Throws `INVALID_KEY`, `KEY_TOO_LARGE`. */
  encodeKey(key: K): Key {
    return encodeKey(this.#prefix, this.#tuple(key), this.types)
  }

  decodeKey(key: Key): K {
    const { tuple } = decodeKey(key)
    return (this.#bare ? tuple[0] : tuple) as K
  }

  /** Validates against the schema, then encodes. Throws `SCHEMA`, `INVALID_VALUE`, `VALUE_TOO_LARGE`, `NOT_SYNCHRONOUS`. */
  encodeValue(value: In, key: K): Uint8Array {
    const bytes = encodeValue(this.#validate(value, key))
    if (bytes.length > this.#valueSizeBytes) {
      throw new LimitError('VALUE_TOO_LARGE', `A value for table ${JSON.stringify(this.name)} takes ${bytes.length} bytes; the limit is ${this.#valueSizeBytes}.`)
    }
    return bytes
  }

  /** The encoded form of a value that was read or is only compared. */
  encodeUnchecked(value: Out): Uint8Array {
    return encodeValue(value)
  }

  /** Throws `CORRUPT`, naming table and key. */
  decodeValue(bytes: Uint8Array, key: Key): Out {
    try {
      return decodeValue(bytes) as Out
    } catch (error) {
      throw new StorageError('CORRUPT', `The row ${keyText(this.decodeKey(key))} of table ${JSON.stringify(this.name)} cannot be decoded.`, { cause: error })
    }
  }

  /** Throws `INVALID_ARGUMENT` for options that contradict each other or do not exist, `INVALID_KEY`, `KEY_TOO_LARGE`. */
  range(options: RangeOptions<Bound> = {}): ResolvedRange {
    if (typeof options !== 'object' || options === null) throw this.#badRange('the options must be an object')
    for (const option of Object.keys(options)) {
      if (!rangeOptions.has(option)) throw this.#badRange(`unknown option ${JSON.stringify(option)}`)
    }
    const { gt, gte, lt, lte, prefix, reverse = false, limit = Infinity } = options
    if (typeof reverse !== 'boolean') throw this.#badRange('"reverse" must be true or false')
    if (limit !== Infinity && !(Number.isSafeInteger(limit) && limit >= 0)) throw this.#badRange('"limit" must be an integer of at least 0')
    if (gt !== undefined && gte !== undefined) throw this.#badRange('"gt" and "gte" exclude each other')
    if (lt !== undefined && lte !== undefined) throw this.#badRange('"lt" and "lte" exclude each other')
    if (prefix !== undefined) {
      if (gt !== undefined || gte !== undefined || lt !== undefined || lte !== undefined) throw this.#badRange('"prefix" excludes other bounds')
      return { range: prefixRange(this.#prefix, this.#tuple(prefix), this.types), reverse, limit }
    }
    const whole = tableRange(this.#prefix)
    const lo = gte !== undefined ? this.#bound(gte) : gt !== undefined ? successor(this.#bound(gt)) : whole.lo
    const hi = lt !== undefined ? this.#bound(lt) : lte !== undefined ? successor(this.#bound(lte)) : whole.hi
    return { range: { lo, hi }, reverse, limit }
  }

  #bound(bound: Bound): Key {
    return encodePartial(this.#prefix, this.#tuple(bound), this.types)
  }

  #tuple(key: unknown): KeyTuple {
    if (this.#bare) return [key] as KeyTuple
    if (Array.isArray(key)) return key as KeyTuple
    throw new UsageError('INVALID_KEY', `A key of table ${JSON.stringify(this.name)} is an array of ${this.types.length} elements (${JSON.stringify(this.types)}).`)
  }

  #validate(value: In, key: K): unknown {
    if (this.#schema === undefined) return value
    const result = this.#schema['~standard'].validate(value)
    if (result instanceof Promise) {
      result.catch(() => {}) // its outcome no longer matters, and must not surface as an unhandled rejection
      throw new UsageError('NOT_SYNCHRONOUS', `The schema of table ${JSON.stringify(this.name)} validates asynchronously; writes are synchronous and need one that does not.`)
    }
    if (result.issues === undefined) return result.value
    const issues = result.issues.map(({ message, path }) => ({
      message,
      path: (path ?? []).map(part => (typeof part === 'object' ? part.key : part)),
    }))
    const first = issues[0]
    throw new ConstraintError(
      'SCHEMA',
      `The row ${keyText(key)} of table ${JSON.stringify(this.name)} does not fit its schema: ` +
        `${first ? `${first.path.map(String).join('.') || 'value'}: ${first.message}` : 'refused'}${issues.length > 1 ? ` (and ${issues.length - 1} more issues)` : ''}.`,
      { table: this.name, key, issues },
    )
  }

  #badRange(what: string): UsageError {
    return new UsageError('INVALID_ARGUMENT', `Range of table ${JSON.stringify(this.name)}: ${what}.`)
  }
}

/** JSON has no bigint. */
function bigintAsText(_name: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `${value}n` : value
}

/** A key as messages name it. */
export function keyText(key: unknown): string {
  return JSON.stringify(key, bigintAsText)
}
