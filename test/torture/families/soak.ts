/**
 * Nothing grows: one process under full load, with readers coming and going, for as long as asked. Behind the first third of the time, in which it warms up, the middle third and the last one must be
 * alike: heap, buffers, files, descriptors, pinned states, iterators, timers.
 */
import { patienceMs, type Family, type Round } from '../family.js'
import { Oracle } from '../oracle.js'
import { samplesMin, type SoakSample } from '../soak.js'

const MB = 1_024 * 1_024
const secondsOfControl = 4
const problemsAtMost = 3

/** By how much the median of the last third may be above that of the middle one: a share of it, and what comes and goes in any case. */
interface Allowance {
  readonly what: string
  readonly share: number
  readonly more: number
}

const allowances: Readonly<Record<keyof SoakSample, Allowance>> = {
  heapBytes: { what: 'bytes of heap', share: 0.05, more: 4 * MB },
  bufferBytes: { what: 'bytes outside the heap', share: 0.05, more: 8 * MB },
  residentBytes: { what: 'bytes of memory', share: 0.05, more: 32 * MB },
  windowBytes: { what: 'bytes of recent commits', share: 0.1, more: 8 * MB },
  rowFileBytes: { what: 'bytes of row file', share: 0.05, more: 4 * MB },
  // A file of the log is left when it is full.
  logBytes: { what: 'bytes of log', share: 0.1, more: 64 * MB },
  descriptors: { what: 'descriptors', share: 0, more: 2 },
  readerSlots: { what: 'pinned states', share: 0, more: 8 },
  iterators: { what: 'iterators', share: 0.1, more: 16 },
  openTransactions: { what: 'open transactions', share: 0.1, more: 16 },
  resources: { what: 'timers, handles and requests', share: 0.1, more: 32 },
}

export const soak: Family = {
  name: 'soak',
  about: 'one process under full load with readers coming and going, and nothing grows; counts seconds',
  perRound: 86_400,
  control: {
    broken: 'what an iterator holds is never released',
    noticedAs: ['wrong'],
    patch: { file: 'engine/store/iterator-snapshots', patch: ['if (!this.#held.delete(held))', 'if (this.#held.has(held))'] },
  },
  async play(round) {
    const directory = round.path('data')
    const seconds = round.isControl ? secondsOfControl : round.events
    const driver = round.start({ command: 'soak', directory, report: round.newReport(), seed: round.chance.below(2 ** 31), seconds })
    round.endedWell(await driver.endsWithin(patienceMs + seconds * 1_100), 'a process under load')
    const { lines } = driver
    const parsed = <T>(prefix: string): T[] => lines.filter(line => line.startsWith(prefix)).map(line => JSON.parse(line.slice(prefix.length)) as T)
    for (const { problem } of parsed<{ problem: string }>('X ').slice(0, problemsAtMost)) round.found('wrong', problem)
    for (const ends of parsed<Record<string, number>>('R ')) for (const [end, times] of Object.entries(ends)) round.count(end, times)
    judgeGrowth(round, parsed<SoakSample>('S '))
    const oracle = new Oracle()
    oracle.take(driver.task.report)
    if (!round.isControl) await round.judge(directory, oracle, 'the load')
    for (const kind of ['lost', 'partial', 'wrong'] as const) for (const sentence of oracle[kind]) round.found(kind, sentence)
  },
}

function judgeGrowth(round: Round, samples: readonly SoakSample[]): void {
  round.count('samples', samples.length)
  for (const sentence of growthIn(samples)) round.found('wrong', sentence)
  for (const name of Object.keys(allowances) as (keyof SoakSample)[]) {
    const { middle, last } = thirdsOf(samples, name)
    round.count(`${allowances[name].what}, middle third`, middle)
    round.count(`${allowances[name].what}, last third`, last)
  }
}

/** What grew, one sentence each. */
export function growthIn(samples: readonly SoakSample[]): string[] {
  if (samples.length < samplesMin) return [`only ${samples.length} samples were taken`]
  return (Object.keys(allowances) as (keyof SoakSample)[]).flatMap(name => {
    const { what, share, more } = allowances[name]
    const { middle, last } = thirdsOf(samples, name)
    return last > middle * (1 + share) + more ? [`${what} grew from ${middle} to ${last}`] : []
  })
}

function thirdsOf(samples: readonly SoakSample[], name: keyof SoakSample): { readonly middle: number; readonly last: number } {
  const third = Math.floor(samples.length / 3)
  const values = samples.map(sample => sample[name])
  return { middle: median(values.slice(third, 2 * third)), last: median(values.slice(-third)) }
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
