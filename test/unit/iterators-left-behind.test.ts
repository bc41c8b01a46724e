/** Iterators that nobody finishes: left by `break`, by an error, or simply dropped. None keeps an old state, a reader slot or the memory of a window for longer than it must. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Rows } from '../../engine/index.js'
import { checkpoint, failureOf, openNumbers, openTest } from '../support/databases.js'
import { build } from '../tidy/project.js'

const program = fileURLToPath(new URL('iterators-dropped.mjs', import.meta.url))

test.each(['one-shot', 'read-committed'] as const)('a %s iteration lets go of its snapshot on break, on throw, and at its end', async kind => {
  const one = await openNumbers({ a: 1, b: 2, c: 3 })
  const { db, t } = one
  using tx = db.begin({ level: 'read-committed' })
  const rows = (): Rows<string, number> => (kind === 'one-shot' ? db.range(t) : tx.range(t))
  for (const { key } of rows()) {
    expect(db.stats().iterators).toBe(1)
    if (key === 'b') break
  }
  expect(db.stats().iterators).toBe(0)
  const thrown = await failureOf(() => {
    for (const { key } of rows()) if (key === 'b') throw new Error('own')
  })
  expect(thrown.message).toBe('own')
  expect(db.stats().iterators).toBe(0)
  expect([...rows()].length).toBe(3)
  const [first] = rows()
  expect(first).toEqual({ key: 'a', value: 1 })
  expect(db.stats().iterators).toBe(0)
})

describe('an iterator that nobody can reach any more', () => {
  beforeAll(build)

  test.each(['one-shot', 'read-committed'])('lets go of its snapshot when it is collected: %s', kind => {
    const { stdout, stderr, status } = spawnSync(process.execPath, ['--expose-gc', program, kind], { encoding: 'utf8', timeout: 60_000 })
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    const { dropped, collected, afterwards } = JSON.parse(stdout) as Record<string, { iterators: number; oldStates: number }>
    // One of the hundred is kept.
    expect(dropped).toEqual({ iterators: 100, oldStates: 10 })
    expect(collected).toEqual({ iterators: 1, oldStates: 1 })
    expect(afterwards).toEqual({ iterators: 0, oldStates: 0 })
  })
})

test('E-4: hundreds of iterators abandoned over hundreds of checkpoints exhaust no reader slots; the oldest lose their state', async () => {
  const one = openTest({})
  const { db, environment, store } = one
  const t = db.table('t', { key: ['number'] })
  db.transactionSync(tx => {
    for (let i = 0; i < 50; i++) tx.put(t, i, -1)
  })
  const abandoned: Iterator<{ key: number; value: unknown }>[] = []
  let mostStates = 0
  for (let round = 0; round < 300; round++) {
    const iterator = db.range(t, { gte: 1 })[Symbol.iterator]()
    expect(iterator.next().value).toEqual({ key: 1, value: -1 })
    abandoned.push(iterator)
    await db.put(t, 0, round)
    await checkpoint(one)
    mostStates = Math.max(mostStates, store.epochs.pinnedRoots)
  }
  expect(environment.timers).toBeLessThan(5)
  expect(db.stats()).toMatchObject({ iterators: 300 })
  expect(mostStates).toBeLessThan(126)
  expect(mostStates).toBeGreaterThan(100)
  expect(db.stats().oldStates.length).toBe(store.epochs.pinnedRoots - 1)
  expect(db.get(t, 0)).toBe(299)
  // The youngest still read their state; the oldest are told.
  expect(abandoned.at(-1)!.next().value).toEqual({ key: 2, value: -1 })
  expect(await failureOf(() => abandoned[0]!.next())).toMatchObject({ code: 'SNAPSHOT_TOO_OLD' })
  for (const iterator of abandoned) iterator.return!()
  expect(db.stats()).toMatchObject({ iterators: 0, oldStates: [] })
})
