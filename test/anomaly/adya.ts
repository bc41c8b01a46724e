/**
 * Histories in Adya's notation, one event after the other:
 *
 *   w1(x1)           T1 writes version x1 of row x           d1(x1)     T1 deletes row x
 *   r2(x1)           T2 reads x and gets version x1          r2(x-)     T2 reads x and finds no row
 *   s2([a,c]: a0 b1) T2 scans from a to c, both included, and gets these versions, in this order
 *   s2([a,c] 1: a0)  the same with a limit of one row        s2([a,c] -1: b1)  the last one row
 *   c1, a1           T1 commits, aborts
 *
 * A row is named by the letter that its versions begin with. All rows are of one table.
 */
import type { History, Operation, RangeRead, RowVersion, TransactionRecord } from '../../isolation/anomaly/index.js'

const table = 'rows'
const rowOf = (version: string): string => version.charAt(0)

export function parseRows(text: string): RowVersion[] {
  return text.split(' ').filter(Boolean).map(version => ({ table, key: rowOf(version), version }))
}

/** The history; `final` is left open where it is not given. */
export function history(initial: string, events: string, final?: string): History {
  const transactions = new Map<string, TransactionRecord & { operations: Operation[] }>()
  for (const [index, match] of [...events.matchAll(/([rwdsca])(\d+)(?:\(([^)]*)\))?/g)].entries()) {
    const [, kind = '', number = '', argument = ''] = match
    const id = `T${number}`
    const known = transactions.get(id) ?? { id, outcome: 'aborted', begin: index, end: index, operations: [] }
    const outcome = kind === 'c' ? 'committed' : known.outcome
    transactions.set(id, { ...known, outcome, end: index, ...(kind === 'c' && { commit: index }) })
    if (kind !== 'c' && kind !== 'a') known.operations.push(parseOperation(kind, argument))
  }
  return {
    initial: parseRows(initial),
    transactions: [...transactions.values()],
    ...(final !== undefined && { final: parseRows(final) }),
  }
}

function parseOperation(kind: string, argument: string): Operation {
  const key = rowOf(argument)
  if (kind === 'w') return { op: 'put', table, key, version: argument }
  if (kind === 'd') return { op: 'delete', table, key, version: argument }
  if (kind === 'r') return { op: 'get', table, key, version: argument.endsWith('-') ? null : argument }
  return parseScan(argument)
}

function parseScan(argument: string): RangeRead {
  const [, gte = '', lte = '', end = '', versions = ''] = /^\[(\w+),(\w+)\]\s*(-?\d*):\s*(.*)$/.exec(argument) ?? []
  const bounds = { gte, lte }
  const rows = parseRows(versions).map(({ key, version }) => ({ key, version }))
  const options = end === '' ? {} : { limit: Math.abs(Number(end)), ...(Number(end) < 0 && { reverse: true }) }
  return { op: 'range', table, bounds, ...options, rows }
}
