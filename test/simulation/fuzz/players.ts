/** Processes that play batches. One that dies or hangs over a batch has found something too, and is replaced. */
import { fork, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { newTally } from '../batch.js'
import type { Answer, Job } from './worker.js'

const worker = fileURLToPath(new URL('worker.js', import.meta.url))

/** A batch takes a fraction of a second, a shrinking seconds; whoever takes longer hangs. */
const limitsMs = { play: 120_000, shrink: 300_000 } as const

export class Player {
  #child: ChildProcess | undefined

  /** Never rejects. */
  do(job: Job): Promise<Answer> {
    this.#child ??= fork(worker, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    const child = this.#child
    return new Promise(resolve => {
      const settle = (answer: Answer): void => {
        clearTimeout(timer)
        child.removeAllListeners()
        resolve(answer)
      }
      const lose = (why: string): void => {
        this.close()
        settle(job.kind === 'play' ? { kind: 'played', tally: newTally(), failure: { number: 0, violations: [why] } } : { kind: 'shrunk', report: `${why}\n` })
      }
      const timer = setTimeout(() => lose(`the process hangs: it was stopped after ${limitsMs[job.kind] / 1_000} s`), limitsMs[job.kind])
      child.once('message', (answer: Answer) => settle(answer))
      child.once('exit', (code, signal) => lose(`the process ended with ${signal ?? `exit code ${code}`}`))
      child.send(job)
    })
  }

  close(): void {
    this.#child?.kill('SIGKILL')
    this.#child = undefined
  }
}
