/** One run of the writer with everything that it did to its files, in order. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DriverProcess, type Ending } from '../driver-process.js'
import { patienceMs, type Round } from '../family.js'
import { buildInterposer, interposeWrapper, readTrace, type Interposed, type TraceRecord } from '../interpose/index.js'
import { differencesFrom, isLockFile, type Disk } from './disk-model.js'
import type { Story } from './story.js'
import type { Act, WriterTask } from './writer.js'

/** The database's name in a watched folder; the report lies beside it. */
export const dataName = 'data'
const reportName = 'report'

export interface Recording {
  readonly watched: string
  readonly records: readonly TraceRecord[]
  readonly ending: Ending | undefined
  /** LMDB's lock file as it was left. */
  readonly lockFile: Buffer | undefined
}

/** `within`: the part of the database whose files' calls are counted; by default all of it. */
export type Fault = Pick<Interposed, 'count' | 'at'> & { readonly within?: string }

/** Plays `acts` on the database in the folder `watched`. */
export async function record(round: Round, watched: string, { limits, acts }: Pick<WriterTask, 'limits' | 'acts'>, { within = '', ...fault }: Fault = {}): Promise<Recording> {
  const library = join(round.shared, 'interpose.so')
  if (!existsSync(library)) buildInterposer(round.shared)
  const directory = join(watched, dataName)
  const trace = nextTrace(watched)
  const task: WriterTask = { directory, report: join(watched, reportName), seed: round.chance.below(2 ** 32), limits, acts }
  const wrapper = interposeWrapper(library, { under: watched, counted: join(directory, within), trace, ...fault })
  const writer = new DriverProcess(round.built, task, wrapper, 'power/writer.js')
  const ending = await writer.endsWithin(2 * patienceMs)
  const lockPath = join(directory, 'rows.lmdb-lock')
  return { watched, records: existsSync(trace) ? readTrace(trace) : [], ending, lockFile: existsSync(lockPath) ? readFileSync(lockPath) : undefined }
}

/** Numbered, so that who keeps them knows which came first. */
function nextTrace(watched: string): string {
  let number = 1
  while (existsSync(`${watched}.trace-${number}`)) number++
  return `${watched}.trace-${number}`
}

/** Gives a story what the writer said. Returns how much had been said after each record. */
export function tell({ records, watched }: Recording, story: Story): number[] {
  let file: number | undefined
  return records.map(one => {
    file ??= reportFileIn(one, watched)
    if (one.kind === 'write' && one.file === file) story.take(one.data.toString())
    return story.length
  })
}

/** Gives a disk what the writer did to its files, one after the other. `after` is called after each record, `within` where a synchronous write has not returned. */
export async function replay({ records, watched }: Recording, disk: Disk, { within, after }: { readonly within: (record: number) => void; readonly after: (record: number) => Promise<void> }): Promise<void> {
  let file: number | undefined
  for (const [i, one] of records.entries()) {
    file ??= reportFileIn(one, watched)
    if (file === undefined || one.file !== file) disk.take(one, () => within(i))
    await after(i)
  }
  disk.processEnded()
}

const reportFileIn = ({ kind, names, file }: TraceRecord, watched: string): number | undefined => (kind === 'open' && names[0] === join(watched, reportName) ? file : undefined)

/** Throws where the model has come to something else than the real files. */
export function assertSame(disk: Disk, watched: string): void {
  const differences = differencesFrom(watched, disk.top, path => isLockFile(path) || path === join(watched, reportName))
  if (differences.length > 0) throw new Error(`The model of the disk differs from the disk: ${differences.join(', ')}.`)
}

/** Acts of a writer, few enough that an image is judged fast. */
export function drawActs(round: Round, most: number): Act[] {
  const { chance } = round
  return Array.from({ length: chance.between(1, most) }, () => ({
    commits: chance.between(40, 160),
    relaxed: chance.is(0.5) ? 0 : 0.3,
    ends: chance.weighted({ close: 3, compact: 2, 'close and compact': 1 }),
  }))
}

/** Limits under which checkpoints, steps of them and changes of segments come after a few commits each; now and then those that a database has by default. */
export function drawLimits({ chance }: Round): WriterTask['limits'] {
  if (chance.is(0.15)) return {}
  const windowSizeBytes = 1_024 * chance.between(2, 16)
  return {
    logReserveSizeBytes: 1_024 * chance.of([4, 16]),
    segmentSizeBytes: 1_024 * chance.between(2, 32),
    windowCheckpointSizeBytes: windowSizeBytes,
    windowSizeBytes: 4 * windowSizeBytes,
    logCheckpointSizeBytes: 4 * windowSizeBytes,
    stepSizeBytes: 1_024 * chance.between(1, 8),
  }
}
