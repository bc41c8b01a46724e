/**
 * Every error that a caller can meet, with its stable code. A leaf: imports nothing but shared words, may be imported by
 * every layer of the engine. `docs/errors.md` lists each code with meaning, cause and remedy; a test compares.
 *
 * Messages name tables and keys, never values.
 */
import type { CommitTs, Level, SnapshotTs, WriteKind } from '../isolation/types.js'

/** Codes by class; `retryable` is true where running the same transaction again can succeed without other help. */
export const errorCodes = {
  ConflictError: { CONFLICT: true },
  ConstraintError: {
    ROW_EXISTS: false,
    ROW_ABSENT: false,
    UNIQUE_VIOLATION: false,
    SCHEMA: false,
    MIGRATION: false,
  },
  StorageError: {
    LOCKED: true,
    INDEX_BUILDING: true,
    CORRUPT: false,
    DISK_FULL: true,
    POISONED: false,
    COMMIT_UNKNOWN: false,
    FORMAT_TOO_NEW: false,
    NOT_A_DATABASE: false,
    CLOSED: false,
  },
  LimitError: {
    KEY_TOO_LARGE: false,
    VALUE_TOO_LARGE: false,
    TRANSACTION_TOO_LARGE: false,
    TOO_MANY_TRANSACTIONS: true,
    SNAPSHOT_TOO_OLD: true,
    RETRIES_EXHAUSTED: true,
    TIMEOUT: true,
  },
  CancelledError: { CANCELLED: false },
  UsageError: {
    INVALID_ARGUMENT: false,
    INVALID_KEY: false,
    INVALID_VALUE: false,
    INVALID_INDEX_KEY: false,
    OUTSIDE_TRANSACTION: false,
    TRANSACTION_ENDED: false,
    SAVEPOINT_ACTIVE: false,
    READ_ONLY: false,
    NOT_SYNCHRONOUS: false,
    TABLE_MISMATCH: false,
    TABLE_DROPPED: false,
    FOREIGN_TABLE: false,
  },
} as const

type Codes = typeof errorCodes
export type ConstraintCode = keyof Codes['ConstraintError']
export type StorageCode = keyof Codes['StorageError']
export type LimitCode = keyof Codes['LimitError']
export type UsageCode = keyof Codes['UsageError']
export type ErrorCode = { [C in keyof Codes]: keyof Codes[C] }[keyof Codes] & string

/** What was read, as a person would name it: one key, or a range of keys. */
export type ReadDescription = { readonly key: unknown } | { readonly range: RangeDescription }

/** The bounds of a recorded range as decoded keys; an absent bound is open. */
export interface RangeDescription {
  readonly prefix?: unknown
  readonly gte?: unknown
  readonly gt?: unknown
  readonly lt?: unknown
  readonly lte?: unknown
}

/** Why a transaction's premise no longer holds. Plain data. */
export interface Explanation {
  /**
   * `stale-read`: it read past a version newer than its snapshot; `overwritten`: a row it had read was written later;
   * `phantom`: a row was written into a range it had read; `write-write`: a row it wrote was written by another first.
   */
  readonly kind: 'stale-read' | 'overwritten' | 'phantom' | 'write-write'
  readonly level: Level
  readonly table: string
  /** Where what was read is a range of an index, or a key of a unique one: the keys are then index keys. */
  readonly index?: string
  readonly read: ReadDescription
  readonly snapshotTs: SnapshotTs
  readonly overwrittenBy: {
    readonly commitTs: CommitTs
    readonly label?: string
    readonly write: WriteKind
    readonly key: unknown
  }
  /** One sentence that says all of the above. */
  readonly sentence: string
  readonly remedy: string
}

/** The root of all outcomes that are not the caller's bug. */
export class PremiseError extends Error {
  /** Stable; compare this, never the message. */
  readonly code: ErrorCode
  /** True where running the same transaction again can succeed. */
  readonly retryable: boolean
  readonly explain?: Explanation

  constructor(code: ErrorCode, retryable: boolean, message: string, options: ErrorOptions & { explain?: Explanation | undefined } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = new.target.name
    this.code = code
    this.retryable = retryable
    if (options.explain) this.explain = options.explain
  }
}

/** The transaction's premise was overwritten by a commit after its snapshot. Nothing was changed; a retry can succeed. */
export class ConflictError extends PremiseError {
  declare readonly explain: Explanation
  constructor(explain: Explanation) {
    super('CONFLICT', true, `${explain.sentence} ${explain.remedy}`, { explain })
  }
}

/** A condition stated by the caller or the schema does not hold. Nothing was changed. */
export class ConstraintError extends PremiseError {
  readonly table: string
  readonly key: unknown
  /** For `SCHEMA`: the issues the schema reported, each with a message and a path. */
  readonly issues?: readonly SchemaIssue[]
  /** For `UNIQUE_VIOLATION`: the index, and the key of the row that holds the index key. */
  readonly index?: string
  readonly holder?: unknown
  constructor(code: ConstraintCode, message: string, where: ConstraintPlace, options: ErrorOptions = {}) {
    super(code, errorCodes.ConstraintError[code], message, options)
    this.table = where.table
    this.key = where.key
    if (where.issues) this.issues = where.issues
    if (where.unique) {
      this.index = where.unique.index
      this.holder = where.unique.holder
    }
  }
}

/** What a constraint error is about. */
export interface ConstraintPlace {
  readonly table: string
  readonly key: unknown
  readonly issues?: readonly SchemaIssue[]
  readonly unique?: { readonly index: string; readonly holder: unknown }
}

export interface SchemaIssue {
  readonly message: string
  readonly path: readonly PropertyKey[]
}

/** The store cannot do what was asked: it is locked, damaged, full, failed or closed. */
export class StorageError extends PremiseError {
  constructor(code: StorageCode, message: string, options: ErrorOptions = {}) {
    super(code, errorCodes.StorageError[code], message, options)
  }
}

/** A stated limit was reached. */
export class LimitError extends PremiseError {
  constructor(code: LimitCode, message: string, options: ErrorOptions & { explain?: Explanation | undefined } = {}) {
    super(code, errorCodes.LimitError[code], message, options)
  }
}

/** The caller's signal was aborted before the transaction was installed; `cause` is the signal's reason. */
export class CancelledError extends PremiseError {
  constructor(reason: unknown) {
    super('CANCELLED', false, 'The transaction was cancelled by its signal before it was committed; nothing was changed.', { cause: reason })
  }
}

/** A bug in the calling program. Never retried, never caused by other transactions. */
export class UsageError extends Error {
  readonly code: UsageCode
  readonly retryable = false
  constructor(code: UsageCode, message: string, options: ErrorOptions = {}) {
    super(message, options)
    this.name = 'UsageError'
    this.code = code
  }
}
