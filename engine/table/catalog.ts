/**
 * The catalog: which tables there are, under which id, with which key. Its entries are rows of the same keyspace (table id 0, keyed by name), so they are
 * versioned, logged and tracked like any other row.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { CommitPath } from '../commit.js'
import type { KeyElementType } from '../encoding/key-elements.js'
import { decodeKey, encodeKey, keyHex, tablePrefix, tableRange } from '../encoding/keys.js'
import { decodeValue, encodeValue } from '../encoding/values.js'
import { StorageError, UsageError } from '../errors.js'
import type { NameTable } from '../explain.js'
import type { Limits } from '../limits.js'
import { SnapshotCursor } from '../store/snapshot-cursor.js'
import type { Store } from '../store/store.js'
import type { Key } from '../../isolation/types.js'
import { keyText, TableCodec } from './codec.js'
import { checkDefinition, type TableDefinition } from './definition.js'
import { Table } from './table.js'

const catalogId = 0
export const catalogPrefix: string = tablePrefix(catalogId)

/** A table as the catalog stores it. */
interface Entry {
  readonly id: number
  readonly key: readonly KeyElementType[]
}

export class Catalog {
  readonly #entries = new Map<string, Entry>()
  readonly #names = new Map<number, string>()
  readonly #ready = new Map<string, Promise<void>>()
  readonly #store: Store
  readonly #commitPath: CommitPath
  readonly #limits: Limits

  constructor(store: Store, commitPath: CommitPath, limits: Limits) {
    this.#store = store
    this.#commitPath = commitPath
    this.#limits = limits
    this.#load()
  }

  /**
   * The table's handle; its catalog entry is made if there is none. Throws `INVALID_ARGUMENT`, or `TABLE_MISMATCH` naming the difference where the table exists
   * with another key.
   */
  table<K, In, Out, Bound>(name: string, definition: TableDefinition<readonly KeyElementType[], StandardSchemaV1>, owner: object): Table<K, In, Out, Bound> {
    checkDefinition(name, definition)
    const { id, key } = this.#entries.get(name) ?? this.#create(name, definition.key)
    if (JSON.stringify(key) !== JSON.stringify(definition.key)) {
      throw new UsageError(
        'TABLE_MISMATCH',
        `Table ${JSON.stringify(name)} is stored with key ${JSON.stringify(key)} and was declared with key ${JSON.stringify(definition.key)}. ` +
          'Declare it as it is stored, or use another name.',
      )
    }
    const codec = new TableCodec<K, In, Out, Bound>({
      id,
      name,
      types: key,
      schema: definition.schema,
      catalogKey: catalogKeyOf(name),
      valueSizeBytes: this.#limits.valueSizeBytes,
    })
    return new Table(codec, owner, this.#ready.get(name) ?? Promise.resolve())
  }

  /** A table's name by id, for explanations. */
  readonly nameTable: NameTable = id => {
    const name = this.#names.get(id)
    if (name === undefined) return { name: id === catalogId ? 'catalog' : `#${id}`, bare: id === catalogId }
    return { name, bare: this.#entries.get(name)!.key.length === 1 }
  }

  /** Table and key that an encoded key means, for messages. */
  describe(encoded: Key): { readonly name: string; readonly key: unknown } {
    const { tableId, tuple } = decodeKey(encoded)
    const { name, bare } = this.nameTable(tableId)
    return { name, key: bare ? tuple[0] : tuple }
  }

  /** A row, at the beginning of a sentence. */
  readonly nameRow = (encoded: Key): string => {
    try {
      const { name, key } = this.describe(encoded)
      return `Row ${keyText(key)} of table ${JSON.stringify(name)}`
    } catch {
      return `The row with key ${keyHex(encoded)}`
    }
  }

  #create(name: string, key: readonly KeyElementType[]): Entry {
    this.#store.assertUsable()
    const entry: Entry = { id: 1 + Math.max(catalogId, ...this.#names.keys()), key: structuredClone(key) as readonly KeyElementType[] }
    const value = encodeValue({ id: entry.id, key: entry.key })
    const ts = this.#commitPath.install(new Map([[catalogKeyOf(name), { value, kind: 'insert' as const }]]), { label: undefined, durability: 'durable' })
    this.#remember(name, entry)
    this.#ready.set(name, this.#store.whenDurable(ts))
    return entry
  }

  #remember(name: string, entry: Entry): void {
    this.#entries.set(name, entry)
    this.#names.set(entry.id, name)
  }

  #load(): void {
    const snapshot = this.#store.epochs.acquire(this.#store.visibleTs, false)
    try {
      const cursor = new SnapshotCursor(this.#store.epochs.window, snapshot, tableRange(catalogPrefix), false)
      for (let row = cursor.peek(); row !== undefined && row !== 'moved'; row = cursor.peek()) {
        cursor.take()
        const { name, id, types } = decodeEntry(row.key, row.value)
        this.#remember(name, { id, key: types })
      }
    } finally {
      this.#store.epochs.release(snapshot)
    }
  }
}

/** A table as its row in the catalog describes it. Throws `CORRUPT`. */
export function decodeEntry(key: Key, value: Uint8Array): { readonly name: string; readonly id: number; readonly types: readonly KeyElementType[] } {
  const name = decodeKey(key).tuple[0]
  const entry = decodeValue(value) as Entry
  if (typeof name !== 'string' || !Number.isSafeInteger(entry?.id) || !Array.isArray(entry.key)) {
    throw new StorageError('CORRUPT', 'An entry of the catalog cannot be understood.')
  }
  return { name, id: entry.id, types: entry.key }
}

function catalogKeyOf(name: string): Key {
  return encodeKey(catalogPrefix, [name], ['string'])
}
