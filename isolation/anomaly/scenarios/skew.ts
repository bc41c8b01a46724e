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
    'One transaction asks for the first row of a queue and appends behind the last; the other asks for the last row and inserts ' +
    'before the first. A scan that stops after one row has also learnt that nothing lies in front of it, and each of them ' +
    'makes the other’s answer untrue.',
  source: 'G2 in Adya, Liskov, O’Neil, ICDE 2000, section 5, for scans that stop early (next-key: Mohan, VLDB 1990)',
  initial: [row('d', 1), row('k', 2), row('r', 3)],
  sessions: [
    { label: 'first, appends', steps: [begin, range('first', { limit: 1 }), put('v', seen => total(seen, 'first')), commit] },
    { label: 'last, prepends', steps: [begin, range('last', { limit: 1, reverse: true }), put('a', constant(0)), commit] },
  ],
  witness: { kind: 'phenomenon', phenomenon: 'G2' },
  allowedAt,
}

export const skew: readonly Scenario[] = [itemSkew, emptyRange, filledRange, limitedRange]
