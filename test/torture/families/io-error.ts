/**
 * Every call that a process makes on the files of two databases fails: once, or from then on; a sync also so that what it should have synced is gone, a write also after half of its bytes. The process goes
 * on as programs do: it tries further commits, reads, closes, opens both again. Every error reaches whoever it is about, with the right code; nothing acknowledged is lost and nothing refused is there.
 */
import { constants } from 'node:os'
import type { Outcome } from '../driver.js'
import { firstLine, type Family, type Kind, type Round } from '../family.js'
import type { Ending } from '../driver-process.js'
import type { Action, Call, CallKind } from '../interpose/index.js'
import { countedKinds, Judge, nameOf, Stage, take, type Fault } from '../positions.js'

type Errno = 'EIO' | 'ENOSPC' | 'EMFILE' | 'ENOLCK' | 'ENOMEM'

interface Position {
  readonly fault: Fault
  readonly errno: Errno
  readonly call: Call
  /** The place among all calls. */
  readonly number: number
  /** Which session kills itself before it closes; none by default. */
  readonly dies?: number
}

interface Variant {
  readonly action: Action
  readonly errno: Errno
  /** The kinds of calls that fail from then on. */
  readonly among?: readonly CallKind[]
  /** The process kills itself before it closes the database: what was told then cannot come from its memory. */
  readonly dies?: true
}

const once = (errno: Errno): Variant => ({ action: 'fail', errno })
const always: Variant = { action: 'fail-always', errno: 'EIO' }
const full: Variant = { action: 'fail-always', errno: 'ENOSPC', among: ['write', 'truncate', 'mkdir'] }

const variants: Readonly<Record<CallKind, readonly Variant[]>> = {
  open: [once('EIO'), once('EMFILE'), always, { action: 'fail-always', errno: 'EMFILE', among: ['open'] }],
  write: [once('EIO'), once('ENOSPC'), always, full, { action: 'short', errno: 'EIO' }, { action: 'short', errno: 'EIO', dies: true }],
  truncate: [once('EIO'), once('ENOSPC'), always, full],
  sync: [once('EIO'), always, { action: 'drop', errno: 'EIO' }, { action: 'drop', errno: 'EIO', dies: true }, { action: 'drop-always', errno: 'EIO', among: ['sync'] }],
  rename: [once('EIO'), once('ENOSPC'), always],
  unlink: [once('EIO'), always],
  mkdir: [once('EIO'), once('ENOSPC'), always, full],
  rmdir: [once('EIO'), always],
  read: [once('EIO'), always],
  lock: [once('ENOLCK'), always],
  map: [once('ENOMEM'), always],
}

const judge = new Judge()
const lists = new Map<string, readonly Position[]>()

export const ioError: Family = {
  name: 'io-error',
  about: 'every call on its files fails in every way, in order; counts failures',
  perRound: 1,
  inMemory: true,
  control: {
    broken: 'a failed sync is taken for a successful one',
    noticedAs: ['lost', 'wrong'],
    patch: { file: 'engine/log/commit-log', patch: ['if (error) this.#fail(error);', 'if (error) this.#advance(ts);'] },
  },
  positions: async round => (await positionsOf(round)).length,
  async play(round) {
    const positions = await positionsOf(round)
    const position = round.isControl ? placeOfControl(positions, round) : positions[round.seed - 1]!
    const stage = await Stage.of(round)
    const folder = stage.folder(round)
    const oracles = stage.oracles()
    const what = `after ${describe(position)}`
    const { driver, ending, calls } = await stage.play(round, { command: 'play', folder, report: round.newReport(), again: true, ...(position.dies !== undefined && { dies: position.dies }) }, position.fault)
    const { lines } = driver
    if (calls.length < position.fault.call) {
      if (position.dies === undefined) round.found('wrong', `the call was not made at which there should have been ${describe(position)}`)
      else round.count('calls that closing would have made')
    }
    judgeEnding(round, ending, lines.at(-1) === 'C', position, calls, what)
    const said = new Set<string>()
    judgeCodes(round, lines, position, what, (kind, sentence) => {
      if (said.size < said.add(sentence).size) round.found(kind, sentence)
    })
    take(lines, oracles)
    round.count(position.fault.action)
    await judge.judge(round, folder, oracles, what)
    judge.close(round, oracles, what)
  },
}

/** Where commits follow, and the process dies before it puts what it remembers into another file. */
function placeOfControl(positions: readonly Position[], { chance }: Round): Position {
  return chance.of(positions.filter(({ fault, dies, call: { path } }) => fault.action === 'drop' && dies !== undefined && path.endsWith('0000000001.log')))
}

const isPersistent = ({ fault: { action } }: Position): boolean => action.endsWith('-always')

function describe({ fault: { action }, errno, call, number, dies }: Position): string {
  return `${dies === undefined ? '' : 'a kill later on, and '}${action === 'short' ? 'half' : `${action === 'fail' ? '' : `${action} `}${errno}`} at call ${number}, ${nameOf(call)}`
}

async function positionsOf(round: Round): Promise<readonly Position[]> {
  let positions = lists.get(round.shared)
  if (positions === undefined) {
    const calls = await (await Stage.of(round)).counted(round)
    positions = calls.flatMap((call, i) => variants[call.kind].map(variant => positionOf(calls, i, variant)))
    lists.set(round.shared, positions)
  }
  return positions
}

