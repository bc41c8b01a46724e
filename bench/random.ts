/** Chance from a seed: the same seed gives the same work, here and elsewhere. */

/** Numbers in [0, 1) (mulberry32). */
export function randomFrom(...seeds: readonly number[]): () => number {
  // Each seed stirs the state, so that (1, 2) and (2, 1) differ.
  let state = 0
  for (const seed of seeds) state = Math.imul(state ^ seed, 0x9e37_79b1) + 0x85eb_ca6b
  return () => {
    state = (state + 0x6d2b_79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Integers in [0, bound). */
export function integersFrom(...seeds: readonly number[]): (bound: number) => number {
  const random = randomFrom(...seeds)
  return bound => Math.floor(random() * bound)
}
