/** Writes, conditions, savepoints, the weaker levels, and when somebody may be told. */
import { mixed, mutant, readCommitted, snapshot, type Mutant } from './mutant.js'

const commit = 'engine/commit'
const view = 'engine/view'
const transaction = 'engine/transaction'
const writeSet = 'engine/write-set'
const store = 'engine/store/store'
const log = 'engine/log/commit-log'

export const outcomes: readonly Mutant[] = [
  mutant('own-write', 'a transaction does not read its own writes by key', view, 'this.#parts.writes.get(key) ?? this.getCommitted(key)', 'this.getCommitted(key)'),
  mutant('own-write-in-range', 'a transaction does not read its own writes in ranges', view, 'limit, this.#parts.writes.sorted())', 'limit, undefined)'),
  mutant('savepoint-kept', 'a savepoint that fails keeps its writes', transaction, 'attempt.writes.undoTo(mark)', 'void mark'),
  mutant('savepoint-conditions-kept', 'a savepoint that fails keeps its conditions', writeSet, 'this.conditions.length = mark.conditions', 'void 0', readCommitted),
  mutant('savepoint-ranges-kept', 'a savepoint that fails keeps the ranges it deleted', writeSet, 'this.deletedRanges.length = mark.deletedRanges', 'void 0', readCommitted),
  mutant('U6-conditions', 'conditions are not evaluated at commit', commit, 'if (view.policy.conditionsAtCommit)', 'if (false)', readCommitted),
  mutant('U6-own-conditions', 'a condition on a row of its own is evaluated at commit', transaction, 'return this.#attempt.writes.get(key) !== undefined', 'return false', readCommitted),
  mutant('U6-delete-range', 'a deleted range is not evaluated at commit', commit, 'view.policy.tracksReads || this.#isUnchanged(range, view)', 'true', readCommitted),
  mutant('U6-delete-range-first-committer', 'at snapshot a deleted range takes rows that others put there', commit, 'view.policy.oneSnapshot && row.ts > view.beganTs', 'false', snapshot),
  mutant('first-committer', 'at snapshot the first committer does not win', 'isolation/policy', 'validate: (candidate, index) => findWriteWrite(candidate.writtenKeys(), index, candidate.snapshotTs)', 'validate: () => undefined', snapshot),
  mutant('levels-swapped', 'read-committed stays at one snapshot', view, 'if (!this.policy.oneSnapshot)\n store.epochs.move', 'if (false) store.epochs.move', readCommitted),
  mutant('U12-unvouched', 'a transaction is told its outcome before that is on disk', 'engine/run', 'if (needed <= store.durableTs)', 'if (true)'),
  mutant('U12-seen', 'a transaction is told what it saw before that is on disk', view, 'return this.#seenTs', 'return noTs'),
  mutant('U12-seen-tombstone', 'the absence of a deleted row is told before the deletion is on disk', view, 'if (seen !== undefined)', 'if (seen?.value !== undefined)'),
  mutant('U12-seen-tombstone-in-range', 'the absence of a deleted row from a range is told before the deletion is on disk', 'engine/store/snapshot-cursor', 'this.#onSeen?.(version.ts)', 'if (version.value !== undefined) this.#onSeen?.(version.ts)'),
  mutant('U12-seen-condition', 'what a condition meets at commit is told before it is on disk', commit, 'const now = transaction.view.saw(this.#store.read(present, key))', 'const now = this.#store.read(present, key)', readCommitted),
  mutant('U12-sync', 'transactionSync returns before its commit is on disk', 'engine/run', 'if (isRelaxed ? !store.isSyncOverdue : needed <= store.durableTs)', 'if (!isRelaxed || !store.isSyncOverdue)'),
  mutant('L-2-too-far', 'a sync makes durable what was appended after it began', log, 'else if (!this.#failure) this.#advance(ts);', 'else if (!this.#failure) this.#advance(this.#lastTs);'),
  mutant('L-2-lone', 'a commit that is alone is acknowledged without a sync', log, 'this.#active.syncNow() this.#noteSync(startedMs)', 'this.#noteSync(startedMs)', { test: 'test/unit/log.test.ts', because: 'a history takes for durable what the log calls so' }),
  mutant('acknowledged-with-oldest', 'a commit is acknowledged with the oldest batch that waits', log, 'this.#written.find(written => ts <= written.lastTs)', 'this.#written[0]'),
  mutant('commit-unknown-without-commit', 'who committed nothing is told COMMIT_UNKNOWN when the disk fails', 'engine/run', 'if (!isInstalled && error instanceof StorageError', 'if (false && error instanceof StorageError'),
  mutant('relaxed-not-shown', 'who begins after a relaxed acknowledgement may miss the commit', store, 'return asTs(Math.max(this.durableTs, this.#relaxedTs))', 'return this.durableTs', mixed),
  mutant('read-only-at-visible', 'a read-only transaction begins at what is not on disk, and does not wait', view, 'this.beganTs = parts.readOnly ? store.acknowledgedTs : store.visibleTs', 'this.beganTs = store.visibleTs'),
  mutant('one-shot-at-visible', 'a read outside transactions shows what is not on disk', 'engine/database', 'const snapshot = store.epochs.acquire(store.acknowledgedTs, false); try', 'const snapshot = store.epochs.acquire(store.visibleTs, false); try'),
  mutant('log-drops-a-write', 'a commit is logged without its last write', store, 'writes: commit.versions', 'writes: commit.versions.slice(0, Math.max(1, commit.versions.length - 1))'),
  {
    name: 'error-lent',
    broken: 'a row that holds an error is decoded from memory that a formatter of stack traces may overwrite',
    file: 'engine/encoding/value-reader',
    patches: [['this.#bytes = Uint8Array.from(this.#bytes)', 'void 0']],
    caughtBy: { test: 'test/unit/callers-code.test.ts', because: 'histories hold numbers, and nobody formats stack traces' },
  },
  {
    name: 'hook-within-call',
    broken: 'a hook runs within the call that began its transaction',
    file: 'engine/run',
    patches: [['await Promise.resolve()', 'void 0']],
    caughtBy: { test: 'test/unit/callers-code.test.ts', because: 'histories note that a hook ran, and not within which call' },
  },
  {
    name: 'failed-sync-ignored',
    broken: 'a sync that fails counts as one that succeeds',
    file: log,
    patches: [['if (error) this.#fail(error)', 'if (error) this.#advance(ts)']],
    caughtBy: { test: 'test/unit/log.test.ts', because: 'what such a sync leaves in the page cache is lost only when the power goes' },
  },
]
