/**
 * Scenarios are data: rows to begin with, sessions made of steps, and what counts as the anomaly. The runner plays every
 * order in which the sessions' steps can meet; a scenario never says in which order they do.
 *
 * A session is one transaction. It begins at its first step, unless that step is an explicit `begin()`, which lets other
 * sessions act between the start and the first read (an early snapshot). Its last step is `commit()` or `abort()`.
 */
import type { Level } from '../types.js'
import type { Phenomenon } from './checker/phenomena.js'

export interface Row {
  readonly table: string
  readonly key: string
  readonly value: unknown
}

export interface KeyedValue<T = unknown> {
  readonly key: string
  readonly value: T
}

/** Bounds over a table's keys, in the order of their characters (scenario keys are ASCII). An absent bound is open. */
export interface KeyInterval {
  readonly gt?: string
  readonly gte?: string
  readonly lt?: string
  readonly lte?: string
}

/** A stretch of one table. */
export interface TableInterval extends KeyInterval {
  readonly table: string
}

export interface RangeOptions extends TableInterval {
  readonly limit?: number
  readonly reverse?: boolean
}

/** The elements of an index's key: strings without spaces, compared one after the other. */
export type IndexKey = readonly string[]

/**
 * An index that a table declares. Which entries a row has follows from its value alone; `indexKeysOf` says it. Entries are in
 * the order of their index keys, and of the rows' own keys where those are equal.
 */
export interface IndexDefinition {
  readonly name: string
  /** The field of the row's value that the key is taken from, or the fields whose values are its elements, in their order. */
  readonly on: string | readonly string[]
  /** When a transaction commits, no two rows may have the same key. */
  readonly unique?: boolean
  /** The field, which must be one, holds a list of keys; each is an entry. */
  readonly many?: boolean
}

export interface TableDefinition {
  readonly table: string
  readonly indexes: readonly IndexDefinition[]
}

/** A stretch of an index: keys that begin with `prefix` and whose next element lies within the bounds. Absent: open. */
export interface IndexInterval {
  readonly table: string
  readonly index: string
  readonly prefix?: IndexKey
  readonly gte?: string
  readonly lt?: string
}

export interface IndexRangeOptions extends IndexInterval {
  readonly limit?: number
  readonly reverse?: boolean
}

/** A row that was found through an index, and under which of its keys. */
export interface IndexedValue<T = unknown> extends KeyedValue<T> {
  readonly indexKey: IndexKey
}

/** What a session has read so far, by the name each read was given. A name that was not read is a mistake and throws. */
export interface Seen {
  /** The value of a `get`; undefined for an absent row. */
  value: (name: string) => unknown
  /** The value of a `get` that must have found a number. */
  number: (name: string) => number
  /** The rows of a range, in the order the engine gave them; of a `first`, a `last` or an `indexGet` the one row, or none. */
  rows: (name: string) => readonly KeyedValue[]
}

/** A decision from what was read. When it does not hold, the session gives up: it aborts by its own choice. */
export interface Condition {
  readonly holds: (seen: Seen) => boolean
  /** Why the session gives up, as a clause: "the room is taken". */
  readonly otherwise: string
}

export type Step =
  | { readonly kind: 'begin' }
  | { readonly kind: 'get'; readonly table: string; readonly key: string; readonly as: string }
  | { readonly kind: 'range'; readonly range: RangeOptions; readonly as: string }
  | { readonly kind: 'first' | 'last'; readonly range: TableInterval; readonly as: string }
  /** Counts the rows of a range, and gives up unless there are none: only a count of 0 says which rows it has counted. */
  | { readonly kind: 'count'; readonly range: TableInterval; readonly otherwise: string }
  | { readonly kind: 'indexRange'; readonly range: IndexRangeOptions; readonly as: string }
  /** As `count`, of the entries of an index. */
  | { readonly kind: 'indexCount'; readonly range: IndexInterval; readonly otherwise: string }
  /** The row that has a key of a unique index. The session must not have given that key to a row itself. */
  | { readonly kind: 'indexGet'; readonly table: string; readonly index: string; readonly at: IndexKey; readonly as: string }
  | {
      readonly kind: 'put'
      readonly table: string
      readonly key: string
      readonly value: (seen: Seen) => unknown
      readonly onlyIf?: Condition
    }
  | { readonly kind: 'delete'; readonly table: string; readonly key: string; readonly onlyIf?: Condition }
  | { readonly kind: 'deleteRange'; readonly range: TableInterval; readonly onlyIf?: Condition }
  /** What is written from here on is dropped by the `undo` that follows; what is read stays known. None inside another. */
  | { readonly kind: 'savepoint' }
  /** A session must not have read back what it drops. */
  | { readonly kind: 'undo' }
  | { readonly kind: 'commit' }
  | { readonly kind: 'abort' }

