/** The matrix as a table for a terminal of 100 columns. */
import type { Cell } from '../cell.js'
import { differs, type Matrix } from '../matrix.js'
import { indent, type Paint, paint, row, wrap } from './layout.js'
import { complaint, toneOf, wordsOf } from './verdict.js'

export interface TextOptions {
  readonly colour: boolean
}

const width = 100
const gap = '  '
const cellWidth = '✓ prevented !'.length

/** The table, a legend, and what differs from what the levels promise. Ends with a newline. */
export function renderTable(matrix: Matrix, { colour }: TextOptions): string {
  const ink = paint(colour)
  const nameWidth = Math.max(...matrix.scenarios.map(({ id }) => id.length), 'anomaly'.length)
  const perBlock = Math.max(1, Math.floor((width - nameWidth) / (cellWidth + 1 + gap.length)))
  const lines: string[] = []
  for (let from = 0; from < matrix.subjects.length; from += perBlock) {
    lines.push(...block(matrix, from, from + perBlock, nameWidth, ink), '')
  }
  lines.push(...legend(matrix, ink), '', ...summary(matrix, ink))
  return `${lines.join('\n')}\n`
}

function block({ scenarios, subjects, cells }: Matrix, from: number, to: number, nameWidth: number, ink: Paint): string[] {
  const shown = subjects.slice(from, to)
  const headings = shown.map(({ name }) => name.split('/').join(' '))
  const widths = [nameWidth, ...headings.map(heading => Math.max(cellWidth, ...heading.split(' ').map(part => part.length)))]
  // A heading goes over several lines, one part of the name on each.
  const parts = headings.map(heading => heading.split(' '))
  const height = Math.max(...parts.map(({ length }) => length))
  const lines = Array.from({ length: height }, (_, line) =>
    ink.strong(row([line === height - 1 ? 'anomaly' : '', ...parts.map(part => part[line] ?? '')], widths, gap).join('\n')),
  )
  lines.push(ink.faint(widths.map(columns => '─'.repeat(columns)).join(gap)))
  for (const scenario of scenarios) {
    const found = shown.map(subject => cells.find(cell => cell.scenario === scenario && cell.subject === subject))
    const texts = found.map((cell, i) => paintCell(cell, widths[i + 1] ?? cellWidth, ink))
    lines.push([scenario.id.padEnd(nameWidth), ...texts].join(gap).trimEnd())
  }
  return lines
}

function paintCell(cell: Cell | undefined, columns: number, ink: Paint): string {
  if (!cell) return ' '.repeat(columns)
  return ink[toneOf(cell)](wordsOf(cell)) + ' '.repeat(Math.max(0, columns - wordsOf(cell).length))
}

function legend({ scenarios, cells }: Matrix, ink: Paint): string[] {
  const nameWidth = Math.max(...scenarios.map(({ id }) => id.length))
  const lines = scenarios.flatMap(({ id, legend: text }) => row([id, text], [nameWidth, width - nameWidth - gap.length], gap))
  const sampled = [...new Set(cells.filter(cell => cell.sampled).map(({ scenario }) => scenario.id))]
  return [
    ...lines,
    '',
    ...wrap('✓ prevented: no schedule shows the anomaly. ✗ possible: at least one does. ! not what the level promises.', width),
    ...(sampled.length > 0 ? wrap(`A sample of the schedules was played, not all: ${sampled.join(', ')}.`, width) : []),
  ].map(line => ink.faint(line))
}

function summary({ cells, seed }: Matrix, ink: Paint): string[] {
  const wrong = cells.filter(differs)
  const schedules = new Intl.NumberFormat('en').format(cells.reduce((sum, cell) => sum + cell.schedules, 0))
  if (wrong.length === 0) return [ink.good(`${schedules} schedules played, seed ${seed}: every cell is as its level promises.`)]
  return [
    ink.bad(`${schedules} schedules played, seed ${seed}: ${wrong.length} of ${cells.length} cells differ from what their level promises.`),
    ...wrong.flatMap(cell => indent(wrap(complaint(cell), width - 2), '  ')),
  ]
}
