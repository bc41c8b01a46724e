/**
 * What may have occurred. The certain edges are joined by all that would follow from some version order or from the chosen
 * reading of the absences; what makes no cycle even then is absent. The edges are more than any one order has (one version
 * is both before and after another), so a cycle among them proves nothing but that it cannot be ruled out.
 *
 * For an item of unknown order two auxiliary nodes stand for the edges between every two of its transactions:
 *
 *   writers, and readers of versions  ->  before(item)  ->  writers          deletes  ->  missed(item)  ->  those who missed it
 */
import type { Reading } from './absences.js'
import { components, type Components } from './components.js'
import { cycleKinds, type CyclePhenomenon, findCycles, isFree } from './cycles.js'
import { absent, absentInRange, type Dependencies } from './dependencies.js'
import { deletes, free, type Graph, inRange, rw, wr, ww } from './graph.js'
import { groupAt } from './numbers.js'
import { writeAt } from './version-orders.js'

export interface PossibleGraph {
  readonly graph: Graph
  readonly component: Components
  /** Edges below it are certain. */
  readonly firstPossible: number
  /** Items of unknown order that nobody touched twice: by themselves they never make a cycle. */
  readonly plain: ReadonlySet<number>
}

/** Null where nothing is only possible. Adds its edges to those of the dependencies. */
export function possibleGraph(dependencies: Dependencies, reading: Reading): PossibleGraph | null {
  const { edges, items, orders, ambiguous } = dependencies
  const firstPossible = edges.length
  // A serial order that explains the reading proves nothing where an unknown version order can make another of it.
  const isProved = reading.isExplained && orders.unknown.size === 0
  for (let index = 0; index < ambiguous.length && !isProved; index++) {
    const { reader, item, place } = ambiguous.at(index)
    const mark = place === absentInRange ? inRange : 0
    const seen = writeAt(orders, item, reading.places[index]!)
    const next = writeAt(orders, item, reading.places[index]! + 1)
    if (seen >= 0) edges.add(items.writerOf(seen), reader, wr | deletes | mark, item)
    if (next >= 0) edges.add(reader, items.writerOf(next), rw | mark, item)
  }
  const nodes = addUnordered(dependencies)
  if (edges.length === firstPossible) return null
  const graph = edges.graph(nodes)
  return { graph, component: components(graph), firstPossible, plain: plainItems(dependencies) }
}

function addUnordered({ edges, items, orders, unordered }: Dependencies): number {
  if (orders.unknown.size > 0) edges.expect(3 * items.writes + 2 * unordered.length)
  let nodes = items.transactions.length
  const before = new Map<number, number>()
  for (const item of orders.unknown.keys()) {
    before.set(item, nodes)
    for (const write of groupAt(orders.installed, item)) {
      edges.add(items.writerOf(write), nodes, ww, item)
      edges.add(nodes, items.writerOf(write), free, item)
      if (items.isDelete(write)) edges.add(items.writerOf(write), nodes + 1, wr | deletes, item)
    }
    nodes += 2
  }
  for (let index = 0; index < unordered.length; index++) {
    const { reader, item, place } = unordered.at(index)
    edges.add(reader, before.get(item)!, rw | (place === absentInRange ? inRange : 0), item)
    if (place === absent || place === absentInRange) edges.add(before.get(item)! + 1, reader, free, item)
  }
  return nodes
}

function plainItems({ items, orders, unordered }: Dependencies): ReadonlySet<number> {
  const plain = new Set(orders.unknown.keys())
  const seen = new Map<number, number>()
  let before = -1
  for (let index = 0; index < unordered.length; index++) {
    const { reader, item, place } = unordered.at(index)
    if (reader !== before) seen.clear()
    before = reader
    if (items.lastWriteOf(reader, item) >= 0 || (seen.get(item) ?? place) !== place) plain.delete(item)
    seen.set(item, place)
  }
  return plain
}

/** The phenomena among those asked for that cannot be ruled out, each with an item to blame. */
export function possibleCycles(
  possible: PossibleGraph,
  dependencies: Dependencies,
  isAsked: (phenomenon: CyclePhenomenon) => boolean,
): ReadonlyMap<CyclePhenomenon, number> {
  const { graph, component, firstPossible } = possible
  const found = new Map<CyclePhenomenon, number>()
  if (graph.nodes === dependencies.items.transactions.length) {
    const installs = (transaction: number, item: number): boolean => dependencies.ownPlace(transaction, item) >= 0
    for (const [phenomenon, cycle] of findCycles(graph, component, installs, isAsked)) {
      if (cycle) found.set(phenomenon, blamed(possible, Array.isArray(cycle) ? cycle : []))
    }
    return found
  }
  for (const phenomenon of (Object.keys(cycleKinds) as CyclePhenomenon[]).filter(isAsked)) {
    const { allowed, seed, needed } = cycleKinds[phenomenon]
    const usable = allowed.map((isAllowed, code) => (isAllowed === 1 || seed[code] === 1 || isFree(code) ? 1 : 0))
    const parts = usable.includes(0) ? components(graph, usable) : component
    const knots = new Map<number, Knot>()
    for (let edge = 0; edge < graph.from.length; edge++) {
      const part = parts[graph.from[edge]!]!
      if (part !== parts[graph.to[edge]!] || usable[graph.codeOf(edge)] === 0) continue
      const knot = knots.get(part) ?? { blamed: -1, item: graph.itemOf(edge), isOneItem: true, seeds: 0, needed: 0 }
      knots.set(part, knot)
      if (edge >= firstPossible && knot.blamed < 0) knot.blamed = graph.itemOf(edge)
      knot.isOneItem &&= knot.item === graph.itemOf(edge)
      knot.seeds += seed[graph.codeOf(edge)]!
      knot.needed += needed?.[graph.codeOf(edge)] ?? 2
    }
    for (const knot of knots.values()) {
      const isHarmless = knot.isOneItem && (phenomenon === 'G0' || possible.plain.has(knot.item))
      if (knot.blamed >= 0 && !isHarmless && knot.seeds > 0 && knot.needed > 1) found.set(phenomenon, knot.blamed)
    }
  }
  return found
}

/** What is known of a component. */
interface Knot {
  /** The item of a possible edge, or -1. */
  blamed: number
  readonly item: number
  isOneItem: boolean
  seeds: number
  needed: number
}

/** The item of the first edge that is only possible. */
const blamed = ({ graph, firstPossible }: PossibleGraph, cycle: readonly number[]): number =>
  graph.itemOf(cycle.find(edge => edge >= firstPossible) ?? firstPossible)
