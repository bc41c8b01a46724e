/** Steps and values in the few characters that a column of a timeline has. */
import type { KeyedValue, RangeOptions, Step } from '../scenario.js'

/** A step as a reader of a timeline wants to see it, without its result. */
export function describeStep(step: Step): string {
  switch (step.kind) {
    case 'range':
      return describeRange(step.range)
    case 'first':
    case 'last':
      return describeRange({ ...step.range, limit: 1, reverse: step.kind === 'last' })
    case 'count':
      return `count ${describeRange(step.range)}`
    case 'deleteRange':
      return `delete ${describeRange(step.range)}`
    case 'undo':
      return 'undo the savepoint'
    default:
      return 'key' in step ? `${step.kind} ${step.key}` : step.kind
  }
}

export function describeValue(value: unknown): string {
  if (typeof value === 'string') return value
  if (typeof value !== 'object' || value === null) return String(value)
  const fields = Object.entries(value).map(([name, field]) => `${name}: ${describeValue(field)}`)
  return `{${fields.join(', ')}}`
}

export function describeRows(rows: readonly KeyedValue[]): string {
  if (rows.length === 0) return 'no rows'
  return rows.map(({ key, value }) => `${key} ${describeValue(value)}`).join('; ')
}

export function describeRange({ table, gt, gte, lt, lte, limit, reverse }: RangeOptions): string {
  const from = gte !== undefined ? `[${gte}` : gt !== undefined ? `(${gt}` : '['
  const to = lte !== undefined ? `${lte}]` : lt !== undefined ? `${lt})` : ']'
  const bounds = from === '[' && to === ']' ? `all ${table}` : `range ${from}, ${to}`
  const end = reverse ? 'last' : 'first'
  return limit === undefined ? bounds : `${end} ${limit === 1 ? '' : `${limit} `}of ${bounds}`
}
