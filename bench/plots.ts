/** Drawings of the sweeps: pure functions from a workload's result to an SVG of its own, without scripts and on white. */
import { lostNote, abortsNote } from './hot-rows.js'
import { latencyNotes } from './latencies.js'
import type { Picture } from './report/blocks.js'
import type { SubjectResult, WorkloadResult } from './runner.js'
import { askedNote, clientsNote, hotNote, sweepClients, sweepContention, sweepRates } from './workloads/sweeps.js'

/** What is used of the package `echarts`; it is no dependency of the project, so its types are not there. */
export interface Charts {
  init(element: null, theme: null, options: { renderer: 'svg'; ssr: true; width: number; height: number }): Chart
}

export interface Chart {
  setOption(option: object): void
  renderToSVGString(): string
  dispose(): void
}

/** What a plot shows; points are of figures that both axes can show. */
interface Plot {
  readonly title: string
  readonly x: string
  /** The second axis, where there is one, is on the right. */
  readonly y: readonly Axis[]
  readonly lines: readonly Line[]
}

interface Axis {
  readonly name: string
  readonly type: 'value' | 'log'
}

interface Line {
  readonly name: string
  /** Which of the axes it belongs to. */
  readonly axis: number
  readonly isDashed: boolean
  readonly points: readonly (readonly [x: number, y: number])[]
}

const width = 760
const height = 440
const colors = ['#1f5fbf', '#c2410c', '#15803d', '#7c3aed', '#525252']

const plots: ReadonlyMap<string, (result: WorkloadResult) => Plot> = new Map([
  [sweepClients.name, plotOfClients],
  [sweepRates.name, plotOfRates],
  [sweepContention.name, plotOfContention],
])

/** The workloads that can be drawn. */
export const drawable: readonly string[] = [...plots.keys()]

/** The pictures of those results that can be drawn, by workload. */
export function picturesOf(results: readonly WorkloadResult[], charts: Charts): Map<string, Picture> {
  return new Map(
    results.flatMap(result => {
      const { name } = result.workload
      const plot = plots.get(name)?.(result)
      return plot === undefined ? [] : [[name, { kind: 'picture', text: plot.title, svg: draw(plot, charts), file: `${name}.svg` }] as const]
    }),
  )
}

function plotOfClients({ subjects }: WorkloadResult): Plot {
  return {
    title: 'Throughput and latency of durable transactions, by clients',
    x: 'clients',
    y: [{ name: 'transactions/s', type: 'value' }, { name: 'latency, ms', type: 'log' }],
    lines: [
      { name: 'throughput', axis: 0, isDashed: false, points: pointsOf(subjects, clientsNote, ({ value }) => value) },
      ...latencyLines(subjects, clientsNote, 1),
    ],
  }
}

function plotOfRates({ subjects }: WorkloadResult): Plot {
  return {
    title: 'Latency of durable transactions, by the rate at which they come',
    x: 'transactions/s asked for',
    y: [{ name: 'latency, ms', type: 'log' }],
    lines: latencyLines(subjects, askedNote, 0),
  }
}

function plotOfContention({ subjects }: WorkloadResult): Plot {
  const nameOf = ({ entry }: SubjectResult): string => entry.subject.replace(/^.*\/|,.*$/g, '')
  const names = [...new Set(subjects.map(nameOf))]
  return {
    title: 'Aborted attempts and lost updates, by the rows that clients choose from',
    x: 'rows',
    y: [{ name: 'per commit', type: 'value' }],
    lines: names.flatMap(name => {
      const points = subjects.filter(subject => nameOf(subject) === name)
      const aborts: Line = { name: `${name}: aborts`, axis: 0, isDashed: false, points: pointsOf(points, hotNote, ({ notes }) => notes[abortsNote]!) }
      const lost: Line = { name: `${name}: lost updates`, axis: 0, isDashed: true, points: pointsOf(points, hotNote, ({ notes }) => notes[lostNote]!) }
      return lost.points.some(([, y]) => y > 0) ? [aborts, lost] : [aborts]
    }),
  }
}

const latencyLines = (subjects: readonly SubjectResult[], x: string, axis: number): Line[] =>
  latencyNotes.map(note => ({ name: `latency, ${note.replace(', ms', '')}`, axis, isDashed: note === 'longest, ms', points: pointsOf(subjects, x, ({ notes }) => notes[note]!) }))

function pointsOf(subjects: readonly SubjectResult[], x: string, y: (subject: SubjectResult) => number): [number, number][] {
  return subjects.map(subject => [subject.notes[x]!, y(subject)])
}

function draw({ title, x, y, lines }: Plot, charts: Charts): string {
  const chart = charts.init(null, null, { renderer: 'svg', ssr: true, width, height })
  try {
    chart.setOption({
      animation: false,
      backgroundColor: '#ffffff',
      color: colors,
      textStyle: { fontFamily: 'sans-serif' },
      title: { text: title, left: 'center', top: 8, textStyle: { fontSize: 15 } },
      legend: { top: 36, itemGap: 28, data: lines.map(({ name }) => name) },
      grid: { left: 80, right: y.length > 1 ? 80 : 32, top: 96, bottom: 56 },
      xAxis: { type: 'log', name: x, nameLocation: 'middle', nameGap: 32, min: 'dataMin', max: 'dataMax', splitLine: { show: false } },
      yAxis: y.map(({ name, type }, i) => ({ type, name, nameLocation: 'middle', nameRotate: 90, nameGap: 56, position: i === 0 ? 'left' : 'right', splitLine: { show: i === 0 } })),
      series: lines.map(({ name, axis, isDashed, points }) => ({
        type: 'line',
        name,
        yAxisIndex: axis,
        data: points,
        symbolSize: 6,
        lineStyle: { width: 2, type: isDashed ? 'dashed' : 'solid' },
      })),
    })
    return `${chart.renderToSVGString()}\n`
  } finally {
    chart.dispose()
  }
}
