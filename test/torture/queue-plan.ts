/** What a queue goes through, transaction by transaction, and what its rows hold: all of it follows from a seed. */
import { Chance } from '../simulation/chance.js'
import { pageSizeBytes } from './broken-bytes.js'

const rowsAtMost = 3_000
/** Transactions between two changes of how long the queue should be. */
const shapeLength = 3_000
/** LMDB puts larger rows into pages of their own. */
const inLeafSizeBytes = 2_000

/** What transaction `number` does: deletes the rows from `head` up to `headAfter`, appends those from `tail` up to `tailAfter`. */
export interface Step {
  readonly number: number
  readonly head: number
  readonly headAfter: number
  readonly tail: number
  readonly tailAfter: number
}

export class Plan {
  readonly #chance: Chance
  #target = rowsAtMost / 2
  number = 0
  head = 0
  tail = 0

  constructor(seed: number) {
    this.#chance = new Chance(seed)
  }

  next(): Step {
    const chance = this.#chance
    if (this.number++ % shapeLength === 0) this.#target = chance.is(0.2) ? chance.below(20) : chance.below(rowsAtMost)
    const { number, head, tail } = this
    const grows = tail - head < this.#target
    this.head = Math.min(tail, head + (grows ? chance.below(3) : chance.between(1, 5)))
    this.tail = tail + (grows ? chance.between(1, 5) : chance.below(3))
    return { number, head, headAfter: this.head, tail, tailAfter: this.tail }
  }
}

function mixed(seed: number, i: number): number {
  let h = Math.imul(i ^ seed, 0x9e37_79b1)
  h = Math.imul(h ^ (h >>> 16), 0x85eb_ca6b)
  return (h ^ (h >>> 13)) >>> 0
}

function lengthOf(seed: number, i: number): number {
  const h = mixed(seed, i)
  const kind = h % 100
  const share = (h >>> 8) / 2 ** 24
  if (kind < 3) return 4_000 + Math.floor(share * 60_000)
  return kind < 20 ? 1_000 + Math.floor(share * 2_500) : 20 + Math.floor(share * 300)
}

export function valueOf(seed: number, i: number): string {
  const length = lengthOf(seed, i)
  const word = `${i}:`
  return word.repeat(Math.ceil(length / word.length)).slice(0, length)
}

const pagesOfLength = (length: number): number => (length > inLeafSizeBytes ? Math.ceil((length + 100) / pageSizeBytes) : (length + 50) / pageSizeBytes)

/** Pages that a row takes. */
export const pagesOf = (seed: number, i: number): number => pagesOfLength(lengthOf(seed, i))
