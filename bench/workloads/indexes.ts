/** What indexes cost when rows are written, and what they give when rows are read. */
import { fill, startCensus } from '../census.js'
import { closedLoop } from '../clients.js'
import { operationsPerSecond } from '../operation.js'
import {
  changedAltogether,
  changedInRank,
  distinctChanges,
  entriesOf,
  indexNames,
  newPerson,
  randomChanges,
  replacement,
  teamOf,
  teamSize,
  type Change,
  type Changes,
  type IndexName,
  type Person,
} from '../people.js'
import { numberOfIndexes, type PeopleReader, type PeopleStore, type PeopleSubject } from '../people-store.js'
import { integersFrom } from '../random.js'
import { inWords } from '../report/text.js'
import { betterSqlite3People } from '../subjects/better-sqlite3-people.js'
import { premisedbPeople } from '../subjects/premisedb-people.js'
import type { Contestant, Context, Entry, Goal, Workload } from '../workload.js'

const people = { full: 100_000, quick: 10_000 }
const clients = 64
/** Rows of a range. */
const rangeRows = 10
/** A round is not much longer than this for a store that syncs each commit by itself. */
const roundSeconds = { full: 15, quick: 1 }
/** The warm-up does this part of a round. */
const warmUpShare = 0.1
const rounds = { full: 5, quick: 2 }
const roundMs = { full: 1_000, quick: 150 }

const inFlight =
  `${clients} in flight, each acknowledged when it is on disk (better-sqlite3 has nothing asynchronous: it does the ${clients} one after the other, each synced). Inside the timing: all transactions, ` +
  'the checkpoints they cause, and closing the store, which moves everything into its main file.'
const amongRows = `${inWords(people.full)} rows`

/** Who takes part with these indexes: PremiseDB, then the other. */
function entriesWith(indexes: readonly IndexName[], start: (subject: PeopleSubject, context: Context) => Promise<Contestant>): Entry[] {
  const [ours, theirs] = [premisedbPeople(indexes), betterSqlite3People(indexes)]
  return [
    { subject: ours.name, peer: undefined, settings: ours.settings, start: context => start(ours, context) },
    { subject: theirs.name, peer: 'better-sqlite3', settings: theirs.settings, start: context => start(theirs, context) },
  ]
}

/** With three indexes. */
function atLeastAsFast(workload: string): Goal {
  const of = numberOfIndexes(indexNames)
  return { name: `${workload}/better-sqlite3`, of: `premisedb/${of}`, to: `better-sqlite3/${of}`, op: '>=', target: 1 }
}

interface Writing {
  /** Most transactions of a round. */
  readonly transactions: { readonly full: number; readonly quick: number }
  readonly changesOf: (people: number, count: number, ...seeds: readonly number[]) => Changes
  /** What a transaction makes of a person. */
  readonly change: (count: number) => Change
  readonly write: (store: PeopleStore, id: number, amount: number, count: number) => Promise<void> | void
}

const startWriting =
  ({ transactions, changesOf, change, write }: Writing) =>
  (subject: PeopleSubject, { quick, seed, syncsPerSecond, directory }: Context): Promise<Contestant> => {
    const length = quick ? 'quick' : 'full'
    const count = people[length]
    const perRound = Math.ceil(Math.min(transactions[length], syncsPerSecond * roundSeconds[length]))
    return startCensus({
      subject,
      directory,
      people: count,
      changesOf: ({ number, isWarmUp }) => changesOf(count, isWarmUp ? Math.ceil(perRound * warmUpShare) : perRound, seed, number),
      change: change(count),
      run: (store, { ids, amounts }) => closedLoop(clients, ids.length, index => write(store, ids[index]!, amounts[index]!, count)),
    })
  }

