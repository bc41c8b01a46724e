/**
 * Looks for the shortest cycle of a kind in a graph that is one big knot already: the edges on cycles, and nothing else.
 *
 * A kind is given by the edges that a cycle may use, one that it begins with (the seed) and one that it needs besides, if any.
 * From the end of each seed a breadth-first search leads back to its beginning, never farther than the best cycle so far. Where
 * it needs another edge, the nodes are searched in two layers, without and with it; a shortest path in two layers can pass a
 * node twice, and then an exhaustive search decides.
 */
import type { Graph } from './graph.js'

export interface CycleKind {
  readonly allowed: Uint8Array
  readonly seed: Uint8Array
  /** Codes of which the cycle has one besides its seed. */
  readonly needed?: Uint8Array
  /** What else must be true of a whole cycle. */
  readonly accepts?: (cycle: readonly number[]) => boolean
}

/** `null`: there is none. `undecided`: the search was given up. */
export type Found = readonly number[] | null | 'undecided'

/** Edges that are looked at for one kind: seconds. Beyond it the best cycle so far stands. */
const maxSteps = 20_000_000
/** The same for the exhaustive search, and its longest cycle. */
const maxExhaustiveSteps = 1_000_000
const maxExhaustiveLength = 24

export class CycleSearch {
  readonly #graph: Graph
  /** By node and layer: the search that reached it last, by which edge, and from which node and layer. */
  readonly #reached: Int32Array
  readonly #by: Int32Array
  readonly #before: Int32Array
  readonly #queue: Int32Array
  #searches = 0
  #steps = 0
  /** Whether a cycle was not accepted: then not to find another proves nothing. */
  #refused = false

  constructor(graph: Graph) {
    this.#graph = graph
    this.#reached = new Int32Array(graph.nodes * 2)
    this.#by = new Int32Array(graph.nodes * 2)
    this.#before = new Int32Array(graph.nodes * 2)
    this.#queue = new Int32Array(graph.nodes * 2)
  }

  /** The edges of the shortest cycle of the kind, from its seed on. `isSeed` narrows the seeds further. */
  shortest(kind: CycleKind, isSeed: (edge: number) => boolean = () => true): Found {
    const { from, to } = this.#graph
    let best: number[] | null = null
    let isBlurred = false
    this.#steps = 0
    this.#refused = false
    for (let seed = 0; seed < from.length && best?.length !== 2; seed++) {
      if (kind.seed[this.#graph.codeOf(seed)] === 0 || !isSeed(seed)) continue
      if (this.#steps > maxSteps) return best ?? 'undecided'
      const path = this.#path(to[seed]!, from[seed]!, kind, (best?.length ?? Number.POSITIVE_INFINITY) - 2)
      if (!path) continue
      const cycle = [seed, ...path]
      if (this.#isSimple(cycle) && this.#accepts(kind, cycle)) best = cycle
      else isBlurred = true
    }
    if (!isBlurred) return best
    const found = this.#exhaustive(kind, isSeed, best?.length ?? Number.POSITIVE_INFINITY)
    return best && (found === null || found === 'undecided') ? best : found
  }

  #accepts({ accepts }: CycleKind, cycle: readonly number[]): boolean {
    const isAccepted = accepts?.(cycle) ?? true
    this.#refused ||= !isAccepted
    return isAccepted
  }

  /** The edges of a shortest path, at most so many; null where there is none. `start` and `goal` differ. */
  #path(start: number, goal: number, { allowed, needed }: CycleKind, longest: number): number[] | null {
    const { starts, out, to } = this.#graph
    const search = ++this.#searches
    // Layer 1, where nothing is needed any more, is the upper half of the nodes.
    const nodes = this.#graph.nodes
    const queue = this.#queue
    const first = needed ? start : start + nodes
    this.#reached[first] = search
    queue[0] = first
    let end = 1
    let levelEnd = 1
    let length = 0
    for (let at = 0; at < end; at++) {
      if (at === levelEnd) {
        length++
        levelEnd = end
      }
      if (length >= longest) return null
      const place = queue[at]!
      const layer = place >= nodes ? 1 : 0
      const node = place - layer * nodes
      this.#steps += starts[node + 1]! - starts[node]!
      for (let index = starts[node]!; index < starts[node + 1]!; index++) {
        const edge = out[index]!
        const code = this.#graph.codeOf(edge)
        if (allowed[code] === 0) continue
        const nextLayer = layer === 1 || needed?.[code] === 1 ? 1 : 0
        const target = to[edge]!
        // Neither end of the path is passed on the way.
        if (target === start || (target === goal && nextLayer === 0)) continue
        const next = target + nextLayer * nodes
        if (this.#reached[next] === search) continue
        this.#reached[next] = search
        this.#by[next] = edge
        this.#before[next] = place
        if (target === goal) return this.#trace(next, first)
        queue[end++] = next
      }
    }
    return null
  }

  #trace(last: number, first: number): number[] {
    const path: number[] = []
    for (let place = last; place !== first; place = this.#before[place]!) path.push(this.#by[place]!)
    return path.reverse()
  }

  #isSimple(cycle: readonly number[]): boolean {
    return new Set(cycle.map(edge => this.#graph.from[edge]!)).size === cycle.length
  }

  /** Tries all cycles shorter than `limit`, by length. */
  #exhaustive(kind: CycleKind, isSeed: (edge: number) => boolean, limit: number): Found {
    const { from, to, nodes } = this.#graph
    const longest = Math.min(nodes, maxExhaustiveLength, limit - 1)
    const budget = { steps: maxExhaustiveSteps }
    for (let length = 2; length <= longest; length++) {
      for (let seed = 0; seed < from.length; seed++) {
        if (kind.seed[this.#graph.codeOf(seed)] === 0 || !isSeed(seed)) continue
        const cycle = this.#extend(kind, [seed], new Set([to[seed]!, from[seed]!]), length, budget)
        if (cycle) return cycle
        if (budget.steps <= 0) return 'undecided'
      }
    }
    return nodes <= longest && !this.#refused ? null : 'undecided'
  }

  #extend(kind: CycleKind, cycle: number[], passed: Set<number>, length: number, budget: { steps: number }): number[] | null {
    const { starts, out, from, to } = this.#graph
    const node = to[cycle.at(-1)!]!
    for (let index = starts[node]!; index < starts[node + 1]!; index++) {
      const edge = out[index]!
      if (kind.allowed[this.#graph.codeOf(edge)] === 0) continue
      if (--budget.steps <= 0) return null
      cycle.push(edge)
      const target = to[edge]!
      if (cycle.length === length) {
        const isWhole = target === from[cycle[0]!] && (!kind.needed || cycle.some((other, at) => at > 0 && kind.needed?.[this.#graph.codeOf(other)] === 1))
        if (isWhole && this.#accepts(kind, cycle)) return cycle
      } else if (!passed.has(target)) {
        passed.add(target)
        const found = this.#extend(kind, cycle, passed, length, budget)
        if (found) return found
        passed.delete(target)
      }
      cycle.pop()
    }
    return null
  }
}
