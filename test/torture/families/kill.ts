/** kill -9 of a writer with 32 clients at a random moment, five times over one directory, which is never repaired or closed between. */
import { setTimeout as sleep } from 'node:timers/promises'
import { patienceMs, type Family, type Round } from '../family.js'
import { Oracle } from '../oracle.js'

export const kill: Family = {
  name: 'kill',
  about: 'kill -9 of a writer with 32 clients at a random moment; counts kills',
  perRound: 5,
  control: { broken: 'acknowledgements said before the write, or relaxed ones taken for durable', noticedAs: ['lost'] },
  async play(round) {
    const directory = round.path('data')
    const oracle = new Oracle()
    for (let i = 0; i < round.events; i++) await killOne(round, directory, oracle)
    await round.judge(directory, oracle, 'the kills')
    round.close(oracle)
  },
}

/** A moment after the writer has said what it found; sometimes while it is still opening. */
async function killOne(round: Round, directory: string, oracle: Oracle): Promise<void> {
  const { chance, isControl } = round
  const bulk = chance.is(0.4)
  const mode = isControl ? (round.seed % 2 === 0 ? 'early' : 'relaxed') : 'honest'
  const writer = round.start({ command: 'write', directory, report: round.newReport(), seed: chance.below(2 ** 32), mode, bulk })
  if (chance.is(0.2)) await sleep(40 + chance.next() * 200)
  else {
    if ((await writer.says('A ', patienceMs)) === undefined && !writer.hasEnded) round.found('hangs', 'a writer came to no commit')
    await sleep(chance.next() * (bulk ? 3_000 : 1_200))
  }
  const { code, signal, complaint } = await writer.kill()
  if (signal !== 'SIGKILL') round.found('crashes', `a writer ended by itself with ${signal ?? `exit code ${code}`}: ${complaint}`)
  const refusals = writer.lines.filter(line => line.startsWith('X '))
  if (refusals.length > 0) round.found('wrong', `a writer could not write: ${refusals[0]}`)
  if (oracle.take(writer.task.report)) round.count('states judged')
}
