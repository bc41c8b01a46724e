/**
 * An absence does not say since when. Where a row was absent more than once, the history gets the benefit of the doubt: no
 * client can tell one absence from another, so a phenomenon is absent if it is under one reading of the absences. This file
 * chooses that reading: it puts the transactions into a serial order, if there is one, and takes for each absence what the row
 * was at the reader's turn.
 */
import type { Components } from './components.js'
import type { Dependencies } from './dependencies.js'
import type { Graph } from './graph.js'
import type { Items } from './items.js'
import { hasAllTimes } from './strictness.js'
import { writeAt } from './version-orders.js'

export interface Reading {
  /** By ambiguous absence its place. */
  readonly places: Int32Array
  /** True where the transactions, in some order, explain every one of them: then none makes a cycle. */
  readonly isExplained: boolean
}

export function readAbsences(dependencies: Dependencies, graph: Graph, component: Components): Reading {
  const { items, orders, ambiguous } = dependencies
  const places = new Int32Array(ambiguous.length)
  if (places.length === 0) return { places, isExplained: true }
  const isAcyclic = graph.from.every((node, edge) => component[node] !== component[graph.to[edge]!])
  const expected = expectedTimes(dependencies)
  // Without a serial order a transaction reads when it begins and writes when it ends, as far as it knows.
  const ends = isAcyclic ? serialTurns(items, graph, expected) : expected
  const begins = isAcyclic || !hasAllTimes(items) ? ends : Float64Array.from(items.transactions, ({ begin = 0 }) => begin)
  let isExplained = isAcyclic
  const turnAt = (item: number, place: number): number => {
    const write = writeAt(orders, item, place)
    return write < 0 ? Number.NEGATIVE_INFINITY : ends[items.writerOf(write)]!
  }
  /** When an absence ends; a reader that ends it itself does so after its reads. */
  const overAt = (item: number, place: number, own: number): number =>
    place + 1 === own || writeAt(orders, item, place + 1) < 0 ? Number.POSITIVE_INFINITY : turnAt(item, place + 1)
  for (let index = 0; index < places.length; index++) {
    const { reader, item } = ambiguous.at(index)
    const own = dependencies.ownPlace(reader, item)
    const absences = orders.absences(item)
    const turn = begins[reader]!
    const at = lastBefore(absences, place => turnAt(item, place) < turn)
    const before = absences[at] === own ? absences[at - 1] : absences[at]
    const after = absences[at + 1] === own ? absences[at + 2] : absences[at + 1]
    const over = before === undefined ? Number.NEGATIVE_INFINITY : overAt(item, before, own)
    // Where the row was there at the reader's turn, the nearest absence is the likeliest.
    const isNearer = after !== undefined && turnAt(item, after) - turn < turn - over
    places[index] = over > turn ? before! : before === undefined || isNearer ? after! : before
    if (over < turn) isExplained = false
  }
  return { places, isExplained }
}

/** The last index whose place is before; -1 where none is. */
function lastBefore(places: readonly number[], isBefore: (place: number) => boolean): number {
  let low = 0
  let high = places.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (isBefore(places[middle]!)) low = middle + 1
    else high = middle
  }
  return low - 1
}

/** By transaction, when its turn is if the store is what it should be: who writes when it ends, who only reads when it begins. */
function expectedTimes({ items }: Dependencies): Float64Array {
  const { transactions, firstWrite } = items
  const hasTimes = hasAllTimes(items)
  let lastCommit = 0
  return Float64Array.from(transactions, ({ begin = 0, end = 0, commit }, transaction) => {
    if (hasTimes) return firstWrite[transaction] === firstWrite[transaction + 1] ? begin : end
    lastCommit = commit ?? lastCommit
    return lastCommit
  })
}

/**
 * The turns of the serial order that the graph allows and that follows the expected times most closely (Kahn, with a heap).
 * Who has not committed takes none.
 */
function serialTurns(items: Items, { nodes, starts, out, to }: Graph, times: Float64Array): Float64Array {
  const byTurn = Int32Array.from({ length: nodes }, (_, node) => node).sort((a, b) => times[a]! - times[b]! || a - b)
  const expected = new Int32Array(nodes)
  byTurn.forEach((node, turn) => (expected[node] = turn))
  const waitsFor = new Int32Array(nodes)
  for (const node of to) waitsFor[node]!++
  const turns = new Float64Array(nodes)
  const ready = new Heap(nodes)
  for (let node = 0; node < nodes; node++) if (waitsFor[node] === 0) ready.push(expected[node]!)
  for (let turn = 0; ready.length > 0; ) {
    const node = byTurn[ready.pop()]!
    turns[node] = turn
    if (items.isCommitted(node)) turn++
    for (let at = starts[node]!; at < starts[node + 1]!; at++) {
      const next = to[out[at]!]!
      if (--waitsFor[next]! === 0) ready.push(expected[next]!)
    }
  }
  return turns
}

/** The smallest first. */
class Heap {
  length = 0
  readonly #values: Int32Array

  constructor(capacity: number) {
    this.#values = new Int32Array(capacity)
  }

  push(value: number): void {
    let at = this.length++
    for (let parent = (at - 1) >> 1; at > 0 && this.#values[parent]! > value; parent = (at - 1) >> 1) {
      this.#values[at] = this.#values[parent]!
      at = parent
    }
    this.#values[at] = value
  }

  pop(): number {
    const values = this.#values
    const first = values[0]!
    const last = values[--this.length]!
    let at = 0
    for (let child = 1; child < this.length; child = at * 2 + 1) {
      if (child + 1 < this.length && values[child + 1]! < values[child]!) child++
      if (values[child]! >= last) break
      values[at] = values[child]!
      at = child
    }
    values[at] = last
    return first
  }
}
