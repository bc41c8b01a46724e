/** Histories that are serial by construction: transactions run one after the other over one map. */
import * as fc from 'fast-check'
import type { History, Operation, TransactionRecord } from '../../isolation/anomaly/index.js'

/** What a transaction is asked to do, before anybody knows what it will read. */
export type Request =
  | { op: 'get' | 'put' | 'delete'; key: string }
  | { op: 'range'; gte: string; lte: string; limit: number | undefined; reverse: boolean }

export interface Body {
  readonly requests: readonly Request[]
  readonly aborts: boolean
}

export const table = 'rows'
export const key: fc.Arbitrary<string> = fc.constantFrom('a', 'b', 'c', 'd')

const request: fc.Arbitrary<Request> = fc.oneof(
  fc.record({ op: fc.constantFrom('get' as const, 'put' as const, 'delete' as const), key }),
  fc.record({ op: fc.constant('range' as const), gte: key, lte: key, limit: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }), reverse: fc.boolean() }),
)

export const body: fc.Arbitrary<Body> = fc.record({ requests: fc.array(request, { minLength: 1, maxLength: 5 }), aborts: fc.boolean() })

export interface Program {
  readonly initial: readonly string[]
  readonly bodies: readonly Body[]
}

export const program: fc.Arbitrary<Program> = fc.record({
  initial: fc.uniqueArray(key, { maxLength: 3 }),
  bodies: fc.array(body, { minLength: 1, maxLength: 5 }),
})

export function runSerially({ initial, bodies }: Program): History {
  let rows = new Map(initial.map(name => [name, `0.${name}`]))
  const first = [...rows]
  const transactions = bodies.map(({ requests, aborts }, index): TransactionRecord => {
    const mine = new Map(rows)
    const operations = requests.map((asked, n) => perform(asked, mine, `T${index}.${n}`))
    if (!aborts) rows = mine
    const times = { begin: index * 2, end: index * 2 + 1 }
    return aborts ? { id: `T${index}`, outcome: 'aborted', ...times, operations } : { id: `T${index}`, outcome: 'committed', ...times, commit: index, operations }
  })
  const list = (entries: Iterable<[string, string]>): History['initial'] => [...entries].map(([name, version]) => ({ table, key: name, version }))
  return { initial: list(first), transactions, final: list(rows) }
}

export function perform(asked: Request, rows: Map<string, string>, version: string): Operation {
  if (asked.op === 'range') {
    const { gte, lte, limit, reverse } = asked
    const keys = [...rows.keys()].filter(name => name >= gte && name <= lte).sort()
    const found = (reverse ? keys.reverse() : keys).slice(0, limit)
    return { op: 'range', table, bounds: { gte, lte }, ...(limit && { limit }), reverse, rows: found.map(name => ({ key: name, version: rows.get(name)! })) }
  }
  if (asked.op === 'get') return { op: 'get', table, key: asked.key, version: rows.get(asked.key) ?? null }
  if (asked.op === 'put') rows.set(asked.key, version)
  else rows.delete(asked.key)
  return { op: asked.op, table, key: asked.key, version }
}

/** The history with one operation changed. */
export function withOperation(judged: History, t: number, o: number, change: (operation: Operation) => Operation): History {
  const transactions = judged.transactions.map((transaction, i) =>
    i === t ? { ...transaction, operations: transaction.operations.map((operation, j) => (j === o ? change(operation) : operation)) } : transaction,
  )
  return { ...judged, transactions }
}
