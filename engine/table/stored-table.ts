/** A table of one opening: what the catalog says of it and what programs have declared, shared by all its handles. */
import { decodeKey, tablePrefix } from '../encoding/keys.js'
import type { KeyElementType } from '../encoding/key-elements.js'
import { decodeValue } from '../encoding/values.js'
import { ConstraintError, PremiseError, StorageError, UsageError } from '../errors.js'
import type { CommitTs, Key } from '../../isolation/types.js'
import { tableKeyInCatalog, type Era, type TableRow } from './catalog-rows.js'
import { keyText } from './codec.js'
import type { RowEntry, StoredIndex } from './stored-index.js'

/** Makes the bytes of a row of the present version from a row of an older version. */
export type Migrate = (old: unknown, version: number, key: unknown) => Uint8Array

const noEntries: readonly RowEntry[] = []

export class StoredTable {
  readonly id: number
  readonly types: readonly KeyElementType[]
  readonly prefix: string
  name: string
  catalogKey: Key
  version: number
  /** Of which version rows are that were written before some commits. Kept when all have been rewritten: older snapshots have them as they were. */
  eras: readonly Era[]
  /** Whether rows may be there that have not been rewritten. */
  isMigrating: boolean
  migrate: Migrate | undefined
  /** Every index that is maintained. Replaced when one comes or goes, so that who has seen it can tell. */
  indexes: readonly StoredIndex[] = []
  isDropped = false

  constructor({ id, name, key, version, eras, migrating }: TableRow) {
    this.id = id
    this.types = frozen(key)
    this.prefix = tablePrefix(id)
    this.name = name
    this.catalogKey = tableKeyInCatalog(name)
    this.version = version
    this.eras = eras
    this.isMigrating = migrating
  }

  get row(): TableRow {
    return { is: 'table', id: this.id, name: this.name, key: this.types, version: this.version, eras: this.eras, migrating: this.isMigrating }
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
    return this.#decode(this.eras.length === 0 ? bytes : this.asOfNow(bytes, rowKey, ts), rowKey)
  }

  /** The bytes that a row would have, had it been written in the present version; the same ones where it was. Throws as `decode`. */
  asOfNow(bytes: Uint8Array, rowKey: Key, ts: CommitTs | undefined): Uint8Array {
    const era = ts === undefined ? undefined : this.eraOf(ts)
    return era === undefined ? bytes : this.#migrated(this.#decode(bytes, rowKey), rowKey, era.version)
  }

  /** Undefined for the present one. */
  eraOf(ts: CommitTs): Era | undefined {
    return this.eras.find(({ untilTs }) => ts < untilTs)
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

  #decode(bytes: Uint8Array, rowKey: Key): unknown {
    try {
      return decodeValue(bytes)
    } catch (error) {
      throw new StorageError('CORRUPT', `The row ${keyText(this.keyOf(rowKey))} of table ${JSON.stringify(this.name)} cannot be decoded.`, { cause: error })
    }
  }

  #migrated(value: unknown, rowKey: Key, version: number): Uint8Array {
    const key = this.keyOf(rowKey)
    const where = `The row ${keyText(key)} of table ${JSON.stringify(this.name)} is of version ${version}`
    if (this.migrate === undefined) {
      throw new UsageError('TABLE_MISMATCH', `${where}, and the table was not declared with a "migrate" since the database was opened. Declare it with version ${this.version} and "migrate".`)
    }
    try {
      return this.migrate(value, version, key)
    } catch (error) {
      const why = error instanceof PremiseError || error instanceof UsageError ? error.message : 'its migration threw an error'
      throw new ConstraintError('MIGRATION', `${where} and cannot be migrated to ${this.version}: ${why}`, { table: this.name, key }, { cause: error })
    }
  }
}

/** Callers see these arrays. */
function frozen(types: readonly KeyElementType[]): readonly KeyElementType[] {
  return Object.freeze(types.map(type => (typeof type === 'string' ? type : frozen(type))))
}
