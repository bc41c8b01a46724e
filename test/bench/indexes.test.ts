import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startCensus } from '../../bench/census.js'
import {
  changedAltogether,
  changedInRank,
  distinctChanges,
  entriesOf,
  indexKeys,
  indexNames,
  newPerson,
  newPeople,
  peopleAfter,
  randomChanges,
  replacement,
  type Change,
  type Changes,
  type IndexName,
  type Person,
} from '../../bench/people.js'
import type { PeopleStore, PeopleSubject } from '../../bench/people-store.js'
import { premisedbPeople } from '../../bench/subjects/premisedb-people.js'
import { workloads } from '../../bench/workloads/index.js'

const count = 200
const seed = 7

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'premise-bench-test-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

interface Fault {
  readonly losesWrites?: boolean
  readonly keepsEntries?: boolean
}

/** Keeps its rows in a Map. An index is made of the rows, or of those that were loaded. */
function toy({ losesWrites = false, keepsEntries = false }: Fault = {}): PeopleSubject {
  const rows = new Map<number, Person>()
  let loaded: Person[] = []
  const unused = (): never => expect.unreachable()
  const store: PeopleStore = {
    load: async people => {
      for (const [id, person] of people) rows.set(id, person)
      loaded = [...rows.values()]
    },
    read: body => body(tx),
    write: body => body(tx),
    close: async () => {},
  }
  const put = (id: number, person: Person): void => void (losesWrites || rows.set(id, person))
  const entries = (index: IndexName): (number | string)[][] => entriesOf(keepsEntries ? loaded : [...rows.values()], index)
  const tx = { get: (id: number) => rows.get(id), put, putRank: put, entries, range: unused, getByEmail: unused, rangeOfTeam: unused, rangeByPoints: unused, keysByPoints: unused }
  return { name: 'toy', settings: '', indexes: indexNames, open: () => Promise.resolve(store) }
}

/** What is said at the end of two rounds of changes. */
async function proofOf(subject: PeopleSubject): Promise<string> {
  const contestant = await startCensus({
    subject,
    directory,
    people: count,
    changesOf: ({ number }) => randomChanges(count, 300, seed, number),
    change: changedAltogether,
    async run(store, { ids, amounts }) {
      for (const [i, id] of ids.entries()) await store.write(tx => tx.put(id, changedAltogether(tx.get(id)!, id, amounts[i]!)))
    },
  })
  try {
    for (const number of [0, 1]) await contestant.round({ number, isWarmUp: number === 0 })
    return await contestant.finish()
  } finally {
    await contestant.dispose()
  }
}

const reversed = ({ ids, amounts }: Changes): Changes => ({ ids: ids.toReversed(), amounts: amounts.toReversed() })
const replaced: Change = (_, id, amount) => replacement(id, amount, count)

test.each([
  ['random changes of all indexes', randomChanges, changedAltogether],
  ['random changes of one index', randomChanges, changedInRank],
  ['replacements of distinct people', distinctChanges, replaced],
] as const)('the order of %s does not matter, and who is changed has other entries', (_, changesOf, change) => {
  const changes = changesOf(count, 150, seed)
  const people = peopleAfter(count, [changes], change)
  expect(peopleAfter(count, [reversed(changes)], change)).toEqual(people)
  const moving: readonly IndexName[] = change === changedInRank ? ['byTeam'] : indexNames
  for (const id of changes.ids) for (const index of moving) expect(indexKeys[index](people[id]!)).not.toEqual(indexKeys[index](newPerson(id, count)))
})

test('addresses are unique at any time', () => {
  const rounds = [randomChanges(count, 500, seed)]
  const addresses = [...newPeople(count)].map(([, { email }]) => email)
  const later = peopleAfter(count, rounds, changedAltogether).map(({ email }) => email)
  expect(new Set(addresses).size).toBe(count)
  expect(new Set(later).size).toBe(count)
})

test('entries are in the order of an index, with ties in the order of the keys', () => {
  const people = [3, 20, 3, 100].map(points => ({ ...newPerson(0, count), points }))
  expect(entriesOf(people, 'byPoints')).toEqual([
    [3, 0],
    [3, 2],
    [20, 1],
    [100, 3],
  ])
})

test('a subject proves that rows and indexes are what the changes make, and one that has fewer indexes says the same', async () => {
  const proof = await proofOf(toy())
  expect(proof).toMatch(/^200 people, 600 changes, checksum [0-9a-f]{8}, of the entries( [0-9a-f]{8}){3}$/)
  expect(await proofOf({ ...toy(), indexes: [] })).toBe(proof)
  expect(await proofOf(premisedbPeople(indexNames))).toBe(proof)
})

test('a subject that loses a write, or whose index stays behind, is found out', async () => {
  await expect(proofOf(toy({ losesWrites: true }))).rejects.toThrow('The people are not those that the changes make.')
  await expect(proofOf(toy({ keepsEntries: true }))).rejects.toThrow('The index byEmail does not hold what the rows say.')
})

test('every workload has a name of its own, and what its goals compare takes part', () => {
  expect(new Set(workloads.map(({ name }) => name)).size).toBe(workloads.length)
  for (const { entries, goals } of workloads) {
    const subjects = entries.map(({ subject }) => subject)
    expect(new Set(subjects).size).toBe(subjects.length)
    for (const { of, to } of goals) expect(subjects).toEqual(expect.arrayContaining([of, ...[to ?? []].flat()]))
  }
})
