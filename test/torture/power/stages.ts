/** A stage of a history: one writer's run, and crash images of the moments in it. */
import type { Chance } from '../../simulation/chance.js'
import { firstLine, type Round } from '../family.js'
import type { Action, TraceRecord } from '../interpose/index.js'
import type { Disk } from './disk-model.js'
import { drawImage, type Image } from './images.js'
import type { Judging } from './judging.js'
import { drawMoments, type Favour, type Moment } from './moments.js'
import { assertSame, dataName, record, replay, tell, type Fault, type Recording } from './recording.js'
import type { Story } from './story.js'
import type { WriterTask } from './writer.js'

export interface Stage {
  readonly recording: Recording
  /** How much had been said after each record. */
  readonly said: readonly number[]
}

/** Runs a writer and judges what it said by itself. */
export async function play(round: Round, watched: string, story: Story, task: Pick<WriterTask, 'limits' | 'acts'>, fault: Fault = {}): Promise<Stage> {
  const before = story.length
  const recording = await record(round, watched, task, fault)
  const said = tell(recording, story)
  story.cut(story.length)
  judgeEnding(round, recording, fault.at?.action)
  // What errors a failed sync comes to is for io-error to judge.
  if (fault.at?.action !== 'fail') for (const line of story.othersFrom(before)) if (line !== 'C') round.found('wrong', `a writer said ${line}`)
  countOf(round, recording)
  for (const { kind, sentence } of story.judgeOpenings(before)) round.found(kind, `a writer opened the database: ${sentence}`)
  return { recording, said }
}

function judgeEnding(round: Round, { ending, records }: Recording, action: Action | undefined): void {
  if (ending === undefined) return round.found('hangs', 'a writer did not end')
  if (ending.code === 0 || (action?.startsWith('kill') && ending.signal === 'SIGKILL')) return
  const failed = records[failedSyncIn(records)]
  const path = records.findLast(({ kind, file }) => kind === 'open' && file === failed?.file)?.names[0]
  // The native library may end a process whose sync of its own has failed; what it leaves is judged all the same.
  if (ending.signal !== null && path?.includes('rows.lmdb')) round.count('writers ended by the native library')
  else round.found('crashes', `a writer ended with ${ending.signal ?? `exit code ${ending.code}`}: ${firstLine(ending.complaint)}`)
}

/** -1 where there is none. */
export const failedSyncIn = (records: readonly TraceRecord[]): number => records.findIndex(({ kind, errno }) => kind === 'synced' && errno !== 0)

function countOf(round: Round, { records }: Recording): void {
  const renamedTo = (name: string): number => records.filter(({ kind, names }) => kind === 'rename' && names[1]!.endsWith(name)).length
  round.count('segments', renamedTo('.log'))
  round.count('compactions', renamedTo('rows.lmdb'))
  round.count('commits of LMDB', records.filter(({ synchronous }) => synchronous).length)
}

/** The first record of a stage after which its writer has said what it found. */
export function openedAt({ said }: Stage): number {
  const at = said.findIndex(length => length > said[0]!)
  return at < 0 ? said.length : at
}

/** Brings the disk to the end of the stage; at each of the moments an image is drawn and told. */
export async function imagesOf(
  { recording, said }: Stage,
  disk: Disk,
  moments: readonly Moment[],
  chance: Chance,
  told: (image: Image, moment: string, said: number) => void | Promise<void>,
): Promise<void> {
  const { records } = recording
  const drawn: Parameters<typeof told>[] = []
  let next = 0
  const draw = (at: number, within: boolean): void => {
    for (; moments[next]?.record === at && moments[next]!.within === within; next++) {
      const moment = `${within ? 'within' : 'after'} record ${at + 1} of ${records.length} (${records[at]!.kind} ${disk.nameOf(records[at]!)})`
      drawn.push([drawImage(disk, dataName, chance.fork(), recording.lockFile), moment, said[Math.max(0, within ? at - 1 : at)]!])
    }
  }
  await replay(recording, disk, {
    within: at => draw(at, true),
    after: async at => {
      draw(at, false)
      for (const one of drawn.splice(0)) await told(...one)
    },
  })
  if (next < moments.length) throw new Error(`Of ${moments.length} moments ${next} came.`)
  assertSame(disk, recording.watched)
}

/** Has `count` images of the stage judged. Where `until` is not said it is the end of the opening. */
export async function judgeStage(round: Round, stage: Stage, disk: Disk, story: Story, judging: Judging, count: number, { from = 0, until = openedAt(stage), favour = 1, before = '' }: Favour & { readonly before?: string } = {}): Promise<void> {
  const moments = drawMoments(stage.recording.records, count, round.chance, { from, until, favour })
  await imagesOf(stage, disk, moments, round.chance, (image, moment, said) => judging.take({ image, moment: `${before}${moment}`, story, said }))
}
