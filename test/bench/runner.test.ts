import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { expect, test } from 'vitest'
import { closedLoop } from '../../bench/clients.js'
import type { Machine } from '../../bench/machine.js'
import { randomFrom } from '../../bench/random.js'
import { barsOf, blocksOf } from '../../bench/report/blocks.js'
import { benchDocument, type BenchResult } from '../../bench/report/document.js'
import { renderHtml } from '../../bench/report/html.js'
import { renderMarkdown } from '../../bench/report/markdown.js'
import { renderTerminal } from '../../bench/report/terminal.js'
import { runWorkload, type RunOptions } from '../../bench/runner.js'
import { median, medianInterval } from '../../bench/statistics.js'
import type { Contestant, Entry, Workload } from '../../bench/workload.js'

const order: string[] = []

/** A subject whose value in round n is the n-th of `values`. */
function toy(subject: string, values: readonly number[], more: Partial<Contestant> = {}): Entry {
  return {
    subject,
    peer: undefined,
    settings: `${subject} <defaults>`,
    start: () =>
      Promise.resolve({
        round({ number, isWarmUp }) {
          order.push(`${subject}${number}`)
          expect(isWarmUp).toBe(number === 0)
          return Promise.resolve(isWarmUp ? 1e9 : values[number - 1]!)
        },
        finish: () => Promise.resolve('did it'),
        dispose: () => Promise.resolve(),
        ...more,
      }),
  }
}

function toyWorkload(...entries: Entry[]): Workload {
  return {
    name: 'toy',
    summary: 'Nothing | at all.',
    unit: 'steps/s',
    rounds: { full: 3, quick: 1 },
    entries,
    goals: [
      { name: 'toy/b', of: 'a', to: 'b', op: '>=', target: 3 },
      { name: 'toy/b again', of: 'a', to: 'b', op: '<=', target: 3 },
      { name: 'toy/c', of: 'a', to: 'c', op: '>=', target: 0.5 },
    ],
  }
}

const options: RunOptions = { quick: false, seed: 7, syncsPerSecond: 100, tell: () => {} }
const machine: Machine = {
  cpu: 'a processor',
  cores: 2,
  memoryGb: 4,
  system: 'a system',
  fileSystem: 'ext4',
  syncsPerSecond: 100,
  load: 0.5,
  node: 'v20.19.0',
  versions: { premisedb: '1' },
  date: '2025-01-01',
}
const a = toy('a', [30, 40, 90])
const b = toy('b', [10, 10, 10])

async function result(): Promise<BenchResult> {
  return { machine, quick: true, seed: 7, workloads: [await runWorkload(toyWorkload(a, b), options)] }
}

test('subjects take turns, and the warm-up is not counted', async () => {
  order.length = 0
  const { subjects, rounds } = await runWorkload(toyWorkload(a, b), options)
  expect(order).toEqual(['a0', 'b0', 'a1', 'b1', 'a2', 'b2', 'a3', 'b3'])
  expect(rounds).toBe(3)
  expect(subjects.map(({ entry, value, min, max }) => [entry.subject, value, min, max])).toEqual([
    ['a', 40, 30, 90],
    ['b', 10, 10, 10],
  ])
})

test('a ratio is the median of the rounds’ ratios, and only where both took part', async () => {
  const pairs = await runWorkload(toyWorkload(toy('a', [30, 40, 90]), toy('b', [10, 20, 15])), options)
  expect(pairs.ratios.map(({ goal, value, met }) => [goal.name, value, met])).toEqual([
    ['toy/b', 3, true],
    ['toy/b again', 3, true],
  ])
})

test('of several subjects the best of each round is compared, and a value by itself where there are none', async () => {
  const others = [toy('b', [10, 20, 15]), toy('c', [20, 10, 5])]
  const goals = [
    { name: 'toy/best', of: 'a', to: ['b', 'c'], op: '>=', target: 2 },
    { name: 'toy/value', of: 'a', to: undefined, op: '<=', target: 40 },
    { name: 'toy/absent', of: 'a', to: ['b', 'd'], op: '>=', target: 1 },
  ] as const
  const shown = async (better: 'more' | 'less'): Promise<unknown> =>
    (await runWorkload({ ...toyWorkload(a, ...others), better, goals }, options)).ratios.map(({ goal, value, met }) => [goal.name, value, met])
  expect(await shown('more')).toEqual([['toy/best', 2, true], ['toy/value', 40, true]])
  expect(await shown('less')).toEqual([['toy/best', 4, true], ['toy/value', 40, true]])
})

