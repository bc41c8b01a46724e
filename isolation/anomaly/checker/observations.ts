/**
 * What each committed transaction observed, one item at a time: a `get` observes its row, a range observes every known row of
 * its consumed interval, absent ones included. An observation is matched with a place in the item's version order, or named
 * as something that should not have been seen.
 */
import { consumedBy, contains, isWrite, type Operation, type RangeRead, type VersionId } from './history.js'
import { initialCode, type Items } from './items.js'
import type { Phenomenon } from './phenomena.js'
import { type VersionOrders, writeAt } from './version-orders.js'

export interface BadRead {
  readonly phenomenon: Phenomenon
  readonly reader: number
  /** -1 where nobody in this history wrote it. */
  readonly writer: number
  readonly table: string
  readonly key: string
}

/** Where observations go. */
export interface Sink {
  readonly saw: (reader: number, item: number, place: number) => void
  /** One of several absences, all at `orders.absences(item)` that are not the reader's own; one or more. */
  readonly missed: (reader: number, item: number, inRange: boolean) => void
  readonly bad: (read: BadRead) => void
  /** PMP: two ranges disagree about a row. Not certain where an unknown version order decides. */
  readonly moved: (reader: number, item: number, isCertain: boolean) => void
}

export function observe(items: Items, orders: VersionOrders, sink: Sink): void {
  const observer = new Observer(items, orders, sink)
  for (let reader = 0; reader < items.transactions.length; reader++) if (items.isCommitted(reader)) observer.follow(reader)
}

const nobody = -1
const isRange = ({ op }: Operation): boolean => op === 'range'

class Observer {
  readonly #items: Items
  readonly #orders: VersionOrders
  readonly #sink: Sink
  #reader = 0
  /** What the reader itself wrote last, null for a delete. */
  readonly #own = new Map<number, VersionId | null>()
  /** What an earlier range of the reader saw: a place, or -1 for an absence. */
  readonly #inRanges = new Map<number, number>()
  #hasSeveralRanges = false
  /** The items that a range has returned. */
  readonly #found = new Set<number>()
  /** The first delete of an item by whom; made when an absence has no explanation. */
  #deletes: Map<number, number[]> | null = null

  constructor(items: Items, orders: VersionOrders, sink: Sink) {
    this.#items = items
    this.#orders = orders
    this.#sink = sink
  }

  follow(reader: number): void {
    const { operations } = this.#items.transactions[reader]!
    let write = this.#items.firstWrite[reader]!
    this.#reader = reader
    this.#own.clear()
    this.#inRanges.clear()
    this.#hasSeveralRanges = operations.findIndex(isRange) !== operations.findLastIndex(isRange)
    for (const operation of operations) {
      if (isWrite(operation)) {
        this.#own.set(this.#items.itemOf(write++), operation.op === 'delete' ? null : operation.version)
      } else if (operation.op === 'get') {
        this.#look(operation.table, operation.key, this.#items.find(operation.table, operation.key), operation.version, false)
      } else this.#scan(operation)
    }
  }

