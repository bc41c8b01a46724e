/**
 * Real time against the graph: does a path of dependencies lead from a transaction to one that had ended before it began?
 *
 * Components are numbered against the direction of the edges, so one pass finds for each the earliest end of all that it leads
 * to. An edge of the graph in real time is never made.
 */
import type { Components } from './components.js'
import type { Graph } from './graph.js'
import type { Items } from './items.js'
import { group } from './numbers.js'

/** The path from the later of two transactions to the earlier one, in edges. */
export type Backwards = readonly number[]

/** Searches are given up after so many edges; the shortest path so far stands. */
const maxSteps = 20_000_000

/** True where every committed transaction says when it began and ended. */
export const hasAllTimes = ({ transactions }: Items): boolean =>
  transactions.every(({ outcome, begin, end }) => outcome !== 'committed' || (begin !== undefined && end !== undefined))

/** The transactions from which a path leads back in time. */
export function findBackwards(items: Items, graph: Graph, component: Components): readonly number[] {
  const { starts, out, to } = graph
  let count = 0
  for (const number of component) count = Math.max(count, number + 1)
  const earliest = new Float64Array(count).fill(Number.POSITIVE_INFINITY)
  const members = group(component, count)
  for (let number = 0; number < count; number++) {
    let first = Number.POSITIVE_INFINITY
    for (let at = members.starts[number]!; at < members.starts[number + 1]!; at++) {
      const node = members.members[at]!
      first = Math.min(first, endOf(items, node))
      for (let index = starts[node]!; index < starts[node + 1]!; index++) {
        // Within the component it is still open.
        first = Math.min(first, earliest[component[to[out[index]!]!]!]!)
      }
    }
    earliest[number] = first
  }
  const found: number[] = []
  for (const [node, { outcome, begin = Number.NEGATIVE_INFINITY }] of items.transactions.entries()) {
    if (outcome === 'committed' && earliest[component[node]!]! < begin) found.push(node)
  }
  return found
}

/** The shortest of the paths that lead back in time. */
export function shortestBackwards(items: Items, graph: Graph, from: readonly number[]): Backwards {
  const { starts, out, to, nodes } = graph
  const reached = new Int32Array(nodes)
  const by = new Int32Array(nodes)
  const depths = new Int32Array(nodes)
  const queue = new Int32Array(nodes)
  let best: number[] = []
  let steps = 0
  for (const [search, start] of from.entries()) {
    if (best.length === 1 || steps > maxSteps) break
    const begin = items.transactions[start]!.begin!
    depths[start] = 0
    reached[start] = search + 1
    queue[0] = start
    let end = 1
    for (let at = 0; at < end; at++) {
      const node = queue[at]!
      const depth = depths[node]!
      if (endOf(items, node) < begin) {
        best = []
        for (let back = node; back !== start; back = graph.from[by[back]!]!) best.unshift(by[back]!)
        break
      }
      if (best.length > 0 && depth >= best.length - 1) continue
      steps += starts[node + 1]! - starts[node]!
      for (let index = starts[node]!; index < starts[node + 1]!; index++) {
        const next = to[out[index]!]!
        if (reached[next] === search + 1) continue
        reached[next] = search + 1
        by[next] = out[index]!
        depths[next] = depth + 1
        queue[end++] = next
      }
    }
  }
  return best
}

const endOf = ({ transactions }: Items, node: number): number => {
  const transaction = transactions[node]
  return transaction?.outcome === 'committed' ? (transaction.end ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY
}