/** Reads a row and writes it, so that each of its index keys is another one. */
const updating: Writing = {
  transactions: { full: 60_000, quick: 3_000 },
  changesOf: randomChanges,
  change: () => changedAltogether,
  write: (store, id, amount) =>
    store.write(tx => {
      const person = tx.get(id)
      if (person === undefined) throw new Error(`Person ${id} is missing.`)
      tx.put(id, changedAltogether(person, id, amount))
    }),
}

/** Reads a team through its index, and gives one of its members another rank. */
const ranking: Writing = {
  transactions: { full: 60_000, quick: 3_000 },
  changesOf: randomChanges,
  change: () => changedInRank,
  write(store, id, amount, count) {
    const team = teamOf(id, count)
    return store.write(tx => {
      let members = 0
      let member: Person | undefined
      tx.rangeOfTeam(team, (found, person) => {
        members++
        if (found === id) member = person
      })
      if (members !== teamSize || member === undefined) throw new Error(`There are ${members} people in ${team}, or person ${id} is not among them.`)
      tx.putRank(id, changedInRank(member, id, amount))
    })
  },
}

/** Writes a row without reading it, so that each of its index keys is another one. */
const putting: Writing = {
  transactions: { full: 30_000, quick: 2_000 },
  changesOf: distinctChanges,
  change: count => (_, id, amount) => replacement(id, amount, count),
  write: (store, id, amount, count) => store.write(tx => tx.put(id, replacement(id, amount, count))),
}

/** Something to find out, and the sum of what is found. */
interface Question {
  readonly ask: (tx: PeopleReader) => number
  readonly sum: number
}

/** Questions that a transaction asks, and how many lookups they are. */
interface Inquiry {
  readonly questions: number
  /** The people as they are, and in the order of their points. */
  readonly question: (integer: (bound: number) => number, all: readonly Person[], byPoints: readonly (readonly [points: number, id: number])[]) => Question
}

/** Lists of questions, used in turn. */
const lists = 16

const startReading =
  ({ questions, question }: Inquiry) =>
  async (subject: PeopleSubject, { quick, seed, directory }: Context): Promise<Contestant> => {
    const length = quick ? 'quick' : 'full'
    await fill(subject, directory, people[length])
    const all = Array.from({ length: people[length] }, (_, id) => newPerson(id, people[length]))
    const byPoints = entriesOf(all, 'byPoints') as [number, number][]
    const integer = integersFrom(seed)
    const asked = Array.from({ length: lists }, () => Array.from({ length: questions }, () => question(integer, all, byPoints)))
    const store = await subject.open(directory)
    let list = 0
    const askAll = (tx: PeopleReader): void => {
      for (const { ask, sum } of asked[list++ % lists]!) if (ask(tx) !== sum) throw new Error(`${subject.name} found something else than the data has.`)
    }
    return {
      async round({ isWarmUp }) {
        return questions * (await operationsPerSecond(() => store.read(askAll), isWarmUp ? roundMs.quick : roundMs[length]))
      },
      finish: () => Promise.resolve(`each of ${inWords(lists * questions)} lookups found what the data of ${inWords(all.length)} people has`),
      dispose: () => store.close(),
    }
  }

const byKey: Inquiry = {
  questions: 1_000,
  question(integer, all) {
    const id = integer(all.length)
    return { ask: tx => tx.get(id)!.points, sum: all[id]!.points }
  },
}

const byEmail: Inquiry = {
  questions: 1_000,
  question(integer, all) {
    const { email, points } = all[integer(all.length)]!
    return { ask: tx => tx.getByEmail(email)!.points, sum: points }
  },
}

const rangeByKey: Inquiry = {
  questions: 200,
  question(integer, all) {
    const from = integer(all.length - rangeRows)
    return {
      ask: tx => sumOf(visit => tx.range(from, rangeRows, (id, { points }) => visit(id, points))),
      sum: sumOf(visit => all.slice(from, from + rangeRows).forEach(({ points }, i) => visit(from + i, points))),
    }
  },
}

