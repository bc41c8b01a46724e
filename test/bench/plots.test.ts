import { expect, test } from 'vitest'
import { drawable, picturesOf, type Chart, type Charts } from '../../bench/plots.js'
import { blocksOf, type Picture } from '../../bench/report/blocks.js'
import { renderHtml } from '../../bench/report/html.js'
import { renderMarkdown } from '../../bench/report/markdown.js'
import { renderTerminal } from '../../bench/report/terminal.js'
import type { SubjectResult, WorkloadResult } from '../../bench/runner.js'
import { sweeps } from '../../bench/workloads/sweeps.js'

interface Drawn {
  readonly backgroundColor: string
  readonly title: { readonly text: string }
  readonly xAxis: { readonly name: string }
  readonly yAxis: readonly { readonly name: string }[]
  readonly series: readonly { readonly name: string; readonly data: readonly (readonly number[])[] }[]
}

/** What the sweep would look like if every figure were twice the number of the entry; other figures are made up as well. */
function resultOf(name: string): WorkloadResult {
  const workload = sweeps.find(sweep => sweep.name === name)!
  const notes = ['p50, ms', 'p99, ms', 'p99.9, ms', 'longest, ms', 'clients', 'asked for, 1/s', 'rows', 'aborts per commit', 'lost per commit']
  const subjects = workload.entries.map((entry, i): SubjectResult => ({ entry, value: i + 1, min: i, max: i + 2, notes: Object.fromEntries(notes.map(note => [note, 2 * (i + 1)])) }))
  return { workload, rounds: 1, subjects, ratios: [], proof: 'did it' }
}

function recording(drawn: Drawn[]): Charts {
  const chart: Chart = {
    setOption: option => void drawn.push(option as Drawn),
    renderToSVGString: () => '<svg></svg>',
    dispose: () => {},
  }
  return { init: () => chart }
}

test.each(drawable)('%s is drawn on white, with named axes and every point', name => {
  const drawn: Drawn[] = []
  const result = resultOf(name)
  const picture = picturesOf([result], recording(drawn)).get(name)
  expect(picture).toEqual({ kind: 'picture', text: drawn[0]!.title.text, svg: '<svg></svg>\n', file: `${name}.svg` })
  const [{ backgroundColor, xAxis, yAxis, series } = expect.fail('Nothing was drawn.')] = drawn
  expect(backgroundColor).toBe('#ffffff')
  for (const axis of [xAxis, ...yAxis]) expect(axis.name).not.toBe('')
  for (const { data } of series) for (const point of data) expect(point.every(Number.isFinite)).toBe(true)
  expect(new Set(series.map(line => line.name)).size).toBe(series.length)
  const points = result.subjects.length / (name === 'sweep-contention' ? 3 : 1)
  expect(series.map(({ data }) => data.length)).toEqual(series.map(() => points))
})

test('what cannot be drawn is left out', () => {
  const result = resultOf('sweep-clients')
  expect(picturesOf([{ ...result, workload: { ...result.workload, name: 'another' } }], recording([])).size).toBe(0)
})

test('Markdown links a picture, a page holds it, and a terminal leaves it out', () => {
  const picture: Picture = { kind: 'picture', text: 'What <it> shows', svg: '<svg id="it"></svg>', file: 'a.svg' }
  const machine = { cpu: '', cores: 1, memoryGb: 1, system: '', fileSystem: '', syncsPerSecond: 1, load: 0, node: 'v20', versions: {}, date: '' }
  const blocks = blocksOf({ machine, quick: true, seed: 1, workloads: [resultOf('sweep-rates')] }, 'npm run bench', new Map([['sweep-rates', picture]]))
  expect(blocks).toContain(picture)
  expect(renderMarkdown([picture])).toBe('![What <it> shows](a.svg)\n')
  expect(renderMarkdown([picture], '../the plots')).toBe('![What <it> shows](../the%20plots/a.svg)\n')
  expect(renderHtml([picture])).toContain('<figure role="img" aria-label="What &lt;it&gt; shows"><svg id="it"></svg></figure>')
  expect(renderTerminal([picture])).toBe('\n')
})
