/**
 * Every limit of the engine, with its unit and its reason. A leaf that every engine layer may import. `open` uses `defaultLimits`; tests pass smaller ones so
 * that the paths behind a limit run often.
 */
export interface Limits {
  /** An encoded key with its table id. LMDB stores at most 1,978 bytes of key in a page of 4,096. */
  readonly keySizeBytes: number
  /** One encoded value. Log records and LMDB overflow pages hold it in one piece. */
  readonly valueSizeBytes: number
  /** Encoded keys and values of one transaction's write set: it is one piece of one log record. */
  readonly transactionSizeBytes: number
  /** Writes of one transaction. */
  readonly transactionWrites: number
  /** Keys that a transaction's read set holds one by one; more are merged into ranges, 64 neighbours to each: the premise then covers the gaps too. */
  readonly readSetPoints: number
  /** Ranges in a transaction's read set. They cannot be merged without relying on far more than was read, so a transaction that needs more is refused. */
  readonly readSetRanges: number
  /** Transactions that have begun and whose callers have not been told the outcome: bodies that run, commits that wait for room or for the disk. Each takes 2 to 5 kB. */
  readonly openTransactions: number
  /** The window starts a checkpoint at this size: dense checkpoints are cheap, memory is not. */
  readonly windowCheckpointSizeBytes: number
  /** Commits wait (back-pressure) while the window is larger than this. */
  readonly windowSizeBytes: number
  /** Writes remembered for conflict detection; beyond it the floor moves and laggards are revalidated by comparison. */
  readonly conflictIndexWrites: number
  /**
   * Commits that are visible but not yet synced. The next one waits for a sync. After a crash timestamps continue this far above the
   * last one recovered, so that a timestamp which somebody saw is never given twice.
   */
  readonly unsyncedCommits: number
  /**
   * A commit that nobody shares a sync with is synced on the spot where syncs have lately taken less than this: handing it to another thread and back costs as much as such a sync. It bounds how
   * long the event loop stands still for that.
   */
  readonly loneSyncMs: number
  /** A log segment is closed and a new one begun at this size. */
  readonly segmentSizeBytes: number
  /** Log space is reserved in pieces of this size. */
  readonly logReserveSizeBytes: number
  /** A checkpoint starts when this much log would have to be replayed. */
  readonly logCheckpointSizeBytes: number
  /** Commits wait (back-pressure) while the log that is kept is larger than this and a checkpoint can shorten it: it bounds disk space and the next opening. */
  readonly logSizeBytes: number
  /** A checkpoint starts when the oldest commit outside LMDB is this old. */
  readonly checkpointAgeMs: number
  /** One checkpoint step writes at most this much, and runs at most about this long. */
  readonly stepSizeBytes: number
  readonly stepMs: number
  /** A snapshot that pins an old root for longer than this is given up (`SNAPSHOT_TOO_OLD`). */
  readonly snapshotAgeMs: number
  /** How long a `relaxed` commit may wait to be synced. */
  readonly relaxedSyncMs: number
  /** Keys compared per slice when a transaction below the floor is revalidated. */
  readonly revalidateSliceKeys: number
  /** Attempts and time of a transaction where the caller does not say. */
  readonly maxAttempts: number
  readonly timeoutMs: number
  /** Every page in use of a row file of up to this size is looked at before LMDB opens it, half a millisecond to one per megabyte; of a larger one those above the leaves. */
  readonly openCheckSizeBytes: number
  /** Shared LMDB reader slots; one per live epoch is used. */
  readonly readerSlots: number
}

const KB = 1024
const MB = 1024 * KB

export const defaultLimits: Limits = {
  keySizeBytes: 1_900,
  valueSizeBytes: 64 * MB,
  transactionSizeBytes: 256 * MB,
  transactionWrites: 1_000_000,
  readSetPoints: 200_000,
  readSetRanges: 500_000,
  openTransactions: 100_000,
  windowCheckpointSizeBytes: 64 * MB,
  windowSizeBytes: 128 * MB,
  conflictIndexWrites: 500_000,
  unsyncedCommits: 1_000_000,
  loneSyncMs: 0.5,
  segmentSizeBytes: 64 * MB,
  logReserveSizeBytes: 1 * MB,
  logCheckpointSizeBytes: 128 * MB,
  logSizeBytes: 512 * MB,
  checkpointAgeMs: 10_000,
  stepSizeBytes: 1 * MB,
  stepMs: 5,
  snapshotAgeMs: 300_000,
  relaxedSyncMs: 50,
  revalidateSliceKeys: 2_000,
  maxAttempts: 10,
  timeoutMs: 10_000,
  openCheckSizeBytes: 1_024 * MB,
  readerSlots: 126,
}
