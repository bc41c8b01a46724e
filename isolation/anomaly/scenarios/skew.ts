/** Write skew: each transaction overwrites what the other relied on. Only `serializable` prevents it. */
import { begin, commit, constant, type Scenario, type Seen, stepsOver } from '../scenario.js'

const { get, put, range, row } = stepsOver('items')
const allowedAt = ['read-committed', 'snapshot'] as const

const total = (seen: Seen, name: string): number => seen.rows(name).reduce((sum, found) => sum + Number(found.value), 0)

const itemSkew: Scenario = {
  id: 'G2-item',
  title: 'Write skew on rows',
  legend: 'each transaction reads x and y and writes the one that the other relied on',
  story:
    'Two transactions both read x and y. The first then changes x, the second changes y. Neither overwrites the other, so ' +
    'comparing writes finds nothing wrong, yet each decided on a value that the other has made untrue.',
  source:
    'A5B in Berenson et al. 1995, section 4.2; G2-item in Adya, Liskov, O’Neil, ICDE 2000, section 5; Hermitage "g2-item"',
  initial: [row('x', 1), row('y', 2)],
  sessions: [
    { label: 'writes x', steps: [get('x'), get('y'), put('x', seen => seen.number('x') + seen.number('y')), commit] },
    { label: 'writes y', steps: [get('x'), get('y'), put('y', seen => seen.number('x') + seen.number('y')), commit] },
  ],
  witness: { kind: 'phenomenon', phenomenon: 'G2-item' },
  allowedAt,
}

const emptyRange: Scenario = {
  id: 'G2-empty-range',
  title: 'Write skew on an empty range',
  legend: 'both find a range empty and both insert into it',
  story:
    'Two transactions look for rows in the same range, find none, and each inserts one because there was none. There was no ' +
    'row that either could have marked as read: an engine has to remember the emptiness itself.',
  source: 'G2 in Adya, Liskov, O’Neil, ICDE 2000, section 5; phantoms: Eswaran et al., CACM 1976; Hermitage "g2"',
  initial: [row('a', 1), row('z', 1)],
  sessions: [
    { label: 'inserts m', steps: [begin, range('middle', { gte: 'm', lt: 'n' }), put('m1', seen => total(seen, 'middle') + 1), commit] },
    { label: 'inserts m too', steps: [begin, range('middle', { gte: 'm', lt: 'n' }), put('m2', seen => total(seen, 'middle') + 1), commit] },
  ],
  witness: { kind: 'phenomenon', phenomenon: 'G2' },
  allowedAt,
}

const filledRange: Scenario = {
  id: 'G2-range',
  title: 'Write skew on a range (phantom)',
  legend: 'both add up the rows of a range and insert one more into it',
  story:
    'Two transactions add up all rows of a range and insert the sum as a new row of that range. The rows they saw stay as they ' +
    'were; what each misses is the row that the other put between them, a phantom.',
  source: 'A3/P3 in Berenson et al. 1995, section 3; G2 in Adya, Liskov, O’Neil, ICDE 2000, section 5; Hermitage "g2"',
  initial: [row('b', 10), row('d', 20), row('x', 99)],
  sessions: [
    { label: 'sum into c', steps: [range('all', { gte: 'a', lte: 'f' }), put('c', seen => total(seen, 'all')), commit] },
    { label: 'sum into e', steps: [range('all', { gte: 'a', lte: 'f' }), put('e', seen => total(seen, 'all')), commit] },
  ],
  witness: { kind: 'phenomenon', phenomenon: 'G2' },
  allowedAt,
}

const limitedRange: Scenario = {
  id: 'G2-limit',
  title: 'Write skew on the first and the last row',
  legend: 'one takes the first row, one the last, each adds beyond the other’s end',
  story:
    'One transaction asks for the first row of a queue and appends behind the last; the other asks for the last row and ' +
    'inserts before the first. A scan that stops after one row has also learnt that nothing lies in front of it, and each ' +
    'of them makes the other’s answer untrue.',
  source: 'G2 in Adya, Liskov, O’Neil, ICDE 2000, section 5, for scans that stop early (next-key: Mohan, VLDB 1990)',
  initial: [row('d', 1), row('k', 2), row('r', 3)],
  sessions: [
    { label: 'first, appends', steps: [begin, range('first', { limit: 1 }), put('v', seen => total(seen, 'first')), commit] },
    { label: 'last, prepends', steps: [begin, range('last', { limit: 1, reverse: true }), put('a', constant(0)), commit] },
  ],
  witness: { kind: 'phenomenon', phenomenon: 'G2' },
  allowedAt,
}

const leave = stepsOver('leave')
const monday = { gte: 'monday/', lt: 'monday0' }
const taken = 'somebody has that day off already'