  #scan(range: RangeRead): void {
    const { table, rows } = range
    if (!isWellFormed(range)) this.#bad('impossible-read', nobody, table, rows[0]?.key ?? '')
    this.#found.clear()
    for (const { key, version } of rows) {
      const item = this.#items.find(table, key)
      this.#found.add(item)
      this.#look(table, key, item, version, true)
    }
    this.#items.within(table, consumedBy(range), (item, key) => {
      if (!this.#found.has(item)) this.#look(table, key, item, null, true)
    })
  }

  #look(table: string, key: string, item: number, seen: VersionId | null, inRange: boolean): void {
    const mine = this.#own.get(item)
    if (mine !== undefined) {
      if (mine === seen) return
      this.#bad('own-write-missed', this.#reader, table, key)
    }
    if (seen === null) this.#lookAtAbsence(table, key, item, inRange)
    else this.#lookAtVersion(table, key, item, seen, inRange)
  }

  #lookAtVersion(table: string, key: string, item: number, seen: VersionId, inRange: boolean): void {
    const source = item < 0 ? undefined : this.#items.findVersion(seen)
    if (source !== undefined && source === initialCode(item)) {
      this.#saw(item, 0, inRange)
      return
    }
    if (source === undefined || source < 0 || this.#items.itemOf(source) !== item || this.#items.isDelete(source)) {
      this.#bad('impossible-read', nobody, table, key)
      return
    }
    const writer = this.#items.writerOf(source)
    if (writer === this.#reader) {
      // Its own, but not its latest: an earlier one is reported as missed, a later one is a read from the future.
      if (!this.#own.has(item)) this.#bad('impossible-read', writer, table, key)
    } else if (!this.#items.isCommitted(writer)) this.#bad('G1a', writer, table, key)
    else {
      const isLast = this.#items.isLast(source)
      if (!isLast) this.#bad('G1b', writer, table, key)
      this.#saw(item, this.#orders.placeOf[isLast ? source : this.#items.lastWriteOf(writer, item)]!, inRange)
    }
  }

  #lookAtAbsence(table: string, key: string, item: number, inRange: boolean): void {
    // No write, no initial row: absence is the only thing to see, and nothing can depend on it.
    if (item < 0) return
    // What the reader itself deletes is not what it saw: either it had not yet, or it saw its own.
    const isOther = (place: number): boolean => {
      const write = writeAt(this.#orders, item, place)
      return write < 0 || this.#items.writerOf(write) !== this.#reader
    }
    if (this.#orders.absences(item).some(isOther)) {
      if (inRange) this.#compare(item, -1)
      this.#sink.missed(this.#reader, item, inRange)
      return
    }
    // Nobody left the row absent: it was a delete that aborted or was replaced, or nobody's.
    const source = this.#deletesOf(item).find(write => this.#items.writerOf(write) !== this.#reader)
    if (source === undefined) this.#bad('impossible-read', nobody, table, key)
    else this.#bad(this.#items.isCommitted(this.#items.writerOf(source)) ? 'G1b' : 'G1a', this.#items.writerOf(source), table, key)
  }

  #saw(item: number, place: number, inRange: boolean): void {
    if (inRange) this.#compare(item, place)
    this.#sink.saw(this.#reader, item, place)
  }

  #compare(item: number, place: number): void {
    if (!this.#hasSeveralRanges || this.#own.has(item)) return
    const before = this.#inRanges.get(item)
    this.#inRanges.set(item, place)
    if (before === undefined || before === place) return
    const [low, high] = before < place ? [before, place] : [place, before]
    if (low < 0) this.#sink.moved(this.#reader, item, true)
    else if (this.#orders.unknown.has(item)) {
      if (this.#orders.absences(item).some(absence => absence > 0)) this.#sink.moved(this.#reader, item, false)
    } else if (this.#orders.absences(item).some(absence => absence > low && absence < high)) this.#sink.moved(this.#reader, item, true)
  }

  #deletesOf(item: number): readonly number[] {
    if (!this.#deletes) {
      this.#deletes = new Map()
      for (let write = 0; write < this.#items.writes; write++) {
        if (!this.#items.isDelete(write)) continue
        const known = this.#deletes.get(this.#items.itemOf(write))
        if (known) known.push(write)
        else this.#deletes.set(this.#items.itemOf(write), [write])
      }
    }
    return this.#deletes.get(item) ?? []
  }

  #bad(phenomenon: Phenomenon, writer: number, table: string, key: string): void {
    this.#sink.bad({ phenomenon, reader: this.#reader, writer, table, key })
  }
}

function isWellFormed({ rows, bounds, limit, reverse }: RangeRead): boolean {
  if (limit !== undefined && rows.length > limit) return false
  return rows.every(({ key }, i) => {
    const before = rows[i - 1]
    return contains(bounds, key) && (before === undefined || (reverse ? before.key > key : before.key < key))
  })
}
