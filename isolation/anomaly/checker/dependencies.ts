/**
 * Turns observations and version orders into the edges of the graph, and picks up what needs no graph: bad reads, lost updates
 * and ranges that disagree.
 *
 * The edges are certain: they hold in every version order and under every reading of the absences that the history allows.
 * What would only be possible is noted, for `possible.ts`.
 */
import { deletes, Edges, inRange, indirect, rw, wr, ww } from './graph.js'
import type { Items } from './items.js'
import { Integers } from './numbers.js'
import { type BadRead, observe, type Sink } from './observations.js'
import type { Phenomenon } from './phenomena.js'
import { type VersionOrders, writeAt } from './version-orders.js'

/** P4: the reader saw `place`, installed a later version of the item, and somebody else one in between. */
export interface LostUpdate {
  readonly reader: number
  readonly item: number
  readonly place: number
  /** Where the order is unknown: another who saw the same and installed a version too. */
  readonly other: number
}

/** Observations that need a second look, side by side. */
export class Notes {
  readonly #readers = new Integers()
  readonly #items = new Integers()
  readonly #places = new Integers()

  get length(): number {
    return this.#readers.length
  }

  add(reader: number, item: number, place: number): void {
    this.#readers.push(reader)
    this.#items.push(item)
    this.#places.push(place)
  }

  at(index: number): { reader: number; item: number; place: number } {
    return { reader: this.#readers.at(index), item: this.#items.at(index), place: this.#places.at(index) }
  }
}

/** In place of a place: a row that was absent, we do not know since when; in a range or not. */
export const absent = -1
export const absentInRange = -2

export class Dependencies implements Sink {
  readonly items: Items
  readonly orders: VersionOrders
  readonly edges: Edges
  /** The first of each phenomenon. */
  readonly badReads: Map<Phenomenon, BadRead> = new Map()
  lostUpdate: LostUpdate | null = null
  /** PMP: the first, and whether it is certain. */
  disagreement: { readonly reader: number; readonly item: number; readonly isCertain: boolean } | null = null
  /** Absences that can mean several places of a known version order. */
  readonly ambiguous: Notes = new Notes()
  /** All observations of items whose order is unknown. */
  readonly unordered: Notes = new Notes()
  #lostDistance = Number.POSITIVE_INFINITY
  /** By unknown item and place seen: who has installed a version after seeing it. */
  readonly #updates = new Map<number, Map<number, number>>()

  constructor(items: Items, orders: VersionOrders) {
    this.items = items
    this.orders = orders
    this.edges = new Edges(items.writes + 2 * items.expectedReads)
    for (let item = 0; item < items.count; item++) this.#addOverwrites(item)
    observe(items, orders, this)
  }

  bad(read: BadRead): void {
    if (!this.badReads.has(read.phenomenon)) this.badReads.set(read.phenomenon, read)
  }

  moved(reader: number, item: number, isCertain: boolean): void {
    if (!this.disagreement || (isCertain && !this.disagreement.isCertain)) this.disagreement = { reader, item, isCertain }
  }

  saw(reader: number, item: number, place: number): void {
    if (this.orders.unknown.has(item)) this.#sawUnordered(reader, item, place, 0)
    else this.#saw(reader, item, place, place, 0)
  }

  missed(reader: number, item: number, isInRange: boolean): void {
    const mark = isInRange ? inRange : 0
    const [first, last] = this.absencesFor(reader, item)
    if (this.orders.unknown.has(item)) {
      if (first === last) this.#sawUnordered(reader, item, first, mark)
      else this.unordered.add(reader, item, isInRange ? absentInRange : absent)
    } else {
      if (first !== last) this.ambiguous.add(reader, item, isInRange ? absentInRange : absent)
      this.#saw(reader, item, first, last, mark)
    }
  }

