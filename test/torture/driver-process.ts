/** A driver in a process of its own, and what it says. Every wait has a deadline, and no process outlives the run. */
import { spawn, type ChildProcess } from 'node:child_process'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ReadRequest, Task } from './driver.js'
import type { WriterTask } from './power/writer.js'
import type { IndexTask } from './index-driver.js'
import type { JudgeRequest, SmallTask } from './small-driver.js'
import { linesOf } from './oracle.js'

export interface Ending {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly complaint: string
}

const pollMs = 5
const alive = new Set<ChildProcess>()
process.once('exit', () => alive.forEach(child => child.kill('SIGKILL')))

export class DriverProcess {
  readonly task: Task | SmallTask | WriterTask | IndexTask
  readonly #child: ChildProcess
  readonly #ended: Promise<Ending>
  #ending: Ending | undefined

  /** `built` is the folder that holds what was built; `wrapper` a command that runs the driver. */
  constructor(built: string, task: Task | SmallTask | WriterTask | IndexTask, wrapper: readonly string[] = [], driver: 'driver.js' | 'small-driver.js' | 'index-driver.js' | 'power/writer.js' = 'driver.js') {
    this.task = task
    const [command, ...args] = [...wrapper, process.execPath, join(built, 'test/torture', driver), JSON.stringify(task)]
    const child = spawn(command!, args, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
    this.#child = child
    alive.add(child)
    let complaint = ''
    child.stderr!.on('data', (text: Buffer) => (complaint += text.toString()))
    child.on('error', error => (complaint += String(error)))
    this.#ended = new Promise(resolve =>
      child.once('close', (code, signal) => {
        alive.delete(child)
        this.#ending = { code, signal, complaint }
        resolve(this.#ending)
      }),
    )
  }

  get lines(): string[] {
    return linesOf(this.task.report)
  }

  get hasEnded(): boolean {
    return this.#ending !== undefined
  }

  send(message: string | JudgeRequest | ReadRequest): void {
    // One that has died meanwhile is told from its ending.
    this.#child.send(message, () => {})
  }

  /** From now on it keeps nobody alive; at the end of this process it is killed. */
  unref(): void {
    this.#child.unref()
    this.#child.channel?.unref()
    ;(this.#child.stderr as Socket).unref()
  }

  /** Ended processes are left alone. */
  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  async kill(): Promise<Ending> {
    this.signal('SIGKILL')
    return this.#ended
  }

  /** Undefined where it did not end in time; it is killed then. */
  async endsWithin(deadlineMs: number): Promise<Ending | undefined> {
    const stop = new AbortController()
    const inTime = await Promise.race([this.#ended, sleep(deadlineMs, undefined, { signal: stop.signal }).catch(() => undefined)])
    stop.abort()
    if (!inTime) await this.kill()
    return inTime
  }

  /** The first line from `from` on that begins so; undefined where it has not come in time, or the process ended without. */
  async says(prefix: string, deadlineMs: number, from = 0): Promise<string | undefined> {
    const until = performance.now() + deadlineMs
    for (;;) {
      const isLast = this.hasEnded || performance.now() > until
      const line = this.lines.slice(from).find(one => one.startsWith(prefix))
      if (line !== undefined || isLast) return line
      await sleep(pollMs)
    }
  }
}
