/** Finds the shortest cycle of each kind that the phenomena name (`phenomena.ts`). */
import { components, type Components, edgesOnCycles } from './components.js'
import { codesWhere, free, Graph, inRange, indirect, kindOf, rw, wr, ww } from './graph.js'
import { type CycleKind, CycleSearch, type Found } from './search.js'

export type CyclePhenomenon = 'G0' | 'G1c' | 'G-single' | 'G2-item' | 'G2'

const isRead = (code: number): boolean => kindOf(code) === rw
const isInRange = (code: number): boolean => (code & inRange) !== 0

export const cycleKinds: Readonly<Record<CyclePhenomenon, CycleKind>> = {
  'G0': { allowed: codesWhere(code => kindOf(code) === ww), seed: codesWhere(code => kindOf(code) === ww) },
  'G1c': { allowed: codesWhere(code => !isRead(code)), seed: codesWhere(code => kindOf(code) === wr) },
  'G-single': { allowed: codesWhere(code => !isRead(code)), seed: codesWhere(isRead) },
  'G2-item': {
    allowed: codesWhere(code => !isRead(code) || !isInRange(code)),
    seed: codesWhere(code => isRead(code) && !isInRange(code)),
    needed: codesWhere(code => isRead(code) && !isInRange(code)),
  },
  'G2': { allowed: codesWhere(() => true), seed: codesWhere(code => isRead(code) && isInRange(code)), needed: codesWhere(isRead) },
}

/** What each cycle consists of, in edges of the graph. */
export type FoundCycles = ReadonlyMap<CyclePhenomenon, Found>

/** The shortest cycles of the kinds asked for. `installs` says whether a transaction installed a version of an item. */
export function findCycles(
  graph: Graph,
  component: Components,
  installs: (transaction: number, item: number) => boolean,
  isAsked: (phenomenon: CyclePhenomenon) => boolean = () => true,
): FoundCycles {
  const found = new Map<CyclePhenomenon, Found>()
  const core = graph.part(edgesOnCycles(graph, component))
  if (core.edges.length === 0) return found
  for (const phenomenon of (Object.keys(cycleKinds) as CyclePhenomenon[]).filter(isAsked)) {
    const { graph: knot, names, edges } = narrow(core.graph, cycleKinds[phenomenon])
    if (!edges.some(edge => cycleKinds[phenomenon].seed[core.graph.codeOf(edge)] === 1)) continue
    const isSound = (cycle: readonly number[]): boolean => keepsItsKind(knot, cycle, (node, item) => installs(core.names[names[node]!]!, item))
    const kind = { ...cycleKinds[phenomenon], ...(cycleKinds[phenomenon].needed && { accepts: isSound }) }
    const isSeed = phenomenon === 'G-single' ? singleSeeds(knot) : undefined
    const cycle = new CycleSearch(knot).shortest(kind, isSeed)
    found.set(phenomenon, Array.isArray(cycle) ? cycle.map((edge: number) => core.edges[edges[edge]!]!) : cycle)
  }
  return found
}

/** The edges that a cycle of the kind can consist of. A seed that is not allowed otherwise closes the cycle. */
function narrow(graph: Graph, { allowed, seed }: CycleKind): ReturnType<Graph['part']> {
  const usable = allowed.map((isAllowed, code) => (isAllowed === 1 || seed[code] === 1 ? 1 : 0))
  return graph.part(edgesOnCycles(graph, components(graph, usable), usable))
}

/**
 * The anti-dependencies that can be the only one of a cycle. Each transaction becomes two nodes, its reads and its commit:
 *
 *   reads(T) -> commit(T)     ww, wr: commit(A) -> reads(B)     rw: reads(A) -> commit(B)
 *
 * A cycle here is one in which no two anti-dependencies are neighbours, so one without such cycles (as snapshot isolation
 * leaves it: Fekete et al., ACM TODS 30(2), 2005) has no G-single, and no search has to prove it.
 */
function singleSeeds(graph: Graph): (edge: number) => boolean {
  const { nodes, from, to } = graph
  const starts = new Int32Array(from.length + nodes)
  const ends = new Int32Array(from.length + nodes)
  for (let edge = 0; edge < from.length; edge++) {
    const isAnti = kindOf(graph.codeOf(edge)) === rw
    starts[edge] = from[edge]! * 2 + (isAnti ? 0 : 1)
    ends[edge] = to[edge]! * 2 + (isAnti ? 1 : 0)
  }
  for (let node = 0; node < nodes; node++) {
    starts[from.length + node] = node * 2
    ends[from.length + node] = node * 2 + 1
  }
  const split = components(new Graph(nodes * 2, starts, ends, new Int32Array(starts.length)))
  return edge => split[from[edge]! * 2] === split[to[edge]! * 2 + 1]
}

/**
 * An indirect edge stands for a path through other transactions that wrote its item. With more than one anti-dependency the
 * whole must still pass no transaction twice: it does if the edge is the only indirect one and nobody else on the cycle wrote
 * the item. (With at most one anti-dependency, what is cut short by passing a transaction twice is of the same kind.)
 */
function keepsItsKind(graph: Graph, cycle: readonly number[], installs: (node: number, item: number) => boolean): boolean {
  const { from, to } = graph
  const [edge, ...more] = cycle.filter(other => (graph.codeOf(other) & indirect) !== 0)
  if (edge === undefined) return true
  const kind = kindOf(graph.codeOf(edge))
  const writers = kind === ww ? [from[edge], to[edge]] : kind === wr ? [from[edge]] : [to[edge]]
  return more.length === 0 && cycle.every(other => writers.includes(from[other]!) || !installs(from[other]!, graph.itemOf(edge)))
}

/** Whether an edge only leaves an auxiliary node. */
export const isFree = (code: number): boolean => kindOf(code) === free
