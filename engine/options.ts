/** Options as callers give them, checked: what is misspelt or out of range is refused, never ignored. */
import type { Durability } from './commit.js'
import { UsageError } from './errors.js'
import type { Limits } from './limits.js'
import { levels, type Level } from '../isolation/types.js'

export interface BeginOptions {
  /** Default `'serializable'`. */
  readonly level?: Level
  /** The transaction only reads: it is not tracked, never conflicts, and begins at the newest acknowledged commit. Default false. */
  readonly readOnly?: boolean
  /** Whether the commit is acknowledged when it is on disk, or at once (`'relaxed'`: synced within 50 ms, lost by a crash before). Default: the database's. */
  readonly durability?: Durability
  /** Names the transaction in explanations, its own and those of others. */
  readonly label?: string
  /** How long the transaction may take, over all attempts. Default 10,000. */
  readonly timeoutMs?: number
  /** Aborting it ends the transaction with `CANCELLED`, unless it is installed already. */
  readonly signal?: AbortSignal
}

export interface TransactionOptions extends BeginOptions {
  /** How often the body may run. Default 10. */
  readonly maxAttempts?: number
}

export interface Settings {
  readonly level: Level
  readonly readOnly: boolean
  readonly durability: Durability
  readonly label: string | undefined
  readonly maxAttempts: number
  readonly timeoutMs: number
  readonly signal: AbortSignal | undefined
}

const known: ReadonlySet<string> = new Set(['level', 'readOnly', 'durability', 'label', 'maxAttempts', 'timeoutMs', 'signal'])

/** Throws `INVALID_ARGUMENT`. */
export function transactionSettings(options: TransactionOptions | undefined, defaults: { durability: Durability; limits: Limits }): Settings {
  if (options === undefined) return defaultSettings(defaults)
  if (typeof options !== 'object' || options === null) throw bad('Transaction options must be an object.')
  for (const option of Object.keys(options)) if (!known.has(option)) throw bad(`Unknown transaction option ${JSON.stringify(option)}.`)
  const usual = defaultSettings(defaults)
  const {
    level = usual.level,
    readOnly = usual.readOnly,
    durability = usual.durability,
    label,
    maxAttempts = usual.maxAttempts,
    timeoutMs = usual.timeoutMs,
    signal,
  } = { ...options } // its own ones, which are those that were looked at above
  const settings: Settings = { level, readOnly, durability, label, maxAttempts, timeoutMs, signal }
  if (!levels.includes(settings.level)) throw bad(`Unknown isolation level ${JSON.stringify(settings.level)}; there are ${levels.join(', ')}.`)
  if (typeof settings.readOnly !== 'boolean') throw bad('"readOnly" must be true or false.')
  checkDurability(settings.durability)
  if (settings.label !== undefined && typeof settings.label !== 'string') throw bad('"label" must be a string.')
  if (!Number.isSafeInteger(settings.maxAttempts) || settings.maxAttempts < 1) throw bad('"maxAttempts" must be an integer of at least 1.')
  if (typeof settings.timeoutMs !== 'number' || !(settings.timeoutMs > 0 && settings.timeoutMs <= timerMaxMs)) throw bad(`"timeoutMs" must be greater than 0 and at most ${timerMaxMs}.`)
  if (settings.signal !== undefined && !(settings.signal instanceof AbortSignal)) throw bad('"signal" must be an AbortSignal.')
  return settings
}

export function checkDurability(durability: unknown): void {
  if (durability !== 'durable' && durability !== 'relaxed') throw bad(`Unknown durability ${JSON.stringify(durability)}; there are 'durable' and 'relaxed'.`)
}

/** The longest delay a Node timer can have. */
const timerMaxMs = 2 ** 31 - 1

function defaultSettings({ durability, limits }: { durability: Durability; limits: Limits }): Settings {
  const { maxAttempts, timeoutMs } = limits
  return { level: 'serializable', readOnly: false, durability, label: undefined, maxAttempts, timeoutMs, signal: undefined }
}

function bad(message: string): UsageError {
  return new UsageError('INVALID_ARGUMENT', message)
}
