/**
 * Index entries, as a commit writes them: from the rows that it really replaces, which are those of the present, whatever the transaction has seen.
 *
 *   X-1  At every level, and whenever the transaction began: two blind puts of one row must not leave an entry of the first, nor one of a row without an index that was declared meanwhile.
 *   X-2  An index key is unique in the state after the commit. It is held against neither a row that the transaction itself moves away or deletes, nor what others have not committed.
 *   X-3  An entry that ought to be there and is not shows that an index's function is not what it was, or that a migration changed what it gives. That is refused: the entry that stands instead would
 *        never be removed. Entries that stay as they are are not looked for, unless the row has been migrated: they are then those of the row as it is now.
 */
import { tablePrefixOf } from './encoding/keys.js'
import { ConstraintError, UsageError } from './errors.js'
import type { Snapshot } from './store/epochs.js'
import type { SeenVersion, Store } from './store/store.js'
import type { TablesByPrefix } from './table/catalog.js'
import { keyText } from './table/codec.js'
import type { RowEntry, StoredIndex } from './table/stored-index.js'
import type { StoredTable } from './table/stored-table.js'
import type { Write } from './write-set.js'
import type { Key } from '../isolation/types.js'

/** Notes a version that the outcome depends on. */
export type Saw = (seen: SeenVersion | undefined) => SeenVersion | undefined

/** One row's entry, before or after the commit. */
interface Derived extends RowEntry {
  readonly rowKey: Key
  /** Of a row that was written in an older version. */
  readonly isMigrated: boolean
}

/**
 * What `rows` change in the indexes of their tables, on the state `present`. Throws `UNIQUE_VIOLATION`, `INVALID_INDEX_KEY`, `KEY_TOO_LARGE`, `MIGRATION`, `CORRUPT`.
 */
export function deriveEntries(rows: ReadonlyMap<Key, Write>, present: Snapshot, store: Store, tables: TablesByPrefix, saw: Saw): ReadonlyMap<Key, Write> {
  const before: Derived[] = []
  const after: Derived[] = []
  for (const [rowKey, write] of rows) {
    const table = write.table ?? tables.get(tablePrefixOf(rowKey))
    if (table === undefined || table.indexes.length === 0) continue
    table.assertMayWrite()
    const replaced = store.read(present, rowKey)
    if (replaced?.value !== undefined) {
      const isMigrated = table.eraOf(replaced.ts) !== undefined
      for (const entry of table.entriesOf(Uint8Array.from(replaced.value), rowKey, replaced.ts)) before.push({ ...entry, rowKey, isMigrated })
    }
    if (write.value !== undefined) for (const entry of entriesOf(write, write.value, table, rowKey)) after.push({ ...entry, rowKey, isMigrated: false })
  }
  const writes = new Map<Key, Write>()
  if (before.length === 0 && after.length === 0) return writes

  const kept = new Map<Key, Derived>()
  for (const entry of after) {
    const other = kept.get(entry.stored)
    if (other !== undefined && other.rowKey !== entry.rowKey) {
      const isHolder = before.some(({ stored, rowKey }) => stored === entry.stored && rowKey === entry.rowKey)
      throw isHolder ? violation(entry.index, other.rowKey, entry.rowKey) : violation(entry.index, entry.rowKey, other.rowKey)
    }
    kept.set(entry.stored, entry)
  }
  /** Rows that give up an index key of a unique index, by its entry. */
  const givenUp = new Map<Key, Key>()
  const unchanged: Derived[] = []
  for (const entry of before) {
    const { index, stored, rowKey } = entry
    const successor = kept.get(stored)
    if (successor?.rowKey === rowKey) {
      unchanged.push(entry)
      if (!entry.isMigrated) continue
    }
    const now = store.read(present, stored)
    const isThere = now?.value !== undefined && (!index.unique || index.rowKeyOf(stored, now.value) === rowKey)
    if (!isThere) {
      if (index.readyTs !== undefined) throw notTheSame(index, rowKey)
      continue // not built yet
    }
    if (successor?.rowKey === rowKey) continue
    givenUp.set(stored, rowKey)
    if (successor === undefined) writes.set(stored, { value: undefined, kind: 'delete' })
  }
  // They stay as they are, but where a unique index is being built another row may have the entry, and give it up now. If it does not, the build will find both.
  for (const { stored, rowKey } of unchanged) if ((givenUp.get(stored) ?? rowKey) === rowKey) kept.delete(stored)
  for (const { index, stored, rowKey, value } of kept.values()) {
    if (index.unique) {
      const now = saw(store.read(present, stored))
      const holder = now?.value === undefined ? undefined : index.rowKeyOf(stored, now.value)
      if (holder !== undefined && holder !== rowKey && givenUp.get(stored) !== holder) throw violation(index, rowKey, holder)
    }
    writes.set(stored, { value, kind: 'insert' })
  }
  return writes
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
      'The function depends on something else than the row, or it was changed, or a migration changed what it gives: raise "version" of the index, and it is built anew.',
  )
}
