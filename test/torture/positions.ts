/** Every call to the system that the small workload makes on files of its databases, as places at which something can be made to happen. */
import { cpSync, existsSync, mkdirSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { basename, join, relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { DriverProcess, type Ending } from './driver-process.js'
import { patienceMs, type Round } from './family.js'
import { buildInterposer, interposeWrapper, readCalls, type Action, type Call, type CallKind } from './interpose/index.js'
import { linesOf } from './oracle.js'
import type { Judgement, SmallTask } from './small-driver.js'
import { SmallOracle, type SmallRow } from './small-workload.js'
import type { Outcome } from './driver.js'

/** Closing is no place of its own: it changes no file. */
export const countedKinds: readonly CallKind[] = ['open', 'write', 'truncate', 'sync', 'rename', 'unlink', 'mkdir', 'rmdir', 'read', 'lock', 'map']
export const databases = ['new', 'old'] as const

/** What happens at which call. */
export interface Fault {
  /** From 1, among the calls of the kinds `among`. */
  readonly call: number
  readonly among: readonly CallKind[]
  readonly action: Action
  readonly errno?: number
}

/** What all positions of one build have in common: made once. */
export class Stage {
  readonly #round: Round
  readonly #library: string
  readonly #killed: string
  #counted: Promise<readonly Call[]> | undefined

  private constructor(round: Round, library: string) {
    this.#round = round
    this.#library = library
    this.#killed = join(round.shared, 'killed')
  }

  static readonly #stages = new Map<string, Promise<Stage>>()

  static of(round: Round): Promise<Stage> {
    let stage = Stage.#stages.get(round.shared)
    if (stage === undefined) Stage.#stages.set(round.shared, (stage = Stage.#make(round)))
    return stage
  }

  static async #make(round: Round): Promise<Stage> {
    const stage = new Stage(round, buildInterposer(round.shared))
    mkdirSync(stage.#killed)
    const report = join(round.shared, 'prepared')
    const { signal, complaint } = await mustEnd(round.startSmall({ command: 'prepare', folder: stage.#killed, report }))
    if (signal !== 'SIGKILL') throw new Error(`The database that was to be killed ended with ${signal}: ${complaint}`)
    return stage
  }

  /** A folder with the database `old`, as it was killed. */
  folder(round: Round, name = 'data'): string {
    const folder = join(realpathSync(round.folder), name)
    rmSync(folder, { recursive: true, force: true })
    cpSync(this.#killed, folder, { recursive: true })
    return folder
  }

  /** What is known of `old`. */
  oracles(): ReadonlyMap<string, SmallOracle> {
    const oracles = new Map(databases.map(name => [name, new SmallOracle()]))
    take(linesOf(join(this.#round.shared, 'prepared')), oracles)
    return oracles
  }

  /** Plays on `folder`, with a fault. Returns the process, which has ended, and the calls that it made. */
  async play(round: Round, task: SmallTask & { readonly folder: string }, fault?: Fault): Promise<{ readonly driver: DriverProcess; readonly ending: Ending | undefined; readonly calls: readonly Call[] }> {
    const calls = `${task.report}.calls`
    const at = fault && { call: fault.call, action: fault.action, ...(fault.errno === undefined ? {} : { errno: fault.errno }) }
    const wrapper = interposeWrapper(this.#library, { under: task.folder, calls, count: fault?.among ?? countedKinds, ...(at && { at }) })
    const driver = round.startSmall(task, [...wrapper, 'UV_THREADPOOL_SIZE=1'])
    const ending = await driver.endsWithin(patienceMs)
    return { driver, ending, calls: existsSync(calls) ? readCalls(calls).map(({ kind, path }) => ({ kind, path: relative(task.folder, path) })) : [] }
  }

  /** The calls that the whole workload makes. Counted twice: places in a list that is another one each time would be no places. */
  counted(round: Round): Promise<readonly Call[]> {
    return (this.#counted ??= this.countOf(round, 'count', folder => ({ command: 'play', folder }), name => this.folder(round, name)))
  }

  async countOf(round: Round, name: string, taskOf: (folder: string) => { command: 'play'; folder: string } | { command: 'recover'; folder: string; names: readonly string[]; from: number }, make: (name: string) => string | Promise<string>): Promise<readonly Call[]> {
    const counts: (readonly Call[])[] = []
    for (const which of ['first', 'second']) {
      const folder = await make(`${name}-${which}`)
      const { ending, calls } = await this.play(round, { ...taskOf(folder), report: `${folder}.report` })
      if (ending?.code !== 0) throw new Error(`The workload did not come to its end: ${ending === undefined ? 'it hangs' : (ending.signal ?? ending.complaint)}`)
      counts.push(calls)
      rmSync(folder, { recursive: true })
    }
    const [first, second] = counts as [readonly Call[], readonly Call[]]
    const other = first.findIndex((call, i) => nameOf(call) !== (second[i] && nameOf(second[i])))
    if (other >= 0 || first.length !== second.length) throw new Error(`The workload does not make the same calls each time: call ${other + 1} of ${first.length} and ${second.length} is ${JSON.stringify([first[other], second[other]])}`)
    return first
  }
}

/** A call as messages name it. */
export const nameOf = ({ kind, path }: Call): string => `${kind} of ${path || 'the folder'}`

async function mustEnd(driver: DriverProcess): Promise<Ending> {
  const ending = await driver.endsWithin(patienceMs)
  if (ending === undefined) throw new Error('A process hangs that prepares a database.')
  return ending
}

/** Takes what was said of commits; what was said of them later counts more. */
export function take(lines: readonly string[], oracles: ReadonlyMap<string, SmallOracle>): void {
  for (const line of lines) {
    const [letter, name, ...rest] = line.split(' ')
    const oracle = oracles.get(name!)
    if (oracle === undefined) continue
    const n = Number(rest[0])
    if (letter === 'B') oracle.begin(n)
    else if (letter === 'A') oracle.acknowledge(n)
    else if (letter === 'R') oracle.acknowledgeRelaxed(n)
    else if (letter === 'X' && isRefusal(JSON.parse(rest.slice(1).join(' ')) as Outcome)) oracle.refuse(n)
    else if ((letter === 'K' || letter === 'Q') && rest.join(' ') === '{"code":null}') oracle.closed()
    else if (letter === 'F' || letter === 'f') oracle.judge(JSON.parse(rest.join(' ')) as readonly SmallRow[], letter === 'F' ? 'after an opening' : 'in a read')
  }
}

/** Whoever is told anything else with a code can rely on it that nothing was changed. */
const isRefusal = ({ code }: Outcome): boolean => code !== null && code !== 'COMMIT_UNKNOWN'

/** Judges in a process that lives for many rounds, and is another one after it has died. */
export class Judge {
  readonly #processes = new Map<string, DriverProcess>()
  #answers = 0
  #made = 10_000

  /** Every database in the folder is opened, read, written, closed and checked, and holds what it should. */
  async judge(round: Round, folder: string, oracles: ReadonlyMap<string, SmallOracle>, what: string): Promise<void> {
    for (const [name, oracle] of oracles) {
      const said = await this.#ask(round, join(folder, name), ++this.#made)
      if (said !== undefined) judgeAnswer(round, said, oracle, this.#made, `${name} ${what}`)
      round.count('databases judged')
    }
  }

  /** What the oracles have found is the round's. */
  close(round: Round, oracles: ReadonlyMap<string, SmallOracle>, what: string): void {
    for (const [name, oracle] of oracles) {
      round.count('acknowledged commits', oracle.acknowledged)
      for (const kind of ['lost', 'partial', 'wrong'] as const) for (const sentence of oracle[kind]) round.found(kind, `${name} ${what}: ${sentence}`)
    }
  }

  async #ask(round: Round, directory: string, n: number): Promise<Judgement | undefined> {
    const report = join(round.shared, 'judge')
    let driver = this.#processes.get(round.built)
    if (driver === undefined || driver.hasEnded) this.#processes.set(round.built, (driver = new DriverProcess(round.built, { command: 'judge', report }, [], 'small-driver.js')))
    const answer = join(round.shared, `answer-${++this.#answers}`)
    driver.unref()
    driver.send({ directory, n, answer })
    for (const until = performance.now() + patienceMs; performance.now() < until && !driver.hasEnded; await sleep(2)) {
      if (!existsSync(answer)) continue
      const judgement = JSON.parse(readFileSync(answer, 'utf8')) as Judgement
      rmSync(answer)
      return judgement
    }
    const hangs = !driver.hasEnded
    const { signal, complaint } = await driver.kill()
    round.found(hangs ? 'hangs' : 'crashes', `${basename(directory)} could not be judged: the process ${hangs ? 'hangs' : `ended with ${signal}: ${complaint}`}`)
    return undefined
  }
}

function judgeAnswer(round: Round, said: Judgement, oracle: SmallOracle, n: number, what: string): void {
  const steps = { opened: said.opened, written: said.wrote, closed: said.closed, checked: said.checked && 'code' in said.checked ? said.checked : { code: null }, 'opened again': said.reopened }
  const failed = Object.entries(steps).find(([, outcome]) => outcome === undefined || outcome.code !== null || outcome.untyped !== undefined)
  if (said.found) oracle.judge(said.found, 'after an opening')
  if (failed) round.found('wrong', `${what} could not be ${failed[0]}: ${said.message ?? JSON.stringify(failed[1])}`)
  if (said.checked && 'sound' in said.checked && !said.checked.sound) round.found('wrong', `${what} is not sound: ${JSON.stringify(said.checked.findings[0])}`)
  if (said.wrote?.code !== null || !said.foundAgain) return
  oracle.begin(n)
  oracle.acknowledge(n)
  oracle.judge(said.foundAgain, 'after an opening')
}
