/**
 * The data and the work of the workloads about indexes: people with an address that is unique, with points, and with a rank in a team of ten. The changes of a round
 * add up, or are of different people: the final state does not depend on the order in which concurrent ones commit, and whoever knows the changes knows the state.
 */
import { integersFrom } from './random.js'

export interface Person {
  /** Unique at any time: a new one is made of the person and of the number of changes. */
  readonly email: string
  readonly team: string
  readonly rank: number
  readonly points: number
  /** How often the person was changed. */
  readonly changes: number
  readonly note: string
}

export const teamSize = 10
/** Points and ranks are below it. */
export const bound = 1_000_000

const noteLength = 32

export type IndexName = 'byEmail' | 'byPoints' | 'byTeam'
export const indexNames: readonly IndexName[] = ['byEmail', 'byPoints', 'byTeam']

/** What the indexes are on, as tuples. Neighbours in an index are no neighbours in the table. */
export const indexKeys: Readonly<Record<IndexName, (person: Person) => readonly (number | string)[]>> = {
  byEmail: ({ email }) => [email],
  byPoints: ({ points }) => [points],
  byTeam: ({ team, rank }) => [team, rank],
}

export function* newPeople(count: number): Generator<[id: number, Person]> {
  for (let id = 0; id < count; id++) yield [id, newPerson(id, count)]
}

/** The person `id` of `count` before the first change. */
export function newPerson(id: number, count: number): Person {
  const integer = integersFrom(id, count)
  let note = ''
  while (note.length < noteLength) note += integer(2 ** 30).toString(36)
  return { email: emailOf(id, 0), team: teamOf(id, count), rank: integer(bound), points: integer(bound), changes: 0, note: note.slice(0, noteLength) }
}

/** Its members' keys lie apart. */
export function teamOf(id: number, count: number): string {
  return `team ${String(id % (count / teamSize)).padStart(6, '0')}`
}

/** In another place of the order for every person and every change. */
function emailOf(id: number, changes: number): string {
  const scattered = (Math.imul(Math.imul(id + 1, 0x9e37_79b1) ^ (changes + 1), 0x85eb_ca6b) >>> 0).toString(36).padStart(7, '0')
  return `${scattered}.${id}.${changes}@example.org`
}

/** What becomes of a person. */
export type Change = (person: Person, id: number, amount: number) => Person

/** Moves the entry of every index. Commutes. */
export const changedAltogether: Change = (person, id, amount) => ({
  ...person,
  email: emailOf(id, person.changes + 1),
  rank: (person.rank + amount) % bound,
  points: (person.points + amount) % bound,
  changes: person.changes + 1,
})

/** Moves the entry of `byTeam` only. Commutes. */
export const changedInRank: Change = (person, _, amount) => ({ ...person, rank: (person.rank + amount) % bound, changes: person.changes + 1 })

/** Puts another in the place of the person, who need not be known. Moves the entry of every index; does not commute. */
export const replacement = (id: number, amount: number, count: number): Person => ({
  email: emailOf(id, amount),
  team: teamOf(id, count),
  rank: bound - amount,
  points: amount,
  changes: 0,
  note: `replaced with ${amount}`.padEnd(noteLength, '.'),
})

/** Changes as columns, made before the clock starts. */
export interface Changes {
  readonly ids: Int32Array
  /** From 1 to `bound - 1`. */
  readonly amounts: Int32Array
}

/** Changes of random people, some of whom are changed more than once. */
export function randomChanges(people: number, count: number, ...seeds: readonly number[]): Changes {
  const integer = integersFrom(...seeds)
  const amounts = new Int32Array(count)
  const ids = new Int32Array(count)
  for (let i = 0; i < count; i++) {
    ids[i] = integer(people)
    amounts[i] = 1 + integer(bound - 1)
  }
  return { ids, amounts }
}

/** Changes of people in a random order, each of whom is changed once; at most as many as there are people. */
export function distinctChanges(people: number, count: number, ...seeds: readonly number[]): Changes {
  const integer = integersFrom(...seeds)
  const ids = Int32Array.from({ length: people }, (_, id) => id)
  const amounts = new Int32Array(Math.min(count, people))
  for (let i = 0; i < amounts.length; i++) {
    const other = i + integer(people - i)
    ;[ids[i], ids[other]] = [ids[other]!, ids[i]!]
    amounts[i] = 1 + integer(bound - 1)
  }
  return { ids: ids.slice(0, amounts.length), amounts }
}

/** The people after `rounds` of changes. */
export function peopleAfter(count: number, rounds: readonly Changes[], change: Change): Person[] {
  const people = Array.from({ length: count }, (_, id) => newPerson(id, count))
  for (const { ids, amounts } of rounds) ids.forEach((id, i) => (people[id] = change(people[id]!, id, amounts[i]!)))
  return people
}

/** What an index of these people holds, in its order: the elements of the index key, then the key of the row. */
export function entriesOf(people: readonly Person[], index: IndexName): (number | string)[][] {
  return people.map((person, id) => [...indexKeys[index](person), id]).sort(compareEntries)
}

function compareEntries(a: readonly (number | string)[], b: readonly (number | string)[]): number {
  const at = a.findIndex((element, i) => element !== b[i])
  return at === -1 ? 0 : a[at]! < b[at]! ? -1 : 1
}
