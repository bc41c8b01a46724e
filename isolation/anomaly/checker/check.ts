/**
 * The history checker: names Adya's phenomena in a history's serialization graph. Time and memory grow with the history and
 * not with its square, except where what is wrong with it has to be searched for, and that has a bound.
 *
 *   outcomes -> items -> version orders -> observations -> certain edges -> components -> cycles
 *                                                       -> possible edges -> components -> what cannot be ruled out
 *
 *   C-1  `occurred`: it did, in every version order and under every reading of absences that the history allows.
 *   C-2  `absent`: it did not, in every version order, under one reading of the absences (`absences.ts`).
 *   C-3  Where all version orders are known and no row was absent more than once, nothing is `unknown` but strictness without
 *        times, an impossible state without the final rows, and a search that was given up.
 */
import { readAbsences } from './absences.js'
import { components, type Components } from './components.js'
import { type CyclePhenomenon, findCycles } from './cycles.js'
import { Dependencies } from './dependencies.js'
import { describe, type Edge, type Graph } from './graph.js'
import type { History } from './history.js'
import { Items } from './items.js'
import { settleOutcomes } from './outcomes.js'
import { allPhenomena, type Phenomenon } from './phenomena.js'
import { possibleCycles, possibleGraph } from './possible.js'
import { type NameRow, rowNames, sentenceFor, sentenceForLost, sentenceForRead } from './sentences.js'
import { findBackwards, hasAllTimes, shortestBackwards } from './strictness.js'
import { orderVersions, writeAt } from './version-orders.js'

/** A phenomenon that occurred. */
export interface Finding {
  readonly phenomenon: Phenomenon
  /** Ids of the transactions it consists of, in the order of the cycle. */
  readonly transactions: readonly string[]
  /** The shortest cycle of its kind; empty where the phenomenon is not a cycle. */
  readonly cycle: readonly Edge[]
  /** One sentence per edge of the cycle, or the one that says what was wrong. */
  readonly sentences: readonly string[]
}

/** A phenomenon of which the history does not say whether it occurred. */
export interface Doubt {
  readonly phenomenon: Phenomenon
  readonly sentence: string
}

export type Status = 'occurred' | 'absent' | 'unknown'

export interface Verdict {
  readonly status: Readonly<Record<Phenomenon, Status>>
  /** One for each phenomenon that occurred. */
  readonly findings: readonly Finding[]
  /** One for each that is unknown. */
  readonly doubts: readonly Doubt[]
}

/** Says for each phenomenon whether it occurred. Takes any history that `parseHistory` accepts. */
export function checkHistory(history: History): Verdict {
  const items = new Items(settleOutcomes(history))
  return new Check(items, new Dependencies(items, orderVersions(items))).verdict()
}

class Check {
  readonly #items: Items
  readonly #dependencies: Dependencies
  #nameRow: NameRow | null = null
  readonly #findings = new Map<Phenomenon, Finding>()
  readonly #doubts = new Map<Phenomenon, string>()

  constructor(items: Items, dependencies: Dependencies) {
    this.#items = items
    this.#dependencies = dependencies
  }

