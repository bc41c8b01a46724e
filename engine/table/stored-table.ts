/** A table of one opening: what the catalog says of it and what programs have declared, shared by all its handles. */
import { decodeKey, tablePrefix } from '../encoding/keys.js'
import type { KeyElementType } from '../encoding/key-elements.js'
import { decodeValue } from '../encoding/values.js'
import { ConstraintError, PremiseError, StorageError, UsageError } from '../errors.js'
import type { CommitTs, Key } from '../../isolation/types.js'
import { tableKeyInCatalog, type Era, type TableRow } from './catalog-rows.js'
import { keyText } from './codec.js'
import type { RowEntry, StoredIndex } from './stored-index.js'

/** Makes a row of the present version from one of an older version, as the schema wants it. */
export type Migrate = (old: unknown, version: number, key: unknown) => unknown

const noEntries: readonly RowEntry[] = []

export class StoredTable {
  readonly id: number
  readonly types: readonly KeyElementType[]
  readonly prefix: string
  name: string
  catalogKey: Key
  version: number
  /** What rows written before some commits are; empty once all are of the present version. */
  eras: readonly Era[]
  migrate: Migrate | undefined
  /** Every index that is maintained. Replaced when one comes or goes, so that who has seen it can tell. */
  indexes: readonly StoredIndex[] = []
  isDropped = false

  constructor({ id, name, key, version, eras }: TableRow) {
    this.id = id
    this.types = key
    this.prefix = tablePrefix(id)
    this.name = name
    this.catalogKey = tableKeyInCatalog(name)
    this.version = version
    this.eras = eras
  }

  get row(): TableRow {
    return { is: 'table', id: this.id, name: this.name, key: this.types, version: this.version, eras: this.eras }
  }

  /** As callers know it: bare where it has one element. Throws `CORRUPT`. */
  keyOf(rowKey: Key): unknown {
    const { tuple } = decodeKey(rowKey)
    return this.types.length === 1 ? tuple[0] : tuple
  }

  /**
   * A row's value as of the present version, from what commit `ts` wrote; without `ts`, from what a running transaction has written. Throws `CORRUPT`, `MIGRATION`, `SCHEMA`, what the migration
   * throws as cause.
   */
  decode(bytes: Uint8Array, rowKey: Key, ts: CommitTs | undefined): unknown {
    let value: unknown
    try {
      value = decodeValue(bytes)
    } catch (error) {
      throw new StorageError('CORRUPT', `The row ${keyText(this.keyOf(rowKey))} of table ${JSON.stringify(this.name)} cannot be decoded.`, { cause: error })
    }
    return this.eras.length === 0 || ts === undefined ? value : this.#migrated(value, rowKey, ts)
  }

  /** Whether a row that commit `ts` wrote is of an older version. */
  isOld(ts: CommitTs): boolean {
    return this.eras.some(({ untilTs }) => ts < untilTs)
  }

  /** The entries that a row has in every index. Throws `INVALID_INDEX_KEY`, `KEY_TOO_LARGE`, and what `decode` throws. */
  entriesOf(bytes: Uint8Array, rowKey: Key, ts: CommitTs | undefined): readonly RowEntry[] {
    if (this.indexes.length === 0) return noEntries
    // A value for each: what one function does to its own, another must not see.
    return this.indexes.flatMap(index => index.entriesOf(this.decode(bytes, rowKey, ts), rowKey))
  }

  /** Throws `TABLE_DROPPED`, and `TABLE_MISMATCH` where `version` is not that of the rows any more. */
  assertCurrent(version: number): void {
    if (this.isDropped) throw new UsageError('TABLE_DROPPED', `Table ${JSON.stringify(this.name)} was dropped. Declare it again with db.table to make a new one.`)
    if (version !== this.version) {
      throw new UsageError(
        'TABLE_MISMATCH',
        `Table ${JSON.stringify(this.name)} was declared with version ${this.version} after this handle of it, which has version ${version}. Use the newer handle.`,
      )
    }
  }

  /** Throws `TABLE_MISMATCH` where an index that must be maintained has no function. */
  assertMayWrite(): void {
    const unknown = this.indexes.filter(({ on }) => on === undefined).map(({ name }) => JSON.stringify(name))
    if (unknown.length === 0) return
    throw new UsageError(
      'TABLE_MISMATCH',
      `Table ${JSON.stringify(this.name)} has ${unknown.length === 1 ? 'an index that was' : 'indexes that were'} not declared since the database was opened: ${unknown.join(', ')}. ` +
        'Without their functions it can be read, and not written. Declare them in db.table, or drop them by declaring "indexes" without them.',
    )
  }

  #migrated(value: unknown, rowKey: Key, ts: CommitTs): unknown {
    const era = this.eras.find(({ untilTs }) => ts < untilTs)
    if (era === undefined) return value
    const key = this.keyOf(rowKey)
    const where = `The row ${keyText(key)} of table ${JSON.stringify(this.name)} is of version ${era.version}`
    if (this.migrate === undefined) {
      throw new UsageError('TABLE_MISMATCH', `${where}, and the table was not declared with a "migrate" since the database was opened. Declare it with version ${this.version} and "migrate".`)
    }
    try {
      return this.migrate(value, era.version, key)
    } catch (error) {
      const why = error instanceof PremiseError || error instanceof UsageError ? error.message : 'its migration threw an error'
      throw new ConstraintError('MIGRATION', `${where} and cannot be migrated to ${this.version}: ${why}`, { table: this.name, key }, { cause: error })
    }
  }
}
