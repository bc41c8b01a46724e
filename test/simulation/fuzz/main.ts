/** `npm run fuzz`: random concurrent histories, judged by a serial replay and by the checker of histories, as many as asked for. */
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { levels, type Level } from '../../../engine/index.js'
import { allPhenomena } from '../../../isolation/anomaly/index.js'
import { batchHistories, newTally, type Tally } from '../batch.js'
import { Chance } from '../chance.js'
import { Player } from './players.js'
import type { Answer, Failure } from './worker.js'

const help = `Do random concurrent transactions come out as if run one after the other?

  npm run fuzz -- [options]

  --level L         ${levels.join(', ')} (default serializable)
  --histories N     how many to play (default 1000), ${batchHistories} on each store
  --seed S          which ones (default 1); the same seed plays the same histories, whatever the number of workers
  --workers W       processes that play (default 2 where there are as many cores)
  --indexes         every history on tables with indexes; without it half of the stores, as their seeds decide
  --batch B         only the histories of one store, by the seed that a failure names
  --json            print the result as JSON; progress and failures go to the error output
  --help            print this

Every history is judged by what its level promises, twice: it is replayed serially, and the checker of histories names the
phenomena in it (docs/testing.md says of which reads the checker is not told). "violations" counts histories that break the promise; below serializable
it counts those that are not serial, which that level allows: the control that shows that the judge sees it.
"aborted" counts attempts that ended in a conflict, "falseAborts" those of them that could have been committed as they were.
"danglingEntries", "missingEntries" and "duplicateUniqueKeys" count what the indexes hold at the ends of histories and should not, or do not hold and should.
The first violation is made small and told as a story and as a scenario of the anomaly matrix.

Exit code: 0 where every promise was kept, 1 where one was broken, 2 for a mistake in the command line.
`

interface Batch {
  readonly seed: number
  readonly histories: number
}

interface Found extends Failure {
  readonly batch: Batch
  /** Position of the batch. */
  readonly index: number
}

interface Settings {
  readonly level: Level
  readonly seed: number
  readonly workers: number
  readonly json: boolean
  /** True: every history. */
  readonly indexes: boolean
  readonly batches: readonly Batch[]
}

const progressMs = 10_000

class CommandLineError extends Error {}

function settingsOf(args: readonly string[]): Settings | 'help' {
  const options = { level: { type: 'string', default: 'serializable' }, histories: { type: 'string' }, seed: { type: 'string', default: '1' } } as const
  const more = { workers: { type: 'string' }, batch: { type: 'string' }, json: { type: 'boolean', default: false }, indexes: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h', default: false } } as const
  const { values } = parseArgs({ args: [...args], options: { ...options, ...more }, strict: true })
  if (values.help) return 'help'
  const level = levels.find(one => one === values.level)
  if (level === undefined) throw new CommandLineError(`--level must be one of ${levels.join(', ')}, not "${values.level}".`)
  const seed = integer('--seed', values.seed, 0)
  const histories = integer('--histories', values.histories ?? (values.batch === undefined ? '1000' : `${batchHistories}`), 1)
  const workers = integer('--workers', values.workers ?? `${Math.min(2, availableParallelism())}`, 1)
  const only = values.batch === undefined ? undefined : integer('--batch', values.batch, 0)
  const batches = only === undefined ? batchesOf(seed, histories) : [{ seed: only, histories: Math.min(histories, batchHistories) }]
  return { level, seed, workers, json: values.json, indexes: values.indexes, batches }
}

function integer(option: string, text: string, min: number): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < min || text.trim() === '') throw new CommandLineError(`${option} must be an integer of at least ${min}, not "${text}".`)
  return value
}

/** Each with a seed of its own, so that who plays it, and beside whom, makes no difference. */
function batchesOf(seed: number, histories: number): Batch[] {
  const chance = new Chance(seed)
  const count = Math.ceil(histories / batchHistories)
  return Array.from({ length: count }, (_, i) => ({ seed: chance.below(0x1_0000_0000), histories: i < count - 1 ? batchHistories : histories - i * batchHistories }))
}

interface Played {
  readonly tally: Tally
  /** Failures in the order of their batches. */
  readonly failures: readonly Found[]
  /** The first history that its level allows and that is not serial. */
  readonly control: Found | undefined
}

/** What `--json` prints. */
interface FuzzDocument {
  readonly level: Level
  readonly histories: number
  readonly committed: number
  readonly aborted: number
  readonly falseAborts: number
  readonly violations: number
  readonly seed: number
  readonly seconds: number
  /** Histories at whose end an index was ready, and the entries of all of them. */
  readonly indexed: number
  readonly indexEntries: number
  readonly danglingEntries: number
  readonly missingEntries: number
  readonly duplicateUniqueKeys: number
}

async function run(settings: Settings): Promise<number> {
  const { level, seed, json } = settings
  const startedMs = Date.now()
  const { tally, failures, control } = await play(settings, startedMs)
  const document: FuzzDocument = {
    level,
    histories: tally.histories,
    committed: tally.committed,
    aborted: tally.conflicts,
    falseAborts: tally.falseConflicts,
    violations: level === 'serializable' ? failures.length : tally.notSerial.length,
    seed,
    seconds: Math.round((Date.now() - startedMs) / 100) / 10,
    indexed: tally.indexed,
    indexEntries: tally.indexEntries,
    danglingEntries: tally.danglingEntries,
    missingEntries: tally.missingEntries,
    duplicateUniqueKeys: tally.duplicateUniqueKeys,
  }
  if (json) process.stdout.write(`${JSON.stringify(document, null, 2)}\n`)
  else process.stdout.write(summaryOf(document, tally, failures, control))
  const shown = failures[0] ?? (json ? undefined : control)
  if (shown) (json ? process.stderr : process.stdout).write(await reportOf(settings, shown, shown === control))
  return failures.length > 0 ? 1 : 0
}

