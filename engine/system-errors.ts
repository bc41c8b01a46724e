/** Errors of the system as callers meet them: with a code, and that of the system as cause. */
import { constants } from 'node:os'
import { PremiseError, StorageError, UsageError } from './errors.js'

/** Of the system, by name, and of the native library, by number. */
const fullDisk: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT', constants.errno.ENOSPC, constants.errno.EDQUOT])

/** What `what` (a sentence without its end, as 'x could not be opened') failed with. Errors that have a code of the library, or none at all, are returned as they are. */
export function asStorageError(what: string, error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof PremiseError || error instanceof UsageError || !('code' in error)) return error
  return fullDisk.has(error.code)
    ? new StorageError('DISK_FULL', `${what}: there is no space. What was committed is still there.`, { cause: error })
    : new StorageError('POISONED', `${what}: ${error.message}. What was committed is still there.`, { cause: error })
}
