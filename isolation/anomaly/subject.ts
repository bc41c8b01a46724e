/**
 * What an engine has to offer to be put under the matrix. Three nouns: a store, a space in it for one played schedule, and a
 * transaction in that space.
 *
 * How an operation or a commit may end:
 * - it settles: done;
 * - it rejects with `retryable: true`: the engine aborted the transaction, which is over; the message is its explanation;
 * - it rejects with `code: 'UNIQUE_VIOLATION'`: a key of a unique index would have belonged to two rows; the transaction is over
 *   and nothing of it took effect. That must be true when it is said, and it is an answer like that of a read;
 * - it rejects with `code: 'UNSUPPORTED'`: the engine cannot do this at all, and the whole cell is `unsupported`;
 * - it rejects with anything else: a defect, which ends the run loudly.
 */
import type { Level } from '../types.js'
import type { IndexedValue, IndexInterval, IndexKey, IndexRangeOptions, KeyedValue, RangeOptions, Row, TableDefinition, TableInterval } from './scenario.js'

export type Awaitable<T> = T | Promise<T>

/** An engine at one isolation level. */
export interface Subject {
  /** As in `premisedb/serializable`. */
  readonly name: string
  /** The level it claims, in our words: what the cells are expected to show follows from it. */
  readonly level: Level
  /** How it keeps transactions apart: `optimistic`, `locking`, `serial`. */
  readonly control: string
  /** True where a cell that differs from what its level promises is a failure of ours, not news about somebody else. */
  readonly ours: boolean
  /** True where an operation may wait for another transaction to end; its steps are then given a bound (`Scheduler`). */
  readonly blocks?: boolean
  readonly open: () => Awaitable<SubjectStore>
}

export interface SubjectStore {
  /** A namespace that holds `initial` and nothing else: what happens in one space is never met in another. */
  readonly space: (initial: readonly Row[]) => Awaitable<SubjectSpace>
  /**
   * The same, where these tables have indexes; no others do. An engine without indexes leaves this out. `indexKeysOf` gives the
   * keys of a row as it is stored.
   */
  readonly indexedSpace?: (initial: readonly Row[], tables: readonly TableDefinition[]) => Awaitable<SubjectSpace>
  readonly close: () => Awaitable<void>
}

export interface SubjectSpace {
  readonly begin: (options: BeginOptions) => Awaitable<SubjectTransaction>
  /** All rows, committed and current, in any order. Called when every transaction has ended. */
  readonly finalState: () => Awaitable<readonly Row[]>
  /** All entries of an index, like `finalState`. Without it they are taken to be what the rows say. */
  readonly finalEntries?: (table: string, index: string) => Awaitable<readonly IndexedValue[]>
}

export interface BeginOptions {
  readonly label: string
  readonly readOnly: boolean
}

/** What is optional is what some engines lack: without it the cells of the scenarios that need it are `unsupported`. */
export interface SubjectTransaction {
  /** The value, or undefined where there is no row. */
  readonly get: (table: string, key: string) => unknown
  /** The rows in the order asked for: ascending, or descending with `reverse`. */
  readonly range: (options: RangeOptions) => Awaitable<readonly KeyedValue[]>
  readonly put: (table: string, key: string, value: unknown) => Awaitable<void>
  readonly delete: (table: string, key: string) => Awaitable<void>
  readonly first?: (interval: TableInterval) => Awaitable<KeyedValue | undefined>
  readonly last?: (interval: TableInterval) => Awaitable<KeyedValue | undefined>
  readonly count?: (interval: TableInterval) => Awaitable<number>
  /**
   * Deletes what the interval holds when the transaction takes effect: a row that somebody adds meanwhile is deleted too, or
   * is a reason to abort. An engine that deletes only the rows it has found does something else, and leaves this out.
   */
  readonly deleteRange?: (interval: TableInterval) => Awaitable<void>
  /** Begins a savepoint, within which the operations that follow are. */
  readonly savepoint?: () => Awaitable<void>
  /** Ends the savepoint and drops what was written within it. */
  readonly undo?: () => Awaitable<void>
  readonly indexRange?: (options: IndexRangeOptions) => Awaitable<readonly IndexedValue[]>
  readonly indexCount?: (interval: IndexInterval) => Awaitable<number>
  /** The row that has the key of a unique index. */
  readonly indexGet?: (table: string, index: string, at: IndexKey) => Awaitable<IndexedValue | undefined>
  readonly commit: () => Awaitable<void>
  readonly abort: () => Awaitable<void>
}

/** What a subject throws from an operation that its engine does not have. */
export class UnsupportedError extends Error {
  readonly code = 'UNSUPPORTED'
  override readonly name = 'UnsupportedError'
}
