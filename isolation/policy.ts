/**
 * The isolation levels as policies: what a level's reads see, whether they are recorded, and what must hold at commit. Pure; the engine asks and acts.
 */
import type { ConflictIndex } from './conflict-index.js'
import type { ReadSet } from './read-set.js'
import type { CommitTs, Key, Level } from './types.js'
import { findConflict, findWriteWrite, type Conflict, type SameValue } from './validate.js'

/** What validation needs to know of a transaction that has written something. */
export interface Candidate {
  readonly snapshotTs: CommitTs
  readonly reads: ReadSet
  /** Keys it will write, each once. */
  writtenKeys(): Iterable<Key>
  readonly same: SameValue
}

export interface Policy {
  readonly level: Level
  /** Every read of the transaction is at one snapshot; otherwise each operation sees the newest visible commit. */
  readonly oneSnapshot: boolean
  /** Reads are recorded and validated; the snapshot may be moved forward while they hold. */
  readonly tracksReads: boolean
  /** Conditions of conditional writes must be evaluated on the present, for nothing else guards them. */
  readonly conditionsAtCommit: boolean
  /** Why the transaction may not commit now, or undefined. Its snapshot is at or above the index's floor. */
  validate(candidate: Candidate, index: ConflictIndex): Conflict | undefined
}

/** Each operation sees the newest visible commit. Prevents G0, G1a, G1b, G1c (Adya 1999, PL-2): only committed versions are ever visible, in one order. */
const readCommitted: Policy = {
  level: 'read-committed',
  oneSnapshot: false,
  tracksReads: false,
  conditionsAtCommit: true,
  validate: () => undefined,
}

/** Snapshot isolation, first committer wins (Berenson et al., SIGMOD 1995, section 4.2). */
const snapshot: Policy = {
  level: 'snapshot',
  oneSnapshot: true,
  tracksReads: false,
  conditionsAtCommit: false,
  validate: (candidate, index) => findWriteWrite(candidate.writtenKeys(), index, candidate.snapshotTs),
}

/** Everything read must still hold. Writes alone never conflict: a blind write is right whatever was there before. */
const serializable: Policy = {
  level: 'serializable',
  oneSnapshot: true,
  tracksReads: true,
  conditionsAtCommit: false,
  validate: (candidate, index) => findConflict(candidate.reads, index, candidate.snapshotTs, candidate.same),
}

export const policies: Readonly<Record<Level, Policy>> = { 'read-committed': readCommitted, snapshot, serializable }
