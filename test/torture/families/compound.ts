/**
 * Histories of several stages, each on the files as the last one left them: a writer is killed, or the power is cut, or a sync fails; then comes the next writer; and in the last stage, or after the failed
 * sync, the power is cut. What was acknowledged at any stage is there, and what any opening has shown.
 */
import { mkdirSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import type { Family, Round } from '../family.js'
import { Disk } from '../power/disk-model.js'
import { materialise } from '../power/images.js'
import { Judging } from '../power/judging.js'
import { drawMoments } from '../power/moments.js'
import { dataName, drawActs, drawLimits, type Fault } from '../power/recording.js'
import { failedSyncIn, imagesOf, judgeStage, openedAt, play, type Stage } from '../power/stages.js'
import { Story } from '../power/story.js'

const controlImages = 40
const ioError = 5
/** In records. */
const soon = 60

type Way = 'killed' | 'cut' | 'failed sync'

export const compound: Family = {
  name: 'compound',
  about: 'power cuts after kills, cuts and failed syncs, during recovery too; counts crash images; needs Linux and a C compiler',
  perRound: 100,
  control: {
    broken: 'recovery does not sync what it has read before it gives up the old log',
    noticedAs: ['lost'],
    patch: { file: 'engine/log/segment', patch: ['files.fdatasyncSync(segment.#asyncFd);', ';'] },
  },
  async play(round) {
    const { chance, isControl } = round
    const history = new History(round)
    const ways: Way[] = isControl ? ['killed'] : Array.from({ length: chance.between(1, 3) }, () => chance.weighted({ killed: 1, cut: 1, 'failed sync': 2 }))
    let left = isControl ? controlImages : round.events
    try {
      for (const way of ways) left -= await history.go(way, left)
      await history.end(left)
    } finally {
      await history.judging.end()
    }
    for (const way of ways) round.count(`stages that ended with: ${way}`)
    round.count('acknowledged commits', history.story.acknowledged)
  },
}

class History {
  readonly story: Story = new Story()
  readonly judging: Judging
  readonly #round: Round
  #watched: string
  #disk: Disk
  #ways: Way[] = []

  constructor(round: Round) {
    this.#round = round
    this.judging = new Judging(round)
    this.#watched = join(realpathSync(round.folder), 'watched')
    mkdirSync(this.#watched)
    this.#disk = new Disk(this.#watched)
  }

  /** One stage, and how it ends. Returns how many images were judged in it. */
  async go(way: Way, imagesLeft: number): Promise<number> {
    const round = this.#round
    const stage = await play(round, this.#watched, this.story, { limits: drawLimits(round), acts: drawActs(round, 2) }, faultFor(way, round))
    const { records } = stage.recording
    const failed = failedSyncIn(records)
    let images = 0
    if (way === 'cut') await this.#cut(stage)
    else {
      images = failed < 0 ? 0 : Math.floor(imagesLeft / 3)
      await judgeStage(round, stage, this.#disk, this.story, this.judging, images, { from: failed, until: failed + soon, favour: 6, before: `${this.#past}after a failed sync, ` })
    }
    if (stage.recording.ending?.signal === 'SIGKILL') round.count(`writers killed${openedAt(stage) < records.length ? '' : ' while opening'}`)
    this.#ways.push(way)
    return images
  }

  /** The last stage. */
  async end(images: number): Promise<void> {
    const round = this.#round
    const stage = await play(round, this.#watched, this.story, { limits: drawLimits(round), acts: drawActs(round, 2) })
    await judgeStage(round, stage, this.#disk, this.story, this.judging, images, { favour: 6, before: this.#past })
  }

  get #past(): string {
    return this.#ways.length === 0 ? '' : `stage ${this.#ways.length + 1} (before: ${this.#ways.join(', ')}), `
  }

  /** The next stage begins on an image of this one, and nothing that came later was ever said. */
  async #cut(stage: Stage): Promise<void> {
    const { chance } = this.#round
    const [moment] = drawMoments(stage.recording.records, 1, chance, { until: openedAt(stage), favour: 2 })
    const watched = `${this.#watched}-cut`
    mkdirSync(watched)
    let saidUntilThen = 0
    await imagesOf(stage, this.#disk, [moment!], chance, (image, _, said) => {
      materialise(image, join(watched, dataName))
      saidUntilThen = said
    })
    await this.judging.idle()
    this.story.cut(saidUntilThen)
    this.#watched = watched
    this.#disk = new Disk(watched)
  }
}

const killedAt = ['open', 'write', 'truncate', 'sync', 'rename', 'unlink', 'mkdir'] as const

function faultFor(way: Way, { chance, isControl }: Round): Fault {
  if (way === 'killed') {
    const call = isControl ? 150 : chance.is(0.4) ? chance.between(1, 50) : chance.between(50, 150)
    const action = isControl ? 'kill' : chance.of(['kill', 'kill-after', 'kill-within'] as const)
    // Only a write can be killed within.
    return action === 'kill-within' ? { count: ['write'], at: { call: Math.ceil(call / 2), action } } : { count: killedAt, at: { call, action } }
  }
  if (way === 'cut') return {}
  const at = { call: chance.between(1, 60), action: 'fail', errno: ioError } as const
  return chance.is(0.6) ? { count: ['sync'], at, within: 'log' } : { count: ['sync'], at }
}
