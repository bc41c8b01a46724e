/** Rows that are found through an index: a premise over what rows say, not over what they are called. */
import { commit, constant, type Scenario, type Seen, stepsOver, type TableDefinition } from '../scenario.js'

const allowedAt = ['read-committed', 'snapshot'] as const

interface Valued {
  readonly value: unknown
}
const by = (table: string, index: string, on: string, unique = false): TableDefinition => ({ table, indexes: [{ name: index, on, ...(unique && { unique }) }] })

const shifts = stepsOver('shifts')
const nobodyThere = { holds: (seen: Seen): boolean => seen.rows('sunday').length === 0, otherwise: 'somebody is there' }

const emptyIndexRange: Scenario = {
  id: 'G2-index-empty',
  title: 'Write skew on an empty range of an index',
  legend: 'both find nobody on a day and both enter somebody',
  story:
    'Nobody is down for Sunday. Two managers look Sunday up in an index by day, find no row, and each enters a stand-in, under ' +
    'a number of its own. The rows have nothing in common but the day, and that is in their values: what neither may rely on ' +
    'any longer is an emptiness in the index.',
  source:
    'G2 in Adya, Liskov, O’Neil, ICDE 2000, section 5; phantoms: Eswaran et al., CACM 1976; through an index: Mohan, VLDB 1990 ' +
    '(key-value locking)',
  initial: [shifts.row('shift-1', { day: 'saturday', who: 'Mia' }), shifts.row('shift-2', { day: 'tuesday', who: 'Nils' })],
  tables: [by('shifts', 'byDay', 'day')],
  sessions: (['Anna', 'Bob'] as const).map((who, at) => ({
    label: `enters ${who}`,
    steps: [
      shifts.indexRange('sunday', 'byDay', { prefix: ['sunday'] }),
      shifts.put(`shift-${at + 3}`, constant({ day: 'sunday', who }), nobodyThere),
      commit,
    ],
  })),
  witness: {
    kind: 'invariant',
    invariant: {
      sentence: 'at most one is there on Sunday',
      holds: rows => rows.filter(({ value }) => (value as { day: string }).day === 'sunday').length <= 1,
    },
  },
  allowedAt,
}

const orders = stepsOver('orders')
interface Order {
  readonly project: string
  readonly cost: number
}
const costOf = (rows: readonly Valued[], project: string): number =>
  rows.map(({ value }) => value as Order).reduce((sum, order) => sum + (order.project === project ? order.cost : 0), 0)
const leaves = (cost: number) => ({
  holds: (seen: Seen): boolean => costOf(seen.rows('roof'), 'roof') + cost <= 100,
  otherwise: 'the budget is used up',
})

const filledIndexRange: Scenario = {
  id: 'G2-index-range',
  title: 'Write skew on a range of an index (phantom)',
  legend: 'two orders for one project each fit into its budget, together they do not',
  story:
    'A project may cost 100. Two buyers each look up its orders by project, add them up to 40, and order for 50 and for 40: 90 and ' +
    '80, either is within the budget. No order that was added up was touched by anybody, and the project costs 130.',
  source: 'A3/P3 in Berenson et al. 1995, section 3; G2 in Adya, Liskov, O’Neil, ICDE 2000, section 5, through an index',
  initial: [orders.row('order-1', { project: 'roof', cost: 40 }), orders.row('order-2', { project: 'walls', cost: 90 })],
  tables: [by('orders', 'byProject', 'project')],
  sessions: ([['tiles', 50], ['beams', 40]] as const).map(([what, cost], at) => ({
    label: `orders ${what}`,
    steps: [
      orders.indexRange('roof', 'byProject', { prefix: ['roof'] }),
      orders.put(`order-${at + 3}`, constant({ project: 'roof', cost }), leaves(cost)),
      commit,
    ],
  })),
  witness: {
    kind: 'invariant',
    invariant: { sentence: 'the roof costs at most 100', holds: rows => costOf(rows, 'roof') <= 100 },
  },
  allowedAt,
}

