/** A process with 32 clients ends in every way that a process can end, at a random moment: it ends at once, and keeps what was acknowledged. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { DriverProcess, Ending } from '../driver-process.js'
import { firstLine, patienceMs, type Family, type Round } from '../family.js'
import { Oracle } from '../oracle.js'
import type { End } from '../driver.js'

/** How long a process may take to end. */
const endsWithinMs = 2_000

interface Way {
  readonly name: string
  readonly how?: End['how']
  /** Sent from outside. */
  readonly signal?: NodeJS.Signals
  readonly ends: Pick<Ending, 'code' | 'signal'>
}

const ways: readonly Way[] = [
  { name: 'SIGTERM', signal: 'SIGTERM', ends: { code: null, signal: 'SIGTERM' } },
  { name: 'SIGINT', signal: 'SIGINT', ends: { code: null, signal: 'SIGINT' } },
  { name: 'SIGHUP', signal: 'SIGHUP', ends: { code: null, signal: 'SIGHUP' } },
  { name: 'SIGTERM, upon which it closes', how: 'close on SIGTERM', signal: 'SIGTERM', ends: { code: 0, signal: null } },
  { name: 'process.exit()', how: 'exit', ends: { code: 7, signal: null } },
  { name: 'process.exit() in a body', how: 'exit in a body', ends: { code: 7, signal: null } },
  { name: 'an uncaught exception', how: 'throw', ends: { code: 1, signal: null } },
  { name: 'an uncaught exception in a hook', how: 'throw in a hook', ends: { code: 1, signal: null } },
  { name: 'an unhandled rejection', how: 'reject', ends: { code: 1, signal: null } },
  { name: 'worker.terminate()', how: 'terminate', ends: { code: 0, signal: null } },
]

export const shutdown: Family = {
  name: 'shutdown',
  about: 'signals, process.exit(), exceptions, rejections, worker.terminate() during commits and checkpoints; counts ends',
  perRound: 1,
  control: { broken: 'acknowledgements said before the write, or relaxed ones taken for durable', noticedAs: ['lost'] },
  async play(round) {
    const { chance, isControl, seed } = round
    const way = ways[seed % ways.length]!
    const bulk = chance.is(0.6)
    const afterMs = chance.below(bulk ? 2_500 : 800)
    const directory = round.path('data')
    const mode = isControl ? (chance.is(0.5) ? 'early' : 'relaxed') : 'honest'
    const end = way.how === undefined ? {} : { end: { how: way.how, afterMs } }
    const writer = round.start({ command: 'write', directory, report: round.newReport(), seed: chance.below(2 ** 32), mode, bulk, ...end })
    await endOf(round, writer, way, afterMs)
    const oracle = new Oracle()
    oracle.take(writer.task.report)
    await round.judge(directory, oracle, way.name)
    round.count(way.name)
    round.close(oracle)
  },
}

async function endOf(round: Round, writer: DriverProcess, { name, signal, ends }: Way, afterMs: number): Promise<void> {
  if (signal !== undefined) {
    if ((await writer.says('F ', patienceMs)) === undefined) round.found('hangs', 'a writer did not open')
    await sleep(afterMs)
    writer.signal(signal)
  } else if ((await writer.says('E', patienceMs)) === undefined) round.found('hangs', `a writer did not come to ${name}`)
  const ending = await writer.endsWithin(endsWithinMs)
  if (ending === undefined) round.found('hangs', `${name}: the process did not end within ${endsWithinMs / 1_000} s`)
  else if (ending.code !== ends.code || ending.signal !== ends.signal) {
    round.found('crashes', `${name}: the process ended with ${ending.signal ?? `exit code ${ending.code}`}: ${firstLine(ending.complaint)}`)
  }
}
