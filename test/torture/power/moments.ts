/** When the power is cut: any moment of a trace, most of all around syncs and changes of names. */
import type { Chance } from '../../simulation/chance.js'
import type { TraceRecord } from '../interpose/index.js'

/** After a record, or within it: where a synchronous write has not returned. */
export interface Moment {
  readonly record: number
  readonly within: boolean
}

export interface Favour {
  /** No moment before this record. */
  readonly from?: number
  /** Moments up to this record are `favour` times as likely as the others. */
  readonly until?: number
  readonly favour?: number
}

/** How far the surroundings of what matters go, in records. */
const surroundings = 3

/** `count` moments in order, the same one perhaps several times. */
export function drawMoments(records: readonly TraceRecord[], count: number, chance: Chance, { from = 0, until = 0, favour = 1 }: Favour = {}): Moment[] {
  const own = records.map(weightOf)
  const sums: number[] = []
  let sum = 0
  for (let i = from; i < records.length; i++) {
    const near = Math.max(...own.slice(Math.max(0, i - surroundings), i + surroundings + 1))
    sum += (own[i]! + near / 2) * (i <= until ? favour : 1)
    sums.push(sum)
  }
  if (sums.length === 0) return []
  const places = Array.from({ length: count }, () => from + firstAbove(sums, chance.next() * sum))
  const moments = places.map(record => ({ record, within: records[record]!.synchronous && chance.is(0.5) }))
  return moments.toSorted((a, b) => a.record - b.record || Number(b.within) - Number(a.within))
}

function weightOf({ kind, created, synchronous }: TraceRecord): number {
  if (kind === 'rename' || kind === 'unlink' || kind === 'mkdir' || created) return 8
  if (kind === 'sync' || kind === 'synced' || synchronous) return 4
  return kind === 'write' || kind === 'truncate' ? 1 : 0.2
}

function firstAbove(sums: readonly number[], value: number): number {
  let [low, high] = [0, sums.length - 1]
  while (low < high) {
    const middle = (low + high) >> 1
    if (sums[middle]! > value) high = middle
    else low = middle + 1
  }
  return low
}
