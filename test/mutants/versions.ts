/** That a snapshot is one state: moving it, the window under it, checkpoints behind it, and what is done when the conflict index has forgotten. */
import { mixed, mutant, snapshot, type Mutant } from './mutant.js'

const view = 'engine/view'
const commit = 'engine/commit'
const epochs = 'engine/store/epochs'
const window = 'engine/store/window'
const checkpoint = 'engine/store/checkpoint'
const revalidate = 'engine/revalidate'
const index = 'isolation/conflict-index'

export const versions: readonly Mutant[] = [
  mutant('newest-version', 'a read takes the newest version, whatever the snapshot', 'engine/store/store', 'versionIn(newest, snapshot.appliedTs, snapshot.ts)', 'newest'),
  mutant('newest-version-in-range', 'a scan takes the newest versions, whatever the snapshot', 'engine/store/snapshot-cursor', 'const version = versionIn(head, this.#snapshot.appliedTs, this.#snapshot.ts)', 'const version = head', mixed),
  mutant('extension-unvalidated', 'a snapshot is moved forward without revalidation', view, 'const conflict = this.findConflict()', 'const conflict = undefined'),
  mutant('U1-extension-not-pinned', 'a snapshot is moved forward without the newest root', epochs, 'this.#move(snapshot, ts, this.#current)', 'this.#move(snapshot, ts, snapshot.epoch)'),
  mutant('U7-join-newest-root', 'a snapshot that was compared with a later one takes a newer root', epochs, 'this.#move(snapshot, later.ts, later.epoch)', 'this.#move(snapshot, later.ts, this.#current)'),
  mutant('U5-no-seek', 'a cursor goes on with what it prefetched when its snapshot moves', 'engine/row-cursor', 'if (this.#snapshot.moves !== this.#moves)', 'if (false)'),
  mutant('U5-no-seek-own', 'a cursor does not seek its own writes anew when its snapshot moves', 'engine/row-cursor', 'this.#ownLast = this.#last', 'void 0'),
  mutant('C-1-asked-below-floor', 'a commit asks the conflict index below its floor', commit, 'return view.policy.oneSnapshot && view.snapshot.ts < this.index.floor', 'return false'),
  mutant('C-1-asked-below-floor-snapshot', 'a commit at snapshot asks the conflict index below its floor', commit, 'return view.policy.oneSnapshot && view.snapshot.ts < this.index.floor', 'return view.policy.tracksReads && view.snapshot.ts < this.index.floor', snapshot),
  mutant('C-1-extended-below-floor', 'a snapshot below the floor is moved forward by asking the index', view, 'this.snapshot.ts >= index.floor', 'true'),
  mutant('C-1-stamp-above-floor', 'a stamp just above the floor leaves the index', index, 'if (commit.ts > this.#floor)', 'if (commit.ts > this.#floor + 1)'),
  mutant('C-2-floor-stays', 'the floor does not move when stamps leave', index, 'return this.#floor;', 'return noTs;'),
  mutant('C-2-newer-stamp-leaves', 'a stamp that leaves takes a newer one of its key along', index, 'if (this.#newest.get(key) === commit.ts)', 'if (true)'),
  mutant('E-3-interval-ignored', 'a commit leaves the window though an old snapshot needs it', epochs, 'if (this.#older.some(({ appliedTs, newestTs }) => appliedTs < commit.ts && commit.ts <= newestTs))', 'if (false)'),
  mutant('E-3-before-root', 'a commit leaves the window one too early', epochs, 'commit.ts > this.#current.appliedTs', 'commit.ts > this.#current.appliedTs + 1'),
  mutant('E-4-closed-root-read', 'a snapshot whose root was given up reads on through the newest', epochs, 'if (this.epoch.closed)', 'if (false)'),
  mutant('W-3-live', 'a version leaves the window though somebody reads at it', window, 'if (this.#live.someIn(older.ts, newer.ts))', 'if (false)'),
  mutant('W-3-durable', 'a version leaves the window before its successor is durable', window, 'if (version === undefined || version.ts > durableTs)', 'if (version === undefined)'),
  mutant('W-4-not-anew', 'a range misses a row that is written again during a checkpoint', window, 'if (older.ts <= this.#frozenTs)', 'if (false)'),
  mutant('W-4-not-kept', 'a range at an old snapshot misses a row behind which the window was trimmed', epochs, 'this.window.keep(commit);', ''),
  mutant('K-1-head', 'a checkpoint writes the head of each chain', checkpoint, 'versionIn(epochs.window.newest(key), epochs.appliedTs, running.target)', 'epochs.window.newest(key)'),
  mutant('K-2-early', 'each step of a checkpoint says that all of it is applied', checkpoint, 'running.written++;', 'batch.setMetadata({ appliedTs: running.target, incarnation }); running.written++;'),
  {
    name: 'K-3-target-not-live',
    broken: 'the target of a checkpoint is no live snapshot',
    file: checkpoint,
    patches: [
      ['live.enter(target)', 'void 0'],
      ['this.#parts.epochs.live.leave(this.#running.target)', 'void 0'],
    ],
    caughtBy: { test: 'test/unit/store.test.ts', because: 'only who reads the new root alone can tell: every later snapshot meets a newer version of the row in the window first' },
  },
  mutant('U7-tags-only', 'below the floor only tags are compared, which a deleted row has none of', revalidate, 'if (!view.isSameValue(key, store.read(view.snapshot, key), now))', 'if (now !== undefined && now.ts > view.snapshot.ts)'),
  mutant('U7-lent', 'below the floor a value is compared with memory that the second read has overwritten', revalidate, 'owned(store.read(later, key))', 'store.read(later, key)'),
  mutant('second-chance-lent', 'a second chance compares a value with memory that the second read has overwritten', view, 'owned(store.read(present, key))', 'store.read(present, key)'),
  mutant('U7-no-ranges', 'below the floor ranges are not compared', revalidate, 'for (const range of view.reads.ranges)', 'for (const range of [])'),
  mutant('U7-no-points', 'below the floor points are not compared', revalidate, 'for (const key of view.reads.points)', 'for (const key of [])'),
  mutant('U7-deleted-in-range', 'below the floor rows deleted from a range are not met', revalidate, 'if (is === undefined || (was !== undefined && was.key < is.key))', 'if (is === undefined && was !== undefined) return undefined; if (is === undefined)'),
  mutant('U7-remainder', 'what is committed between two slices of the comparison is not validated', commit, 'and its caller told\n } view.join(later)', 'and its caller told\n } this.#store.epochs.move(view.snapshot, this.#store.visibleTs)'),
  mutant('U7-snapshot', 'below the floor a transaction at snapshot is not compared', commit, 'if (tagOf(was) !== tagOf(is))', 'if (false)', snapshot),
]
