/** Errors of the system as callers meet them: with a code, and that of the system as cause. */
import { constants } from 'node:os'
import { PremiseError, StorageError, UsageError } from './errors.js'

/** Of the system, by name, and of the native library, by number. */
const fullDisk: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT', constants.errno.ENOSPC, constants.errno.EDQUOT])

/** Those of Node have underscores; of some the system's library has no name. */
const systemCode = /^(E[A-Z0-9]+|Unknown system error .*)$/

/** What `what` (a sentence without its end, as 'x could not be opened') failed with. Errors that are not of the system, nor of the native library, are returned as they are. */
export function asStorageError(what: string, error: unknown): unknown {
  const code = codeOfSystem(error)
  if (code === undefined) return error
  return fullDisk.has(code)
    ? new StorageError('DISK_FULL', `${what}: there is no space.`, { cause: error })
    : new StorageError('POISONED', `${what}: ${(error as Error).message}.`, { cause: error })
}

function codeOfSystem(error: unknown): unknown {
  // Those of the web have a number too.
  if (!(error instanceof Error) || error instanceof PremiseError || error instanceof UsageError || error instanceof DOMException || !('code' in error)) return undefined
  return typeof error.code === 'number' || (typeof error.code === 'string' && systemCode.test(error.code)) ? error.code : undefined
}
