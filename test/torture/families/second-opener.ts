/**
 * While an owner is under full load others open its directory, in every way that leads to the same files. They must be refused, and the owner must not notice. The lock must be held by an owner that
 * is stopped, and be free as soon as one is gone.
 */
import { linkSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Chance } from '../../simulation/chance.js'
import type { Outcome } from '../driver.js'
import type { DriverProcess } from '../driver-process.js'
import { patienceMs, type Family, type Round } from '../family.js'
import { Oracle } from '../oracle.js'
import { canMount, namespaceWrapper, processNamespaceWrapper } from '../scratch.js'

interface Opener {
  readonly how: string
  readonly refusal: 'LOCKED' | 'NOT_A_DATABASE'
  readonly open: (round: Round, directory: string, owner: DriverProcess) => Promise<Outcome | undefined>
}

const openers: readonly Opener[] = [
  { how: 'a second process', refusal: 'LOCKED', open: (round, directory) => round.look(directory, 'a second process') },
  {
    how: 'a symbolic link to the directory',
    refusal: 'LOCKED',
    open(round, directory) {
      const path = fresh(round, 'link')
      symlinkSync(directory, path)
      return round.look(path, 'an opener through a link')
    },
  },
  {
    how: 'a directory of hard links to its files',
    refusal: 'LOCKED',
    open(round, directory) {
      const path = mirror(round, directory, linkSync)
      return round.look(path, 'an opener through hard links')
    },
  },
  {
    how: 'a directory of symbolic links to its files',
    refusal: 'NOT_A_DATABASE',
    open(round, directory) {
      const path = mirror(round, directory, symlinkSync)
      return round.look(path, 'an opener through symbolic links')
    },
  },
  {
    how: 'a second process, after the file "owner" was removed',
    refusal: 'LOCKED',
    open(round, directory) {
      rmSync(join(directory, 'owner'))
      return round.look(directory, 'an opener after the file "owner" was removed')
    },
  },
  { how: 'a worker thread of the owner', refusal: 'LOCKED', open: (round, _, owner) => askOwner(round, owner, 'look in a worker') },
  { how: 'the owner itself', refusal: 'LOCKED', open: (round, _, owner) => askOwner(round, owner, 'look') },
]

const bindMount: Opener = {
  how: 'a bind mount of the directory',
  refusal: 'LOCKED',
  open(round, directory) {
    const path = fresh(round, 'mount')
    mkdirSync(path)
    // In a namespace of its own: the mount goes with the process.
    const wrapper = [...namespaceWrapper(), 'sh', '-c', 'mount --bind "$1" "$2" && shift 2 && exec "$@"', 'sh', directory, path]
    return round.look(path, 'an opener through a bind mount', wrapper)
  },
}

/** The same process numbers mean other processes there. */
const otherProcessNumbers: Opener = {
  how: 'a process in another process-id namespace',
  refusal: 'LOCKED',
  open: (round, directory) => round.look(directory, 'an opener in another process-id namespace', processNamespaceWrapper()),
}

const allOpeners = (): readonly Opener[] => [...openers, ...(canMount() ? [bindMount] : []), ...(processNamespaceWrapper().length > 0 ? [otherProcessNumbers] : [])]

export const secondOpener: Family = {
  name: 'second-opener',
  about: 'others open the directory of an owner under load, in every way that leads to the same files; counts openers',
  get perRound() {
    return allOpeners().length
  },
  control: {
    broken: 'the lock is asked for, and the answer is not heard',
    noticedAs: ['wrong'],
    patch: { file: 'engine/store/owner-lock', patch: ['if (!nativeFiles.tryLock(fd, { shared: isShared }))', 'if (!nativeFiles.tryLock(fd, { shared: isShared }) && false)'] },
  },
  async play(round) {
    const directory = round.path('data')
    const oracle = new Oracle()
    await race(round, directory)
    const { chance } = round
    const owner = round.start({ command: 'write', directory, report: round.newReport(), seed: chance.below(2 ** 32), mode: 'honest', bulk: chance.is(0.3) })
    if ((await owner.says('A ', patienceMs)) === undefined) round.found('hangs', 'the owner came to no commit')
    // What comes of an owner whose lock is broken is not asked: the control ends at the first that was let in.
    for (const opener of inRandomOrder(chance, allOpeners()).slice(0, round.events)) {
      if (!(await isRefused(round, opener, directory, owner)) && round.isControl) break
    }
    await readFiles(round, directory)
    if (round.isControl) await owner.kill()
    else await end(round, directory, owner, oracle)
    round.close(oracle)
  },
}