async function play({ level, workers, batches, indexes }: Settings, startedMs: number): Promise<Played> {
  const tally = newTally()
  const failures: Found[] = []
  let control: Found | undefined
  let next = 0
  let toldMs = startedMs
  const playerLoop = async (): Promise<void> => {
    const player = new Player()
    for (let index = next++; index < batches.length; index = next++) {
      const batch = batches[index]!
      const answer = await player.do({ kind: 'play', ...batch, levels: [level], ...(indexes && { indexes }) })
      if (answer.kind !== 'played') throw new Error('a worker answered what it was not asked')
      add(tally, answer.tally)
      if (answer.failure) failures.push({ batch, index, ...answer.failure })
      const [number] = answer.tally.notSerial
      if (number !== undefined && (control === undefined || index < control.index)) control = { batch, index, number, violations: [] }
      if (answer.failure) process.stderr.write(`violation in ${batch.seed}.${answer.failure.number}: ${answer.failure.violations[0]}\n`)
      if (Date.now() - toldMs < progressMs) continue
      toldMs = Date.now()
      const rate = tally.histories / ((toldMs - startedMs) / 1_000)
      process.stderr.write(`${tally.histories} histories, ${rate.toFixed(0)} per second, ${failures.length} violations\n`)
    }
    player.close()
  }
  await Promise.all(Array.from({ length: Math.min(workers, batches.length) }, playerLoop))
  return { tally, failures: failures.toSorted((a, b) => a.index - b.index), control }
}

function add(tally: Tally, { outcomes, phenomena, looks, notSerial, ...counts }: Tally): void {
  tally.notSerial.push(...notSerial)
  for (const [name, count] of Object.entries(counts)) tally[name as keyof typeof counts] += count
  addEach(tally.outcomes, outcomes)
  addEach(tally.phenomena, phenomena)
  addEach(tally.looks, looks)
}

function addEach(sums: Record<string, number>, more: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(more)) sums[name] = (sums[name] ?? 0) + count
}

function summaryOf(document: FuzzDocument, tally: Tally, failures: readonly Found[], control: Found | undefined): string {
  const { level, histories, committed, aborted, falseAborts, seed, seconds } = document
  const ended = Object.entries(tally.outcomes).toSorted(([, a], [, b]) => b - a)
  return [
    `${histories} histories at ${level} in ${seconds} s (seed ${seed}): ${committed} commits, ${tally.attempts} attempts.`,
    `Attempts that ended in a conflict: ${aborted}; of them could have been committed as they were: ${falseAborts}.`,
    `How transactions ended: ${ended.map(([outcome, count]) => `${outcome} ${count}`).join(', ')}.`,
    `Stores that had a checkpoint: ${tally.checkpointed}.`,
    `Histories with indexes at the end: ${tally.indexed}, with ${tally.indexEntries} entries; dangling ${tally.danglingEntries}, missing ${tally.missingEntries}, unique keys held twice ${tally.duplicateUniqueKeys}.`,
    looksOf(tally),
    namedOf(tally),
    failures.length > 0 ? `Broken promises: ${failures.length}.` : 'Every history is what its level promises.',
    ...(control ? [`Not serial, as the level allows: ${tally.notSerial.length} histories, the first of them number ${placeOf(control)}.`] : []),
    '',
  ].join('\n')
}

function looksOf({ looks: { all, told, vague, shared, presence, own } }: Tally): string {
  const share = (count: number): string => `${((count / Math.max(1, all)) * 100).toFixed(1)} %`
  return [
    `The checker was told ${share(told)} of ${all} looks at rows, ${share(vague)} as an absence that can be one of several;`,
    `not those at a value of several versions (${share(shared)}), at presence alone (${share(presence)}), at rows that were written in vain or deleted by a range (${share(own)}).`,
  ].join(' ')
}

function namedOf({ phenomena, histories }: Tally): string {
  const named = allPhenomena.filter(phenomenon => phenomena[phenomenon] !== undefined).map(phenomenon => `${phenomenon} ${phenomena[phenomenon]}`)
  return `Phenomena that it names, by the histories they are in: ${named.length > 0 ? named.join(', ') : `none in ${histories}`}.`
}

/** Counted from 1, in the order of the batches. */
const placeOf = ({ index, number }: Found): number => index * batchHistories + number + 1

async function reportOf({ level, indexes }: Settings, { batch, number, violations }: Found, isControl: boolean): Promise<string> {
  const player = new Player()
  const answer: Answer = await player.do({ kind: 'shrink', ...batch, levels: [level], serial: isControl, ...(indexes && { indexes }) })
  player.close()
  const short = batch.histories === batchHistories ? '' : ` --histories ${batch.histories}`
  return [
    '',
    `History ${batch.seed}.${number}${violations.map(violation => `\n  ${violation}`).join('')}`,
    `To play it again: npm run fuzz -- --level ${level} --batch ${batch.seed}${short}${indexes ? ' --indexes' : ''}`,
    answer.kind === 'shrunk' ? answer.report : '',
  ].join('\n')
}

try {
  const settings = settingsOf(process.argv.slice(2))
  if (settings === 'help') process.stdout.write(help)
  else process.exitCode = await run(settings)
} catch (error) {
  const isMistake = error instanceof CommandLineError || (error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'))
  if (!isMistake) throw error
  process.stderr.write(`fuzz: ${error.message}\n`)
  process.exitCode = 2
}
