/** The smallest of the values that at least a share `q` of them does not exceed (nearest rank). */
export function quantile(values: Iterable<number>, q: number): number {
  const sorted = Float64Array.from(values).sort()
  if (sorted.length === 0) throw new Error('There is no quantile of no values.')
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)]!
}
