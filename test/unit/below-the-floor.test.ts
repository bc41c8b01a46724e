/** A transaction older than the memory of the conflict index keeps the promise of its level, and the index keeps to its limit. */
import { expect, test } from 'vitest'
import { checkpoint, contentOf, failureOf, openNumbers } from '../support/databases.js'

test('at snapshot a deleted range is won by the first committer, also below the floor', async () => {
  const { db, t } = await openNumbers({ a: 1 }, { limits: { conflictIndexWrites: 4 } })
  const tx = db.begin({ level: 'snapshot' })
  expect(tx.deleteRange(t, { lt: 'm' })).toBe(1)
  await db.put(t, 'b', 2)
  for (let i = 0; i < 10; i++) await db.put(t, `x${i}`, i)
  expect(await failureOf(() => tx.commit())).toMatchObject({ code: 'CONFLICT' })
  expect(contentOf(db, t)).toMatchObject({ a: 1, b: 2 })
})

test('U7: a commit that came while an old transaction was revalidated is met, also where a checkpoint has taken it over meanwhile', async () => {
  const one = await openNumbers({}, { limits: { conflictIndexWrites: 4, revalidateSliceKeys: 1 } })
  const { db, t, store } = one
  const tx = db.begin()
  for (let i = 0; i < 2_000; i++) tx.get(t, `r${i}`)
  tx.put(t, 'mine', 1)
  for (let i = 0; i < 10; i++) await db.put(t, `x${i}`, i)
  let ended = false
  const committing = tx.commit().finally(() => (ended = true))
  committing.catch(() => {})
  await db.put(t, 'r0', 1)
  await checkpoint(one)
  expect(ended, 'the revalidation ended before the checkpoint, so this shows nothing').toBe(false)
  expect(store.epochs.appliedTs).toBe(store.visibleTs)
  expect(await failureOf(() => committing)).toMatchObject({ code: 'CONFLICT' })
  expect(db.get(t, 'mine')).toBeUndefined()
})

test.each([true, false])('the conflict index keeps to its limit however large the transactions are (somebody lags: %s)', async lagging => {
  const limit = 1_000
  const { db, t, engine } = await openNumbers({}, { limits: { conflictIndexWrites: limit } })
  const laggard = lagging ? db.begin() : undefined
  for (let commit = 0; commit < 30; commit++) {
    db.transactionSync(tx => {
      for (let i = 0; i < 400; i++) tx.put(t, `${commit % 3} ${i}`, i)
    })
  }
  expect(engine.commitPath.index.writes).toBeLessThanOrEqual(limit + 2 * 400)
  laggard?.abort()
})
