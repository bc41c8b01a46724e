/**
 * Judges a history twice. The first opinion names Adya's phenomena in the serialization graph, the second (`serial.ts`) looks
 * for a serial order by replaying. They must agree in one direction always: a history without any phenomenon has a serial
 * order, namely a topological order of its graph. In the other direction they may differ at weak levels: the version order of
 * rows written blindly is not observable, so a cycle in commit order can still have a serial explanation.
 */
import { core, type CycleKind, shortestCycle } from './cycles.js'
import { buildGraph, type Edge, type Graph, thin } from './graph.js'
import type { History } from './history.js'
import { indexItems, type Items } from './items.js'
import { type Observation, observe, type Observations } from './observations.js'
import type { Phenomenon } from './phenomena.js'
import { serialOrder } from './serial.js'
import { nameRow, sentenceFor, sentenceForRead } from './sentences.js'

export interface Finding {
  readonly phenomenon: Phenomenon
  /** Ids of the transactions it consists of, in the order of the cycle. */
  readonly transactions: readonly string[]
  /** Empty where the phenomenon is not a cycle. */
  readonly cycle: readonly Edge[]
  /** One sentence per edge of the cycle, or the one that says what was wrong. */
  readonly sentences: readonly string[]
}

export interface Verdict {
  /** At most one for each phenomenon. */
  readonly findings: readonly Finding[]
  readonly serialOrder: readonly string[] | null
  /** False where there is a phenomenon and yet a serial order: see above. Never the other way round. */
  readonly agreed: boolean
}

/** The two opinions contradict each other in the direction that is impossible: a defect of this checker. */
export class CheckerError extends Error {
  override readonly name = 'CheckerError'
  readonly history: History
  constructor(message: string, history: History) {
    super(message)
    this.history = history
  }
}

/** Readings of ambiguous absences that are tried; a history of the matrix has one or two. */
const maxReadings = 1_024

export function checkHistory(history: History): Verdict {
  const items = indexItems(history)
  const observations = observe(history, items)
  const findings = [...reportBroken(history, items, observations), ...entanglements(history, items, observations.good)]
  const order = serialOrder(history)
  if (findings.length === 0 && order === null) {
    throw new CheckerError('The serialization graph shows no phenomenon, yet no serial order explains the history.', history)
  }
  return { findings, serialOrder: order, agreed: (findings.length === 0) === (order !== null) }
}

function reportBroken(history: History, items: Items, { bad }: Observations): Finding[] {
  const findings = new Map<Phenomenon, Finding>()
  for (const read of bad) {
    if (findings.has(read.phenomenon)) continue
    const transactions = [...new Set([...(read.writer ? [read.writer.id] : []), read.reader.id])]
    findings.set(read.phenomenon, { phenomenon: read.phenomenon, transactions, cycle: [], sentences: [sentenceForRead(history, read)] })
  }
  const [impossible] = items.impossible
  if (impossible) {
    const row = nameRow(history, impossible.item.table, impossible.item.key)
    const sentence = `At the end ${row} is not what the last committed transaction that wrote it left there.`
    findings.set('impossible-state', { phenomenon: 'impossible-state', transactions: [], cycle: [], sentences: [sentence] })
  }
  return [...findings.values()]
}

/**
 * An absence does not say which delete it shows. Where a row was absent more than once the history gets the benefit of the
 * doubt: it is clean if it is under any reading of its absences, else what the likeliest reading shows is reported.
 */
function entanglements(history: History, items: Items, observations: readonly Observation[]): Finding[] {
  const choice = new Map(observations.filter(({ places }) => places.length > 1).map(observation => [observation, 0]))
  const placeOf = (observation: Observation): number => observation.places[choice.get(observation) ?? 0] ?? 0
  const likeliest = nameCycles(history, items, core(buildGraph(items, observations, placeOf)))
  if (likeliest.length === 0) return []
  for (let tried = 1; tried < maxReadings && advance(choice); tried++) {
    if (core(buildGraph(items, observations, placeOf)).size === 0) return []
  }
  return likeliest
}

/** Counts up: the next combination of choices, or false after the last. */
function advance(choice: Map<Observation, number>): boolean {
  for (const [observation, index] of choice) {
    if (index + 1 < observation.places.length) {
      choice.set(observation, index + 1)
      return true
    }
    choice.set(observation, 0)
  }
  return false
}

const count = (cycle: readonly Edge[], kind: Edge['kind'], via?: Edge['via']): number =>
  cycle.filter(edge => edge.kind === kind && (via === undefined || edge.via === via)).length

const cycleKinds: readonly (readonly [Phenomenon, CycleKind])[] = [
  ['G0', { edge: edge => edge.kind === 'ww', whole: () => true }],
  ['G1c', { edge: edge => edge.kind !== 'rw', whole: cycle => count(cycle, 'wr') > 0 }],
  ['G-single', { edge: () => true, whole: cycle => count(cycle, 'rw') === 1 }],
  ['G2-item', { edge: edge => edge.kind !== 'rw' || edge.via === 'item', whole: cycle => count(cycle, 'rw') > 1 }],
  ['G2', { edge: () => true, whole: cycle => count(cycle, 'rw') > 1 && count(cycle, 'rw', 'range') > 0 }],
]

function nameCycles(history: History, items: Items, entangled: Graph): Finding[] {
  if (entangled.size === 0) return []
  const thinned = thin(entangled)
  const findings: Finding[] = []
  const add = (phenomenon: Phenomenon, cycle: readonly Edge[] | null): void => {
    if (!cycle) return
    const sentences = cycle.map(edge => sentenceFor(history, edge))
    findings.push({ phenomenon, transactions: cycle.map(edge => edge.from), cycle, sentences })
  }
  for (const [phenomenon, kind] of cycleKinds) add(phenomenon, shortestCycle(thinned, kind))
  add('P4', lostUpdate(items, entangled))
  return findings
}

/** A cycle on one row: somebody overwrote what the reader saw, and the reader then overwrote them. */
function lostUpdate(items: Items, entangled: Graph): readonly Edge[] | null {
  for (const item of items.byId.values()) {
    const onRow = (edge: Edge): boolean => edge.kind !== 'wr' && edge.table === item.table && edge.key === item.key
    const cycle = shortestCycle(entangled, { edge: onRow, whole: edges => count(edges, 'rw') === 1 })
    if (cycle) return cycle
  }
  return null
}