/** From the points of one person on. */
const rangeByPoints = (read: (tx: PeopleReader, from: number, visit: (id: number, points: number) => void) => void): Inquiry => ({
  questions: 200,
  question(integer, _, byPoints) {
    let first = integer(byPoints.length - rangeRows)
    const [from] = byPoints[first]!
    while (byPoints[first - 1]?.[0] === from) first--
    return {
      ask: tx => sumOf(visit => read(tx, from, visit)),
      sum: sumOf(visit => byPoints.slice(first, first + rangeRows).forEach(([points, id]) => visit(id, points))),
    }
  },
})

const rowsByPoints = rangeByPoints((tx, from, visit) => tx.rangeByPoints(from, rangeRows, (id, { points }) => visit(id, points)))
const keysByPoints = rangeByPoints((tx, from, visit) => tx.keysByPoints(from, rangeRows, visit))

/** Of all that is visited: what was read is looked at, so that nobody can leave out the reading. */
function sumOf(visitAll: (visit: (id: number, points: number) => void) => void): number {
  let sum = 0
  visitAll((id, points) => (sum += id + points))
  return sum
}

export const indexes: readonly Workload[] = [
  {
    name: 'index-3-write',
    summary: `Transactions that read one of ${amongRows} and write it so that its entries in three indexes, one of them unique and one compound, move to other places; ${inFlight}`,
    unit: 'transactions/s',
    rounds,
    entries: entriesWith(indexNames, startWriting(updating)),
    goals: [atLeastAsFast('index-3-write')],
  },
  {
    name: 'index-range',
    summary:
      `Transactions that read a range of ${teamSize} of ${amongRows}, with the rows, through a compound index and write one of them so that its entry in that index moves; the table has two more ` +
      `indexes, whose entries stay; ${inFlight}`,
    unit: 'transactions/s',
    rounds,
    entries: entriesWith(indexNames, startWriting(ranking)),
    goals: [atLeastAsFast('index-range')],
  },
  {
    name: 'index-put',
    summary: `Transactions that put one of ${amongRows} without reading it, into tables with no index, one, and three; each entry moves to another place; ${inFlight}`,
    unit: 'transactions/s',
    rounds,
    entries: [[], ['byPoints' as const], indexNames].flatMap(chosen => entriesWith(chosen, startWriting(putting))),
    goals: [],
  },
  {
    name: 'index-get',
    summary: `Rows by primary key, of tables with no index, one, and three, which must not matter. Read-only transactions of ${inWords(byKey.questions)} reads each, of random rows among ${amongRows} in the main file.`,
    unit: 'reads/s',
    rounds,
    entries: [[], ['byPoints' as const], indexNames].flatMap(chosen => entriesWith(chosen, startReading(byKey))),
    goals: [],
  },
  {
    name: 'index-get-unique',
    summary: `The same by what a unique index has, of tables with that index only, and with three.`,
    unit: 'reads/s',
    rounds,
    entries: [['byEmail' as const], indexNames].flatMap(chosen => entriesWith(chosen, startReading(byEmail))),
    goals: [],
  },
  {
    name: 'index-scan',
    summary:
      `Ranges of ${rangeRows} rows through an index, of tables with that index only, and with three; and by primary key, of tables without an index, where the rows lie side by side. ` +
      `Read-only transactions of ${inWords(rowsByPoints.questions)} ranges each, at random places among ${amongRows} in the main file.`,
    unit: 'ranges/s',
    rounds,
    entries: [...entriesWith([], startReading(rangeByKey)), ...[['byPoints' as const], indexNames].flatMap(chosen => entriesWith(chosen, startReading(rowsByPoints)))],
    goals: [],
  },
  {
    name: 'index-scan-keys',
    summary: `The same through the index, keys only: no row is read.`,
    unit: 'ranges/s',
    rounds,
    entries: [['byPoints' as const], indexNames].flatMap(chosen => entriesWith(chosen, startReading(keysByPoints))),
    goals: [],
  },
]
