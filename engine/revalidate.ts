/**
 * Revalidation below the floor of the conflict index: stamps are gone, so what the transaction saw at its snapshot is compared with what is there at a later
 * timestamp, key by key. Timestamps of rows alone would miss deletes, for a deleted row leaves no tag; presence and bytes are compared.
 *
 * The work is done in slices against one fixed later snapshot; when it finishes, the transaction may be treated as having begun there, and only the remainder up to
 * the present is validated inside the commit.
 */
import type { Snapshot } from './store/epochs.js'
import { SnapshotCursor } from './store/snapshot-cursor.js'
import { owned, type Store } from './store/store.js'
import type { View } from './view.js'
import type { Conflict } from '../isolation/validate.js'
import type { CommitTs, Key, KeyRange } from '../isolation/types.js'

/** Compares everything `view` relied on with `later`; yields after every `sliceKeys` keys; returns the first difference. */
export function* revalidate(store: Store, view: View, later: Snapshot, sliceKeys: number): Generator<void, Conflict | undefined> {
  let keys = 0
  for (const key of view.reads.points) {
    const now = owned(store.read(later, key))
    if (!view.isSameValue(key, store.read(view.snapshot, key), now)) return conflictAt({ key }, key, now?.ts ?? later.ts, now?.value === undefined)
    if (++keys % sliceKeys === 0) yield
  }
  for (const range of view.reads.ranges) {
    const differing = yield* differenceIn(store, view, later, range, sliceKeys)
    if (differing) return conflictAt({ range }, differing.key, differing.ts, differing.deleted)
  }
  return undefined
}

function* differenceIn(
  store: Store,
  view: View,
  later: Snapshot,
  range: KeyRange,
  sliceKeys: number,
): Generator<void, { key: Key; ts: CommitTs; deleted: boolean } | undefined> {
  const before = new SnapshotCursor(store.epochs.window, view.snapshot, range, false)
  const after = new SnapshotCursor(store.epochs.window, later, range, false)
  for (let keys = 1; ; keys++) {
    const was = nextOf(before)
    const is = nextOf(after)
    if (was === undefined && is === undefined) return undefined
    if (is === undefined || (was !== undefined && was.key < is.key)) return { key: was!.key, ts: later.ts, deleted: true }
    if (was === undefined || is.key < was.key || !view.isSameValue(is.key, was, is)) return { key: is.key, ts: is.ts, deleted: false }
    if (keys % sliceKeys === 0) yield
  }
}

function nextOf(cursor: SnapshotCursor): { key: Key; ts: CommitTs; value: Uint8Array } | undefined {
  const row = cursor.peek()
  cursor.take()
  return row === 'moved' ? undefined : row // a snapshot without a hook never moves
}

/** Who deleted a row below the floor is no longer known; the newest commit that may have done it is named. */
function conflictAt(read: Conflict['read'], key: Key, commitTs: CommitTs, deleted: boolean): Conflict {
  return { read, overwrite: { key, commitTs, write: deleted ? 'delete' : 'put', label: undefined } }
}
