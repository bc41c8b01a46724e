/**
 * Premise validation: is everything that a transaction relied on at its snapshot still so at the present?
 * Backward validation of optimistic concurrency control (Kung & Robinson, TODS 1981) over points and ranges: the snapshot is `s`, the present is the newest commit,
 * and no commit in (s, present] may have changed what was read. `README.md` in this folder argues why that gives serial histories.
 */
import type { ConflictIndex, Overwrite } from './conflict-index.js'
import type { ReadSet } from './read-set.js'
import type { CommitTs, Key, KeyRange } from './types.js'

export type Read = { readonly key: Key } | { readonly range: KeyRange }

/** One thing a transaction relied on, and the later write that made it untrue. */
export interface Conflict {
  readonly read: Read
  readonly overwrite: Overwrite
}

/** Whether a key holds at the present exactly what it held at the snapshot: a read of it would have given the same bytes. */
export type SameValue = (key: Key) => boolean

/** Second looks per validation; beyond them an overwritten key counts as changed, so that validation stays bounded. */
const secondLooksMax = 64

/**
 * The first conflict of `reads` with the commits after `after`, or undefined where the premise holds. `after` must be at or above the index's floor.
 * Costs the smaller of what was read and what was written since.
 */
export function findConflict(reads: ReadSet, index: ConflictIndex, after: CommitTs, same: SameValue): Conflict | undefined {
  let looks = 0
  const changed = ({ key }: Overwrite): boolean => ++looks > secondLooksMax || !same(key)

  const since = index.commitsSince(after, reads.size / Math.max(1, reads.ranges.length))
  if (since !== undefined) {
    for (const commit of since) {
      for (const [i, key] of commit.keys.entries()) {
        const read = reads.reading(key)
        if (read === undefined) continue
        const overwrite: Overwrite = { key, commitTs: commit.ts, write: commit.kinds[i]!, label: commit.label }
        if (changed(overwrite)) return { read, overwrite }
      }
    }
    return undefined
  }

  for (const key of reads.points) {
    const overwrite = index.overwriteOf(key, after)
    if (overwrite !== undefined && changed(overwrite)) return { read: { key }, overwrite }
  }
  for (const range of reads.ranges) {
    let found: Overwrite | undefined
    if (index.someOverwriteIn(range, after, overwrite => changed(overwrite) && ((found = overwrite), true))) {
      return { read: { range }, overwrite: found! }
    }
  }
  return undefined
}

/** The first of `keys` that somebody wrote after `after`: the first committer has won it. */
export function findWriteWrite(keys: Iterable<Key>, index: ConflictIndex, after: CommitTs): Conflict | undefined {
  for (const key of keys) {
    const overwrite = index.overwriteOf(key, after)
    if (overwrite !== undefined) return { read: { key }, overwrite }
  }
  return undefined
}
