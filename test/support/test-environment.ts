/**
 * A machine under a test's control: its clock stands still until the test moves it, and the syncs of the commit log can be held back or made to fail.
 * Deferred calls run by themselves, unless they are held. Files are real, but not really synced: nothing here cuts the power.
 */
import * as fs from 'node:fs'
import type { Environment, Files } from '../../engine/environment.js'

interface Timer {
  readonly run: () => void
  readonly atMs: number
}

type Done = (error: NodeJS.ErrnoException | null) => void

export interface TestEnvironment extends Environment {
  /** Asynchronous syncs wait for `releaseSyncs`. */
  holdSyncs: boolean
  /** What every sync of a file, blocking or not, fails with. */
  syncError: NodeJS.ErrnoException | undefined
  /** What every write to a file fails with. */
  writeError: NodeJS.ErrnoException | undefined
  /** Deferred calls wait for `runDeferred`. */
  holdDeferred: boolean
  /** Timers of less than 100 ms, such as the pauses between attempts, do not wait for the clock. */
  skipPauses: boolean
  /** Asynchronous syncs that are held. */
  readonly heldSyncs: number
  /** Deferred calls that are held. */
  readonly heldDeferred: number
  /** Delays asked of `setTimer` so far. */
  readonly delaysMs: number[]
  /** Timers that have neither run nor been cancelled. */
  readonly timers: number
  /** Ends the syncs that are held, and holds no more. */
  releaseSyncs(): void
  /** Runs the oldest deferred call that is held. */
  runDeferred(): void
  /** Moves the clock and runs the timers that are due, in order. */
  advance(ms: number): void
}

export const ioError = (code: string): NodeJS.ErrnoException => Object.assign(new Error(`${code}: by the test`), { code })

export function testEnvironment(): TestEnvironment {
  let clockMs = 1_000
  let deferred: (() => void)[] = []
  let syncs: (() => void)[] = []
  const timers = new Set<Timer>()
  const failWith = (error: NodeJS.ErrnoException | undefined): void => {
    if (error !== undefined) throw error
  }
  const environment: TestEnvironment = {
    holdSyncs: false,
    syncError: undefined,
    writeError: undefined,
    holdDeferred: false,
    skipPauses: false,
    delaysMs: [],
    get heldSyncs() {
      return syncs.length
    },
    get heldDeferred() {
      return deferred.length
    },
    get timers() {
      return timers.size
    },
    files: {
      ...fs,
      fdatasync: ((_fd: number, done: Done) => {
        const sync = (): void => {
          setImmediate(() => done(environment.syncError ?? null))
        }
        if (environment.holdSyncs) syncs.push(sync)
        else sync()
      }) as Files['fdatasync'],
      fdatasyncSync: () => failWith(environment.syncError),
      fsyncSync: () => failWith(environment.syncError),
      writeSync: ((...args: Parameters<Files['writeSync']>) => {
        failWith(environment.writeError)
        return fs.writeSync(...args)
      }) as Files['writeSync'],
    },
    nowMs: () => clockMs,
    random: () => 0.5,
    setTimer(run, delayMs) {
      const timer = { run, atMs: clockMs + delayMs }
      environment.delaysMs.push(delayMs)
      if (environment.skipPauses && delayMs < 100) {
        const immediate = setImmediate(run)
        return () => clearImmediate(immediate)
      }
      timers.add(timer)
      return () => timers.delete(timer)
    },
    defer(run) {
      if (environment.holdDeferred) {
        deferred.push(run)
        return () => void (deferred = deferred.filter(other => other !== run))
      }
      const immediate = setImmediate(run)
      return () => clearImmediate(immediate)
    },
    releaseSyncs() {
      environment.holdSyncs = false
      const held = syncs
      syncs = []
      for (const sync of held) sync()
    },
    runDeferred() {
      deferred.shift()?.()
    },
    advance(ms) {
      const untilMs = clockMs + ms
      for (;;) {
        const due = [...timers].filter(timer => timer.atMs <= untilMs).toSorted((a, b) => a.atMs - b.atMs)[0]
        if (due === undefined) break
        timers.delete(due)
        clockMs = Math.max(clockMs, due.atMs)
        due.run()
      }
      clockMs = untilMs
    },
  }
  return environment
}
