/** Plays random histories on a patched copy of the compiled engine until one is not what its levels promise: `play.js FOLDER LEVELS SEED MAX`. */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Level } from '../../engine/index.js'

/** What it tells its parent: how many histories were clean so far; at the end also whether the next one was not. */
export interface Report {
  readonly clean: number
  readonly violation?: string
  readonly ended: boolean
}

const [folder, levels, seed, max] = process.argv.slice(2) as [string, string, string, string]
const simulation = join(folder, 'test/simulation')
const { batchHistories, newTally, playBatch, ViolationError } = (await import(pathToFileURL(join(simulation, 'batch.js')).href)) as typeof import('../simulation/batch.js')
const { Chance } = (await import(pathToFileURL(join(simulation, 'chance.js')).href)) as typeof import('../simulation/chance.js')

const report = (message: Report): void => void process.send!(message)
process.on('disconnect', () => process.exit())
await play()

async function play(): Promise<void> {
  const chance = new Chance(Number(seed))
  const tally = newTally()
  while (tally.histories < Number(max)) {
    const batch = { seed: chance.below(0x1_0000_0000), histories: Math.min(batchHistories, Number(max) - tally.histories), levels: levels.split(',') as Level[] }
    const before = tally.histories
    try {
      await playBatch(batch, tally)
    } catch (error) {
      if (!(error instanceof ViolationError)) throw error
      return report({ clean: before + error.number, violation: error.violations[0] ?? '', ended: true })
    }
    report({ clean: tally.histories, ended: false })
  }
  report({ clean: tally.histories, ended: true })
}