export interface Session {
  /** Shown as the column's heading and given to the engine as the transaction's label. */
  readonly label: string
  readonly readOnly?: boolean
  readonly steps: readonly Step[]
}

/** What the final state must satisfy, whichever transactions committed. */
export interface Invariant {
  readonly sentence: string
  readonly holds: (rows: readonly Row[]) => boolean
}

/**
 * What makes one played schedule a witness of the anomaly:
 * - `phenomenon`: the committed history contains it;
 * - `invariant`: the final state breaks the invariant and no serial order of the committed transactions explains it;
 * - `read-only`: no serial order explains the history, but one does once the named session's transaction is left out.
 */
export type Witness =
  | { readonly kind: 'phenomenon'; readonly phenomenon: Phenomenon }
  | { readonly kind: 'invariant'; readonly invariant: Invariant }
  | { readonly kind: 'read-only'; readonly session: string }

export interface Scenario {
  readonly id: string
  readonly title: string
  /** One line, at most 80 characters: what goes wrong. */
  readonly legend: string
  /** A paragraph for somebody who has never heard of the anomaly. */
  readonly story: string
  readonly source: string
  readonly initial: readonly Row[]
  /** The tables that have indexes; the others need no mention. */
  readonly tables?: readonly TableDefinition[]
  readonly sessions: readonly Session[]
  readonly witness: Witness
  /** The levels that are expected to let it through. */
  readonly allowedAt: readonly Level[]
}

/** A scenario made of steps over one table: the shape nearly all scenarios have. */
export interface StepsOverTable {
  get: (key: string) => Step
  range: (as: string, options?: Omit<RangeOptions, 'table'>) => Step
  first: (as: string, interval?: KeyInterval) => Step
  last: (as: string, interval?: KeyInterval) => Step
  countNone: (interval: KeyInterval, otherwise: string) => Step
  put: (key: string, value: (seen: Seen) => unknown, onlyIf?: Condition) => Step
  delete: (key: string, onlyIf?: Condition) => Step
  deleteRange: (interval?: KeyInterval, onlyIf?: Condition) => Step
  indexRange: (as: string, index: string, options?: Omit<IndexRangeOptions, 'table' | 'index'>) => Step
  indexCountNone: (index: string, interval: Omit<IndexInterval, 'table' | 'index'>, otherwise: string) => Step
  indexGet: (index: string, at: string) => Step
  row: (key: string, value: unknown) => Row
}

/** The steps over one table; a `get` is remembered under its key, an `indexGet` under the index key, a range under the name given. */
export function stepsOver(table: string): StepsOverTable {
  return {
    get: key => ({ kind: 'get', table, key, as: key }),
    range: (as, options = {}) => ({ kind: 'range', range: { table, ...options }, as }),
    first: (as, interval = {}) => ({ kind: 'first', range: { table, ...interval }, as }),
    last: (as, interval = {}) => ({ kind: 'last', range: { table, ...interval }, as }),
    countNone: (interval, otherwise) => ({ kind: 'count', range: { table, ...interval }, otherwise }),
    put: (key, value, onlyIf) => ({ kind: 'put', table, key, value, ...(onlyIf && { onlyIf }) }),
    delete: (key, onlyIf) => ({ kind: 'delete', table, key, ...(onlyIf && { onlyIf }) }),
    deleteRange: (interval = {}, onlyIf) => ({ kind: 'deleteRange', range: { table, ...interval }, ...(onlyIf && { onlyIf }) }),
    indexRange: (as, index, options = {}) => ({ kind: 'indexRange', range: { table, index, ...options }, as }),
    indexCountNone: (index, interval, otherwise) => ({ kind: 'indexCount', range: { table, index, ...interval }, otherwise }),
    indexGet: (index, at) => ({ kind: 'indexGet', table, index, at: [at], as: at }),
    row: (key, value) => ({ table, key, value }),
  }
}

export const begin: Step = { kind: 'begin' }
export const savepoint: Step = { kind: 'savepoint' }
export const undo: Step = { kind: 'undo' }
export const commit: Step = { kind: 'commit' }
export const abort: Step = { kind: 'abort' }

/** A value that depends on nothing read. */
export const constant =
  (value: unknown): ((seen: Seen) => unknown) =>
  () =>
    value
