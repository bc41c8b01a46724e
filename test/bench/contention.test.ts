import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startHotRows } from '../../bench/hot-rows.js'
import { randomFrom } from '../../bench/random.js'
import { fieldNames, fieldsOf, stampOf } from '../../bench/records.js'
import { skewIn, type Check, type Told } from '../../bench/smallbank.js'
import { scattered, zipfFrom } from '../../bench/zipf.js'
import { levels } from '../../engine/index.js'

const count = 1_000
const draws = 100_000

test('ranks follow Zipf’s law', () => {
  const zipf = zipfFrom(randomFrom(1), count)
  const times = new Int32Array(count)
  for (let i = 0; i < draws; i++) times[zipf()]!++
  const total = Array.from({ length: count }, (_, i) => (i + 1) ** -0.99).reduce((sum, weight) => sum + weight)
  // The first two ranks are exact, the others an approximation.
  for (const rank of [0, 1]) expect(times[rank]! / draws).toBeCloseTo((rank + 1) ** -0.99 / total, 2)
  expect(times.subarray(0, 100).reduce((sum, n) => sum + n) / draws).toBeCloseTo(0.69, 1)
  expect(times.reduce((sum, n) => sum + n)).toBe(draws)
})

test('scattered ranks stay in range and lie apart', () => {
  const ids = Array.from({ length: count }, (_, rank) => scattered(rank, count))
  expect(Math.min(...ids)).toBeGreaterThanOrEqual(0)
  expect(Math.max(...ids)).toBeLessThan(count)
  // As many as of random ones: about 1 - 1/e.
  expect(new Set(ids).size).toBeGreaterThan(580)
  expect(new Set(ids).size).toBeLessThan(700)
})

test('a record has ten fields of 100 characters, and says who wrote it', () => {
  const stamp = { id: 123, writer: 45_678, modified: 9 }
  const fields = fieldsOf(stamp)
  expect(fieldNames.map(name => fields[name].length)).toEqual(fieldNames.map(() => 100))
  expect(stampOf(fields)).toEqual(stamp)
  expect(() => stampOf({ ...fields, field7: fieldsOf({ ...stamp, modified: 10 }).field7 })).toThrow('Row 123 differs in field7')
})

const seen = { customer: 1, total: 100, savingsChanges: 3, checkingChanges: 5 }
const check: Check = { seen, amount: 90, isCharged: false }
const told: Told = { customer: 1, total: 40, savingsChanges: 4, checkingChanges: 5 }

test.each<[string, Check, Told, number, number]>([
  ['a balance shows less than the check, and the check saw more', check, told, 1, 1],
  ['the check was charged all the same', { ...check, isCharged: true }, told, 1, 0],
  ['the balance still suffices', check, { ...told, total: 95 }, 1, 0],
  ['the balance shows the check already', check, { ...told, checkingChanges: 6 }, 0, 0],
  ['the check saw what the balance shows', check, { ...told, savingsChanges: 3 }, 0, 0],
  ['the balance is another customer’s', check, { ...told, customer: 2 }, 0, 0],
])('write skew is counted where no serial order has both: %s', (_, paid, balance, outdatedChecks, unchargedOverdrafts) => {
  expect(skewIn([paid], [balance])).toEqual({ outdatedChecks, unchargedOverdrafts })
})

test.each(levels)('hot rows count what was lost at %s, and what was aborted', async level => {
  const directory = await mkdtemp(join(tmpdir(), 'premise-hot-'))
  const contestant = await startHotRows({ level, rows: 1, clients: 4, roundMs: { full: 100, quick: 100 } }, { quick: true, seed: 1, syncsPerSecond: 100, directory })
  try {
    const { value, notes = {} } = await contestant.round({ number: 1, isWarmUp: false })
    expect(value).toBeGreaterThan(0)
    expect(notes['lost per commit']! > 0).toBe(level === 'read-committed')
    expect(notes['aborts per commit']! > 0).toBe(level !== 'read-committed')
  } finally {
    await contestant.dispose()
    await rm(directory, { recursive: true, force: true })
  }
})