test('further figures are medians over the rounds, without the warm-up', async () => {
  const noting = toy('a', [], { round: ({ number }) => Promise.resolve({ value: number, notes: { p99Ms: number === 0 ? 1e9 : 10 * number } }) })
  const { subjects } = await runWorkload({ ...toyWorkload(noting, b), goals: [] }, options)
  expect(subjects.map(({ value, notes }) => [value, notes])).toEqual([[2, { p99Ms: 20 }], [10, {}]])
})

test('the result has the documented shape', async () => {
  expect(JSON.parse(JSON.stringify(benchDocument(await result())))).toEqual({
    machine: { ...machine, quick: true, seed: 7 },
    results: [
      { workload: 'toy', subject: 'a', value: 40, unit: 'steps/s', min: 30, max: 90, notes: {} },
      { workload: 'toy', subject: 'b', value: 10, unit: 'steps/s', min: 10, max: 10, notes: {} },
    ],
    ratios: [
      { name: 'toy/b', value: 4, op: '>=', target: 3, met: true, low: 3, high: 9 },
      { name: 'toy/b again', value: 4, op: '<=', target: 3, met: false, low: 3, high: 9 },
    ],
  })
})

test('every report shows values, spread, ratios and the command', async () => {
  const blocks = blocksOf(await result(), 'npm run bench -- --quick')
  const [terminal, markdown, html] = [renderTerminal(blocks), renderMarkdown(blocks), renderHtml(blocks)]
  for (const report of [terminal, markdown, html]) for (const part of ['toy/b', '4.00', 'met', 'missed', 'steps/s', '30', '90', 'too short to judge']) expect(report).toContain(part)
  expect(markdown).toContain('```sh\nnpm run bench -- --quick\n```')
  expect(markdown).toContain('| a | 40 | 30 | 90 |')
  expect(html).toContain('a &lt;defaults&gt;')
  expect(html).not.toMatch(/<script|https?:/)
})

test('the longest bar is the best one’s, also where less is better', () => {
  expect(barsOf([10, 40, 20])).toEqual([0.25, 1, 0.5])
  expect(barsOf([10, 40, 20], 'less')).toEqual([1, 0.25, 0.5])
  expect([barsOf([0, 5], 'less'), barsOf([0, 0])]).toEqual([[1, 0], [1, 1]])
})

test('subjects that did not do the same work are not compared', async () => {
  const idle = toy('b', [10, 10, 10], { finish: () => Promise.resolve('did nothing') })
  await expect(runWorkload(toyWorkload(a, idle), options)).rejects.toThrow(/did not do the same work[^]*a: did it\nb: did nothing/)
})

test('a subject that fails ends the run, and nothing is left behind', async () => {
  const left = (): string[] => readdirSync(tmpdir()).filter(name => name.startsWith('premise-bench-'))
  const before = left()
  let disposed = 0
  const dispose = (): Promise<void> => Promise.resolve(void disposed++)
  const failing = toy('b', [], { round: () => Promise.reject(new Error('out of steam')), dispose })
  await expect(runWorkload(toyWorkload(toy('a', [1], { dispose }), failing), options)).rejects.toThrow('out of steam')
  expect(disposed).toBe(2)
  expect(left().filter(name => !before.includes(name))).toEqual([])
})

test('clients keep as many operations in flight as there are clients, and each operation runs once', async () => {
  const ran: number[] = []
  let inFlight = 0
  let most = 0
  await closedLoop(3, 10, async index => {
    most = Math.max(most, ++inFlight)
    await Promise.resolve()
    ran.push(index)
    inFlight--
  })
  expect(most).toBe(3)
  expect(ran.toSorted((x, y) => x - y)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
})

test('the interval of a median leaves out as many at each end as 95 % allow', () => {
  const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1)
  expect([5, 6, 9, 12, 20].map(n => medianInterval(upTo(n)))).toEqual([
    { low: 1, high: 5 },
    { low: 1, high: 6 },
    { low: 2, high: 8 },
    { low: 3, high: 10 },
    { low: 6, high: 15 },
  ])
  expect([median([3, 1, 2]), median([4, 1, 3, 2])]).toEqual([2, 2.5])
})

test('a seed gives the same chance again, and another seed another', () => {
  const first = (...seeds: number[]): number => randomFrom(...seeds)()
  expect(first(1, 2)).toBe(first(1, 2))
  expect(new Set([first(1, 2), first(2, 1), first(1), first(2), first(1, 0)]).size).toBe(5)
})
