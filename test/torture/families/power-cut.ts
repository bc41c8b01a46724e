/** The power is cut while 32 clients write, at any moment, and leaves of what was not synced what it likes: what was acknowledged is there, each transaction whole, and the database goes on. */
import { mkdirSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import type { Family } from '../family.js'
import { Disk } from '../power/disk-model.js'
import { Judging } from '../power/judging.js'
import { drawActs, drawLimits } from '../power/recording.js'
import { judgeStage, play } from '../power/stages.js'
import { Story } from '../power/story.js'

/** So many are needed for a control to be noticed, whatever `--count` says. */
const controlImages = 40

export const powerCut: Family = {
  name: 'power-cut',
  about: 'a power cut at any moment takes or tears what was not synced; counts crash images; needs Linux and a C compiler',
  perRound: 500,
  control: {
    broken: 'the log does not sync what it acknowledges',
    noticedAs: ['lost'],
    patch: { file: 'engine/log/segment', patch: ['this.#place.files.fdatasync(this.#asyncFd, error => {', 'setImmediate(error => {'] },
  },
  async play(round) {
    const watched = join(realpathSync(round.folder), 'watched')
    mkdirSync(watched)
    const story = new Story()
    // Then the run begins on what another has left.
    if (round.chance.is(0.4)) await play(round, watched, story, { limits: drawLimits(round), acts: drawActs(round, 1) })
    const disk = new Disk(watched)
    const stage = await play(round, watched, story, { limits: drawLimits(round), acts: drawActs(round, 3) })
    const judging = new Judging(round)
    try {
      await judgeStage(round, stage, disk, story, judging, round.isControl ? controlImages : round.events, { favour: 2 })
    } finally {
      await judging.end()
    }
    round.count('acknowledged commits', story.acknowledged)
  },
}
