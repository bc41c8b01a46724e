/** Ranks by Zipf’s law: a few are chosen often, most seldom. */

/** How YCSB sets it. */
const exponent = 0.99

/** Ranks in [0, count), the smallest most often (Gray et al.: Quickly Generating Billion-Record Synthetic Databases, SIGMOD 1994). */
export function zipfFrom(random: () => number, count: number): () => number {
  let total = 0
  for (let rank = 1; rank <= count; rank++) total += rank ** -exponent
  const firstTwo = 1 + 2 ** -exponent
  const alpha = 1 / (1 - exponent)
  const eta = (1 - (2 / count) ** (1 - exponent)) / (1 - firstTwo / total)
  return () => {
    const u = random()
    if (u * total < 1) return 0
    if (u * total < firstTwo) return 1
    return Math.min(count - 1, Math.floor(count * (eta * u - eta + 1) ** alpha))
  }
}

/** Scatters ranks over [0, count), so that rows that are chosen often do not lie side by side; some may meet. */
export function scattered(rank: number, count: number): number {
  let hash = 0x811c_9dc5
  for (let shift = 0; shift < 32; shift += 8) hash = Math.imul(hash ^ ((rank >>> shift) & 0xff), 0x0100_0193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b)
  return ((hash ^ (hash >>> 13)) >>> 0) % count
}
