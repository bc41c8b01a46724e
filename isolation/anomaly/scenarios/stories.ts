/** Write skew as applications meet it: a rule that every transaction checks and that is broken all the same. */
import { commit, type Condition, constant, type Row, type Scenario, type Seen, stepsOver } from '../scenario.js'

const allowedAt = ['read-committed', 'snapshot'] as const

const isOnCall = (value: unknown): boolean => (value as { onCall: boolean }).onCall
const nobody = { onCall: false }
const doctors = stepsOver('doctors')
const enoughOnCall = {
  holds: (seen: Seen): boolean => seen.rows('doctors').filter(doctor => isOnCall(doctor.value)).length >= 2,
  otherwise: 'nobody else is on call',
}

const doctorsOnCall: Scenario = {
  id: 'doctors-on-call',
  title: 'Doctors on call',
  legend: 'two doctors go off call at once and nobody is left',
  story:
    'A hospital needs at least one doctor on call. Anna and Nils are; each asks whether two are on call, sees that they are, ' +
    'and goes off call. Each was right when they looked, and afterwards the ward is empty.',
  source: 'Cahill, Röhm, Fekete, SIGMOD 2008; Ports, Grittner, PVLDB 5(12), 2012, section 2.1',
  initial: [doctors.row('anna', { onCall: true }), doctors.row('mia', nobody), doctors.row('nils', { onCall: true })],
  sessions: [
    { label: 'anna leaves', steps: [doctors.range('doctors'), doctors.put('anna', constant(nobody), enoughOnCall), commit] },
    { label: 'nils leaves', steps: [doctors.range('doctors'), doctors.put('nils', constant(nobody), enoughOnCall), commit] },
  ],
  witness: {
    kind: 'invariant',
    invariant: { sentence: 'at least one doctor is on call', holds: rows => rows.some(doctor => isOnCall(doctor.value)) },
  },
  allowedAt,
}

const bookings = stepsOver('bookings')
const startOf = (key: string): string => key.slice('blue/'.length)
const untilOf = (value: unknown): string => (value as { until: string }).until
/** Bookings are keyed by room and start, so those that begin before noon are one range of keys. */
const beforeNoon = { gte: 'blue/00:00', lt: 'blue/12:00' }

const freeAt = (from: string, until: string): Condition => ({
  holds: seen => seen.rows('before noon').every(({ key, value }) => untilOf(value) <= from || startOf(key) >= until),
  otherwise: 'the room is taken',
})

function overlap(rows: readonly Row[]): boolean {
  const booked = rows.map(({ key, value }) => ({ from: startOf(key), until: untilOf(value) }))
  return booked.some((first, i) => booked.some((second, j) => i < j && first.from < second.until && second.from < first.until))
}

const meetingRoom: Scenario = {
  id: 'meeting-room',
  title: 'Meeting room',
  legend: 'two meetings are booked into one room at overlapping times',
  story:
    'Two people want the blue room, one from 9:00 to 11:00 and one from 10:00 to 12:00. Each looks for bookings in the way, sees ' +
    'none, and adds its own under a key of its own. No row was written twice, and the room is booked twice.',
  source: 'Kleppmann, "Designing Data-Intensive Applications", 2017, chapter 7, "Write Skew and Phantoms"',
  initial: [bookings.row('blue/08:00', { until: '09:00' })],
  sessions: [
    {
      label: 'from 9 to 11',
      steps: [
        bookings.range('before noon', beforeNoon),
        bookings.put('blue/09:00', constant({ until: '11:00' }), freeAt('09:00', '11:00')),
        commit,
      ],
    },
    {
      label: 'from 10 to 12',
      steps: [
        bookings.range('before noon', beforeNoon),
        bookings.put('blue/10:00', constant({ until: '12:00' }), freeAt('10:00', '12:00')),
        commit,
      ],
    },
  ],
  witness: { kind: 'invariant', invariant: { sentence: 'no two bookings overlap', holds: rows => !overlap(rows) } },
  allowedAt,
}

const names = stepsOver('names')
const nameIsFree = { holds: (seen: Seen): boolean => seen.rows('ada').length === 0, otherwise: 'the name is taken' }
/** The rows of an index from name to user: `name/id`. */
const ada = { gte: 'ada/', lt: 'ada0' }

const uniqueUserName: Scenario = {
  id: 'unique-user-name',
  title: 'Unique user name',
  legend: 'two users register the same name',
  story:
    'Names are kept as rows "name/id". Two people register as ada: each looks for rows that begin with "ada/", finds none and ' +
    'inserts one with an id of its own. The rows have different keys, so nothing collides, and the name is taken twice.',
  source: 'Kleppmann, "Designing Data-Intensive Applications", 2017, chapter 7, "Claiming a username"',
  initial: [names.row('adam/user-1', {}), names.row('eve/user-2', {})],
  sessions: [
    { label: 'user 3 is ada', steps: [names.range('ada', ada), names.put('ada/user-3', constant({}), nameIsFree), commit] },
    { label: 'user 4 is ada', steps: [names.range('ada', ada), names.put('ada/user-4', constant({}), nameIsFree), commit] },
  ],
  witness: {
    kind: 'invariant',
    invariant: {
      sentence: 'no name belongs to two users',
      holds: rows => new Set(rows.map(({ key }) => key.slice(0, key.indexOf('/')))).size === rows.length,
    },
  },
  allowedAt,
}

const accounts = stepsOver('accounts')
const coversEighty = {
  holds: (seen: Seen): boolean => seen.number('checking') + seen.number('savings') >= 80,
  otherwise: 'the two accounts do not cover it',
}

const doubleSpend: Scenario = {
  id: 'double-spend',
  title: 'Double spend',
  legend: 'two withdrawals, each covered by both accounts, together overdraw them',
  story:
    'A customer may overdraw one account as long as checking and savings together stay above zero. Two withdrawals of 80 each ' +
    'check the sum, 100, and each takes its money from a different account: 60 more than there was.',
  source: 'Constraint violation in Berenson et al. 1995, section 4.2 (A5B); Kleppmann 2017, chapter 7, "Preventing double-spending"',
  initial: [accounts.row('checking', 50), accounts.row('savings', 50)],
  sessions: (['checking', 'savings'] as const).map(account => ({
    label: `80 from ${account}`,
    steps: [
      accounts.get('checking'),
      accounts.get('savings'),
      accounts.put(account, seen => seen.number(account) - 80, coversEighty),
      commit,
    ],
  })),
  witness: {
    kind: 'invariant',
    invariant: {
      sentence: 'checking and savings together are not below zero',
      holds: rows => rows.reduce((sum, account) => sum + Number(account.value), 0) >= 0,
    },
  },
  allowedAt,
}

export const stories: readonly Scenario[] = [doctorsOnCall, meetingRoom, uniqueUserName, doubleSpend]
