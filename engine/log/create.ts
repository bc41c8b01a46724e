/** Makes the log of a new store that already holds commits: one segment that begins after them and is closed. */
import type { CommitTs } from '../../isolation/types.js'
import type { Environment } from '../environment.js'
import type { Limits } from '../limits.js'
import { newSalt } from './commit-log.js'
import { ensureLogDirectory } from './files.js'
import { Segment } from './segment.js'

export interface NewLog {
  readonly directory: string
  readonly environment: Environment
  readonly limits: Pick<Limits, 'logReserveSizeBytes'>
  /** Commits up to here are in the row file. */
  readonly appliedTs: CommitTs
  /** New commits have timestamps from here on. */
  readonly nextTs: CommitTs
  readonly incarnation: number
}

/** Throws `DISK_FULL`, or what the file system says. */
export function createClosedLog({ directory, environment, limits, appliedTs, nextTs, incarnation }: NewLog): void {
  const { files } = environment
  const place = { files, logDirectory: ensureLogDirectory(files, directory), reserveSizeBytes: limits.logReserveSizeBytes }
  const header = { number: 1, incarnation, salt: newSalt(environment), firstSequence: 1, startsAfterTs: appliedTs, boundTs: nextTs, previousEnd: 0, previousChecksum: 0 }
  const segment = Segment.create(place, { header, tail: [], neededSizeBytes: 0 })
  try {
    segment.appendMark()
    segment.syncNow()
  } finally {
    segment.close()
  }
}
