/** The names of what can be wrong with a history, and which of them each isolation level rules out. */
import type { Level } from '../../types.js'

/**
 * Adya's phenomena, told apart as finely as a reader of a report wants them: a cycle is named by its kinds of edges, so G1c here
 * has at least one read dependency (a cycle of writes alone is G0), G-single exactly one anti-dependency, G2-item at least two,
 * all on rows, and G2 at least two, one of them on a row that a range did not contain. P4 is the G-single on one row in which the
 * reader itself overwrites what it had not seen. The last three are not interleavings at all: a store that shows them is broken.
 */
export const phenomena = {
  'G0': 'a cycle of overwrites',
  'G1a': 'a read of what an aborted transaction wrote',
  'G1b': 'a read of a version that its own writer replaced',
  'G1c': 'a cycle of overwrites and reads',
  'P4': 'an update made from a value that had been overwritten meanwhile',
  'G-single': 'a cycle with one read of what was overwritten later',
  'G2-item': 'a cycle with two or more reads of rows that were overwritten later',
  'G2': 'a cycle with two or more reads of what was overwritten later, one a range that missed a row',
  'own-write-missed': 'a transaction that does not see what it wrote itself',
  'impossible-read': 'a read of something that nobody wrote, or a range out of its bounds or order',
  'impossible-state': 'a row at the end that no committed transaction left there',
} as const

export type Phenomenon = keyof typeof phenomena

const broken = ['own-write-missed', 'impossible-read', 'impossible-state'] as const
const dirty = ['G0', 'G1a', 'G1b', 'G1c', ...broken] as const

/** What must never occur in a history of transactions that are all of this level, whatever they do. */
export const forbiddenAt: Readonly<Record<Level, ReadonlySet<Phenomenon>>> = {
  'read-committed': new Set<Phenomenon>(dirty),
  'snapshot': new Set<Phenomenon>([...dirty, 'P4', 'G-single']),
  'serializable': new Set<Phenomenon>(Object.keys(phenomena) as Phenomenon[]),
}
