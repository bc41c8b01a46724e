/**
 * Histories as event files of the kinds that other checkers read (Jepsen, Elle): one event when a transaction begins, one when
 * it ends. docs/history-format.md describes them.
 */
import type { History, Operation, TransactionRecord } from '../checker/history.js'

export interface HistoryEvent<T> {
  readonly index: number
  /** `ok`: committed. `fail`: aborted. `info`: nobody was told. */
  readonly type: 'invoke' | 'ok' | 'fail' | 'info'
  /** One transaction at a time; a process that ended with `info` is never used again. */
  readonly process: number
  readonly f: 'txn'
  /** The operations in program order; what a read returns is null until it is known. */
  readonly value: readonly T[]
}

/** An operation that events of this kind cannot express. */
export interface LeftOut {
  readonly transaction: string
  /** Index among the transaction's operations. */
  readonly operation: number
  readonly reason: string
}

export interface EventFile<T> {
  readonly events: readonly HistoryEvent<T>[]
  /** What is not in the events. Empty where nothing is lost. */
  readonly leftOut: readonly LeftOut[]
}

/** The events as JSON lines, each with its line break. */
export function* jsonLines(events: Iterable<HistoryEvent<unknown>>): Generator<string, void, undefined> {
  for (const event of events) yield `${JSON.stringify(event)}\n`
}

/** How one kind of events expresses operations. */
export interface Expression<T> {
  /** The rows that were there before the first transaction, as writes. */
  readonly initial: readonly T[]
  /** Null where the operation cannot be expressed; `leaveOut` has been told why. */
  readonly express: (transaction: number, operation: Operation, leaveOut: (reason: string) => null) => T | null
  /** The same before its result is known. */
  readonly asked: (operation: T) => T
}

export const rangeReason = 'a range read: events of this kind read one row at a time'

export function eventsOf<T>(history: History, { initial, express, asked }: Expression<T>): EventFile<T> {
  const leftOut: LeftOut[] = []
  const values = history.transactions.map(({ id, operations }, transaction) =>
    operations.flatMap((operation, index): T[] => {
      const leaveOut = (reason: string): null => {
        leftOut.push({ transaction: id, operation: index, reason })
        return null
      }
      const expressed = express(transaction, operation, leaveOut)
      return expressed === null ? [] : [expressed]
    }),
  )
  const events: HistoryEvent<T>[] = []
  const add = (type: HistoryEvent<T>['type'], worker: number, value: readonly T[]): unknown =>
    events.push({ index: events.length, type, process: worker, f: 'txn', value })
  if (initial.length > 0) {
    add('invoke', 0, initial)
    add('ok', 0, initial)
  }
  const idle: number[] = [0]
  const workers: number[] = []
  let started = 1
  for (const { transaction, isEnd } of instantsOf(history.transactions)) {
    const value = values[transaction]!
    if (!isEnd) {
      const worker = (workers[transaction] = idle.pop() ?? started++)
      add('invoke', worker, value.map(asked))
      continue
    }
    const { outcome } = history.transactions[transaction]!
    add(outcome === 'committed' ? 'ok' : outcome === 'aborted' ? 'fail' : 'info', workers[transaction]!, value)
    if (outcome !== 'unknown') idle.push(workers[transaction]!)
  }
  return { events, leftOut }
}

/** Beginnings and ends in time. Where one is not known the transaction overlaps everything on that side. */
function instantsOf(transactions: readonly TransactionRecord[]): { transaction: number; isEnd: boolean }[] {
  const instants = transactions.flatMap(({ outcome, begin, end }, transaction) => [
    { transaction, isEnd: false, time: begin ?? Number.NEGATIVE_INFINITY },
    { transaction, isEnd: true, time: outcome === 'unknown' ? Number.POSITIVE_INFINITY : (end ?? Number.POSITIVE_INFINITY) },
  ])
  // Of what happens in one instant nothing is before anything else, so all of it begins before any of it ends.
  return instants.sort((a, b) => (a.time === b.time ? Number(a.isEnd) - Number(b.isEnd) : a.time - b.time))
}

/** The name of a row: its key, or table and key as JSON where the history has several tables. */
export function keyNames({ initial, transactions }: History): (table: string, key: string) => string {
  const tables = new Set(initial.map(({ table }) => table))
  for (const { operations } of transactions) for (const { table } of operations) tables.add(table)
  return (table, key) => (tables.size > 1 ? JSON.stringify([table, key]) : key)
}