const crates = stepsOver('crates')
interface Crate {
  readonly truck: string
  readonly kg: number
}
const loadOf = (rows: readonly Valued[]): number =>
  rows.map(({ value }) => value as Crate).reduce((sum, crate) => sum + (crate.truck === 'east' ? crate.kg : 0), 0)
const fits = { holds: (seen: Seen): boolean => loadOf(seen.rows('east')) <= 60, otherwise: 'the truck is full' }

const movedIn: Scenario = {
  id: 'G2-index-in',
  title: 'Write skew by moving rows into a range of an index',
  legend: 'two crates are loaded onto a truck that has room for one',
  story:
    'A truck takes 100 kg and has 40 on it. Two people each look up what is on it, in an index by truck, and move a crate of 40 kg ' +
    'over from another truck. No row is added: each changes a field of a row that was there all along, and by that ' +
    'the row comes to lie in the range that the other has read.',
  source: 'G2 in Adya, Liskov, O’Neil, ICDE 2000, section 5, where an update changes which rows a predicate matches',
  initial: [
    crates.row('crate-1', { truck: 'east', kg: 40 }),
    crates.row('crate-2', { truck: 'north', kg: 40 }),
    crates.row('crate-3', { truck: 'south', kg: 40 }),
  ],
  tables: [by('crates', 'byTruck', 'truck')],
  sessions: ['crate-2', 'crate-3'].map(crate => ({
    label: `loads ${crate}`,
    steps: [
      crates.indexRange('east', 'byTruck', { prefix: ['east'] }),
      crates.get(crate),
      crates.put(crate, seen => ({ ...(seen.value(crate) as Crate), truck: 'east' }), fits),
      commit,
    ],
  })),
  witness: {
    kind: 'invariant',
    invariant: { sentence: 'at most 100 kg are on the truck', holds: rows => loadOf(rows) <= 100 },
  },
  allowedAt,
}

const accounts = stepsOver('accounts')
interface Account {
  readonly owner: string
  readonly balance: number
}
const balanceOf = (rows: readonly Valued[]): number => rows.reduce((sum, { value }) => sum + (value as Account).balance, 0)
const coversEighty = { holds: (seen: Seen): boolean => balanceOf(seen.rows('mia')) >= 80, otherwise: 'the accounts do not cover it' }

const rowsThatStay: Scenario = {
  id: 'G2-index-rows',
  title: 'Write skew on rows found through an index',
  legend: 'two withdrawals from the accounts of one owner together overdraw them',
  story:
    'Mia may overdraw an account as long as all her accounts together are not below zero. Two withdrawals of 80 each look up her ' +
    'accounts in an index by owner, find 100, and each takes its money from another of them. The accounts stay hers, so nothing in ' +
    'the index changes: what has changed are the rows that were found there.',
  source: 'Constraint violation in Berenson et al. 1995, section 4.2 (A5B), as a search by owner',
  initial: [accounts.row('account-1', { owner: 'mia', balance: 50 }), accounts.row('account-2', { owner: 'mia', balance: 50 })],
  tables: [by('accounts', 'byOwner', 'owner')],
  sessions: ['account-1', 'account-2'].map(account => ({
    label: `80 from ${account}`,
    steps: [
      accounts.indexRange('mia', 'byOwner', { prefix: ['mia'] }),
      accounts.put(account, constant({ owner: 'mia', balance: -30 }), coversEighty),
      commit,
    ],
  })),
  witness: { kind: 'invariant', invariant: { sentence: 'all accounts together are not below zero', holds: rows => balanceOf(rows) >= 0 } },
  allowedAt,
}

const boats = stepsOver('boats')
const inTheBay = { prefix: ['bay'] }

