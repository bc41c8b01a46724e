/** The few statistics that the reports use. None assumes a distribution: the times of a disk have none that is known. */

export interface Spread {
  readonly value: number
  readonly min: number
  readonly max: number
}

export interface Interval {
  readonly low: number
  readonly high: number
}

export function median(values: readonly number[]): number {
  const sorted = ascending(values)
  const middle = sorted.length >>> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** The median and how far the values lie apart. */
export function spread(values: readonly number[]): Spread {
  return { value: median(values), min: Math.min(...values), max: Math.max(...values) }
}

/**
 * Where the true median lies with a confidence of at least 95 %: between two of the sorted values, chosen by the binomial distribution (the sign test turned round). With fewer
 * than six values the smallest and the largest are given, and the confidence is less.
 */
export function medianInterval(values: readonly number[]): Interval {
  const sorted = ascending(values)
  const n = sorted.length
  // Leave out as many at each end as keep the chance of missing the median at 5 % or less.
  let left = 0
  let missed = 0
  let term = 2 ** -n // chance that exactly `left` of the values lie below the median
  for (; left < n / 2 && 2 * (missed + term) <= 0.05; left++) {
    missed += term
    term = (term * (n - left)) / (left + 1)
  }
  const at = Math.max(0, left - 1)
  return { low: sorted[at]!, high: sorted[n - 1 - at]! }
}

const ascending = (values: readonly number[]): number[] => {
  if (values.length === 0) throw new Error('There is no median of no values.')
  return values.toSorted((a, b) => a - b)
}
