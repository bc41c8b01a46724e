/**
 * What a change of the catalog leaves to be done: building indexes, rewriting rows of older versions, deleting what was under an id that is no more.
 *
 *   J-2  From the commit that declares an index on, every commit maintains it; so once the step that reads the last row is installed, it holds every row. That commit says that it is ready.
 *   J-3  What was done is in the same commit as how far it is. A crash loses steps that were not synced, and both with them; the next opening goes on where the rest ends.
 */
import { tablePrefix, tableRange } from '../encoding/keys.js'
import { ConstraintError, UsageError } from '../errors.js'
import { SnapshotCursor, type SeenRow } from '../store/snapshot-cursor.js'
import type { Snapshot } from '../store/epochs.js'
import type { Write } from '../write-set.js'
import { asKey, successor, type Key, type KeyRange } from '../../isolation/types.js'
import { droppedKeyInCatalog, encodeCatalogRow, progressKeyInCatalog } from './catalog-rows.js'
import { keyText } from './codec.js'
import { Jobs, type JobsParts, type Step } from './jobs.js'
import { StoredIndex } from './stored-index.js'
import type { StoredTable } from './stored-table.js'

export interface ChangesHooks {
  /** An index cannot be built: for duplicates, or for what its function does. */
  indexFailed(index: StoredIndex, error: Error): void
  /** Every row of the table is of the present version. */
  migrated(table: StoredTable): void
}

/** Writes of one step, at most: installing takes about as long as finding them. */
const stepWrites = 400
/** Of the time that a checkpoint's step may take, what finding a step's writes may take. */
const stepShare = 0.25
/** Rows passed between two looks at the clock. */
const rowsPerLook = 16

export class Changes {
  readonly #parts: JobsParts
  readonly #hooks: ChangesHooks
  /** Somebody waits for these; they keep the process alive. */
  readonly #awaited: Jobs
  /** Nobody waits for these. */
  readonly #background: Jobs

  constructor(parts: JobsParts, hooks: ChangesHooks) {
    this.#parts = parts
    this.#hooks = hooks
    const failed = (of: unknown, error: unknown): void => this.#failed(of, error)
    this.#awaited = new Jobs(parts, false, failed)
    this.#background = new Jobs(parts, true, failed)
  }

  /** Builds an index of a table whose rows are all of the present version: by what `migrate` gave before it was mended no entry may be made. Resolves when it is ready, on disk; rejects where it cannot be built. */
  build(index: StoredIndex): Promise<void> {
    return this.#awaited.add(index, () => this.#buildStep(index))
  }