const countedEntries: Scenario = {
  id: 'G2-index-count',
  title: 'Write skew through a count of an index',
  legend: 'two boats count 0 boats in a bay for one, and both sail there',
  story:
    'A bay has water for one boat. Two skippers each count, in an index by place, how many are there, get 0, and sail there. ' +
    'No row was looked at by either of them, only how many entries the index has: whoever has counted relies on the index, ' +
    'and on no row of the table.',
  source: 'G2 in Adya, Liskov, O’Neil, ICDE 2000, section 5, through a number of entries; phantoms: Eswaran et al., CACM 1976',
  initial: [boats.row('boat-1', { place: 'harbour' }), boats.row('boat-2', { place: 'harbour' }), boats.row('boat-3', { place: 'sea' })],
  tables: [by('boats', 'byPlace', 'place')],
  sessions: ['boat-1', 'boat-2'].map(boat => ({
    label: `${boat} sails`,
    steps: [boats.indexCountNone('byPlace', inTheBay, 'there is a boat'), boats.put(boat, constant({ place: 'bay' })), commit],
  })),
  witness: {
    kind: 'invariant',
    invariant: {
      sentence: 'at most one boat is in the bay',
      holds: rows => rows.filter(({ value }) => (value as { place: string }).place === 'bay').length <= 1,
    },
  },
  allowedAt,
}

const nurses = stepsOver('nurses')
interface Nurse {
  readonly ward: string
  readonly turn: string
}
const isAtNight = ({ value }: Valued): boolean => (value as Nurse).turn === 'night'
const twoAtNight = { holds: (seen: Seen): boolean => seen.rows('night').length >= 2, otherwise: 'the other has left' }

const movedOut: Scenario = {
  id: 'G2-index-out',
  title: 'Write skew by moving rows out of a range of an index',
  legend: 'two nurses change to the day at once and nobody is there at night',
  story:
    'A ward needs at least one nurse at night. Two are; each looks up the ward’s nights, in an index by ward and turn, sees two ' +
    'and changes to the day. Each row leaves the range by an update, and each left because of the row that the other took away.',
  source:
    'Cahill, Röhm, Fekete, SIGMOD 2008, as a search by ward and turn; G2-item in Adya, Liskov, O’Neil, ICDE 2000, section 5, where ' +
    'an update changes which rows a predicate matches',
  initial: [
    nurses.row('anna', { ward: 'blue', turn: 'night' }),
    nurses.row('mia', { ward: 'blue', turn: 'day' }),
    nurses.row('nils', { ward: 'blue', turn: 'night' }),
  ],
  tables: [{ table: 'nurses', indexes: [{ name: 'byTurn', on: ['ward', 'turn'] }] }],
  sessions: ['anna', 'nils'].map(nurse => ({
    label: `${nurse} changes`,
    steps: [
      nurses.indexRange('night', 'byTurn', { prefix: ['blue', 'night'] }),
      nurses.put(nurse, constant({ ward: 'blue', turn: 'day' }), twoAtNight),
      commit,
    ],
  })),
  witness: { kind: 'invariant', invariant: { sentence: 'somebody is there at night', holds: rows => rows.some(isAtNight) } },
  allowedAt,
}

const players = stepsOver('players')
const isUnused = (name: string) => ({ holds: (seen: Seen): boolean => seen.rows(name).length === 0, otherwise: `there is a ${name}` })
const nameIn = ({ value }: Valued): string => (value as { name: string }).name

const uniqueAbsences: Scenario = {
  id: 'G2-unique',
  title: 'Write skew through a unique index',
  legend: 'each takes a name because the other’s name is not taken',
  story:
    'In a game nobody may be called Sun while somebody is called Moon. One player asks a unique index of names for Moon, finds ' +
    'nobody and signs up as Sun; another asks for Sun and signs up as Moon. Each name is taken once, so the index has nothing to ' +
    'object to, and each has read an absence that the other ended.',
  source:
    'G2 in Adya, Liskov, O’Neil, ICDE 2000, section 5, through a predicate that at most one row matches; phantoms: Eswaran et ' +
    'al., CACM 1976',
  initial: [players.row('player-1', { name: 'star' })],
  tables: [by('players', 'byName', 'name', true)],
  sessions: ([['sun', 'moon'], ['moon', 'sun']] as const).map(([name, other], at) => ({
    label: `signs up as ${name}`,
    steps: [players.indexGet('byName', other), players.put(`player-${at + 2}`, constant({ name }), isUnused(other)), commit],
  })),
  witness: {
    kind: 'invariant',
    invariant: {
      sentence: 'there are not both a Sun and a Moon',
      holds: rows => rows.filter(row => ['sun', 'moon'].includes(nameIn(row))).length <= 1,
    },
  },
  allowedAt,
}

