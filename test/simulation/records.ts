/** What a history leaves behind for its judge: every operation with its result, every outcome, in real-time order. */
import type { Durability, Level } from '../../engine/index.js'
import type { IndexName } from './index-functions.js'
import type { IndexKey, IndexRange, Key, Range, TableName, Value } from './model.js'

export type KeyValue = readonly [Key, Value]

/** What a read of an index returns; without a value where it asks for keys only. */
export type IndexRow = readonly [IndexKey, Key] | readonly [IndexKey, Key, Value]

/** An index from its declaration until it is dropped: its name, and which of that name it is. */
export type IndexId = `${IndexName}#${number}`
export const nameOf = (id: IndexId): IndexName => id.slice(0, id.indexOf('#')) as IndexName

/** Which index a read was of, and how it asked. */
export interface IndexQuery {
  readonly table: TableName
  readonly index: IndexId
  readonly range: IndexRange
  readonly keysOnly: boolean
}

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
  | { readonly op: 'next'; readonly iterator: number; readonly result: KeyValue | IndexRow | undefined }
  | { readonly op: 'index get'; readonly table: TableName; readonly index: IndexId; readonly indexKey: IndexKey; readonly result: IndexRow | undefined }
  | ({ readonly op: 'index range'; readonly result: readonly IndexRow[] } & IndexQuery)
  | ({ readonly op: 'index count'; readonly result: number } & IndexQuery)
  | ({ readonly op: 'index first' | 'index last'; readonly result: IndexRow | undefined } & IndexQuery)
  | ({ readonly op: 'index open'; readonly iterator: number } & IndexQuery)
  | { readonly op: 'index refused'; readonly table: TableName; readonly index: IndexId; readonly result: 'INDEX_BUILDING' | 'TABLE_DROPPED' }
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
  /** What a `UNIQUE_VIOLATION` said. */
  violation?: Violation
  /** When it ended: the newest visible, the newest durable commit. */
  visibleTs: number
  durableTs: number
}

/** The row that claimed a key of a unique index, and the one that has it. */
export interface Violation {
  readonly table: string
  readonly index: string
  readonly key: unknown
  readonly holder: unknown
}

export type Interruption = 'close' | 'failure'

/** What the commit path told as it installed. */
export interface Commit {
  readonly ts: number
  readonly label: string | undefined
  /** The rows that it deleted. */
  readonly deleted: readonly { readonly table: TableName; readonly key: Key }[]
  /** The engine's own, which changes nothing that a row says: a declaration, or a step of building an index, of clearing one away, of rewriting rows of an older version. */
  readonly isOwn?: boolean
}

export type IndexState = 'building' | 'ready' | 'dropped'

/** The indexes from a commit on; one that is not named is not declared yet. */
export interface Catalog {
  readonly ts: number
  readonly states: ReadonlyMap<IndexId, { readonly table: TableName; readonly state: IndexState }>
}

/** All of an index that was ready at the end, read in whole. */
export interface IndexContent {
  readonly table: TableName
  readonly index: IndexName
  readonly keysOnly: readonly IndexRow[]
  readonly rows: readonly IndexRow[]
}

/** What became of building the indexes that were declared last. */
export interface Building {
  readonly table: TableName
  /** The code of the error with which `ready` was rejected; `'done'` where it was not. */
  readonly outcome: string
  /** Those that were not ready afterwards. */
  readonly unready: readonly IndexName[]
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
  /** In order of their commits; the first is that of the beginning. */
  readonly catalogs?: readonly Catalog[]
  readonly contents?: readonly IndexContent[]
  readonly buildings?: readonly Building[]
}
