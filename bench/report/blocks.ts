/** What a report says, apart from how it looks: one list of blocks for terminal, Markdown and HTML. */
import type { SubjectResult } from '../runner.js'
import type { Workload } from '../workload.js'
import type { BenchResult } from './document.js'
import { fixed, inWords, rounded } from './text.js'

export type Block =
  | { readonly kind: 'heading'; readonly level: 1 | 2 | 3; readonly text: string }
  /** `forDocument`: explanations that whoever typed the command need not be told again. */
  | { readonly kind: 'text'; readonly text: string; readonly forDocument: boolean }
  | { readonly kind: 'command'; readonly text: string }
  | Picture
  | Table

export interface Picture {
  readonly kind: 'picture'
  /** What it shows, in words. */
  readonly text: string
  readonly svg: string
  /** The file that it is written to as well. */
  readonly file: string
}

export interface Table {
  readonly kind: 'table'
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
  /** How long each row's bar is, from 0 to 1; none where it is empty. */
  readonly bars: readonly number[]
}

const said = (text: string): Block => ({ kind: 'text', text, forDocument: false })
const explained = (text: string): Block => ({ kind: 'text', text, forDocument: true })

/** `command` repeats the run; `pictures` are those of workloads, by name. */
export function blocksOf(result: BenchResult, command: string, pictures: ReadonlyMap<string, Picture> = new Map()): Block[] {
  const { quick, workloads } = result
  return [
    { kind: 'heading', level: 1, text: 'Benchmarks' },
    explained('Written by the benchmark itself: every number on this page is from one run on one machine. To repeat it, in a clone (`--markdown FILE` writes such a page):'),
    { kind: 'command', text: command },
    explained(
      'The other stores are installed into a folder of their own when they are first needed, which may take minutes. `npm run bench -- --quick` ends within ten minutes; `--only NAME` runs one ' +
        'workload, `--peers none` does without other stores, `--help` lists the rest. Files are made in the directory for temporary files: set `TMPDIR` to one on the disk that you want to know about.',
    ),
    ...(quick ? [said('A quick run: rounds are too short to judge by. Leave out --quick for numbers to rely on.')] : []),
    { kind: 'heading', level: 2, text: 'Machine' },
    machineTable(result),
    explained(
      'The sync rate is that of a bare file, 200 bytes appended and synced at a time; it bounds what a store can do that syncs each commit by itself. Where the directory for temporary files is in memory ' +
        '(tmpfs), durable numbers mean nothing.',
    ),
    ...(workloads.some(({ ratios }) => ratios.length > 0) ? ratioBlocks(result) : []),
    { kind: 'heading', level: 2, text: 'Workloads' },
    explained(
      'Subjects take turns: A B A B …, after a warm-up round that is not counted, in one process (only servers have others), each on files of its own. Each does the same work on the same rows (of about 100 bytes where nothing else is said), so many times or for so long, and shows at the end ' +
        'that it did: the final states, or the rows that were read, are compared with those of the others or with what was done. Values are medians over the rounds.',
    ),
    ...workloads.flatMap(({ workload, rounds, subjects, proof }): Block[] => {
      const picture = pictures.get(workload.name)
      const noted = [...new Set(subjects.flatMap(({ notes }) => Object.keys(notes)))]
      return [
        { kind: 'heading', level: 3, text: workload.name },
        explained(workload.better === 'less' ? `${workload.summary} Less is better.` : workload.summary),
        {
          kind: 'table',
          head: ['subject', workload.unit, 'min', 'max', ...noted],
          rows: subjects.map(({ entry, value, min, max, notes }) => [
            entry.subject,
            ...[value, min, max].map(rounded),
            ...noted.map(name => (notes[name] === undefined ? '' : rounded(notes[name]))),
          ]),
          bars: barsOf(subjects.map(({ value }) => value), workload.better),
        },
        ...(picture === undefined ? [] : [picture]),
        said(`${rounds} ${rounds === 1 ? 'round' : 'rounds'}. All the same: ${proof}.`),
        ...settingsOf(subjects).map(explained),
      ]
    }),
  ]
}

/** The best one's is the whole length; where less is better, one of twice the value is half as long. */
export function barsOf(values: readonly number[], better: Workload['better'] = 'more'): number[] {
  const best = better === 'more' ? Math.max(...values) : Math.min(...values)
  return values.map(value => (value === best ? 1 : better === 'more' ? value / best : best / value))
}

/** What was chosen for each subject; once for those that have it in common. */
function settingsOf(subjects: readonly SubjectResult[]): string[] {
  const sharers = new Map<string, string[]>()
  for (const { entry } of subjects) sharers.set(entry.settings, [...(sharers.get(entry.settings) ?? []), entry.subject])
  return [...sharers].map(([settings, names]) => `${names.length === subjects.length && names.length > 1 ? 'All' : names.join('; ')}: ${settings}.`)
}

function machineTable({ machine, seed }: BenchResult): Table {
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`)
  return {
    kind: 'table',
    head: ['', ''],
    rows: [
      ['processor', `${machine.cpu}, ${machine.cores} cores`],
      ['memory', `${machine.memoryGb} GB`],
      ['system', `${machine.system}, ${machine.fileSystem}`],
      ['sync rate', `${inWords(machine.syncsPerSecond)} syncs/s`],
      ['load before', String(machine.load)],
      ['versions', [`Node ${machine.node.slice(1)}`, ...versions].join(', ')],
      ['date', machine.date],
      ['seed', String(seed)],
    ],
    bars: [],
  }
}

function ratioBlocks({ workloads }: BenchResult): Block[] {
  const ratios = workloads.flatMap(result => result.ratios)
  return [
    { kind: 'heading', level: 2, text: 'Ratios' },
    {
      kind: 'table',
      head: ['ratio', 'value', 'interval', 'target', ''],
      rows: ratios.map(({ goal, value, low, high, met }) => [goal.name, fixed(value), `${fixed(low)} to ${fixed(high)}`, `${goal.op} ${goal.target}`, met ? 'met' : 'missed']),
      bars: [],
    },
    explained(
      'A ratio divides the first subject’s value by the second’s in each round, and is the median over the rounds; the interval holds that median with a confidence of 95 % (with fewer than six rounds it ' +
        'is the smallest and the largest). Ratios carry over to other machines better than values do, and those of durable work follow the disk.',
    ),
  ]
}