function positionOf(calls: readonly Call[], i: number, { action, errno, among = countedKinds, dies }: Variant): Position {
  const before = calls.slice(0, i + 1)
  const call = before.filter(({ kind }) => among.includes(kind)).length
  return { fault: { call, among, action, errno: constants.errno[errno] }, errno, call: calls[i]!, number: i + 1, ...(dies && { dies: Math.max(1, before.filter(isOpening).length) }) }
}

/** The first of a session. */
const isOpening = ({ kind, path }: Call): boolean => kind === 'open' && path.endsWith('/owner')

/**
 * The native library may end the process where a call of its own fails: at an opening it goes on with memory that it has given back, after a write it puts its message over the end of a buffer. What it does
 * not end is judged, and so is what is left where it does.
 */
function judgeEnding(round: Round, ending: Ending | undefined, isDone: boolean, { fault, call, dies }: Position, calls: readonly Call[], what: string): void {
  // Those at which it alone opens and reads are not told from those of the engine, which come first.
  const failed = [call, ...(fault.action.endsWith('-always') ? calls.slice(fault.call).filter(({ kind }) => kind !== 'open' && kind !== 'read') : [])]
  if (ending === undefined) round.found('hangs', `the process did not end ${what}`)
  else if (dies !== undefined && ending.signal === 'SIGKILL') round.count('processes that killed themselves afterwards')
  else if (ending.signal !== null && failed.some(({ path }) => path.includes('rows.lmdb'))) round.count(`processes ended by the native library where its own ${call.kind} failed`)
  else if (ending.signal !== null || ending.code !== 0) round.found('crashes', `the process ended with ${ending.signal ?? `exit code ${ending.code}`} ${what}: ${firstLine(ending.complaint)}`)
  else if (!isDone) round.found('crashes', `the process ended before its end ${what}`)
}

/** Says once what a process may repeat. */
type Found = (kind: Kind, sentence: string) => void

interface Session {
  failed: boolean
  openings: number
}

/** What the library may say when, as docs/errors.md has it. */
function judgeCodes(round: Round, lines: readonly string[], position: Position, what: string, found: Found): void {
  const sessions = new Map<string, Session>()
  for (const line of lines) {
    const [letter, name, ...rest] = line.split(' ')
    if (letter === 'U') found('hangs', `${rest.length > 0 ? line.slice(2) : name} did not come to an end ${what}`)
    if (letter === 'N') found('crashes', `nobody caught an error ${what}: ${line.slice(2)}`)
    const session = sessions.get(name!) ?? { failed: false, openings: 0 }
    sessions.set(name!, session)
    if (letter === 'O') judgeOpening(round, JSON.parse(rest.join(' ')) as Outcome & { message?: string }, session, position, `${name} ${what}`, found)
    if (letter === 'f' && session.failed) found('wrong', `${name} could be read after it had failed ${what}`)
    if (letter === 'A' && session.failed) found('wrong', `${name} took commit ${rest[0]} after it had failed ${what}`)
    if (letter === 'X' || letter === 'V' || letter === 'K' || letter === 'Q') judgeRefusal(round, letter, JSON.parse(rest.slice(letter === 'X' ? 1 : 0).join(' ')) as Outcome, session, position, `${name} ${what}`, found)
  }
}

function judgeOpening(round: Round, outcome: Outcome & { message?: string }, session: Session, position: Position, what: string, found: Found): void {
  session.failed = false
  if (outcome.code === null && outcome.untyped === undefined) {
    session.openings = 0
    return
  }
  round.count(`openings refused with ${outcome.code ?? 'an error without a code'}`)
  if (outcome.code === null) found('wrong', `opening ${what} threw an error without a code: ${outcome.untyped}`)
  else if (!openingCodes(position).includes(outcome.code)) found('wrong', `opening ${what} was refused with ${outcome.message}`)
  if (++session.openings > 1 && !isPersistent(position)) found('wrong', `opening ${what} was refused again: ${outcome.message ?? outcome.untyped}`)
}

/** A full disk is told as such; that a file cannot be read, as damage. */
const openingCodes = ({ errno }: Position): readonly string[] => (errno === 'ENOSPC' ? ['DISK_FULL', 'POISONED'] : ['POISONED', 'CORRUPT'])

const operations = { X: 'a commit', V: 'a read', K: 'closing', Q: 'compacting' } as const

function judgeRefusal(round: Round, letter: keyof typeof operations, outcome: Outcome, session: Session, position: Position, what: string, found: Found): void {
  const { code, untyped } = outcome
  const operation = operations[letter]
  if (code === null && untyped === undefined) return
  round.count(`${operation} refused with ${code ?? 'an error without a code'}`)
  if (code === null) found('wrong', `${operation} in ${what} came to an error without a code: ${untyped}`)
  else if (!allowed(letter, code, position)) found('wrong', `${operation} in ${what} came to ${code}`)
  if (code === 'POISONED' || code === 'COMMIT_UNKNOWN') session.failed = true
}

/** A commit can only be in doubt where its record was being written or synced. */
function allowed(letter: keyof typeof operations, code: string, position: Position): boolean {
  const { call, errno, fault } = position
  if (code === 'POISONED') return true
  if (code === 'DISK_FULL') return errno === 'ENOSPC'
  if (code === 'COMMIT_UNKNOWN') return letter !== 'V' && (isPersistent(position) || ((call.kind === 'write' || call.kind === 'sync') && call.path.endsWith('.log')))
  if (code === 'CORRUPT') return letter !== 'X' && (fault.action.startsWith('drop') || call.path.includes('rows.lmdb') || isPersistent(position))
  return false
}
