/** Steps and values in the few characters that a column of a timeline has. */
import type { IndexRangeOptions, KeyedValue, RangeOptions, Step } from '../scenario.js'

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
    case 'indexRange':
      return describeIndexRange(step.range)
    case 'indexCount':
      return `count ${describeIndexRange(step.range)}`
    case 'indexGet':
      return `get ${step.index} = ${step.at.join(' ')}`
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
  if (Array.isArray(value)) return `[${value.map(describeValue).join(', ')}]`
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
  return limit === undefined ? bounds : endOf(bounds, limit, reverse)
}

function describeIndexRange({ index, prefix = [], gte, lt, limit, reverse }: IndexRangeOptions): string {
  const equal = prefix.length > 0 ? ` = ${prefix.join(' ')}` : ''
  const bounds = gte === undefined && lt === undefined ? '' : ` [${gte ?? ''}, ${lt === undefined ? ']' : `${lt})`}`
  const stretch = equal || bounds ? `${index}${equal}${bounds}` : `all ${index}`
  return limit === undefined ? stretch : endOf(stretch, limit, reverse)
}

const endOf = (stretch: string, limit: number, reverse: boolean | undefined): string =>
  `${reverse ? 'last' : 'first'} ${limit === 1 ? '' : `${limit} `}of ${stretch}`
