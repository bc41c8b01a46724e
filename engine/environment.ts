/**
 * Everything the engine takes from the outside world: clock, timers, chance and file operations. A leaf that every engine layer may
 * import. One object, passed once at `open`; tests pass one whose files fail on demand or whose timers are theirs.
 */
import * as fs from 'node:fs'

/** The file operations of the engine, with the signatures of `node:fs`. LMDB does its own I/O and is not among them. */
export type Files = Pick<
  typeof fs,
  | 'openSync'
  | 'closeSync'
  | 'readSync'
  | 'writeSync'
  | 'fdatasync'
  | 'fdatasyncSync'
  | 'fsyncSync'
  | 'ftruncateSync'
  | 'fstatSync'
  | 'lstatSync'
  | 'mkdirSync'
  | 'readdirSync'
  | 'renameSync'
  | 'unlinkSync'
  | 'rmSync'
  | 'statfsSync'
  | 'mkdtempSync'
  | 'realpathSync'
>

/** Flags of `openSync`. */
export const openFlags: typeof fs.constants = fs.constants

/** Stops a timer or a deferred call that has not run yet. */
export type Cancel = () => void

export interface Environment {
  readonly files: Files
  /** Monotonic milliseconds; the origin means nothing. */
  nowMs(): number
  /** A number in [0, 1), as `Math.random`. */
  random(): number
  /** Calls `run` after `delayMs`. `background` timers do not keep the process alive. */
  setTimer(run: () => void, delayMs: number, background?: 'background'): Cancel
  /** Calls `run` once, after the promise jobs and I/O callbacks that are ready now. Keeps the process alive until then. */
  defer(run: () => void): Cancel
}

/** The real machine. */
export const systemEnvironment: Environment = {
  files: fs,
  nowMs: () => performance.now(),
  random: Math.random,
  setTimer(run, delayMs, background) {
    const timer = setTimeout(run, delayMs)
    if (background) timer.unref()
    return () => clearTimeout(timer)
  },
  defer(run) {
    const immediate = setImmediate(run)
    return () => clearImmediate(immediate)
  },
}

const unreadable: ReadonlySet<unknown> = new Set(['EIO', 'EBADMSG', 'EUCLEAN', 'EREMOTEIO'])

/** Whether a read failed because the disk does not give what it holds: damage, and not a mistake. */
export const isUnreadable = (error: unknown): boolean => error instanceof Error && 'code' in error && unreadable.has(error.code)