const countedRange: Scenario = {
  id: 'G2-count',
  title: 'Write skew through a count',
  legend: 'two nurses count 0 colleagues on leave and both take the day off',
  story:
    'At most one nurse may be on leave on a day. Two want the Monday: each counts how many have it off, gets 0, and enters ' +
    'herself. No row was returned to either of them, only a number, and a number is as much of a premise as a row.',
  source: 'G2 in Adya, Liskov, O’Neil, ICDE 2000, section 5, through a number of rows; phantoms: Eswaran et al., CACM 1976',
  initial: [leave.row('sunday/mia', 'off')],
  sessions: [
    { label: 'anna is off', steps: [leave.countNone(monday, taken), leave.put('monday/anna', constant('off')), commit] },
    { label: 'eve is off', steps: [leave.countNone(monday, taken), leave.put('monday/eve', constant('off')), commit] },
  ],
  witness: {
    kind: 'invariant',
    invariant: {
      sentence: 'at most one nurse is off on Monday',
      holds: rows => rows.filter(({ key }) => key.startsWith('monday/')).length <= 1,
    },
  },
  allowedAt,
}

const auction = stepsOver('auction')
const bids = { gte: 'bid/', lt: 'bid0' }

const firstAndLast: Scenario = {
  id: 'G2-first-last',
  title: 'Write skew through a first and a last row',
  legend: 'an auction closes on its highest bid while a higher one comes in',
  story:
    'The auctioneer takes the last of the bids, which are kept by amount, and enters the sale. A bidder asks for the first ' +
    'sale, finds none and bids more. The auctioneer relied on nothing lying beyond the highest bid, the bidder on nothing ' +
    'having been sold: each wrote into the other’s gap.',
  source:
    'G2 in Adya, Liskov, O’Neil, ICDE 2000, section 5, through the gaps at the ends of a range (next-key: Mohan, VLDB 1990)',
  initial: [auction.row('bid/20', 'Mia'), auction.row('bid/30', 'Nils')],
  sessions: [
    {
      label: 'closes',
      steps: [auction.last('highest', bids), auction.put('sold', seen => seen.rows('highest')[0]?.key ?? 'for nothing'), commit],
    },
    {
      label: 'bids 40',
      steps: [
        auction.first('sale', { gte: 'sold' }),
        auction.put('bid/40', constant('Ada'), { holds: seen => seen.rows('sale').length === 0, otherwise: 'it is sold' }),
        commit,
      ],
    },
  ],
  witness: {
    kind: 'invariant',
    invariant: {
      sentence: 'what was sold went to the highest bid',
      holds: rows => {
        const sold = rows.find(({ key }) => key === 'sold')
        return !sold || rows.every(({ key }) => key === 'sold' || key <= String(sold.value))
      },
    },
  },
  allowedAt,
}

const guests = stepsOver('guests')
const comesUnless = (other: string) => ({ holds: (seen: Seen): boolean => seen.value(other) === undefined, otherwise: `${other} comes` })

const absentKey: Scenario = {
  id: 'G2-absent-key',
  title: 'Write skew on absent rows',
  legend: 'each of two reads that the other’s row is absent, and writes its own',
  story:
    'Anna comes to the party unless Bob does, and Bob comes unless Anna does. Each looks for the other’s name on the list, ' +
    'does not find it, and signs up. What they read was two rows that did not exist.',
  source:
    'G2-item in Adya, Liskov, O’Neil, ICDE 2000, section 5, through versions that are not yet born; phantoms: Eswaran et ' +
    'al., CACM 1976',
  initial: [guests.row('cleo', 'comes')],
  sessions: [
    { label: 'anna', steps: [guests.get('bob'), guests.put('anna', constant('comes'), comesUnless('bob')), commit] },
    { label: 'bob', steps: [guests.get('anna'), guests.put('bob', constant('comes'), comesUnless('anna')), commit] },
  ],
  witness: {
    kind: 'invariant',
    invariant: {
      sentence: 'Anna and Bob are not both there',
      holds: rows => rows.filter(({ key }) => key === 'anna' || key === 'bob').length <= 1,
    },
  },
  allowedAt,
}

const watch = stepsOver('watch')
const isOn = (next: string) => ({ holds: (seen: Seen): boolean => seen.value(next) === 'on', otherwise: `${next} is gone` })

const threeWays: Scenario = {
  id: 'G2-three-way',
  title: 'Write skew of three',
  legend: 'three guards each leave because the next is there, and nobody is left',
  story:
    'Three guards stand in a ring. Each may leave while the next one stays: Anna while Bob is on, Bob while Cleo is, Cleo ' +
    'while Anna is. Any two of them may leave at once. If all three do, each was right about the next, and the ring is ' +
    'empty: a cycle that no look at two transactions finds.',
  source: 'G2-item in Adya, Liskov, O’Neil, ICDE 2000, section 5; cycles of any length: Fekete et al., ACM TODS 30(2), 2005',
  initial: [watch.row('anna', 'on'), watch.row('bob', 'on'), watch.row('cleo', 'on')],
  sessions: ([['anna', 'bob'], ['bob', 'cleo'], ['cleo', 'anna']] as const).map(([guard, next]) => ({
    label: `${guard} leaves`,
    steps: [watch.get(next), watch.put(guard, constant('off'), isOn(next)), commit],
  })),
  witness: {
    kind: 'invariant',
    invariant: { sentence: 'somebody is on', holds: rows => rows.some(({ value }) => value === 'on') },
  },
  allowedAt,
}

export const skew: readonly Scenario[] = [
  itemSkew,
  emptyRange,
  filledRange,
  limitedRange,
  countedRange,
  firstAndLast,
  absentKey,
  threeWays,
]
