/**
 * What can be wrong with a history: each phenomenon's definition and its source, and which of them each level rules out.
 *
 * The sources: A. Adya, "Weak Consistency" (PhD thesis, MIT, 1999; "Adya 1999"); Adya, Liskov, O'Neil, "Generalized Isolation
 * Level Definitions" (ICDE 2000; "ALO 2000"); Berenson et al., "A Critique of ANSI SQL Isolation Levels" (SIGMOD 1995); Bailis
 * et al., "Highly Available Transactions" (PVLDB 7(3), 2013; definitions in arXiv:1302.0309, appendix A).
 *
 * Cycles are cycles of the direct serialization graph (`graph.ts`) that pass no transaction twice. Adya's classes contain each
 * other: his G1c every G0, his G2 every G2-item and every G-single. Here a cycle is named by what it consists of, so that a
 * report says one thing about it. What his levels rule out is the same set of histories, as sums:
 *
 *   PL-1     no G0                        PL-2     no G0, G1a, G1b, G1c
 *   PL-2+    PL-2 and no G-single         PL-2.99  PL-2, no G2-item, no G-single without a range
 *   PL-3     PL-2, no G-single, no G2-item, no G2
 */
import type { Level } from '../../types.js'

export interface Definition {
  /** A few words: "a cycle of overwrites". */
  readonly summary: string
  readonly definition: string
  readonly source: string
}

/** Every phenomenon, the worst first. */
export const allPhenomena = [
  'G0',
  'G1a',
  'G1b',
  'G1c',
  'PMP',
  'P4',
  'G-single',
  'G2-item',
  'G2',
  'strictness',
  'own-write-missed',
  'impossible-read',
  'impossible-state',
] as const

export type Phenomenon = (typeof allPhenomena)[number]

export const phenomena: Readonly<Record<Phenomenon, Definition>> = {
  'G0': {
    summary: 'a cycle of overwrites',
    definition: 'A cycle of write dependencies.',
    source: 'ALO 2000, section 5 (PL-1); Adya 1999, chapter 3; P0 in Berenson et al. 1995, section 3',
  },
  'G1a': {
    summary: 'a read of what an aborted transaction wrote',
    definition: 'A committed transaction read, as a row, in a range, or as an absence, a version whose writer aborted.',
    source: 'ALO 2000, section 5 (PL-2); Adya 1999, chapter 3',
  },
  'G1b': {
    summary: 'a read of a version that its own writer replaced',
    definition: 'A committed transaction read a version of a row that was not the last one its writer gave to that row.',
    source: 'ALO 2000, section 5 (PL-2); Adya 1999, chapter 3',
  },
  'G1c': {
    summary: 'a cycle of overwrites and reads',
    definition: 'A cycle of write and read dependencies with at least one read dependency.',
    source: 'ALO 2000, section 5 (PL-2), where it includes G0; Adya 1999, chapter 3',
  },
  'PMP': {
    summary: 'two ranges of one transaction that disagree about a row in both',
    definition:
      'Two range reads of one committed transaction overlap, and different sets of transactions have changed which rows lie in ' +
      'the overlap: a row is in one answer and not in the other, or was deleted and written anew between the versions seen. ' +
      'Rows that the transaction itself wrote before the second read do not count.',
    source: 'Bailis et al. 2013, appendix A (PMP, ruled out by predicate cut isolation)',
  },
  'P4': {
    summary: 'an update made from a value that had been overwritten meanwhile',
    definition:
      'A committed transaction read a version of a row and installed a later one, and another transaction installed a version of ' +
      'the row in between: a G-single on one row.',
    source: 'Berenson et al. 1995, section 4.1, in terms of versions',
  },
  'G-single': {
    summary: 'a cycle with one read of what was overwritten later',
    definition: 'A cycle with exactly one anti-dependency.',
    source: 'Adya 1999, chapter 4 (PL-2+); A5A in Berenson et al. 1995, section 4.2, is an instance',
  },
  'G2-item': {
    summary: 'a cycle with two or more reads of rows that were overwritten later',
    definition: 'A cycle with two or more anti-dependencies, none of them through a row that a range did not contain.',
    source: 'ALO 2000, section 5 (PL-2.99), where one anti-dependency is enough; A5B in Berenson et al. 1995, section 4.2, is an instance',
  },
  'G2': {
    summary: 'a cycle with two or more reads of what was overwritten later, one a range that missed a row',
    definition: 'A cycle with two or more anti-dependencies, at least one through a row that a range did not contain.',
    source: 'ALO 2000, section 5 (PL-3), where any anti-dependency is enough; Adya 1999, chapter 3',
  },
  'strictness': {
    summary: 'a transaction that comes before one that was acknowledged before it began',
    definition:
      'A transaction was acknowledged before another began, and yet a path of dependencies leads from the other to it. (An order ' +
      'in real time is an interval order, so a cycle through several such pairs contains a shorter one through a single pair.)',
    source:
      'Strict serializability: Papadimitriou, Journal of the ACM 26(4), 1979; Herlihy, Wing, ACM TOPLAS 12(3), 1990; as a start-ordered ' +
      'graph: Adya 1999, chapter 4',
  },
  'own-write-missed': {
    summary: 'a transaction that does not see what it wrote itself',
    definition: 'A committed transaction wrote a row and then read another version of it.',
    source: 'The condition on the order of events in Adya 1999, section 3.1: who reads an object that it wrote reads its own version',
  },
  'impossible-read': {
    summary: 'a read of something that nobody wrote, or a range out of its bounds or order',
    definition: 'A committed transaction read a version that the history does not hold, or got rows out of bounds, limit or order.',
    source: 'Not an interleaving: histories that Adya 1999, section 3.1, does not admit',
  },
  'impossible-state': {
    summary: 'a row at the end that no committed transaction left there',
    definition: 'The final version of a row is not one that can be the last of its version order.',
    source: 'Not an interleaving: histories that Adya 1999, section 3.1, does not admit',
  },
}

const broken = ['own-write-missed', 'impossible-read', 'impossible-state'] as const
const dirty = ['G0', 'G1a', 'G1b', 'G1c', ...broken] as const

/** What must never occur in a history of transactions that are all of this level, whatever they do. */
export const forbiddenAt: Readonly<Record<Level, ReadonlySet<Phenomenon>>> = {
  'read-committed': new Set<Phenomenon>(dirty),
  'snapshot': new Set<Phenomenon>([...dirty, 'PMP', 'P4', 'G-single']),
  'serializable': new Set<Phenomenon>(allPhenomena),
}