const inRandomOrder = <T>(chance: Chance, things: readonly T[]): T[] =>
  things.map(thing => ({ thing, place: chance.next() })).toSorted((a, b) => a.place - b.place).map(({ thing }) => thing)

async function isRefused(round: Round, { how, refusal, open }: Opener, directory: string, owner: DriverProcess): Promise<boolean> {
  await sleep(round.chance.next() * 100)
  const outcome = await open(round, directory, owner)
  const refused = outcome?.code === refusal
  if (refused) round.count('refused')
  else if (outcome) round.found('wrong', `${how} was told ${outcome.untyped ?? outcome.code ?? 'that it is open'} instead of ${refusal}`)
  if (!round.isControl) await goesOn(round, owner, how)
  return refused
}

/** The owner acknowledges another commit. */
async function goesOn(round: Round, owner: DriverProcess, after: string): Promise<void> {
  const before = owner.lines.length
  if ((await owner.says('A ', patienceMs, before)) !== undefined) return
  if (owner.hasEnded) round.found('crashes', `the owner ended after ${after}: ${(await owner.kill()).complaint}`)
  else round.found('hangs', `the owner came to no commit after ${after}`)
}

async function end(round: Round, directory: string, owner: DriverProcess, oracle: Oracle): Promise<void> {
  if (round.chance.is(0.5)) {
    owner.send('close')
    round.endedWell(await owner.endsWithin(patienceMs), 'the owner, closing,')
  } else {
    owner.signal('SIGSTOP')
    const whileStopped = await round.look(directory, 'an opener beside a stopped owner')
    if (whileStopped?.code !== 'LOCKED') round.found('wrong', `an opener beside a stopped owner was told ${JSON.stringify(whileStopped)} instead of LOCKED`)
    owner.signal('SIGCONT')
    await owner.kill()
    // The number of a process that lives: the owner's, given again.
    if (round.chance.is(0.5)) writeFileSync(join(directory, 'owner'), `process ${process.pid} on ${hostname()}`)
  }
  const afterwards = await round.look(directory, 'an opener after the owner')
  if (afterwards?.code !== null || afterwards.untyped !== undefined) round.found('wrong', `an opener after the owner was told ${JSON.stringify(afterwards)}`)
  if (owner.lines.some(line => line.startsWith('X '))) round.found('wrong', 'the owner could not write')
  oracle.take(owner.task.report)
  await round.judge(directory, oracle, 'the owner')
}

/** Several make the same database at once: one has it. */
async function race(round: Round, directory: string): Promise<void> {
  const racers = Array.from({ length: 4 }, () => round.start({ command: 'look', directory, report: round.newReport(), holds: true }))
  const lines = await Promise.all(racers.map(racer => racer.says('L ', patienceMs)))
  const outcomes = lines.flatMap(line => (line === undefined ? [] : [JSON.parse(line.slice(2)) as Outcome])).map(({ code, untyped }) => untyped ?? code ?? 'open')
  const won = outcomes.filter(outcome => outcome === 'open').length
  if (won !== 1 || outcomes.length !== racers.length) round.found('wrong', `of four that opened at once were told: ${outcomes.join(', ')}`)
  for (const [i, racer] of racers.entries()) {
    if (lines[i] === 'L {"code":null}') racer.send('go on')
    // An opener that is refused does not listen, and ends by itself.
    round.endedWell(await racer.endsWithin(patienceMs), 'one of four openers')
  }
}

async function askOwner(round: Round, owner: DriverProcess, message: string): Promise<Outcome | undefined> {
  const before = owner.lines.length
  owner.send(message)
  const line = await owner.says('L ', patienceMs, before)
  if (line === undefined) round.found('hangs', `the owner did not answer "${message}"`)
  return line === undefined ? undefined : (JSON.parse(line.slice(2)) as Outcome)
}

/** A backup tool, say: reads what it can, asks nobody. */
async function readFiles(round: Round, directory: string): Promise<void> {
  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    const path = join(directory, name)
    // Segments come and go.
    if (statSync(path, { throwIfNoEntry: false })?.isFile()) round.count('bytes read beside the owner', readIfThere(path))
  }
}

function readIfThere(path: string): number {
  try {
    return readFileSync(path).length
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0
    throw error
  }
}

function fresh(round: Round, name: string): string {
  return round.path(`${name}-${round.chance.below(2 ** 32).toString(36)}`)
}

/** Another directory with the same files in it. */
function mirror(round: Round, directory: string, link: (existing: string, path: string) => void): string {
  const path = fresh(round, 'mirror')
  mkdirSync(join(path, 'log'), { recursive: true })
  for (const name of ['premisedb', 'owner', 'rows.lmdb', 'rows.lmdb-lock']) link(join(directory, name), join(path, name))
  return path
}
