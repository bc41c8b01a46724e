/**
 * Index entries, as a commit writes them: from the rows that it really replaces, which are those of the present, whatever the transaction has seen.
 *
 *   X-1  At every level, and whenever the transaction began: two blind puts of one row must not leave an entry of the first, nor one of a row without an index that was declared meanwhile.
 *   X-2  An index key is unique in the state after the commit. It is held against neither a row that the transaction itself moves away or deletes, nor what others have not committed.
 *   X-3  An entry that ought to be there and is not shows that an index's function is not what it was. That is refused: the entry that stands instead would never be removed.
 *   X-4  While a unique index is built anew, the entries of those that it replaces go on saying who has a key: a row that is not built yet keeps its key.
 */
import { tablePrefix, tablePrefixOf } from './encoding/keys.js'
import { ConstraintError, StorageError, UsageError } from './errors.js'
import type { Snapshot } from './store/epochs.js'
import type { SeenVersion, Store } from './store/store.js'
import type { TablesByPrefix } from './table/catalog.js'
import { keyText } from './table/codec.js'
import type { RowEntry, StoredIndex } from './table/stored-index.js'
import type { StoredTable } from './table/stored-table.js'
import type { Write } from './write-set.js'
import { asKey, type CommitTs, type Key } from '../isolation/types.js'

/** Notes a version that the outcome depends on. */
export type Saw = (seen: SeenVersion | undefined) => SeenVersion | undefined

/** One row's entry, before or after the commit. */
interface Derived extends RowEntry {
  readonly rowKey: Key
}

/**
 * What `rows` change in the indexes of their tables, on the state `present`. Throws `UNIQUE_VIOLATION`, `INVALID_INDEX_KEY`, `KEY_TOO_LARGE`, `MIGRATION`, `CORRUPT`.
 */
export function deriveEntries(rows: ReadonlyMap<Key, Write>, present: Snapshot, store: Store, tables: TablesByPrefix, saw: Saw): ReadonlyMap<Key, Write> {
  const { before, after } = entriesAround(rows, present, store, tables)
  const writes = new Map<Key, Write>()
  if (before.length === 0 && after.length === 0) return writes

  /** What is told depends on the holder's row, and on the commit that declared the index. */
  const refused = (index: StoredIndex, rowKey: Key, holderKey: Key): ConstraintError => {
    for (const key of [index.catalogKey, holderKey]) saw(store.read(present, key))
    return violation(index, rowKey, holderKey)
  }

  const had = new Set(before.map(({ own }) => own))
  const claims = new Map<Key, Derived>()
  /** What stays as it is in a unique index that is being built, by its own key: perhaps the entry is not made yet, perhaps another row has it. The build finds rows that share one. */
  const unbuilt = new Map<Key, Derived>()
  for (const entry of after) {
    const { index, stored, own, rowKey } = entry
    if (index.unique && index.readyTs === undefined && had.has(own)) {
      unbuilt.set(own, entry)
      continue
    }
    const other = claims.get(stored)
    if (other !== undefined && other.rowKey !== rowKey) throw had.has(own) ? refused(index, other.rowKey, rowKey) : refused(index, rowKey, other.rowKey)
    claims.set(stored, entry)
  }

  /** Rows that give up an index key, by its entry. */
  const givenUp = new Map<Key, Key>()
  for (const { index, stored, own, rowKey } of before) {
    if (unbuilt.has(own)) continue
    const next = claims.get(stored)
    if (next?.rowKey === rowKey) {
      claims.delete(stored) // it stays as it is
      continue
    }
    const now = store.read(present, stored)
    const isThere = now?.value !== undefined && (!index.unique || index.rowKeyOf(stored, now.value) === rowKey)
    if (!isThere) {
      if (index.readyTs !== undefined) throw notTheSame(index, rowKey)
      continue // not built yet
    }
    givenUp.set(stored, rowKey)
    if (next === undefined) writes.set(stored, { value: undefined, kind: 'delete' })
  }
  const left = new Map<Key, Derived>()
  for (const entry of unbuilt.values()) {
    left.set(entry.stored, entry)
    if (givenUp.has(entry.stored)) writes.set(entry.stored, { value: entry.value, kind: 'insert' })
  }

  for (const { index, stored, rowKey, value } of claims.values()) {
    if (index.unique) {
      const other = left.get(stored)
      if (other !== undefined) throw refused(index, rowKey, other.rowKey)
      const now = saw(store.read(present, stored))
      const entryOf = now?.value === undefined ? undefined : index.rowKeyOf(stored, now.value)
      const holder = entryOf !== undefined && givenUp.get(stored) !== entryOf ? entryOf : formerHolder(index, stored, rows, present, store, saw)
      if (holder !== undefined && holder !== rowKey) throw refused(index, rowKey, holder)
    }
    writes.set(stored, { value, kind: 'insert' })
  }
  return writes
}

