/** A database grows and shrinks by whole stretches of rows, and is closed or killed and opened after each: it opens, and holds exactly what it held. */
import { firstLine, patienceMs, type Family, type Round } from '../family.js'
import { readSound } from '../known-database.js'
import { digestOf, sortedKeys, type Reshape } from '../known-rows.js'

export const reopen: Family = {
  name: 'reopen',
  about: 'stretches of rows are put and deleted, the database is closed or killed and opened; counts openings',
  perRound: 4,
  control: { broken: 'changes are acknowledged before they are made', noticedAs: ['lost', 'wrong'] },
  async play(round) {
    const directory = round.path('data')
    const expected = new Map<string, string | null>()
    for (let i = 0; i < round.events; i++) {
      const changes = i === 0 ? [growth(round)] : [shrinkage(round), ...(round.chance.is(0.3) ? [growth(round)] : [])]
      const closes = round.chance.is(0.7)
      if (!(await change(round, directory, changes, closes))) return
      apply(expected, changes)
      if (!(await readSound(round, directory, expected, `a database that was ${closes ? 'closed' : 'killed'}`))) return
    }
  },
}

/** Returns whether the changes were acknowledged. */
async function change(round: Round, directory: string, changes: readonly Reshape[], closes: boolean): Promise<boolean> {
  const driver = round.start({ command: 'reshape', directory, report: round.newReport(), changes, closes, early: round.isControl })
  const acknowledged = (await driver.says('C', patienceMs)) !== undefined
  if (acknowledged && closes && !round.isControl) round.endedWell(await driver.endsWithin(patienceMs), 'a process that closes')
  const hangs = !acknowledged && !driver.hasEnded
  const { complaint } = await driver.kill()
  if (!acknowledged) round.found(hangs ? 'hangs' : 'crashes', `rows could not be changed: ${firstLine(complaint)}`)
  return acknowledged
}

function growth({ chance }: Round): Reshape {
  const from = chance.below(200)
  return { from, to: chance.between(from + 600, sortedKeys().length), text: 'grown '.repeat(chance.between(2, 100)) }
}

function shrinkage({ chance }: Round): Reshape {
  const from = chance.below(1_400)
  return { from, to: chance.is(0.6) ? sortedKeys().length : chance.between(from, sortedKeys().length), text: null }
}

function apply(expected: Map<string, string | null>, changes: readonly Reshape[]): void {
  for (const { from, to, text } of changes) for (const key of sortedKeys().slice(from, to)) expected.set(key.join(' '), text === null ? null : digestOf(text))
}
