/**
 * kill -9 before, after and (of writes) in the middle of every single call that a process makes on the files of two databases: while it creates one, commits, checkpoints, goes on in another segment,
 * closes, compacts, opens, and recovers one that was killed. Then again during the recovery of some of these.
 */
import type { Family, Round } from '../family.js'
import type { Action, Call } from '../interpose/index.js'
import { countedKinds, databases, Judge, nameOf, Stage, take, type Fault } from '../positions.js'
import type { SmallOracle } from '../small-workload.js'

interface Position {
  readonly first: Fault
  readonly call: Call
  /** A second kill, while what the first one left is recovered. */
  readonly second?: { readonly fault: Fault; readonly call: Call }
}

/** Of how many first kills every call of the recovery is a place for a second one. */
const twiceKilled = 6
const recoveredFrom = 200

const whens: Readonly<Record<string, string>> = { kill: 'before', 'kill-after': 'after', 'kill-within': 'in the middle of' }
const judge = new Judge()
const lists = new Map<string, { singles: readonly Position[]; all?: Promise<readonly Position[]> }>()

export const killEveryCall: Family = {
  name: 'kill-every-call',
  about: 'kill -9 before, in and after every call on its files, in order; counts kills',
  perRound: 1,
  inMemory: true,
  control: { broken: 'acknowledgements said before the write', noticedAs: ['lost'] },
  positions: async (round, upTo) => (await positionsOf(round, upTo)).length,
  async play(round) {
    const positions = await positionsOf(round, round.isControl ? 1 : round.seed)
    const position = round.isControl ? placeOfControl(positions, round) : positions[round.seed - 1]!
    const stage = await Stage.of(round)
    const folder = stage.folder(round)
    const oracles = stage.oracles()
    const what = await killOnce(round, stage, folder, oracles, position)
    if (position.second) await killInRecovery(round, stage, folder, oracles, position.second)
    await judge.judge(round, folder, oracles, what)
    judge.close(round, oracles, what)
  },
}

/** Where something had been committed. */
function placeOfControl(positions: readonly Position[], { chance }: Round): Position {
  const writes = positions.filter(({ first, call: { kind, path } }) => first.action === 'kill' && kind === 'write' && path.endsWith('.log'))
  return chance.of(writes)
}

async function killOnce(round: Round, stage: Stage, folder: string, oracles: ReadonlyMap<string, SmallOracle>, { first, call }: Position): Promise<string> {
  const what = `killed ${whens[first.action]} call ${first.call}, ${nameOf(call)}`
  const { driver, ending, calls } = await stage.play(round, { command: 'play', folder, report: round.newReport(), early: round.isControl }, first)
  mustBeKilled(round, ending?.signal, calls, call, what)
  take(driver.lines, oracles)
  round.count(`kills ${whens[first.action]} a call`)
  return what
}

async function killInRecovery(round: Round, stage: Stage, folder: string, oracles: ReadonlyMap<string, SmallOracle>, { fault, call }: NonNullable<Position['second']>): Promise<void> {
  const { driver, ending, calls } = await stage.play(round, { command: 'recover', folder, report: round.newReport(), names: databases, from: recoveredFrom }, fault)
  mustBeKilled(round, ending?.signal, calls, call, `killed again ${whens[fault.action]} call ${fault.call}, ${nameOf(call)}`)
  take(driver.lines, oracles)
  round.count('second kills')
}

/** Else the sweep would leave places out. */
function mustBeKilled(round: Round, signal: NodeJS.Signals | null | undefined, calls: readonly Call[], expected: Call, what: string): void {
  const last = calls.at(-1)
  if (signal !== 'SIGKILL') round.found(signal === undefined ? 'hangs' : 'crashes', `the process that was to be ${what} ended with ${signal ?? 'nothing'}`)
  else if (last === undefined || nameOf(last) !== nameOf(expected)) round.found('wrong', `the process that was to be ${what} was killed at ${last && nameOf(last)}`)
}

/** All positions, or at least the first `upTo`. */
async function positionsOf(round: Round, upTo: number): Promise<readonly Position[]> {
  let list = lists.get(round.shared)
  if (list === undefined) {
    const stage = await Stage.of(round)
    list = { singles: faultsIn(await stage.counted(round)).map(({ fault, call }) => ({ first: fault, call })) }
    lists.set(round.shared, list)
  }
  if (upTo <= list.singles.length) return list.singles
  return (list.all ??= withSeconds(round, list.singles))
}

function faultsIn(calls: readonly Call[]): { readonly fault: Fault; readonly call: Call }[] {
  return calls.flatMap((call, i) => {
    const actions: readonly Action[] = call.kind === 'write' ? ['kill', 'kill-within', 'kill-after'] : ['kill', 'kill-after']
    return actions.map(action => ({ fault: { call: i + 1, among: countedKinds, action }, call }))
  })
}

/** The calls of a recovery are counted behind each of the first kills. */
async function withSeconds(round: Round, singles: readonly Position[]): Promise<readonly Position[]> {
  const stage = await Stage.of(round)
  const positions = [...singles]
  for (let i = 0; i < twiceKilled; i++) {
    const { first, call } = singles[Math.floor(((i + 0.5) * singles.length) / twiceKilled)]!
    const killed = async (name: string): Promise<string> => {
      const folder = stage.folder(round, name)
      await stage.play(round, { command: 'play', folder, report: `${folder}.first` }, first)
      return folder
    }
    const calls = await stage.countOf(round, `recovery-${i}`, folder => ({ command: 'recover', folder, names: databases, from: recoveredFrom }), killed)
    for (const second of faultsIn(calls)) positions.push({ first, call, second })
  }
  return positions
}
