/** Strongly connected components: what a cycle can pass through. */
import { codesWhere, type Graph } from './graph.js'

/** By node its component; an edge between two of them leads to the one with the lower number. */
export type Components = Int32Array

export const everyCode: Uint8Array = codesWhere(() => true)

/** Tarjan (SIAM Journal on Computing 1(2), 1972) without recursion, over the edges whose code is allowed. */
export function components(graph: Graph, allowed: Uint8Array = everyCode): Components {
  const isFiltered = allowed.includes(0)
  const { nodes, starts, out, to } = graph
  const component = new Int32Array(nodes).fill(-1)
  // 0 is "not visited"; a visited node has its number, counted from 1.
  const low = new Int32Array(nodes)
  const next = starts.slice(0, nodes)
  const path = new Int32Array(nodes)
  const open = new Int32Array(nodes)
  const numbers = new Int32Array(nodes)
  let opened = 0
  let visited = 0
  let found = 0
  for (let root = 0; root < nodes; root++) {
    if (numbers[root] !== 0) continue
    let depth = 0
    path[0] = root
    while (depth >= 0) {
      const node = path[depth]!
      if (numbers[node] === 0) {
        numbers[node] = low[node] = ++visited
        open[opened++] = node
      }
      let deeper = -1
      while (next[node]! < starts[node + 1]!) {
        const edge = out[next[node]!++]!
        if (isFiltered && allowed[graph.codeOf(edge)] === 0) continue
        const target = to[edge]!
        if (numbers[target] === 0) {
          deeper = target
          break
        }
        if (component[target]! < 0 && numbers[target]! < low[node]!) low[node] = numbers[target]!
      }
      if (deeper >= 0) {
        path[++depth] = deeper
        continue
      }
      if (low[node] === numbers[node]) {
        let member: number
        do {
          member = open[--opened]!
          component[member] = found
        } while (member !== node)
        found++
      }
      depth--
      if (depth >= 0 && low[node]! < low[path[depth]!]!) low[path[depth]!] = low[node]!
    }
  }
  return component
}

/** The edges whose ends are in one component, in order: those that cycles consist of. */
export function edgesOnCycles(graph: Graph, component: Components, allowed: Uint8Array = everyCode): Int32Array {
  const { from, to } = graph
  let count = 0
  const isInside = (edge: number): boolean => allowed[graph.codeOf(edge)] === 1 && component[from[edge]!] === component[to[edge]!]
  for (let edge = 0; edge < from.length; edge++) if (isInside(edge)) count++
  const inside = new Int32Array(count)
  for (let edge = from.length - 1; edge >= 0; edge--) if (isInside(edge)) inside[--count] = edge
  return inside
}
