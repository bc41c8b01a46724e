/**
 * Finds the shortest cycle of a kind. What no cycle can pass through is cut away first, which leaves nothing of a clean
 * history. In what remains simple cycles are tried by increasing length: exponential in the number of transactions that are
 * entangled, which in a played scenario is a handful.
 */
import type { Edge, Graph } from './graph.js'

/** A class of cycles by its edges. */
export interface CycleKind {
  readonly edge: (edge: Edge) => boolean
  /** Whether a complete cycle is of the kind. */
  readonly whole: (cycle: readonly Edge[]) => boolean
}

/** The graph without the transactions that no cycle passes through. Empty if and only if the graph has no cycle. */
export function core(graph: Graph): Graph {
  let rest = graph
  for (;;) {
    const reached = new Set([...rest.values()].flat().map(edge => edge.to))
    const next = new Map<string, readonly Edge[]>()
    for (const [from, edges] of rest) {
      const kept = edges.filter(edge => rest.has(edge.to))
      if (reached.has(from) && kept.length > 0) next.set(from, kept)
    }
    if (sizeOf(next) === sizeOf(rest)) return next
    rest = next
  }
}

const sizeOf = (graph: Graph): number => [...graph.values()].reduce((sum, edges) => sum + edges.length, 0)

/** The shortest simple cycle of the kind, beginning at its first edge; null where there is none. */
export function shortestCycle(graph: Graph, kind: CycleKind): readonly Edge[] | null {
  const nodes = [...graph.keys()]
  for (let length = 2; length <= nodes.length; length++) {
    for (const [index, start] of nodes.entries()) {
      // A cycle is found from the earliest of its transactions; those before `start` have had their turn.
      const cycle = extend(graph, kind, start, new Set(nodes.slice(0, index + 1)), [], length)
      if (cycle) return cycle
    }
  }
  return null
}

function extend(graph: Graph, kind: CycleKind, start: string, closed: Set<string>, path: Edge[], length: number): Edge[] | null {
  const at = path.at(-1)?.to ?? start
  const lastStep = path.length === length - 1
  for (const edge of graph.get(at) ?? []) {
    if (!kind.edge(edge)) continue
    if (lastStep) {
      if (edge.to === start && kind.whole([...path, edge])) return [...path, edge]
      continue
    }
    if (closed.has(edge.to)) continue
    closed.add(edge.to)
    path.push(edge)
    const found = extend(graph, kind, start, closed, path, length)
    if (found) return found
    path.pop()
    closed.delete(edge.to)
  }
  return null
}
