/** A process that plays batches for the fuzzer, one after the other, or shrinks one that fails. */
import { newTally, playBatch, ViolationError, type BatchOptions, type Tally } from '../batch.js'
import { scenarioText } from './scenario.js'
import { shrink, type Shrunk } from './shrink.js'
import { story } from './story.js'

export type Job = { readonly kind: 'play' | 'shrink' } & Omit<BatchOptions, 'plan'>

export interface Failure {
  /** Position in the batch. */
  readonly number: number
  readonly violations: readonly string[]
}

export type Answer =
  | { readonly kind: 'played'; readonly tally: Tally; readonly failure: Failure | undefined }
  | { readonly kind: 'shrunk'; readonly report: string }

process.on('message', (job: Job) => {
  const working = job.kind === 'play' ? play(job) : report(job)
  // What nobody foresaw ends this process, and its parent sees that.
  void working.then(answer => process.send!(answer))
})
process.on('disconnect', () => process.exit())

async function play(job: Job): Promise<Answer> {
  const tally = newTally()
  try {
    await playBatch(job, tally)
    return { kind: 'played', tally, failure: undefined }
  } catch (error) {
    if (!(error instanceof ViolationError)) throw error
    tally.histories++
    return { kind: 'played', tally, failure: { number: error.number, violations: error.violations } }
  }
}

async function report(job: Job): Promise<Answer> {
  const shrunk = await shrink(job)
  return { kind: 'shrunk', report: shrunk ? reportOf(shrunk, job.seed) : 'Played again it does not fail: it depends on something that the seed does not decide.\n' }
}

function reportOf({ failure, before, after, runs }: Shrunk, seed: number): string {
  const sizes = ([histories, transactions, steps]: Shrunk['before']): string => `${histories} histories, ${transactions} transactions, ${steps} steps`
  const head = `Shrunk from ${sizes(before)} to ${sizes(after)}, in ${runs} runs.\n\n${failure.violations.map(violation => `  ${violation}\n`).join('')}`
  if (failure.history === undefined) return head
  return `${head}\nWhat happened:\n\n${story(failure.history)}\n\nAs a scenario of the anomaly matrix:\n\n${scenarioText(failure.history, `${seed}.${failure.number}`)}`
}
