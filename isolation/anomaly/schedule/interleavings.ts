/** The orders in which sessions' steps can meet: all of them, or a seeded sample where there are too many. */

/** One order: for each turn, the index of the session that takes it. */
export type Interleaving = readonly number[]

export interface Interleavings {
  readonly orders: readonly Interleaving[]
  /** How many there are; more than were chosen where `sampled`. */
  readonly total: number
  readonly sampled: boolean
}

/** Most orders of one scenario that are played; above it a sample of this size is. */
export const maxSchedules = 2_000

/** The interleavings of sessions with so many steps each. The seed matters only where a sample is taken. */
export function interleavings(stepCounts: readonly number[], seed: string, limit: number = maxSchedules): Interleavings {
  const total = countInterleavings(stepCounts)
  if (total > limit) return { orders: sample(stepCounts, seed, limit), total, sampled: true }
  const orders: Interleaving[] = []
  enumerate([...stepCounts], [], orders)
  return { orders, total, sampled: false }
}

/** The multinomial coefficient, as a product of binomials. */
function countInterleavings(stepCounts: readonly number[]): number {
  let steps = 0
  let total = 1
  for (const count of stepCounts) {
    for (let i = 1; i <= count; i++) total = Math.round((total * ++steps) / i)
  }
  return total
}

function enumerate(left: number[], prefix: number[], into: Interleaving[]): void {
  if (left.every(count => count === 0)) into.push([...prefix])
  for (const [session, count] of left.entries()) {
    if (count === 0) continue
    left[session] = count - 1
    prefix.push(session)
    enumerate(left, prefix, into)
    prefix.pop()
    left[session] = count
  }
}

/**
 * Distinct orders: a few in which no sessions overlap, then any, each equally likely (a session's turn comes with the share of
 * steps that it has left).
 */
function sample(stepCounts: readonly number[], seed: string, limit: number): Interleaving[] {
  const random = seeded(seed)
  const sessions = [...stepCounts.keys()]
  const serial = sessions.map(first =>
    sessions.flatMap((_, i) => {
      const session = (first + i) % sessions.length
      return Array.from({ length: stepCounts[session]! }, () => session)
    }),
  )
  const chosen = new Map<string, Interleaving>(serial.slice(0, limit).map(order => [order.join(), order]))
  while (chosen.size < limit) {
    const left = [...stepCounts]
    const order: number[] = []
    for (let steps = left.reduce((sum, count) => sum + count, 0); steps > 0; steps--) {
      let ticket = Math.floor(random() * steps)
      const session = left.findIndex(count => (ticket -= count) < 0)
      left[session]!--
      order.push(session)
    }
    chosen.set(order.join(), order)
  }
  return [...chosen.values()]
}

/** Numbers in [0, 1) that depend on the text alone (FNV-1a into mulberry32). */
export function seeded(text: string): () => number {
  let state = 0x811c9dc5
  for (const character of text) state = Math.imul(state ^ character.codePointAt(0)!, 0x01000193)
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
