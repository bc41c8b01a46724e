/** A range that moves under its transaction: `read-committed` allows these, `snapshot` prevents them. */
import { commit, constant, type Scenario, type Seen, stepsOver } from '../scenario.js'

const allowedAt = ['read-committed'] as const

const tasks = stepsOver('tasks')

const rangeReadSkew: Scenario = {
  id: 'G-single-range',
  title: 'Read skew on ranges',
  legend: 'a row moves from one range to the other between two reads, and is in both',
  story:
    'A report lists the open tasks and then the finished ones. In between somebody finishes a task: its row leaves the ' +
    'first range and appears in the second. The report has it in both lists, or, asking the other way round, in neither.',
  source:
    'G-single in Adya 1999 (thesis), chapter 4, through a predicate; Hermitage "g-single", the test with predicate ' +
    'dependencies',
  initial: [tasks.row('done/plan', 'Mia'), tasks.row('open/build', 'Nils')],
  sessions: [
    {
      label: 'reports',
      steps: [tasks.range('open', { gte: 'open/', lt: 'open0' }), tasks.range('done', { gte: 'done/', lt: 'done0' }), commit],
    },
    { label: 'finishes', steps: [tasks.delete('open/build'), tasks.put('done/build', constant('Nils')), commit] },
  ],
  witness: { kind: 'phenomenon', phenomenon: 'G-single' },
  allowedAt,
}

const parcels = stepsOver('parcels')

const manyPreceders: Scenario = {
  id: 'PMP',
  title: 'Predicate-many-preceders',
  legend: 'two reads of overlapping ranges disagree about a row that is in both',
  story:
    'Parcels are kept by weight. A customs officer asks for those above 20 kg, finds none, then asks for those above 10 ' +
    'kg, and one of 30 kg is among them. Each answer is true of some state; there is no state of which both are.',
  source:
    'Bailis et al., "Highly Available Transactions", PVLDB 7(3), 2013 (PMP: extended version, arXiv:1302.0309, appendix A); ' +
    'Hermitage "pmp"',
  initial: [parcels.row('kg-05', 'books'), parcels.row('kg-12', 'shoes')],
  sessions: [
    { label: 'inspects', steps: [parcels.range('heavy', { gte: 'kg-20' }), parcels.range('most', { gte: 'kg-10' }), commit] },
    { label: 'hands in 30 kg', steps: [parcels.put('kg-30', constant('tiles')), commit] },
  ],
  witness: { kind: 'phenomenon', phenomenon: 'G-single' },
  allowedAt,
}

const pupils = stepsOver('pupils')
const isThere = (seen: Seen, pupil: string): boolean => seen.rows('pupils').some(({ key }) => key === pupil)

const manyPrecedersOfWrites: Scenario = {
  id: 'PMP-write',
  title: 'Predicate-many-preceders with a write predicate',
  legend: 'rows deleted as a whole range come back under other keys',
  story:
    'At the end of the year everybody moves up: all pupils are read, deleted, and written again one class higher. ' +
    'Meanwhile class 3 leaves, in one deletion of the whole class. Whichever comes first, the school loses a pupil. If the ' +
    'deletion falls in between, then Carol, who left, turns up in class 4, and Bob fills the class that is no more.',
  source:
    'Hermitage "pmp", the test for write predicates, after PostgreSQL’s documentation of read committed; Bailis et al., ' +
    '"Highly Available Transactions", PVLDB 7(3), 2013 (PMP)',
  initial: [pupils.row('class-2/bob', 'Bob'), pupils.row('class-3/carol', 'Carol')],
  sessions: [
    {
      label: 'all move up',
      steps: [
        pupils.range('pupils'),
        pupils.deleteRange(
          {},
          { holds: seen => isThere(seen, 'class-2/bob') && isThere(seen, 'class-3/carol'), otherwise: 'class 3 has left' },
        ),
        pupils.put('class-3/bob', constant('Bob')),
        pupils.put('class-4/carol', constant('Carol')),
        commit,
      ],
    },
    { label: 'class 3 leaves', steps: [pupils.deleteRange({ gte: 'class-3/', lt: 'class-30' }), commit] },
  ],
  witness: { kind: 'phenomenon', phenomenon: 'G-single' },
  allowedAt,
}

export const predicates: readonly Scenario[] = [rangeReadSkew, manyPreceders, manyPrecedersOfWrites]
