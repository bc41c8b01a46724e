/**
 * What a transaction relied on: points (rows present or absent) and half-open key ranges. Nothing is ever removed: a rolled-back savepoint, a failed
 * conditional write and an abandoned iterator have all told the body something (pitfalls of other engines; PostgreSQL keeps them for the same reason,
 * Ports & Grittner, VLDB 2012, section 7.3).
 */
import { Points } from './points.js'
import { successor, type Key, type KeyRange } from './types.js'

/** Neighbouring points merged into one range. */
const pointsPerRange = 64

/** One range read and the interval of it that was really consumed so far. Grows with every step of its iterator. */
export class RangeRead implements KeyRange {
  lo: Key
  hi: Key
  readonly #reverse: boolean
  readonly #whole: KeyRange

  /** Begins with an empty interval at the end where iteration starts. */
  constructor(whole: KeyRange, reverse: boolean) {
    this.#whole = whole
    this.#reverse = reverse
    this.lo = reverse ? whole.hi : whole.lo
    this.hi = this.lo
  }

  /** The iterator has shown `key`: everything from its start up to and including that key is relied on. */
  consumedTo(key: Key): void {
    if (this.#reverse) this.lo = key
    else this.hi = successor(key)
  }

  /** The iterator found nothing more: the whole range is relied on, the gap at its end included. */
  exhausted(): void {
    this.lo = this.#whole.lo
    this.hi = this.#whole.hi
  }
}

export class ReadSet {
  readonly points: Points = new Points()
  readonly ranges: KeyRange[] = []
  readonly #pointsMax: number
  readonly #areNeighbours: (a: Key, b: Key) => boolean

  /** Points beyond `pointsMax` are merged into ranges: the premise grows (it may abort more), it never shrinks. Only keys of one table or index are neighbours. */
  constructor(pointsMax: number, areNeighbours: (a: Key, b: Key) => boolean = () => true) {
    this.#pointsMax = pointsMax
    this.#areNeighbours = areNeighbours
  }

  get size(): number {
    return this.points.size + this.ranges.length
  }

  addPoint(key: Key): void {
    this.points.add(key)
    if (this.points.sizeMax > this.#pointsMax && this.points.size > this.#pointsMax) this.#coalesce()
  }

  /** Starts recording one pass of an iterator over `whole`. */
  addRange(whole: KeyRange, reverse: boolean): RangeRead {
    const range = new RangeRead(whole, reverse)
    this.ranges.push(range)
    return range
  }

  /** Whether `key` is relied on. Costs a look at every range; used where fewer keys were written than read. */
  reading(key: Key): { readonly key: Key } | { readonly range: KeyRange } | undefined {
    if (this.points.has(key)) return { key }
    const range = this.ranges.find(({ lo, hi }) => lo <= key && key < hi)
    return range && { range }
  }

  #coalesce(): void {
    const keys = [...this.points].sort((a, b) => (a < b ? -1 : 1))
    for (let first = 0; first < keys.length; ) {
      let next = first + 1
      while (next < keys.length && next - first < pointsPerRange && this.#areNeighbours(keys[first]!, keys[next]!)) next++
      this.ranges.push({ lo: keys[first]!, hi: successor(keys[next - 1]!) })
      first = next
    }
    this.points.clear()
  }
}
