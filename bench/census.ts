/** A contestant that changes people, each round on a store opened anew on the files that the round before left behind. In the end rows and indexes must be those that the changes make. */
import { Checksum } from './checksum.js'
import { entriesOf, indexNames, newPeople, peopleAfter, type Change, type Changes, type IndexName, type Person } from './people.js'
import type { PeopleReader, PeopleStore, PeopleSubject } from './people-store.js'
import type { Contestant, Round } from './workload.js'

export interface Census {
  readonly subject: PeopleSubject
  readonly directory: string
  /** How many people there are. */
  readonly people: number
  /** The work of a round, made before the clock starts. */
  readonly changesOf: (round: Round) => Changes
  /** What each change does. */
  readonly change: Change
  readonly run: (store: PeopleStore, changes: Changes) => Promise<void>
}

/** Values are changes per second. Closing the store, and with it all that was put off until then, is inside the timing. */
export async function startCensus({ subject, directory, people, changesOf, change, run }: Census): Promise<Contestant> {
  await fill(subject, directory, people)
  const done: Changes[] = []
  let running: PeopleStore | undefined
  return {
    async round(round) {
      const changes = changesOf(round)
      running = await subject.open(directory)
      const startedMs = performance.now()
      await run(running, changes)
      await running.close()
      const endedMs = performance.now()
      running = undefined
      done.push(changes)
      return (changes.ids.length / (endedMs - startedMs)) * 1_000
    },
    async finish() {
      const expected = expectationOf(peopleAfter(people, done, change))
      running = await subject.open(directory)
      await running.read(tx => compare(tx, subject.indexes, expected))
      return `${people} people, ${done.reduce((sum, { ids }) => sum + ids.length, 0)} changes, checksum ${expected.rows}, of the entries ${expected.entries.join(' ')}`
    },
    async dispose() {
      await running?.close()
    },
  }
}

export async function fill(subject: PeopleSubject, directory: string, people: number): Promise<void> {
  const store = await subject.open(directory)
  await store.load(newPeople(people))
  await store.close()
}

interface Expectation {
  readonly people: number
  readonly rows: string
  /** In the order of `indexNames`; also of indexes that not every subject has, for the proofs of all must be equal. */
  readonly entries: readonly string[]
}

function expectationOf(people: readonly Person[]): Expectation {
  return { people: people.length, rows: sumOfRows(people), entries: indexNames.map(index => sumOfEntries(entriesOf(people, index))) }
}

/** Throws where a change is missing or was made twice, and where an index does not hold what the rows say. */
function compare(tx: PeopleReader, indexes: readonly IndexName[], { people, rows, entries }: Expectation): void {
  const found = Array.from({ length: people }, (_, id) => {
    const person = tx.get(id)
    if (person === undefined) throw new Error(`Person ${id} is missing.`)
    return person
  })
  if (sumOfRows(found) !== rows) throw new Error('The people are not those that the changes make.')
  for (const index of indexes) {
    if (sumOfEntries(tx.entries(index)) !== entries[indexNames.indexOf(index)]) throw new Error(`The index ${index} does not hold what the rows say.`)
  }
}

function sumOfRows(people: readonly Person[]): string {
  const sum = new Checksum()
  for (const { email, team, rank, points, changes, note } of people) for (const part of [email, team, rank, points, changes, note]) sum.add(part)
  return sum.toString()
}

function sumOfEntries(entries: Iterable<readonly (number | string)[]>): string {
  const sum = new Checksum()
  for (const entry of entries) for (const part of entry) sum.add(part)
  return sum.toString()
}
