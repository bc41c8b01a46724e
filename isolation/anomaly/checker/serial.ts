/**
 * The second opinion: is there an order in which the committed transactions, run one after the other, would have read exactly
 * what they read and left exactly the final state? It knows neither version orders nor graphs. It replays, so it shares
 * no reasoning with the first opinion, only the history.
 */
import { settleOutcomes } from './outcomes.js'
import { contains, type History, type Operation, type RangeRead, type TransactionRecord, type VersionId } from './history.js'

type Tables = ReadonlyMap<string, ReadonlyMap<string, VersionId>>
type State = Map<string, Map<string, VersionId>>

/** The ids of the committed transactions in such an order (commit order where that one serves), or null. */
export function serialOrder(history: History): readonly string[] | null {
  const { transactions } = settleOutcomes(history)
  const committed = transactions.filter(({ outcome }) => outcome === 'committed').sort((a, b) => timeOf(a) - timeOf(b))
  const state: State = new Map()
  for (const { table, key, version } of history.initial) set(state, table, key, version)
  return search(history, committed, state, [], new Set())
}

const timeOf = ({ end, commit }: TransactionRecord): number => commit ?? end ?? 0

/** Depth first. `dead` holds what has been tried in vain: the same transactions left over the same state. */
function search(
  history: History,
  left: readonly TransactionRecord[],
  state: Tables,
  done: readonly string[],
  dead: Set<string>,
): readonly string[] | null {
  if (left.length === 0) return isFinal(history, state) ? done : null
  const situation = `${left.map(({ id }) => id).join()} ${fingerprint(state)}`
  if (dead.has(situation)) return null
  for (const transaction of left) {
    const next = replay(transaction.operations, state)
    if (!next) continue
    const others = left.filter(other => other !== transaction)
    const found = search(history, others, next, [...done, transaction.id], dead)
    if (found) return found
  }
  dead.add(situation)
  return null
}

/** The state after running the operations over `before`, or null where one of the reads would have given something else. */
function replay(operations: readonly Operation[], before: Tables): State | null {
  const state: State = new Map([...before].map(([table, rows]) => [table, new Map(rows)]))
  for (const operation of operations) {
    const { op, table } = operation
    const rows = state.get(table)
    if (op === 'put') set(state, table, operation.key, operation.version)
    else if (op === 'delete') rows?.delete(operation.key)
    else if (op === 'get') {
      if ((rows?.get(operation.key) ?? null) !== operation.version) return null
    } else if (operation.op === 'range' && !sameRows(operation, rows ?? new Map<string, VersionId>())) return null
  }
  return state
}

function sameRows({ bounds, limit, reverse, rows: found }: RangeRead, rows: ReadonlyMap<string, VersionId>): boolean {
  const keys = [...rows.keys()].filter(key => contains(bounds, key)).sort()
  if (reverse) keys.reverse()
  const expected = keys.slice(0, limit)
  return expected.length === found.length && found.every(({ key, version }, i) => key === expected[i] && version === rows.get(key))
}

function isFinal(history: History, state: Tables): boolean {
  if (!history.final) return true
  const final: State = new Map()
  for (const { table, key, version } of history.final) set(final, table, key, version)
  return fingerprint(final) === fingerprint(state)
}

const fingerprint = (state: Tables): string =>
  [...state]
    .flatMap(([table, rows]) => [...rows].map(row => JSON.stringify([table, ...row])))
    .sort()
    .join()

function set(state: State, table: string, key: string, version: VersionId): void {
  const rows = state.get(table)
  if (rows) rows.set(key, version)
  else state.set(table, new Map([[key, version]]))
}