/** The entries of all rows as they are at the present, and as they will be. */
function entriesAround(rows: ReadonlyMap<Key, Write>, present: Snapshot, store: Store, tables: TablesByPrefix): { readonly before: Derived[]; readonly after: Derived[] } {
  const before: Derived[] = []
  const after: Derived[] = []
  for (const [rowKey, write] of rows) {
    const table = write.table ?? tables.get(tablePrefixOf(rowKey))
    if (table === undefined || table.indexes.length === 0) continue
    table.assertMayWrite()
    const replaced = store.read(present, rowKey)
    if (replaced?.value !== undefined) for (const entry of formerEntries(table, Uint8Array.from(replaced.value), rowKey, replaced.ts)) before.push({ ...entry, rowKey })
    if (write.value !== undefined) for (const entry of entriesOf(write, write.value, table, rowKey)) after.push({ ...entry, rowKey })
  }
  return { before, after }
}

/** What a row has in each index. What an index that is not ready refuses has no entry in it, and may be replaced or deleted. */
function formerEntries(table: StoredTable, value: Uint8Array, rowKey: Key, ts: CommitTs): readonly RowEntry[] {
  return table.indexes.flatMap(index => {
    try {
      return index.entriesOf(table.decode(value, rowKey, ts), rowKey)
    } catch (error) {
      if (index.readyTs === undefined && !(error instanceof StorageError)) return []
      throw error
    }
  })
}

/** the row that had a key in an index which is being replaced, if it still has it. */
function formerHolder(index: StoredIndex, stored: Key, rows: ReadonlyMap<Key, Write>, present: Snapshot, store: Store, saw: Saw): Key | undefined {
  for (const id of index.replaces) {
    const former = asKey(tablePrefix(id) + stored.slice(index.prefix.length))
    const value = store.read(present, former)?.value
    if (value === undefined) continue
    const rowKey = index.rowKeyOf(former, value)
    if (rows.has(rowKey)) continue // what it has now is among those above
    const row = saw(store.read(present, rowKey))
    if (row?.value === undefined) continue
    const entries = index.entriesOf(index.table.decode(Uint8Array.from(row.value), rowKey, row.ts), rowKey)
    if (entries.some(entry => entry.stored === stored)) return rowKey
  }
  return undefined
}

/** Those that were made when the row was written, unless indexes have come or gone since. */
function entriesOf({ entries }: Write, value: Uint8Array, table: StoredTable, rowKey: Key): readonly RowEntry[] {
  return entries?.indexes === table.indexes ? entries.all : table.entriesOf(value, rowKey, undefined)
}

function violation({ name: index, table }: StoredIndex, rowKey: Key, holderKey: Key): ConstraintError {
  const [key, holder] = [table.keyOf(rowKey), table.keyOf(holderKey)]
  return new ConstraintError(
    'UNIQUE_VIOLATION',
    `Row ${keyText(key)} of table ${JSON.stringify(table.name)} claims a key of the unique index ${JSON.stringify(index)} that row ${keyText(holder)} holds. Nothing was changed.`,
    { table: table.name, key, unique: { index, holder } },
  )
}

function notTheSame({ name: index, table }: StoredIndex, rowKey: Key): UsageError {
  return new UsageError(
    'INVALID_INDEX_KEY',
    `Index ${JSON.stringify(index)} of table ${JSON.stringify(table.name)} does not hold row ${keyText(table.keyOf(rowKey))} under the key that its function "on" gives now. Nothing was changed. ` +
      'The function depends on something else than the row, or it was changed: raise "version" of the index, and it is built anew.',
  )
}
