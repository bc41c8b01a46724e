/**
 * Adya's direct serialization graph over the committed transactions. An edge from A to B says that A comes before B in every
 * serial order that explains the history, and why:
 *
 *   ww  B's version of the item directly follows A's                                (write dependency)
 *   wr  B observed A's version                                                      (read dependency)
 *   rw  A observed a version, or an absence, and B installed the next one           (anti-dependency)
 *
 * `via: 'range'` marks a dependency through a row that a range did not contain: Adya's predicate dependencies.
 *
 * Nodes are numbers: the transactions, then auxiliary nodes that stand for many edges at once. An auxiliary node is entered by
 * edges of a kind and left by `free` ones.
 */
import type { Items } from './items.js'
import { Integers } from './numbers.js'

/** Why one transaction comes before another; `rt`, outside the graph, because it was acknowledged before the other began. */
export type Edge =
  | {
      readonly from: string
      readonly to: string
      readonly kind: 'ww' | 'wr' | 'rw'
      readonly via: 'item' | 'range'
      readonly table: string
      readonly key: string
      /** Whether the version that makes the edge (B's for `rw` and `ww`, A's for `wr`) is a delete. */
      readonly deletes: boolean
    }
  | { readonly from: string; readonly to: string; readonly kind: 'rt' }

/** Codes: a kind, and marks that are added to it. */
export const ww = 0
export const wr = 1
export const rw = 2
export const free = 3
export const inRange = 4
export const deletes = 8
/**
 * The edge stands for a path: of edges of its kind and write dependencies through other transactions that wrote the item. So
 * an order is known where neighbours are not.
 */
export const indirect = 16
const codeBits = 5
export const codes: number = 1 << codeBits

export const kindOf = (code: number): number => code & 3

/** A set of codes, as a list that has 1 for those in it. */
export const codesWhere = (isIn: (code: number) => boolean): Uint8Array => Uint8Array.from({ length: codes }, (_, code) => (isIn(code) ? 1 : 0))

export class Edges {
  readonly #from: Integers
  readonly #to: Integers
  /** Item and code in one number: memory is what limits a history. */
  readonly #marks: Integers

  constructor(expected: number) {
    this.#from = new Integers(expected)
    this.#to = new Integers(expected)
    this.#marks = new Integers(expected)
  }

  get length(): number {
    return this.#from.length
  }

  /** Makes room for so many more. */
  expect(more: number): void {
    this.#from.expect(more)
    this.#to.expect(more)
    this.#marks.expect(more)
  }

  add(from: number, to: number, code: number, item: number): void {
    if (from === to) return
    this.#from.push(from)
    this.#to.push(to)
    this.#marks.push((item << codeBits) | code)
  }

  graph(nodes: number): Graph {
    return new Graph(nodes, this.#from.values(), this.#to.values(), this.#marks.values())
  }
}

export class Graph {
  readonly nodes: number
  /** By edge. */
  readonly from: Int32Array
  readonly to: Int32Array
  readonly #marks: Int32Array
  /** The edges out of node n are `out[starts[n]]` to `out[starts[n + 1] - 1]`. */
  readonly starts: Int32Array
  readonly out: Int32Array

  constructor(nodes: number, from: Int32Array, to: Int32Array, marks: Int32Array) {
    this.nodes = nodes
    this.from = from
    this.to = to
    this.#marks = marks
    this.starts = new Int32Array(nodes + 1)
    for (const node of from) this.starts[node + 1]!++
    for (let node = 0; node < nodes; node++) this.starts[node + 1]! += this.starts[node]!
    const next = this.starts.slice()
    this.out = new Int32Array(from.length)
    for (let edge = 0; edge < from.length; edge++) this.out[next[from[edge]!]!++] = edge
  }

  codeOf(edge: number): number {
    return this.#marks[edge]! & (codes - 1)
  }

  itemOf(edge: number): number {
    return this.#marks[edge]! >>> codeBits
  }

  /** The part of the graph that these edges make, its nodes numbered anew: `names[node]` is the old number, `edges[edge]` too. */
  part(edges: Int32Array): { graph: Graph; names: Int32Array; edges: Int32Array } {
    const renamed = new Int32Array(this.nodes).fill(-1)
    const names = new Integers()
    const rename = (node: number): number => {
      if (renamed[node]! < 0) {
        renamed[node] = names.length
        names.push(node)
      }
      return renamed[node]!
    }
    const from = edges.map(edge => rename(this.from[edge]!))
    const to = edges.map(edge => rename(this.to[edge]!))
    const graph = new Graph(names.length, from, to, edges.map(edge => this.#marks[edge]!))
    return { graph, names: names.values(), edges }
  }
}

/** An edge between transactions, with names in place of numbers. */
export function describe(items: Items, graph: Graph, edge: number): Edge {
  const item = graph.itemOf(edge)
  const code = graph.codeOf(edge)
  return {
    from: items.transactions[graph.from[edge]!]!.id,
    to: items.transactions[graph.to[edge]!]!.id,
    kind: kindOf(code) === ww ? 'ww' : kindOf(code) === wr ? 'wr' : 'rw',
    via: (code & inRange) === 0 ? 'item' : 'range',
    table: items.tables[item]!,
    key: items.keys[item]!,
    deletes: (code & deletes) !== 0,
  }
}
