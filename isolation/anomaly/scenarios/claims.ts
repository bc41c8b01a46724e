/** Claims of unique keys: no level lets two rows have one, and they differ in what a transaction is told that comes too late. */
import { commit, constant, type Row, type Scenario, type Seen, stepsOver, type TableDefinition } from '../scenario.js'

const unique = (table: string, name: string, on: string): TableDefinition => ({ table, indexes: [{ name, on, unique: true }] })

const handles = stepsOver('handles')
const isFree = { holds: (seen: Seen): boolean => seen.rows('ada').length === 0, otherwise: 'it is taken' }

const refusedThoughFree: Scenario = {
  id: 'unique-told',
  title: 'Told free, refused as taken',
  legend: 'a name is free when it is asked for and taken when it is claimed',
  story:
    'Two people want to be called ada. Each asks the unique index whether anybody is, and claims the name where nobody is: they ' +
    'have done all to be sure. One gets it. If the other is told that the name is taken, it has been told two things in one ' +
    'transaction that were never true at once. A conflict it could try again after, and would find out on its own.',
  source:
    'PostgreSQL isolation test "read-write-unique" (2016); G-single in Adya 1999 (thesis), chapter 4, the refusal being taken as ' +
    'a read',
  initial: [handles.row('user-1', { name: 'eve' })],
  tables: [unique('handles', 'byName', 'name')],
  sessions: ['user-2', 'user-3'].map(user => ({
    label: `${user} is ada`,
    steps: [handles.indexGet('byName', 'ada'), handles.put(user, constant({ name: 'ada' }), isFree), commit],
  })),
  witness: { kind: 'phenomenon', phenomenon: 'G-single' },
  allowedAt: ['read-committed'],
}

interface Claim {
  readonly colour: string
  readonly team: string
}
const isGivenOnce = (rows: readonly Row[], field: string): boolean =>
  new Set(rows.map(({ value }) => (value as Record<string, unknown>)[field])).size === rows.length

const colours = stepsOver('colours')

const crossedClaims: Scenario = {
  id: 'unique-claims',
  title: 'Claims that cross',
  legend: 'two teams claim the same two colours in opposite order, and both get them',
  story:
    'Two teams each claim red and blue as their colours, one red first, the other blue. A unique index gives each colour to one ' +
    'team at most. One team gets both and the other is told that it got neither; if the claims are looked at before they are ' +
    'made, or one by one, both teams have both colours, or each has half of what it was promised.',
  source:
    'Two instances of Kleppmann, "Designing Data-Intensive Applications", 2017, chapter 7, "Claiming a username", in opposite ' +
    'order; G2 in Adya, Liskov, O’Neil, ICDE 2000, section 5',
  initial: [colours.row('claim-0', { colour: 'green', team: 'newts' })],
  tables: [unique('colours', 'byColour', 'colour')],
  sessions: ([['owls', 'red', 'blue'], ['bears', 'blue', 'red']] as const).map(([team, ...wanted]) => ({
    label: `${team} claim`,
    steps: [...wanted.map((colour, at) => colours.put(`${team}-${at + 1}`, constant({ colour, team } satisfies Claim))), commit],
  })),
  witness: {
    kind: 'invariant',
    invariant: {
      sentence: 'every colour belongs to one team, and red and blue to the same',
      holds: rows => isGivenOnce(rows, 'colour') && new Set(rows.map(({ value }) => (value as Claim).team)).size <= 2,
    },
  },
  allowedAt: [],
}

const frequencies = stepsOver('frequencies')

const ringOfClaims: Scenario = {
  id: 'unique-ring',
  title: 'Claims in a ring',
  legend: 'of three stations each claims a frequency that the next one claims too',
  story:
    'Three stations each claim two frequencies: the first 100 and 101, the second 101 and 102, the third 102 and 100. Any two of ' +
    'them want one in common, so one station gets its two and the others get none. All three may try at once, and every claim is ' +
    'made before any is decided.',
  source:
    'Three instances of Kleppmann, "Designing Data-Intensive Applications", 2017, chapter 7, "Claiming a username", in a ring; ' +
    'G2 in Adya, Liskov, O’Neil, ICDE 2000, section 5',
  initial: [frequencies.row('station-0', { claimed: ['99'] })],
  tables: [{ table: 'frequencies', indexes: [{ name: 'byFrequency', on: 'claimed', many: true, unique: true }] }],
  sessions: ([['100', '101'], ['101', '102'], ['102', '100']] as const).map((claimed, at) => ({
    label: `station ${at + 1}`,
    steps: [frequencies.put(`station-${at + 1}`, constant({ claimed })), commit],
  })),
  witness: {
    kind: 'invariant',
    invariant: {
      sentence: 'every frequency belongs to one station',
      holds: rows => {
        const claimed = rows.flatMap(({ value }) => (value as { claimed: readonly string[] }).claimed)
        return new Set(claimed).size === claimed.length
      },
    },
  },
  allowedAt: [],
}

const seats = stepsOver('seats')
const seatIn = (seen: Seen, passenger: string): string => (seen.value(passenger) as { seat: string }).seat

const swappedKeys: Scenario = {
  id: 'unique-swap',
  title: 'Swaps under a unique index',
  legend: 'two swaps of seats meet, and two passengers have one seat',
  story:
    'Every seat of a train is given once: there is a unique index by seat. Ada and Bob swap their seats, and at the same moment ' +
    'Bob and Cleo do. In the middle of a swap two passengers have one seat, which must not be held against it; but where a swap ' +
    'is made from seats that are out of date, Cleo ends up on the seat that Ada has just been given.',
  source:
    'P4 in Berenson et al. 1995, section 4.1, where a unique index would be broken; constraints at the commit: Gray, Reuter, ' +
    '"Transaction Processing", 1993',
  initial: [seats.row('ada', { seat: '1' }), seats.row('bob', { seat: '2' }), seats.row('cleo', { seat: '3' })],
  tables: [unique('seats', 'bySeat', 'seat')],
  sessions: ([['ada', 'bob'], ['cleo', 'bob']] as const).map(([one, other]) => ({
    label: `${one} and ${other}`,
    steps: [
      seats.get(one),
      seats.get(other),
      seats.put(one, seen => ({ seat: seatIn(seen, other) })),
      seats.put(other, seen => ({ seat: seatIn(seen, one) })),
      commit,
    ],
  })),
  witness: { kind: 'invariant', invariant: { sentence: 'every seat is given once', holds: rows => isGivenOnce(rows, 'seat') } },
  allowedAt: [],
}

export const claims: readonly Scenario[] = [refusedThoughFree, crossedClaims, ringOfClaims, swappedKeys]
