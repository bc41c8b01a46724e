/** Judges of images: processes that open one after the other. One that dies of an image, or is silent about it, is replaced. */
import { fork, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import type { Question, Verdict } from './judge-process.js'

export type Answer = Verdict | { readonly died: string } | 'silent'

/** After so many images a judge is replaced: what native code keeps of each file adds up. */
const imagesPerProcess = 2_000
const deadlineMs = 30_000
const alive = new Set<ChildProcess>()
process.once('exit', () => alive.forEach(child => child.kill('SIGKILL')))

export class Judge {
  readonly #built: string
  #child: ChildProcess | undefined
  #images = 0

  /** `built` is the folder that holds what was built. */
  constructor(built: string) {
    this.#built = built
  }

  async ask(question: Question): Promise<Answer> {
    if (++this.#images % imagesPerProcess === 0) this.end()
    const child = (this.#child ??= this.#start())
    let complaint = ''
    const listen = (text: Buffer): void => void (complaint += text.toString())
    child.stderr!.on('data', listen)
    let timer: NodeJS.Timeout | undefined
    const answer = await new Promise<Answer>(resolve => {
      child.once('message', resolve as (message: unknown) => void)
      child.once('close', (code, signal) => resolve({ died: `${signal ?? `exit code ${code}`} ${complaint}` }))
      timer = setTimeout(() => resolve('silent'), deadlineMs)
      child.send(question, () => {}) // one that has died is told from its ending
    })
    clearTimeout(timer)
    child.removeAllListeners('message').removeAllListeners('close')
    child.stderr!.removeListener('data', listen)
    if (answer === 'silent' || 'died' in answer) this.end()
    return answer
  }

  end(): void {
    this.#child?.kill('SIGKILL')
    this.#child = undefined
  }

  #start(): ChildProcess {
    const child = fork(join(this.#built, 'test/torture/power/judge-process.js'), { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], serialization: 'advanced' })
    alive.add(child)
    child.once('exit', () => alive.delete(child))
    return child
  }
}
