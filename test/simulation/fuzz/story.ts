/** A failing history told to a person: what happened in which order, one line each. */
import type { Catalog, History, Operation } from '../records.js'

/** Every step of every transaction in the order in which they were taken. Transactions are numbered as in the scenario. */
export function story({ transactions, commits, catalogs = [] }: History): string {
  const tsOf = new Map(commits.map(({ ts, label }) => [label, ts]))
  const lines: { readonly event: number; readonly text: string }[] = []
  let number = 0
  for (const { label, level, readOnly, oneShot, durability, startedAt, endedAt, attempts, outcome } of transactions) {
    if ((attempts.at(-1)?.operations.length ?? 0) === 0) continue
    const who = `t${++number}`
    const how = oneShot ? 'reads outside any transaction' : [level, readOnly && 'read-only', durability === 'relaxed' && durability].filter(Boolean).join(', ')
    lines.push({ event: startedAt, text: `${who} is asked for (${how})` })
    for (const [i, { beganTs, operations, conflictTs }] of attempts.entries()) {
      const attempt = attempts.length > 1 ? `, attempt ${i + 1}` : ''
      for (const operation of operations) lines.push({ event: operation.event, text: `${who} ${operationText(operation)}   (began at ${beganTs}${attempt}; newest commit ${operation.at})` })
      if (conflictTs !== undefined) lines.push({ event: (operations.at(-1)?.event ?? startedAt) + 0.5, text: `${who} conflicts   (newest commit ${conflictTs}${attempt})` })
    }
    const ts = tsOf.get(label)
    lines.push({ event: endedAt || Infinity, text: `${who} ends: ${outcome || 'never'}${ts === undefined ? '' : `, as commit ${ts}`}` })
  }
  const told = lines
    .sort((a, b) => a.event - b.event)
    .map(({ text }) => `  ${text}`)
  return [...catalogs.filter(({ states }) => states.size > 0).map(catalogText), ...told].join('\n')
}

const catalogText = ({ ts, states }: Catalog): string => `  indexes from commit ${ts}: ${[...states].map(([id, { table, state }]) => `${table}.${id} ${state}`).join(', ')}`

function operationText({ op, at: _at, event: _event, ...rest }: Operation): string {
  const { result, ...what } = rest as { readonly result?: unknown }
  const words = Object.entries(what).map(([name, value]) => (name === 'table' || name === 'key' ? plain(value) : `${name} ${plain(value)}`))
  return [op, ...words].join(' ') + (op === 'next' || 'result' in rest ? ` -> ${plain(result)}` : '')
}

const plain = (value: unknown): string => (typeof value === 'string' ? value : (JSON.stringify(value) ?? 'nothing'))
