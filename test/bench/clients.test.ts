import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { closedLoop, loopFor, loopUntil, openLoop } from '../../bench/clients.js'
import { Latencies } from '../../bench/latencies.js'

const busy = (durationMs: number): void => {
  const untilMs = performance.now() + durationMs
  while (performance.now() < untilMs);
}

test('latencies are quantiles in milliseconds, exact to three digits', () => {
  const latencies = new Latencies()
  for (let i = 1; i <= 1_000; i++) latencies.add(i)
  expect(latencies.count).toBe(1_000)
  const { 'p50, ms': p50, 'p99, ms': p99, 'p99.9, ms': p999, 'longest, ms': longest } = latencies.notes()
  for (const [found, expected] of [[p50, 500], [p99, 990], [p999, 999], [longest, 1_000]] as const) expect(Math.abs(found / expected - 1)).toBeLessThan(0.001)
})

test('what takes no time that can be measured counts as a microsecond', () => {
  const latencies = new Latencies()
  latencies.add(0)
  expect(latencies.quantileMs(1)).toBe(0.001)
})

test('no operations have no latencies', () => {
  expect(() => new Latencies().notes()).toThrow('no latencies of no operations')
})

test('a loop does each operation once, with no more in flight than there are clients, until it is over', async () => {
  const seen: number[] = []
  let inFlight = 0
  const { operations, latencies } = await loopUntil(3, () => seen.length === 10, async index => {
    expect(++inFlight).toBeLessThanOrEqual(3)
    seen.push(index)
    await pause(2)
    inFlight--
  })
  expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  expect([operations, latencies.count]).toEqual([10, 10])
  expect(latencies.quantileMs(1)).toBeGreaterThan(1)
})

test('a loop for a time ends with the operations that it began in it, synchronous or not', async () => {
  let begun = 0
  const { operations, operationsPerSecond } = await loopFor({ clients: 2, durationMs: 30 }, index => {
    begun++
    return index % 2 === 0 ? pause(1) : undefined
  })
  expect(operations).toBe(begun)
  expect(operations).toBeGreaterThan(1)
  expect(operationsPerSecond).toBeLessThanOrEqual((operations / 30) * 1_000)
})

test('an open loop begins every operation that its rate asks for', async () => {
  const seen: number[] = []
  const { operations, notBegun } = await openLoop({ perSecond: 500, durationMs: 100, inFlightMax: 1_000 }, index => void seen.push(index))
  expect(operations + notBegun).toBe(50)
  expect(seen).toEqual(Array.from({ length: operations }, (_, i) => i))
})

test('in an open loop all who wait while the store stalls pay for it', async () => {
  const { latencies } = await openLoop({ perSecond: 1_000, durationMs: 300, inFlightMax: 1_000 }, index => {
    if (index === 20) busy(200)
  })
  expect(latencies.count).toBe(300)
  // Of 300 operations the one that stalled is late, and so are the 200 that were due meanwhile.
  expect(latencies.quantileMs(0.5)).toBeGreaterThan(20)
})

test('an open loop that a store cannot follow keeps to the bound in flight, ends, and says what it left out', async () => {
  let inFlight = 0
  let most = 0
  const { operations, notBegun, latencies } = await openLoop({ perSecond: 2_000, durationMs: 100, inFlightMax: 4 }, async () => {
    most = Math.max(most, ++inFlight)
    await pause(20)
    inFlight--
  })
  expect(most).toBe(4)
  expect(operations + notBegun).toBe(200)
  expect(notBegun).toBeGreaterThan(100)
  expect(latencies.count).toBe(200)
})

test.each([
  ['closed', (run: () => Promise<void>) => closedLoop(2, 5, run)],
  ['for a time', (run: () => Promise<void>) => loopFor({ clients: 2, durationMs: 20 }, run)],
  ['open', (run: () => Promise<void>) => openLoop({ perSecond: 100, durationMs: 20, inFlightMax: 5 }, run)],
])('a failure ends a loop: %s', async (_, loop) => {
  await expect(loop(() => Promise.reject(new Error('out of order')))).rejects.toThrow('out of order')
})

test('a failure that is thrown ends an open loop', async () => {
  const failing = openLoop({ perSecond: 100, durationMs: 20, inFlightMax: 5 }, () => {
    throw new Error('out of order')
  })
  await expect(failing).rejects.toThrow('out of order')
})
