/**
 * A history: what the clients of a store did and saw, and nothing about how the store works. Plain data that survives JSON;
 * docs/history-format.md describes it for people who record their own.
 *
 * Every write carries a version id that is unique in the history, so a read says exactly whose write it saw. Operations stand
 * in program order.
 */
import type { KeyInterval } from '../scenario.js'

export type VersionId = string

/** A row as it was at some moment, its value replaced by the id of the write it came from. */
export interface RowVersion {
  readonly table: string
  readonly key: string
  readonly version: VersionId
}

export interface ItemRead {
  readonly op: 'get'
  readonly table: string
  readonly key: string
  /** Null where there was no row. */
  readonly version: VersionId | null
}

/** An iteration that was left early is a range whose limit is the number of rows it took. */
export interface RangeRead {
  readonly op: 'range'
  readonly table: string
  /** What was asked for. */
  readonly bounds: KeyInterval
  readonly limit?: number
  readonly reverse?: boolean
  /** What came back, in that order. */
  readonly rows: readonly { readonly key: string; readonly version: VersionId }[]
}

export interface Write {
  readonly op: 'put' | 'delete'
  readonly table: string
  readonly key: string
  readonly version: VersionId
}

export type Operation = ItemRead | RangeRead | Write

export interface TransactionRecord {
  readonly id: string
  readonly label?: string
  /**
   * `unknown`: the client was never told. Such a transaction counts as committed where something that lasted shows a write of
   * it (a committed read, the final state, a version order), and else as aborted: nobody can tell the difference.
   */
  readonly outcome: 'committed' | 'aborted' | 'unknown'
  /** Instants on one clock (or a count of all events): one that ended before another began was acknowledged before it. */
  readonly begin?: number
  readonly end?: number
  /** Place in the order in which the store installed commits, where the store tells it. Versions of a row are in this order. */
  readonly commit?: number
  readonly operations: readonly Operation[]
}

/** The versions of one row that were installed, oldest first, without the initial one. */
export interface VersionOrder {
  readonly table: string
  readonly key: string
  readonly versions: readonly VersionId[]
}

export interface History {
  /** The rows before the first transaction; every other row is absent. */
  readonly initial: readonly RowVersion[]
  readonly transactions: readonly TransactionRecord[]
  /** The rows after the last transaction, where they are known. */
  readonly final?: readonly RowVersion[]
  /** Known version orders, each complete; they go before what `commit` says. */
  readonly versionOrders?: readonly VersionOrder[]
}

export const isWrite = (operation: Operation): operation is Write => operation.op === 'put' || operation.op === 'delete'

export function contains(interval: KeyInterval, key: string): boolean {
  return (
    (interval.gt === undefined || key > interval.gt) &&
    (interval.gte === undefined || key >= interval.gte) &&
    (interval.lt === undefined || key < interval.lt) &&
    (interval.lte === undefined || key <= interval.lte)
  )
}

/**
 * The keys whose presence or absence the answer reveals: all within bounds, or those up to the last row where the limit was
 * reached. (An answer that is longer than its limit is no answer, and is reported elsewhere.)
 */
export function consumedBy({ bounds, rows, limit, reverse }: RangeRead): KeyInterval {
  const { gt, gte, lt, lte } = bounds
  const last = rows.at(-1)?.key
  if (limit === undefined || rows.length < limit || last === undefined) return bounds
  if (reverse) return { gte: last, ...(lt !== undefined && { lt }), ...(lte !== undefined && { lte }) }
  return { ...(gt !== undefined && { gt }), ...(gte !== undefined && { gte }), lte: last }
}
