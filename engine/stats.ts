/** What an open database holds, and who keeps it from holding less. */
import type { Engine } from './attempt.js'
import type { Epoch, Snapshot } from './store/epochs.js'
import type { CommitTs, SnapshotTs } from '../isolation/types.js'

/** Plain data, as of one moment. Sizes are in bytes, ages in milliseconds. */
export interface Stats {
  /** The newest commit. */
  readonly visibleTs: CommitTs
  /** The newest commit that is on disk. */
  readonly durableTs: CommitTs
  /** The newest commit up to which the row file is complete. */
  readonly appliedTs: CommitTs
  /** Recent commits in memory. */
  readonly window: {
    readonly keys: number
    /** Estimated. */
    readonly sizeBytes: number
    /** Of commits that are not in the row file yet, those included whose rows were overwritten since. Commits wait when this reaches `windowSizeBytes`. */
    readonly unappliedSizeBytes: number
  }
  readonly log: {
    readonly segments: number
    readonly sizeBytes: number
    /** Commits that are visible and not yet on disk. */
    readonly unsyncedCommits: number
  }
  readonly rowFile: {
    /** As of the last checkpoint step, the catalog's included. */
    readonly rows: number
    readonly sizeBytes: number
    /** Pages that the newest state uses. The others hold old states that are kept, or are free for later writes; the file itself never shrinks. */
    readonly usedSizeBytes: number
  }
  readonly transactions: {
    /** Those that have begun and neither committed nor been aborted. */
    readonly open: number
    /** Those that wait for room in the window, for the disk, or for their next attempt. */
    readonly waiting: number
  }
  /** Iterations that hold a snapshot of their own: those of `db.range`, and those in transactions at `read-committed`. */
  readonly iterators: number
  /** Who reads at the oldest snapshot; of several, who began first. */
  readonly oldestSnapshot?: SnapshotHolder
  /** States that newer checkpoints have outdated, and that somebody still reads; oldest first. */
  readonly oldStates: readonly OldState[]
}

/** A state of the row file that is kept only for its readers. Pages that were replaced since cannot be used again as long as it is. */
export interface OldState {
  /** The newest commit in it. */
  readonly appliedTs: CommitTs
  /** Since a checkpoint has outdated it. */
  readonly ageMs: number
  /** Snapshots that read through it; a commit that compares what it read with the present may hold one too. */
  readonly readers: number
  readonly holders: readonly SnapshotHolder[]
}

/** A transaction, or an iteration with a snapshot of its own. */
export interface SnapshotHolder {
  readonly kind: 'transaction' | 'iterator'
  /** The transaction's. */
  readonly label?: string
  /** Since the transaction or the iteration began. */
  readonly ageMs: number
  readonly snapshotTs: SnapshotTs
}

interface Holding {
  readonly kind: SnapshotHolder['kind']
  readonly label: string | undefined
  readonly sinceMs: number
  readonly snapshot: Snapshot
}

/** Of those at one snapshot, who came first. */
const isOlder = (a: Holding, b: Holding): boolean => a.snapshot.ts < b.snapshot.ts || (a.snapshot.ts === b.snapshot.ts && a.sinceMs < b.sinceMs)

export function statsOf({ store, transactions, environment }: Engine): Stats {
  const nowMs = environment.nowMs()
  const held: Holding[] = [
    ...Array.from(transactions.attempts(), ({ label, beganMs, view }) => ({ kind: 'transaction' as const, label, sinceMs: beganMs, snapshot: view.snapshot })),
    ...Array.from(store.iterators, ({ label, sinceMs, snapshot }) => ({ kind: 'iterator' as const, label, sinceMs, snapshot })),
  ]
  const describe = ({ kind, label, sinceMs, snapshot }: Holding): SnapshotHolder => ({
    kind,
    ...(label !== undefined && { label }),
    ageMs: nowMs - sinceMs,
    snapshotTs: snapshot.ts,
  })
  const holders = new Map<Epoch, SnapshotHolder[]>()
  let oldest: Holding | undefined
  let open = 0
  for (const one of held) {
    if (one.kind === 'transaction') open++
    if (oldest === undefined || isOlder(one, oldest)) oldest = one
    const { epoch } = one.snapshot
    if (epoch.outdatedAtMs === undefined) continue
    const ofEpoch = holders.get(epoch)
    if (ofEpoch) ofEpoch.push(describe(one))
    else holders.set(epoch, [describe(one)])
  }
  return {
    ...store.figures(),
    transactions: { open, waiting: transactions.count - open },
    iterators: store.iterators.count,
    ...(oldest && { oldestSnapshot: describe(oldest) }),
    oldStates: store.epochs.older.map(epoch => ({
      appliedTs: epoch.appliedTs,
      ageMs: nowMs - epoch.outdatedAtMs!,
      readers: epoch.readers,
      holders: holders.get(epoch) ?? [],
    })),
  }
}
