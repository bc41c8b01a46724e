/**
 * Adya's direct serialization graph over the committed transactions. An edge from A to B says that A comes before B in every
 * serial order that explains the history, and why:
 *
 *   ww  B's version of the item directly follows A's                                (write dependency)
 *   wr  B observed A's version                                                      (read dependency)
 *   rw  A observed a version, or an absence, and B installed the next one           (anti-dependency)
 *
 * `via: 'range'` marks a dependency through a row that a range did not contain: Adya's predicate dependencies.
 */
import type { Installed, Items } from './items.js'
import type { Observation } from './observations.js'

export interface Edge {
  readonly from: string
  readonly to: string
  readonly kind: 'ww' | 'wr' | 'rw'
  readonly via: 'item' | 'range'
  readonly table: string
  readonly key: string
  /** Whether the version that makes the edge (B's for `rw` and `ww`, A's for `wr`) is a delete. */
  readonly deletes: boolean
}

/** For each transaction its outgoing edges; no two that say the same. */
export type Graph = ReadonlyMap<string, readonly Edge[]>

/** Builds the graph; `placeOf` says which place of its version order an observation is taken to mean. */
export function buildGraph(items: Items, observations: readonly Observation[], placeOf: (o: Observation) => number): Graph {
  const edges = new Map<string, Edge[]>()
  const known = new Set<string>()
  const add = (edge: Edge): void => {
    const id = [edge.from, edge.to, edge.kind, edge.via, edge.table, edge.key].join('\0')
    if (edge.from === edge.to || known.has(id)) return
    known.add(id)
    const outgoing = edges.get(edge.from)
    if (outgoing) outgoing.push(edge)
    else edges.set(edge.from, [edge])
  }
  for (const { order, table, key } of items.byId.values()) {
    for (const [place, next] of order.entries()) {
      const before = order[place - 1]
      if (!before?.writer || !next.writer) continue
      add({ from: before.writer.id, to: next.writer.id, kind: 'ww', via: 'item', table, key, deletes: next.absent })
    }
  }
  for (const observation of observations) addObservation(observation, placeOf(observation), add)
  return edges
}

function addObservation({ reader, item, via }: Observation, place: number, add: (edge: Edge) => void): void {
  const { table, key } = item
  const seen = item.order[place]
  const next: Installed | undefined = item.order[place + 1]
  if (seen?.writer) add({ from: seen.writer.id, to: reader.id, kind: 'wr', via, table, key, deletes: seen.absent })
  if (next?.writer) add({ from: reader.id, to: next.writer.id, kind: 'rw', via, table, key, deletes: next.absent })
}

/** The same graph with one edge of each kind and way between two transactions: enough to find cycles. */
export function thin(graph: Graph): Graph {
  const first = (edges: readonly Edge[]): readonly Edge[] => [
    ...new Map(edges.toReversed().map(edge => [[edge.to, edge.kind, edge.via].join('\0'), edge])).values(),
  ]
  return new Map([...graph].map(([from, edges]) => [from, first(edges)]))
}