const bills = stepsOver('bills')
interface Bill {
  readonly month: string
  readonly cost: number
}
const totalOfMay = (rows: readonly Valued[]): number =>
  rows.map(({ value }) => value as Partial<Bill>).reduce((sum, { month, cost }) => sum + (month === 'may' ? cost! : 0), 0)
const closing = 'closing-may'
const isOpen = { holds: (seen: Seen): boolean => seen.value(closing) === undefined, otherwise: 'May is closed' }

const blindPut: Scenario = {
  id: 'G2-index-blind',
  title: 'Write skew of an index read and a blind put',
  legend: 'a month is closed with its sum while a bill is moved into it unread',
  story:
    'May is closed: its bills are looked up by month, added up, and the sum is entered. Meanwhile somebody who has made sure that ' +
    'May is open puts bill 2 anew, dated May. It was there before, dated April, which the writer neither knows nor asks: whoever ' +
    'stores the row has to find out where in the index it stood. The sum is that of a month that has one bill more.',
  source:
    'G2 in Adya, Liskov, O’Neil, ICDE 2000, section 5, with a blind write; the closed batch: Ports, Grittner, PVLDB 5(12), 2012, ' +
    'section 2.1.2',
  initial: [bills.row('bill-1', { month: 'may', cost: 10 }), bills.row('bill-2', { month: 'april', cost: 20 })],
  tables: [by('bills', 'byMonth', 'month')],
  sessions: [
    {
      label: 'closes May',
      steps: [
        bills.indexRange('may', 'byMonth', { prefix: ['may'] }),
        bills.put(closing, seen => ({ sum: totalOfMay(seen.rows('may')) })),
        commit,
      ],
    },
    { label: 'dates bill 2', steps: [bills.get(closing), bills.put('bill-2', constant({ month: 'may', cost: 20 }), isOpen), commit] },
  ],
  witness: {
    kind: 'invariant',
    invariant: {
      sentence: 'May was closed with the sum of its bills',
      holds: rows => {
        const closed = rows.find(({ key }) => key === closing)
        return !closed || (closed.value as { sum: number }).sum === totalOfMay(rows)
      },
    },
  },
  allowedAt,
}

const tickets = stepsOver('tickets')

const indexReadSkew: Scenario = {
  id: 'G-single-index',
  title: 'Read skew on an index',
  legend: 'one update moves a row through an index, and a report has it twice',
  story:
    'A report looks up the open tickets and then the closed ones, in an index by state. In between somebody closes a ticket: one ' +
    'update of one row, which leaves one place of the index and appears at another. The report has it in both lists, or, asking ' +
    'the other way round, in neither.',
  source: 'G-single in Adya 1999 (thesis), chapter 4, through a predicate; Hermitage "g-single", the test with predicate dependencies',
  initial: [tickets.row('ticket-1', { state: 'closed' }), tickets.row('ticket-2', { state: 'open' })],
  tables: [by('tickets', 'byState', 'state')],
  sessions: [
    {
      label: 'reports',
      steps: [
        tickets.indexRange('open', 'byState', { prefix: ['open'] }),
        tickets.indexRange('closed', 'byState', { prefix: ['closed'] }),
        commit,
      ],
    },
    { label: 'closes ticket 2', steps: [tickets.put('ticket-2', constant({ state: 'closed' })), commit] },
  ],
  witness: { kind: 'phenomenon', phenomenon: 'G-single' },
  allowedAt: ['read-committed'],
}

export const indexes: readonly Scenario[] = [
  indexReadSkew,
  emptyIndexRange,
  filledIndexRange,
  movedIn,
  movedOut,
  rowsThatStay,
  countedEntries,
  uniqueAbsences,
  blindPut,
]
