/**
 * Opens the commit log: reads what a crash or a close left, writes the part that still counts into a segment of its own, and only then
 * removes the rest. Bytes that were read may be in the page cache only; what was copied and synced is not.
 *
 * Invariants:
 * - O-1 Until the new segment is synced and named, nothing of the old log is changed; from then on nothing of it is needed.
 * - O-2 No segment is appended to that was written before this opening.
 */
import { asTs } from '../../isolation/types.js'
import type { CommitTs } from '../../isolation/types.js'
import type { LogCommit } from '../encoding/records.js'
import type { Environment } from '../environment.js'
import { StorageError } from '../errors.js'
import { ensureLogDirectory, listLog, removeFile, segmentPath, syncDirectory, unfinishedPath } from './files.js'
import type { LogListing } from './files.js'
import { CommitLog, newSalt } from './commit-log.js'
import type { LogEvents, LogLimits } from './commit-log.js'
import { scanLog } from './scan.js'
import type { DroppedTail, ScannedLog } from './scan.js'
import { Segment } from './segment.js'
import type { SegmentPlace } from './segment.js'

export interface OpenLogOptions extends LogEvents {
  /** The store's directory, which exists; the log lies in its subdirectory `log`. */
  readonly directory: string
  readonly environment: Environment
  readonly limits: LogLimits
  /** Commits up to here are durable outside the log: synced before this call, not merely read back from a file. */
  readonly appliedTs: CommitTs
  /** Higher than in every earlier opening, and synced before this call. */
  readonly incarnation: number
}

export interface RecoveredLog {
  /** Every commit above `appliedTs`, ascending, each once. They are durable again. Values are views of buffers of about 1 MB. */
  readonly commits: readonly LogCommit[]
  /** The newest of them, or `appliedTs`. */
  readonly lastTs: CommitTs
  /** The first timestamp that may be given: above all that anybody can have seen, in lost commits too. */
  readonly nextTs: CommitTs
  /** The last owner closed the log in order, or there was none. */
  readonly clean: boolean
  /** What was being written when the last owner stopped; nobody was told that it is durable. */
  readonly droppedTail?: DroppedTail
  /** The opening that wrote the log; 0 if there was none. */
  readonly previousIncarnation: number
}

/**
 * Opens the log of a store.
 * @returns the log, ready for commits from `recovered.nextTs` on, and what the old one held.
 * @throws StorageError `CORRUPT` for damage, with segment, offset and the timestamps that are lost; `FORMAT_TOO_NEW`; `DISK_FULL` where
 * there is no space for the recovered commits; `POISONED` if a file operation failed otherwise. After each the old log is still there.
 */
export function openLog(options: OpenLogOptions): { readonly log: CommitLog; readonly recovered: RecoveredLog } {
  const { environment, limits, incarnation } = options
  const { files } = environment
  try {
    const logDirectory = ensureLogDirectory(files, options.directory)
    const listing = listLog(files, logDirectory)
    const scanned = scanLog(listing.segments, { files, logDirectory, appliedTs: options.appliedTs })
    if (scanned.incarnation >= incarnation) {
      throw new StorageError(
        'CORRUPT',
        `The commit log in ${logDirectory} was written by opening ${scanned.incarnation}, this is opening ${incarnation}: ` +
          `it belongs to a newer state of the store.`,
      )
    }
    const gap = scanned.clean ? 0 : limits.unsyncedCommits
    const nextTs = asTs(scanned.highestTs + gap + 1)
    const place: SegmentPlace = { files, logDirectory, reserveSizeBytes: limits.logReserveSizeBytes }
    const header = {
      number: Math.max(0, ...listing.segments.slice(-1)) + 1,
      incarnation,
      salt: newSalt(environment),
      firstSequence: scanned.highestSequence + gap + 1,
      startsAfterTs: options.appliedTs,
      boundTs: nextTs,
      previousEnd: 0,
      previousChecksum: 0,
    }
    const active = Segment.create(place, { header, tail: scanned.commits, neededSizeBytes: 0 })
    try {
      removeOld(place, listing)
    } catch (error) {
      active.close()
      throw error
    }
    const log = new CommitLog({ place, environment, limits, events: options, incarnation, active, nextTs })
    return { log, recovered: describe(scanned, nextTs) }
  } catch (error) {
    if (error instanceof StorageError) throw error
    throw new StorageError('POISONED', 'The commit log could not be opened. Nothing was given up; open the store again.', { cause: error })
  }
}

/** Removes what the new segment supersedes (O-1). If it is cut short, what is left is superseded all the same. */
function removeOld({ files, logDirectory }: SegmentPlace, listing: LogListing): void {
  if (listing.segments.length + listing.unfinished.length === 0) return
  for (const number of listing.segments) removeFile(files, segmentPath(logDirectory, number))
  for (const number of listing.unfinished) removeFile(files, unfinishedPath(logDirectory, number))
  syncDirectory(files, logDirectory)
}

function describe(scanned: ScannedLog, nextTs: CommitTs): RecoveredLog {
  return {
    commits: scanned.commits,
    lastTs: scanned.lastTs,
    nextTs,
    clean: scanned.clean,
    ...(scanned.droppedTail && { droppedTail: scanned.droppedTail }),
    previousIncarnation: scanned.incarnation,
  }
}
