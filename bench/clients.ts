/**
 * Clients that work side by side, as those of a server do. In a closed loop each begins its next operation when its last one is done, so that a slow store is asked for less; in an
 * open loop operations come at a rate of their own, whether or not the store keeps up.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { Latencies } from './latencies.js'

/** An operation of a store; synchronous stores are done when it returns. */
export type Operation = (index: number) => Promise<void> | void

/** Runs operations 0 to `operations - 1`, with up to `clients` of them in flight. Rejects with the first failure. */
export async function closedLoop(clients: number, operations: number, run: Operation): Promise<void> {
  let next = 0
  const client = async (): Promise<void> => {
    while (next < operations) {
      const done = run(next++)
      if (done !== undefined) await done
    }
  }
  await Promise.all(Array.from({ length: clients }, client))
}

export interface LoopResult {
  /** Operations that were done. */
  readonly operations: number
  readonly operationsPerSecond: number
  readonly latencies: Latencies
}

/** Runs operations 0, 1, 2 …, one at a time for each client, and begins none after `durationMs`. Rejects with the first failure. */
export function loopFor({ clients, durationMs }: { readonly clients: number; readonly durationMs: number }, run: Operation): Promise<LoopResult> {
  const untilMs = performance.now() + durationMs
  return loopUntil(clients, () => performance.now() >= untilMs, run)
}

/** Likewise, and begins none when it is over. */
export async function loopUntil(clients: number, isOver: () => boolean, run: Operation): Promise<LoopResult> {
  const latencies = new Latencies()
  const operation = timed(run, latencies)
  const startedMs = performance.now()
  let next = 0
  const client = async (): Promise<void> => {
    while (!isOver()) {
      const done = operation(next++)
      if (done !== undefined) await done
    }
  }
  await Promise.all(Array.from({ length: clients }, client))
  return resultOf(latencies, performance.now() - startedMs)
}

export interface Arrivals {
  readonly perSecond: number
  readonly durationMs: number
  /** Operations that are due wait while so many are under way. */
  readonly inFlightMax: number
}

export interface OpenLoopResult extends LoopResult {
  /** Operations that had not begun when the time was over; their latencies are what they had waited by then. */
  readonly notBegun: number
}

/** How often operations that are due are begun, all of them at once. */
const tickMs = 1

/**
 * Runs operations that come at an even rate. Latencies count from the time at which an operation was due, so that a store that stalls pays for all who wait meanwhile. Nothing begins
 * after `durationMs`. Rejects with the first failure.
 */
export async function openLoop({ perSecond, durationMs, inFlightMax }: Arrivals, run: Operation): Promise<OpenLoopResult> {
  const operations = Math.max(1, Math.floor((perSecond * durationMs) / 1_000))
  const latencies = new Latencies()
  const failures: unknown[] = []
  const startedMs = performance.now()
  const elapsedMs = (): number => performance.now() - startedMs
  const dueMs = (index: number): number => (index * 1_000) / perSecond
  let inFlight = 0
  const begin = async (index: number): Promise<void> => {
    inFlight++
    try {
      const done = run(index)
      if (done !== undefined) await done
      latencies.add(elapsedMs() - dueMs(index))
    } catch (error) {
      failures.push(error)
    }
    inFlight--
  }
  let next = 0
  for (; next < operations && elapsedMs() < durationMs && failures.length === 0; await pause(tickMs)) {
    while (next < operations && inFlight < inFlightMax && dueMs(next) <= elapsedMs() && elapsedMs() < durationMs) void begin(next++)
  }
  while (inFlight > 0) await pause(tickMs)
  if (failures.length > 0) throw failures[0]
  const done = resultOf(latencies, elapsedMs())
  for (let index = next; index < operations; index++) latencies.add(Math.max(0, durationMs - dueMs(index)))
  return { ...done, notBegun: operations - next }
}

function timed(run: Operation, latencies: Latencies): Operation {
  return index => {
    const begunMs = performance.now()
    const done = run(index)
    const end = (): void => latencies.add(performance.now() - begunMs)
    return done === undefined ? end() : done.then(end)
  }
}

const resultOf = (latencies: Latencies, durationMs: number): LoopResult => ({
  operations: latencies.count,
  operationsPerSecond: (latencies.count / durationMs) * 1_000,
  latencies,
})
