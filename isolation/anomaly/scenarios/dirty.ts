/** Anomalies that even `read-committed` prevents: writes that tangle, and reads of what was never really there. */
import { abort, commit, constant, type Scenario, stepsOver } from '../scenario.js'

const { get, put, row } = stepsOver('items')
const initial = [row('x', 0), row('y', 0)]

const writeCycle: Scenario = {
  id: 'G0',
  title: 'Write cycle (dirty write)',
  legend: 'two transactions overwrite each other: x ends with one, y with the other',
  story:
    'Two transactions each set x and y to a value of their own. Whichever goes first, x and y must end up from the same ' +
    'transaction. If their writes may interleave, x keeps the value of one and y that of the other: a state that neither ' +
    'of them wanted.',
  source: 'Adya, Liskov, O’Neil, ICDE 2000, section 5 (G0); P0 in Berenson et al. 1995, section 3; Hermitage "g0"',
  initial,
  sessions: [
    { label: 'both to 1', steps: [put('x', constant(1)), put('y', constant(1)), commit] },
    { label: 'both to 2', steps: [put('x', constant(2)), put('y', constant(2)), commit] },
  ],
  witness: { kind: 'phenomenon', phenomenon: 'G0' },
  allowedAt: [],
}

const abortedRead: Scenario = {
  id: 'G1a',
  title: 'Aborted read',
  legend: 'a committed transaction read what an aborted one had written',
  story:
    'One transaction writes x and then changes its mind and aborts. Another reads x in between and commits. It has acted on a ' +
    'value that, as far as the database is concerned, never existed.',
  source: 'Adya, Liskov, O’Neil, ICDE 2000, section 5 (G1a); Hermitage "g1a"',
  initial,
  sessions: [
    { label: 'aborts', steps: [put('x', constant(1)), abort] },
    { label: 'reads', steps: [get('x'), get('y'), commit] },
  ],
  witness: { kind: 'phenomenon', phenomenon: 'G1a' },
  allowedAt: [],
}

const intermediateRead: Scenario = {
  id: 'G1b',
  title: 'Intermediate read',
  legend: 'a committed transaction read a value that its writer replaced before committing',
  story:
    'One transaction writes x twice: a draft, then the final value. Another reads x in between and sees the draft, which the ' +
    'writer never meant to publish.',
  source: 'Adya, Liskov, O’Neil, ICDE 2000, section 5 (G1b); Hermitage "g1b"',
  initial,
  sessions: [
    { label: 'drafts', steps: [put('x', constant('draft')), put('x', constant('final')), commit] },
    { label: 'reads', steps: [get('x'), get('y'), commit] },
  ],
  witness: { kind: 'phenomenon', phenomenon: 'G1b' },
  allowedAt: [],
}

const circularInformation: Scenario = {
  id: 'G1c',
  title: 'Circular information flow',
  legend: 'two transactions each read what the other wrote',
  story:
    'One transaction writes x and reads y, the other writes y and reads x. If each sees the other’s write, then each happened ' +
    'after the other, which no order in time allows.',
  source: 'Adya, Liskov, O’Neil, ICDE 2000, section 5 (G1c); Hermitage "g1c"',
  initial,
  sessions: [
    { label: 'x then y', steps: [put('x', constant(1)), get('y'), commit] },
    { label: 'y then x', steps: [put('y', constant(2)), get('x'), commit] },
  ],
  witness: { kind: 'phenomenon', phenomenon: 'G1c' },
  allowedAt: [],
}

const orders = stepsOver('orders')

const observedTransactionVanishes: Scenario = {
  id: 'OTV',
  title: 'Observed transaction vanishes',
  legend: 'a transaction sees one row of another, then no longer sees the next',
  story:
    'An order and its line are written in one transaction. A packer sees that there is an order, then looks for its line and ' +
    'finds none: the transaction that was there a moment ago is gone again. An empty parcel leaves the house.',
  source:
    'Bailis et al., "Highly Available Transactions", PVLDB 7(3), 2013 (OTV: extended version, arXiv:1302.0309, appendix A); ' +
    'Hermitage "otv"',
  initial: [],
  sessions: [
    { label: 'orders', steps: [orders.put('order', constant('Ada')), orders.put('order-line', constant('3 lamps')), commit] },
    {
      label: 'packs',
      steps: [
        orders.get('order'),
        orders.get('order-line'),
        orders.put('parcel', seen => seen.value('order-line') ?? 'nothing', {
          holds: seen => seen.value('order') !== undefined,
          otherwise: 'there is no order',
        }),
        commit,
      ],
    },
  ],
  witness: {
    kind: 'invariant',
    invariant: {
      sentence: 'the parcel holds what was ordered',
      holds: rows => {
        const parcel = rows.find(({ key }) => key === 'parcel')
        return !parcel || parcel.value === rows.find(({ key }) => key === 'order-line')?.value
      },
    },
  },
  allowedAt: [],
}

export const dirty: readonly Scenario[] = [writeCycle, abortedRead, intermediateRead, circularInformation, observedTransactionVanishes]
