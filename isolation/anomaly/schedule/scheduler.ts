/**
 * Decides how long a step may take before it counts as blocked, so that the other sessions go on. The clock is the caller's.
 */

export interface Scheduler {
  /** Waits for a step. False: it has not settled within the bound and counts as blocked. */
  readonly settles: (step: Promise<unknown>) => Promise<boolean>
  /** Waits for a blocked step when no session has anything else to do. False: nobody will ever release it. */
  readonly released: (step: Promise<unknown>) => Promise<boolean>
}

export interface Timers {
  readonly setTimeout: (callback: () => void, delayMs: number) => unknown
  readonly clearTimeout: (timer: never) => void
}

export interface TimedOptions {
  readonly timers: Timers
  /** A step that takes longer is blocked. Equal to `stuckAfterMs`, the default: no step ever counts as blocked. */
  readonly blockedAfterMs?: number
  /** A step that takes longer, with nothing else left to do, is a defect. Default: 30,000. */
  readonly stuckAfterMs?: number
}

/** For engines that do real work. Engines that never block need no `blockedAfterMs`, and their runs depend on no clock. */
export function timedScheduler({ timers, stuckAfterMs = 30_000, blockedAfterMs = stuckAfterMs }: TimedOptions): Scheduler {
  const within = (step: Promise<unknown>, delayMs: number): Promise<boolean> =>
    new Promise(resolve => {
      const timer = timers.setTimeout(() => resolve(false), delayMs)
      const settled = (): void => {
        timers.clearTimeout(timer as never)
        resolve(true)
      }
      step.then(settled, settled)
    })
  return { settles: step => within(step, blockedAfterMs), released: step => within(step, stuckAfterMs) }
}

/** For engines in memory whose every operation settles within a few microtasks unless it is blocked: no clock at all. */
export function turnScheduler(turns: number = 100): Scheduler {
  const within = async (step: Promise<unknown>): Promise<boolean> => {
    let done = false
    const settled = (): void => {
      done = true
    }
    step.then(settled, settled)
    for (let turn = 0; turn < turns && !done; turn++) await Promise.resolve()
    return done
  }
  return { settles: within, released: within }
}
