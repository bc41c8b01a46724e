/** Updates of one row that meet, as applications know them: dirty writes and lost updates. `snapshot` prevents them all. */
import { commit, constant, type Row, type Scenario, type Seen, stepsOver } from '../scenario.js'

const allowedAt = ['read-committed'] as const

const valueOf = (rows: readonly Row[], key: string): unknown => rows.find(row => row.key === key)?.value

const cars = stepsOver('cars')

const carSale: Scenario = {
  id: 'car-sale',
  title: 'Car sale with invoice',
  legend: 'one person gets the car and another the invoice',
  story:
    'Alice and Bob buy the same car at the same moment. A sale writes two rows, the buyer and whom the invoice goes to. ' +
    'Only one of the sales can stand, and either may; but if the writes of the two mix, the car is Bob’s and the invoice ' +
    'Alice’s.',
  source:
    'Kleppmann, "Designing Data-Intensive Applications", 2017, chapter 7, "No dirty writes"; G0 in Adya, Liskov, O’Neil, ' +
    'ICDE 2000',
  initial: [cars.row('buyer', 'nobody'), cars.row('invoice', 'nobody')],
  sessions: ['alice', 'bob'].map(name => ({
    label: `${name} buys`,
    steps: [cars.put('buyer', constant(name)), cars.put('invoice', constant(name)), commit],
  })),
  witness: {
    kind: 'invariant',
    invariant: { sentence: 'who has the car gets the invoice', holds: rows => valueOf(rows, 'buyer') === valueOf(rows, 'invoice') },
  },
  allowedAt: [],
}

const game = stepsOver('game')
type Square = { readonly column: number; readonly row: number }
const figure = (seen: Seen): Square => seen.value('figure') as Square

const gameFigure: Scenario = {
  id: 'game-figure',
  title: 'Game figure',
  legend: 'two players move one figure, and one of the moves is lost',
  story:
    'Two players of a team move the same figure, one a row up, one a column to the left. Each looks where it stands, ' +
    'writes where it goes, and notes the move. Both moves are noted, and the figure has made only one of them.',
  source: 'Kleppmann, "Designing Data-Intensive Applications", 2017, chapter 7, "Preventing Lost Updates" (example 7-1)',
  initial: [game.row('figure', { column: 5, row: 4 })],
  sessions: [
    {
      label: 'anna moves up',
      steps: [
        game.get('figure'),
        game.put('figure', seen => ({ ...figure(seen), row: figure(seen).row + 1 })),
        game.put('move/anna', constant('up')),
        commit,
      ],
    },
    {
      label: 'bob moves left',
      steps: [
        game.get('figure'),
        game.put('figure', seen => ({ ...figure(seen), column: figure(seen).column - 1 })),
        game.put('move/bob', constant('left')),
        commit,
      ],
    },
  ],
  witness: {
    kind: 'invariant',
    invariant: {
      sentence: 'the figure stands where the noted moves lead',
      holds: rows => {
        const { column, row } = valueOf(rows, 'figure') as Square
        return row === (valueOf(rows, 'move/anna') ? 5 : 4) && column === (valueOf(rows, 'move/bob') ? 4 : 5)
      },
    },
  },
  allowedAt,
}

const counters = stepsOver('counters')
const countOne = [counters.get('visitors'), counters.put('visitors', (seen: Seen) => seen.number('visitors') + 1)]

const counterIncrements: Scenario = {
  id: 'counter-increments',
  title: 'Counter increments',
  legend: 'two turnstiles let two visitors in each, and fewer than four are counted',
  story:
    'Two turnstiles share one counter of visitors. Each lets a group of two in: it reads the counter and writes one more, ' +
    'and once again for the second visitor. Where the groups meet, one overwrites what the other has counted.',
  source:
    'Kleppmann, "Designing Data-Intensive Applications", 2017, chapter 7, figure 7-1; P4 in Berenson et al. 1995, section ' +
    '4.1',
  initial: [counters.row('visitors', 0)],
  sessions: [
    { label: 'north gate', steps: [...countOne, ...countOne, commit] },
    { label: 'south gate', steps: [...countOne, ...countOne, commit] },
  ],
  witness: { kind: 'phenomenon', phenomenon: 'P4' },
  allowedAt,
}

const mail = stepsOver('mail')

const unreadCounter: Scenario = {
  id: 'unread-counter',
  title: 'Unread counter',
  legend: 'a mailbox and its counter of unread messages drift apart',
  story:
    'A mailbox keeps its messages and, so that nobody has to count, how many are unread. A delivery adds a message and one ' +
    'to the counter. The reader opens the mailbox, marks the first message as read and writes how many others are unread. ' +
    'Where they meet, the counter is wrong, and stays so until somebody counts.',
  source:
    'After Kleppmann, "Designing Data-Intensive Applications", 2017, chapter 7, "Single-Object and Multi-Object Operations"; ' +
    'P4 in Berenson et al. 1995, section 4.1',
  initial: [mail.row('message/1', 'unread'), mail.row('unread', 1)],
  sessions: [
    {
      label: 'delivers',
      steps: [mail.get('unread'), mail.put('message/2', constant('unread')), mail.put('unread', seen => seen.number('unread') + 1), commit],
    },
    {
      label: 'reads the first',
      steps: [
        mail.range('messages', { gte: 'message/', lt: 'message0' }),
        mail.put('message/1', constant('read')),
        mail.put('unread', seen => seen.rows('messages').filter(({ key }) => key !== 'message/1').length),
        commit,
      ],
    },
  ],
  witness: {
    kind: 'invariant',
    invariant: {
      sentence: 'the counter says how many messages are unread',
      holds: rows => valueOf(rows, 'unread') === rows.filter(({ value }) => value === 'unread').length,
    },
  },
  allowedAt,
}

export const updates: readonly Scenario[] = [carSale, gameFigure, counterIncrements, unreadCounter]