  /** Rewrites rows of older versions. Resolves when there are none, on disk; rejects with what keeps a row from being migrated. */
  migrate(table: StoredTable): Promise<void> {
    const start = tableRange(table.prefix).lo
    let { version } = table
    let from = start
    return this.#awaited.add(table, () => {
      if (version !== table.version) from = start // declared anew meanwhile
      version = table.version
      return this.#migrationStep(table, from, next => (from = next))
    })
  }

  /** Deletes everything under an id, and its row in the catalog. */
  deleteAll(id: number): void {
    const { lo, hi } = tableRange(tablePrefix(id))
    let from = lo // rows before it are tombstones, which to pass takes time
    this.#background.add(id, () => this.#deletionStep(id, { lo: from, hi }, next => (from = next))).catch(() => {}) // goes on at the next opening
  }

  /** The database is being closed. */
  stop(): void {
    this.#awaited.stop()
    this.#background.stop()
  }

  /** What would fail again. A row that cannot be migrated keeps every index from being built, and is no fault of theirs. */
  #failed(of: unknown, error: unknown): void {
    if (!(of instanceof StoredIndex) || (error instanceof ConstraintError && error.code === 'MIGRATION')) return
    try {
      this.#hooks.indexFailed(of, error as Error)
    } catch {
      // No space to drop it: it stays as one that is being built.
    }
  }

  #buildStep(index: StoredIndex): Step | undefined {
    const { table } = index
    if (index.dropped !== undefined) throw index.dropped.cause ?? new UsageError('TABLE_DROPPED', `Index ${JSON.stringify(index.name)} of table ${JSON.stringify(table.name)} was dropped before it was built.`)
    if (index.readyTs !== undefined) return undefined
    const writes = new Map<Key, Write>()
    const { lo, hi } = tableRange(table.prefix)
    const from = index.builtTo === undefined ? lo : successor(asKey(table.prefix + index.builtTo))
    const last = this.#overRows({ lo: from, hi }, writes, (row, present) => {
      let sizeBytes = 0
      for (const { stored, value } of index.entriesOf(table.decode(row.value, row.key, row.ts), row.key)) {
        if (index.unique) this.#assertFree(index, row.key, stored, writes.get(stored)?.value ?? this.#parts.store.read(present, stored)?.value)
        writes.set(stored, { value, kind: 'insert' })
        sizeBytes += stored.length + value.length
      }
      return sizeBytes
    })
    const label = `build index ${JSON.stringify(index.name)} of table ${JSON.stringify(table.name)}`
    if (last !== undefined) {
      const builtTo = last.slice(table.prefix.length)
      putRow(writes, { is: 'progress', table: table.name, index: index.name, builtTo })
      return { writes, label, installed: () => void (index.builtTo = builtTo) }
    }
    writes.set(progressKeyInCatalog(table.name, index.name), { value: undefined, kind: 'delete' })
    const { id, name, unique, many, version, tableVersion, replaces } = index
    putRow(writes, { is: 'index', table: table.name, id, name, unique, many, version, tableVersion, ready: true, replaces: [] })
    for (const replaced of replaces) putRow(writes, { is: 'dropped', id: replaced })
    return {
      writes,
      label,
      installed: () => {
        index.builtTo = undefined
        index.replaces = []
        index.readyTs = this.#parts.store.visibleTs
        for (const replaced of replaces) this.deleteAll(replaced)
      },
    }
  }

  #assertFree(index: StoredIndex, rowKey: Key, entry: Key, holder: Uint8Array | undefined): void {
    if (holder === undefined) return
    const holderKey = index.rowKeyOf(entry, holder)
    if (holderKey === rowKey) return
    const { table } = index
    const [key, other] = [table.keyOf(rowKey), table.keyOf(holderKey)]
    throw new ConstraintError(
      'UNIQUE_VIOLATION',
      `Unique index ${JSON.stringify(index.name)} of table ${JSON.stringify(table.name)} cannot be built: the rows ${keyText(other)} and ${keyText(key)} have one key in it. The table is as it was, without the index.`,
      { table: table.name, key, unique: { index: index.name, holder: other } },
    )
  }

  /** Where progress is kept costs nothing: rows that were rewritten are newer, and passing them is cheap. */
  #migrationStep(table: StoredTable, from: Key, passed: (from: Key) => void): Step | undefined {
    if (table.isDropped) throw new UsageError('TABLE_DROPPED', `Table ${JSON.stringify(table.name)} was dropped before all its rows had been migrated.`)
    if (!table.isMigrating) return undefined
    // No index of rows of this version is ready, nor has entries for rows of an older one: the builds come after.
    const writes = new Map<Key, Write>()
    const last = this.#overRows({ lo: from, hi: tableRange(table.prefix).hi }, writes, row => {
      const value = table.asOfNow(row.value, row.key, row.ts)
      if (value !== row.value) writes.set(row.key, { value, kind: 'put', table })
      return value.length
    })
    const label = `migrate table ${JSON.stringify(table.name)} to version ${table.version}`
    if (last !== undefined) return { writes, label, installed: () => passed(successor(last)) }
    putRow(writes, { ...table.row, migrating: false })
    return {
      writes,
      label,
      installed: () => {
        table.isMigrating = false
        this.#hooks.migrated(table)
      },
    }
  }

  #deletionStep(id: number, range: KeyRange, passed: (from: Key) => void): Step | undefined {
    const writes = new Map<Key, Write>()
    const last = this.#overRows(range, writes, row => {
      writes.set(row.key, { value: undefined, kind: 'delete' })
      return row.key.length
    })
    const label = 'delete what was dropped'
    if (last !== undefined) return { writes, label, installed: () => passed(successor(last)) }
    const key = droppedKeyInCatalog(id)
    if (this.#read(key) === undefined) return undefined
    writes.set(key, { value: undefined, kind: 'delete' })
    return { writes, label }
  }

  #read(key: Key): Uint8Array | undefined {
    const { store } = this.#parts
    const present = store.epochs.acquire(store.visibleTs, false)
    try {
      return store.read(present, key)?.value
    } finally {
      store.epochs.release(present)
    }
  }

  /** Calls `visit` with present rows of a range, which returns the bytes that it writes, until a step is full; returns the last row's key, or undefined where the range is exhausted. */
  #overRows(range: KeyRange, writes: ReadonlyMap<Key, Write>, visit: (row: SeenRow, present: Snapshot) => number): Key | undefined {
    const { store, environment, limits } = this.#parts
    const untilMs = environment.nowMs() + limits.stepMs * stepShare
    const present = store.epochs.acquire(store.visibleTs, false)
    try {
      const cursor = new SnapshotCursor(store.epochs.window, present, range, false)
      let sizeBytes = 0
      for (let rows = 1; ; rows++) {
        const row = cursor.peek()
        if (row === undefined || row === 'moved') return undefined
        cursor.take()
        sizeBytes += row.value.length + visit(row, present)
        const isFull = writes.size >= stepWrites || sizeBytes >= limits.stepSizeBytes || (rows % rowsPerLook === 0 && environment.nowMs() >= untilMs)
        if (isFull) return row.key
      }
    } finally {
      store.epochs.release(present)
    }
  }
}

function putRow(writes: Map<Key, Write>, row: Parameters<typeof encodeCatalogRow>[0]): void {
  const { key, value } = encodeCatalogRow(row)
  writes.set(key, { value, kind: 'put' })
}
