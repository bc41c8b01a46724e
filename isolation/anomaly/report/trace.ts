/** For each cell the schedule that is easiest to follow: who did what when, what each read returned, and why it is wrong. */
import type { Cell } from '../cell.js'
import type { Matrix } from '../matrix.js'
import type { Scenario } from '../scenario.js'
import { describeRows } from '../schedule/describe.js'
import type { PlayedSchedule } from '../schedule/play.js'
import { indent, type Paint, paint, row, wrap } from './layout.js'
import type { TextOptions } from './table.js'
import { countsOf, toneOf, wordsOf } from './verdict.js'

const width = 100
const gap = ' │ '

/** The traces of all cells, scenario by scenario. Ends with a newline. */
export function renderTraces(matrix: Matrix, { colour }: TextOptions): string {
  const ink = paint(colour)
  const lines: string[] = []
  for (const scenario of matrix.scenarios) {
    lines.push(ink.strong(`${scenario.id}: ${scenario.title}`), ...wrap(scenario.story, width), ink.faint(`Source: ${scenario.source}`), '')
    for (const cell of matrix.cells.filter(candidate => candidate.scenario === scenario)) {
      lines.push(...indent(renderCell(cell, ink), '  '), '')
    }
  }
  return `${lines.join('\n').trimEnd()}\n`
}

function renderCell(cell: Cell, ink: Paint): string[] {
  const heading = `${cell.subject.name}: ${ink[toneOf(cell)](wordsOf(cell))}${countsOf(cell)}`
  const trace = traceOf(cell)
  if (!trace) return [heading]
  return [heading, ...indent([...timeline(cell.scenario, trace.played), ...trace.reasons.flatMap(bullet)], '  ')]
}

export interface Trace {
  readonly played: PlayedSchedule
  /** Sentences: the cycle and the broken invariant of a witness, or the engine's explanation of an abort. */
  readonly reasons: readonly string[]
}

/** The witness of a cell that shows the anomaly, else a schedule in which the engine stepped in, else nothing. */
export function traceOf(cell: Cell): Trace | null {
  if (cell.shortest) return { played: cell.shortest.played, reasons: reasonsFor(cell) }
  if (!cell.refusal) return null
  const reasons = cell.refusal.endings.flatMap((ending, index) => {
    if (ending.kind !== 'aborted-by-engine' && ending.kind !== 'refused') return []
    return [`T${index + 1} was ${ending.kind === 'refused' ? 'refused' : 'aborted'} by the engine, which says: ${ending.text}`]
  })
  return { played: cell.refusal, reasons }
}

function reasonsFor({ scenario, shortest }: Cell): string[] {
  if (!shortest) return []
  const { finding, played } = shortest
  const reasons = finding ? finding.sentences.map((sentence, i) => (i === 0 ? `${finding.phenomenon}: ${sentence}` : sentence)) : []
  if (scenario.witness.kind === 'invariant' && !scenario.witness.invariant.holds(played.finalRows)) {
    const rows = played.finalRows.toSorted((a, b) => (a.key < b.key ? -1 : 1))
    reasons.push(`The rule is broken: ${scenario.witness.invariant.sentence}. At the end: ${describeRows(rows)}.`)
  }
  if (scenario.witness.kind === 'read-only') {
    reasons.push(`Without the one that only ${scenario.witness.session}, a serial order would explain everything.`)
  }
  return reasons
}

function timeline({ sessions }: Scenario, { timeline: events }: PlayedSchedule): string[] {
  const columns = Math.floor((width - 4 - gap.length * (sessions.length - 1)) / sessions.length)
  const widths = sessions.map((_, index) => Math.min(columns, widest(index)))
  return [
    ...row(sessions.map(heading), widths, gap),
    widths.map(size => '─'.repeat(size)).join('─┼─'),
    ...events.flatMap(({ session, text }) => row(sessions.map((_, index) => (index === session ? text : '')), widths, gap)),
  ]

  function widest(index: number): number {
    const texts = events.filter(({ session }) => session === index).map(({ text }) => text.length)
    return Math.max(heading(sessions[index]!, index).length, ...texts)
  }
}

/** "T1 anna leaves" */
export const heading = ({ label }: { readonly label: string }, index: number): string => `T${index + 1} ${label}`

function bullet(sentence: string): string[] {
  const [first = '', ...rest] = wrap(sentence, width - 6)
  return [`• ${first}`, ...indent(rest, '  ')]
}