  verdict(): Verdict {
    const graph = this.#dependencies.edges.graph(this.#items.transactions.length)
    const component = components(graph)
    this.#reportReads()
    this.#reportCycles(graph, component)
    this.#reportLostUpdate()
    this.#reportStrictness(graph, component)
    this.#reportPossible(graph, component)
    const findings = allPhenomena.flatMap(phenomenon => this.#findings.get(phenomenon) ?? [])
    const doubts = allPhenomena.flatMap((phenomenon): Doubt[] => {
      const sentence = this.#findings.has(phenomenon) ? undefined : this.#doubts.get(phenomenon)
      return sentence === undefined ? [] : [{ phenomenon, sentence }]
    })
    const status = Object.fromEntries(allPhenomena.map((phenomenon): [Phenomenon, Status] => [phenomenon, 'absent'])) as Record<Phenomenon, Status>
    for (const { phenomenon } of findings) status[phenomenon] = 'occurred'
    for (const { phenomenon } of doubts) status[phenomenon] = 'unknown'
    return { status, findings, doubts }
  }

  #reportReads(): void {
    const { badReads, disagreement, orders } = this.#dependencies
    for (const read of badReads.values()) {
      const transactions = [...(read.writer < 0 ? [] : [read.writer]), read.reader]
      this.#found(read.phenomenon, [...new Set(transactions)], sentenceForRead(this.#items, this.#names(), read))
    }
    if (disagreement) {
      const row = this.#rowOf(disagreement.item)
      const reader = this.#idOf(disagreement.reader)
      const sentence = `${reader} read two ranges that hold ${row}, and what is between the answers inserted or deleted it.`
      if (disagreement.isCertain) this.#found('PMP', [disagreement.reader], sentence)
      else this.#doubt('PMP', this.#orderUnknown(disagreement.item))
    }
    const [impossible] = orders.impossible
    if (impossible !== undefined) {
      const sentence = `At the end ${this.#rowOf(impossible)} is not what the last committed transaction that wrote it left there.`
      this.#found('impossible-state', [], sentence)
    }
    if (!this.#items.history.final) this.#doubt('impossible-state', 'The history does not say which rows were left at the end.')
  }

  #reportCycles(graph: Graph, component: Components): void {
    for (const [phenomenon, found] of findCycles(graph, component, this.#installs)) {
      if (found === 'undecided') this.#doubt(phenomenon, 'The search for a cycle of this kind was given up.')
      else if (found) this.#foundCycle(phenomenon, graph, found)
    }
  }

  #reportLostUpdate(): void {
    const lost = this.#dependencies.lostUpdate
    if (!lost) return
    const { reader, item, place, other } = lost
    if (other >= 0) {
      const sentence = sentenceForLost(this.#items, this.#rowOf(item), lost)
      this.#found('P4', [other, reader], sentence)
      if (!this.#findings.has('G-single')) this.#found('G-single', [other, reader], sentence)
      return
    }
    const names = { via: 'item', table: this.#items.tables[item]!, key: this.#items.keys[item]! } as const
    const cycle: Edge[] = []
    let from = reader
    for (let next = place + 1; cycle.at(-1)?.to !== this.#idOf(reader); next++) {
      const write = writeAt(this.#dependencies.orders, item, next)
      const to = this.#items.writerOf(write)
      cycle.push({ from: this.#idOf(from), to: this.#idOf(to), kind: from === reader ? 'rw' : 'ww', ...names, deletes: this.#items.isDelete(write) })
      from = to
    }
    this.#add('P4', cycle)
  }

  #reportStrictness(graph: Graph, component: Components): void {
    const backwards = findBackwards(this.#items, graph, component)
    if (backwards.length > 0) {
      const path = shortestBackwards(this.#items, graph, backwards).map(edge => describe(this.#items, graph, edge))
      this.#add('strictness', [...path, { from: path.at(-1)!.to, to: path[0]!.from, kind: 'rt' }])
    } else if (!hasAllTimes(this.#items)) {
      this.#doubt('strictness', 'Not every committed transaction says when it began and ended.')
    }
  }

  #reportPossible(certain: Graph, certainComponent: Components): void {
    const reading = readAbsences(this.#dependencies, certain, certainComponent)
    this.#reportPossiblyLost(reading.places)
    const possible = possibleGraph(this.#dependencies, reading)
    if (!possible) return
    const isOpen = (phenomenon: Phenomenon): boolean => !this.#findings.has(phenomenon)
    for (const [phenomenon, item] of possibleCycles(possible, this.#dependencies, isOpen)) this.#doubt(phenomenon, this.#why(item))
    if (isOpen('strictness') && findBackwards(this.#items, possible.graph, possible.component).length > 0) {
      this.#doubt('strictness', 'Whether it occurred depends on a version order, or on an absence, that is not known.')
    }
  }

  #reportPossiblyLost(places: Int32Array): void {
    const { ambiguous, unordered } = this.#dependencies
    for (let index = 0; index < ambiguous.length; index++) {
      const { reader, item } = ambiguous.at(index)
      if (this.#dependencies.ownPlace(reader, item) > places[index]! + 1) this.#doubt('P4', this.#why(item))
    }
    for (let index = 0; index < unordered.length; index++) {
      const { reader, item } = unordered.at(index)
      if (this.#installs(reader, item)) this.#doubt('P4', this.#why(item))
    }
  }

  readonly #installs = (transaction: number, item: number): boolean => this.#dependencies.ownPlace(transaction, item) >= 0

  #why(item: number): string {
    if (this.#dependencies.orders.unknown.has(item)) return this.#orderUnknown(item)
    return `${this.#rowOf(item)} was absent more than once, and nothing says which absence was seen.`
  }

  #orderUnknown(item: number): string {
    return `Nothing shows in which order the versions of ${this.#rowOf(item)} were installed.`
  }

  #foundCycle(phenomenon: CyclePhenomenon, graph: Graph, edges: readonly number[]): void {
    this.#add(phenomenon, edges.map(edge => describe(this.#items, graph, edge)))
  }

  #add(phenomenon: Phenomenon, cycle: readonly Edge[]): void {
    const sentences = cycle.map(edge => sentenceFor(this.#names(), edge))
    this.#findings.set(phenomenon, { phenomenon, transactions: cycle.map(edge => edge.from), cycle, sentences })
  }

  #found(phenomenon: Phenomenon, transactions: readonly number[], sentence: string): void {
    this.#findings.set(phenomenon, { phenomenon, transactions: transactions.map(node => this.#idOf(node)), cycle: [], sentences: [sentence] })
  }

  #doubt(phenomenon: Phenomenon, sentence: string): void {
    if (!this.#doubts.has(phenomenon)) this.#doubts.set(phenomenon, sentence)
  }

  #idOf(transaction: number): string {
    return this.#items.transactions[transaction]!.id
  }

  #rowOf(item: number): string {
    return this.#names()(this.#items.tables[item]!, this.#items.keys[item]!)
  }

  #names(): NameRow {
    return (this.#nameRow ??= rowNames(this.#items))
  }
}
