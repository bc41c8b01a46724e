/** What a history leaves behind for its judge: every operation with its result, every outcome, in real-time order. */
import type { Durability, Level } from '../../engine/index.js'
import type { Key, Range, TableName, Value } from './model.js'

export type KeyValue = readonly [Key, Value]

/**
 * `at` is the newest commit that the operation could see where each operation sees the newest; `event` its position in real-time order.
 */
export type Operation = { readonly at: number; readonly event: number } & (
  | { readonly op: 'get'; readonly table: TableName; readonly key: Key; readonly result: Value | undefined }
  | { readonly op: 'has'; readonly table: TableName; readonly key: Key; readonly result: boolean }
  | { readonly op: 'getMany'; readonly table: TableName; readonly keys: readonly Key[]; readonly result: readonly (Value | undefined)[] }
  | { readonly op: 'range'; readonly table: TableName; readonly range: Range; readonly result: readonly KeyValue[] }
  | { readonly op: 'count'; readonly table: TableName; readonly range: Range; readonly result: number }
  | { readonly op: 'first' | 'last'; readonly table: TableName; readonly range: Range; readonly result: KeyValue | undefined }
  | { readonly op: 'open'; readonly table: TableName; readonly range: Range; readonly iterator: number }
  | { readonly op: 'next'; readonly iterator: number; readonly result: KeyValue | undefined }
  | { readonly op: 'put'; readonly table: TableName; readonly key: Key; readonly value: Value }
  | { readonly op: 'delete'; readonly table: TableName; readonly key: Key }
  | { readonly op: 'insert'; readonly table: TableName; readonly key: Key; readonly value: Value; readonly result: 'done' | 'ROW_EXISTS' }
  | { readonly op: 'update'; readonly table: TableName; readonly key: Key; readonly value: Value; readonly result: Value | 'ROW_ABSENT' }
  | { readonly op: 'compareAndSet'; readonly table: TableName; readonly key: Key; readonly expected: Value | undefined; readonly value: Value | undefined; readonly result: boolean }
  | { readonly op: 'deleteRange'; readonly table: TableName; readonly range: Range; readonly result: number }
  | { readonly op: 'savepoint' | 'keep' | 'undo' }
)

/** One run of a body. */
export interface Attempt {
  /** The newest visible commit at its beginning; for a read-only one the newest acknowledged. */
  readonly beganTs: number
  readonly operations: Operation[]
  /** It ended in a conflict, found when this was the newest commit. */
  conflictTs?: number
}

export interface TransactionRecord {
  readonly label: string
  readonly level: Level
  readonly readOnly: boolean
  readonly durability: Durability
  /** Read beside transactions, at the newest acknowledged commit. */
  readonly oneShot: boolean
  /** Positions in real-time order. */
  readonly startedAt: number
  endedAt: number
  readonly attempts: Attempt[]
  /** The code of the error it ended with; `'done'` where it did not. */
  outcome: string
  /** When it ended: the newest visible, the newest durable commit. */
  visibleTs: number
  durableTs: number
}

export type Interruption = 'close' | 'failure'

/** What the commit path told as it installed. */
export interface Commit {
  readonly ts: number
  readonly label: string | undefined
  /** The rows that it deleted. */
  readonly deleted: readonly { readonly table: TableName; readonly key: Key }[]
}

export interface History {
  readonly transactions: readonly TransactionRecord[]
  /** In order. */
  readonly commits: readonly Commit[]
  /** The newest commit before the history; there were no rows then. */
  readonly baseTs: number
  /** How it was cut short: the disk failed, or the database was closed. */
  readonly interruption: Interruption | undefined
  /** What a read at the end shows; of a history that was cut short, after the database was opened again. */
  readonly finally: readonly { readonly table: TableName; readonly key: Key; readonly value: Value }[]
}
