/** `db.stats()` tells what is held, where, and who holds it. */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { checkpoint, deferred, failureOf, numbersIn, openNumbers, openTest, turns } from '../support/databases.js'

test('counts and sizes follow a commit from the window through the log into the row file', async () => {
  const one = openTest({})
  const { db, environment, path } = one
  const t = numbersIn(db)
  await t.ready
  await checkpoint(one)
  const empty = db.stats()
  expect(empty).toMatchObject({ window: { keys: 0, sizeBytes: 0, unappliedSizeBytes: 0 }, log: { segments: 1, unsyncedCommits: 0 }, transactions: { open: 0, waiting: 0 }, iterators: 0, oldStates: [] })
  expect(empty).not.toHaveProperty('oldestSnapshot')
  environment.holdSyncs = true
  const puts = Array.from({ length: 100 }, (_, i) => db.put(t, `${i % 50}`, i))
  await turns()
  const visible = db.stats()
  expect(visible.visibleTs).toBe(empty.visibleTs + 100)
  expect(visible.durableTs).toBe(empty.visibleTs)
  expect(visible).toMatchObject({ window: { keys: 50 }, log: { unsyncedCommits: 100 }, transactions: { open: 0, waiting: 100 } })
  expect(visible.window.unappliedSizeBytes).toBeGreaterThanOrEqual(visible.window.sizeBytes)
  expect(visible.log.sizeBytes).toBeGreaterThan(empty.log.sizeBytes)
  environment.releaseSyncs()
  await Promise.all(puts)
  expect(db.stats()).toMatchObject({ durableTs: visible.visibleTs, appliedTs: empty.appliedTs, log: { unsyncedCommits: 0 }, transactions: { open: 0, waiting: 0 } })
  await checkpoint(one)
  const applied = db.stats()
  expect(applied).toMatchObject({ appliedTs: visible.visibleTs, window: { keys: 0, sizeBytes: 0, unappliedSizeBytes: 0 } })
  expect(applied.rowFile.rows).toBe(empty.rowFile.rows + 50)
  expect(applied.rowFile.sizeBytes).toBe(statSync(join(path, 'rows.lmdb')).size)
  expect(applied.rowFile.usedSizeBytes).toBeLessThanOrEqual(applied.rowFile.sizeBytes)
})

test('pages that nobody needs any more are the difference between what the row file takes and what it uses', async () => {
  const one = openTest({})
  const t = one.db.table('t', { key: ['number'] })
  one.db.transactionSync(tx => {
    for (let i = 0; i < 5_000; i++) tx.put(t, i, 'v'.repeat(200))
  })
  await checkpoint(one)
  const full = one.db.stats().rowFile
  expect(full.usedSizeBytes).toBeGreaterThan(0.8 * full.sizeBytes)
  one.db.transactionSync(tx => tx.deleteRange(t))
  await checkpoint(one)
  const emptied = one.db.stats().rowFile
  expect(emptied.sizeBytes).toBeGreaterThanOrEqual(full.sizeBytes)
  expect(emptied.usedSizeBytes).toBeLessThan(0.1 * full.sizeBytes)
  expect(emptied.rows).toBe(full.rows - 5_000)
})

test('who keeps which old state is named: label, age, snapshot, and the oldest of all', async () => {
  const one = await openNumbers({ a: 1, b: 2 })
  const { db, t, store, environment } = one
  const first = store.visibleTs
  const forgotten = db.begin({ label: 'report', readOnly: true, timeoutMs: 50_000 })
  environment.advance(100)
  const iterator = db.range(t)[Symbol.iterator]()
  iterator.next()
  const gate = deferred()
  const running = db.transaction(() => gate.promise, { label: 'slow', timeoutMs: 50_000 })
  expect(db.stats()).toMatchObject({ oldStates: [], iterators: 1, transactions: { open: 2, waiting: 0 }, oldestSnapshot: { kind: 'transaction', snapshotTs: first } })
  await db.put(t, 'a', 2)
  await checkpoint(one)
  using later = db.begin({ level: 'read-committed', timeoutMs: 50_000 })
  const laterRows = later.range(t)[Symbol.iterator]()
  laterRows.next()
  await db.put(t, 'a', 3)
  await checkpoint(one)
  environment.advance(7)
  later.get(t, 'a')
  const { oldStates, oldestSnapshot, transactions, iterators } = db.stats()
  expect(transactions).toEqual({ open: 3, waiting: 0 })
  expect(iterators).toBe(2)
  expect(oldestSnapshot).toEqual({ kind: 'transaction', label: 'report', ageMs: 2_107, snapshotTs: first })
  expect(oldStates.map(({ holders: _, ...state }) => state)).toEqual([
    { appliedTs: 0, ageMs: 1_007, readers: 3 },
    { appliedTs: first + 1, ageMs: 7, readers: 1 },
  ])
  expect(oldStates[0]!.holders.toSorted((x, y) => y.ageMs - x.ageMs || (x.kind < y.kind ? -1 : 1))).toEqual([
    { kind: 'transaction', label: 'report', ageMs: 2_107, snapshotTs: first },
    { kind: 'iterator', ageMs: 2_007, snapshotTs: first },
    { kind: 'transaction', label: 'slow', ageMs: 2_007, snapshotTs: first },
  ])
  expect(oldStates[1]!.holders).toEqual([{ kind: 'iterator', ageMs: 1_007, snapshotTs: first + 1 }])
  forgotten.abort()
  iterator.return!()
  gate.resolve()
  await running
  expect(db.stats()).toMatchObject({ oldStates: [{ appliedTs: first + 1 }], iterators: 1 })
  later.abort()
  expect(db.stats()).toMatchObject({ oldStates: [], iterators: 0, transactions: { open: 0, waiting: 0 } })
})

test('an iterator at read-committed carries the label of its transaction', async () => {
  const { db, t } = await openNumbers({ a: 1, b: 2 })
  await db.transaction(
    tx => {
      for (const { key } of tx.range(t)) {
        expect(key).toBe('a')
        expect(db.stats()).toMatchObject({ iterators: 1, transactions: { open: 1 }, oldestSnapshot: { label: 'walk' } })
        break
      }
      expect(db.stats().iterators).toBe(0)
      tx.range(t)[Symbol.iterator]().next()
      expect(db.stats().iterators).toBe(1)
    },
    { level: 'read-committed', label: 'walk' },
  )
  expect(db.stats().iterators).toBe(0)
})

test('it is plain data, asked for again and again without a trace, and refused when the database is closed', async () => {
  const { db } = await openNumbers({ a: 1 })
  db.begin({ label: 'forgotten' })
  const stats = db.stats()
  expect(structuredClone(stats)).toEqual(stats)
  for (let i = 0; i < 1_000; i++) db.stats()
  expect(db.stats()).toEqual(stats)
  await db.close()
  expect(await failureOf(() => db.stats())).toMatchObject({ code: 'CLOSED' })
})