  /** The first and the last place at which the reader can have missed the item. */
  absencesFor(reader: number, item: number): readonly [first: number, last: number] {
    const places = this.orders.absences(item)
    const own = this.ownPlace(reader, item)
    const first = places[0] === own ? places[1] : places[0]
    const last = places.at(-1) === own ? places.at(-2) : places.at(-1)
    return [first!, last!]
  }

  /** The place of the version that a transaction installed, or -1. */
  ownPlace(transaction: number, item: number): number {
    const own = this.items.lastWriteOf(transaction, item)
    return own < 0 ? -1 : this.orders.placeOf[own]!
  }

  #addOverwrites(item: number): void {
    const { starts, members } = this.orders.installed
    const order = this.orders.unknown.get(item)
    if (!order) {
      for (let at = starts[item]! + 1; at < starts[item + 1]!; at++) this.#overwrite(members[at - 1]!, members[at]!, item, 0)
      return
    }
    for (const [place, later] of order.after) {
      if (place === 0) continue
      for (const next of later) this.#overwrite(writeAt(this.orders, item, place), writeAt(this.orders, item, next), item, indirect)
    }
    if (order.last < 0) return
    const last = writeAt(this.orders, item, order.last)
    for (let at = starts[item]!; at < starts[item + 1]!; at++) this.#overwrite(members[at]!, last, item, indirect)
  }

  #overwrite(before: number, after: number, item: number, marks: number): void {
    this.edges.add(this.items.writerOf(before), this.items.writerOf(after), ww | this.#marks(after) | marks, item)
  }

  /** The reader saw a version from `first` to `last`; one and the same unless it is an ambiguous absence. */
  #saw(reader: number, item: number, first: number, last: number, mark: number): void {
    const own = this.ownPlace(reader, item)
    // Its own version among them makes it a neighbour of both ends by a write already, and by a read only perhaps.
    if (first < own && own <= last) return
    const marks = first === last ? mark : mark | indirect
    const seen = writeAt(this.orders, item, first)
    const next = writeAt(this.orders, item, last + 1)
    if (seen >= 0) this.edges.add(this.items.writerOf(seen), reader, wr | this.#marks(seen) | marks, item)
    if (next < 0) return
    this.edges.add(reader, this.items.writerOf(next), rw | this.#marks(next) | marks, item)
    const distance = own - last
    if (distance > 1 && distance < this.#lostDistance) {
      this.#lostDistance = distance
      this.lostUpdate = { reader, item, place: last, other: -1 }
    }
  }

  #sawUnordered(reader: number, item: number, place: number, mark: number): void {
    this.unordered.add(reader, item, mark === 0 ? place : absentInRange)
    const seen = writeAt(this.orders, item, place)
    if (seen >= 0) this.edges.add(this.items.writerOf(seen), reader, wr | this.#marks(seen) | mark, item)
    const { after, last } = this.orders.unknown.get(item)!
    const own = this.ownPlace(reader, item)
    if (own >= 0) {
      // Of two who update the same version one overwrites the other unseen, whoever was first.
      if (place > 0 && !after.get(place)?.includes(own)) return
      const updates = this.#updates.get(item) ?? new Map<number, number>()
      const other = updates.get(place)
      if (other !== undefined && other !== reader) this.#lostUnordered(reader, item, place, other)
      this.#updates.set(item, updates.set(place, reader))
      return
    }
    const next = after.get(place)?.[0]
    if (next !== undefined) this.#readBefore(reader, item, next, mark)
    if (last >= 0 && last !== place) this.#readBefore(reader, item, last, mark)
  }

  #readBefore(reader: number, item: number, place: number, mark: number): void {
    const write = writeAt(this.orders, item, place)
    this.edges.add(reader, this.items.writerOf(write), rw | this.#marks(write) | mark | indirect, item)
  }

  #lostUnordered(reader: number, item: number, place: number, other: number): void {
    if (this.#lostDistance <= 2) return
    this.#lostDistance = 2
    this.lostUpdate = { reader, item, place, other }
  }

  #marks(write: number): number {
    return this.items.isDelete(write) ? deletes : 0
  }
}
