/** What a transaction is told is true, and stays true: whoever ends it, whenever, and whatever it saw on the way. */
import { expect, test } from 'vitest'
import { contentOf, failureOf, openNumbers, stateOf, turns } from '../support/databases.js'
import { ioError } from '../support/test-environment.js'

test('CANCELLED is said only of what was not installed: a signal that comes while the commit is synced changes nothing', async () => {
  const { db, t, environment } = await openNumbers()
  const stop = new AbortController()
  environment.holdSyncs = true
  const put = db.put(t, 'a', 1, { signal: stop.signal })
  const change = db.transaction(async tx => tx.put(t, 'b', 1), { signal: stop.signal })
  await turns()
  stop.abort()
  await turns()
  environment.releaseSyncs()
  const outcomes = await Promise.allSettled([put, change])
  expect(contentOf(db, t)).toEqual({ a: 1, b: 1 })
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled'])
})

test('a constraint violation is told only when the row it speaks of is on disk', async () => {
  const { db, t, environment } = await openNumbers()
  const late = db.begin({ level: 'read-committed' })
  late.insert(t, 'a', 2)
  environment.holdSyncs = true
  const first = db.insert(t, 'a', 1)
  const second = late.commit()
  second.catch(() => {})
  expect(await stateOf(second)).toBe('pending')
  environment.releaseSyncs()
  await first
  expect(await failureOf(() => second)).toMatchObject({ code: 'ROW_EXISTS' })
})

test('what a relaxed transaction was told, later reads see too', async () => {
  const { db, t, environment } = await openNumbers({ a: 0 })
  environment.holdSyncs = true
  const unsynced = db.put(t, 'a', 1)
  const seen = await db.transaction(tx => tx.get(t, 'a'), { durability: 'relaxed' })
  expect(seen).toBe(1)
  expect(db.get(t, 'a'), 'a read that began after the answer was given').toBe(seen)
  expect(db.transactionSync(tx => tx.get(t, 'a'), { readOnly: true, durability: 'relaxed' })).toBe(seen)
  environment.releaseSyncs()
  await unsynced
})

test('a second call of commit does not undo the first', async () => {
  const { db, t, environment } = await openNumbers({}, { limits: { conflictIndexWrites: 4, revalidateSliceKeys: 1 } })
  const tx = db.begin()
  for (const key of ['a', 'b', 'c', 'd']) tx.get(t, key)
  for (let i = 0; i < 10; i++) await db.put(t, `x${i}`, i)
  tx.put(t, 'z', 1)
  environment.holdDeferred = true
  const first = tx.commit()
  first.catch(() => {})
  const second = await failureOf(() => tx.commit())
  expect(second).toMatchObject({ code: 'TRANSACTION_ENDED' })
  environment.holdDeferred = false
  while (environment.heldDeferred > 0) environment.runDeferred()
  await first
  expect(db.get(t, 'z')).toBe(1)
})

test('COMMIT_UNKNOWN is said only of a commit: who only read is told of its deadline', async () => {
  const { db, t, environment } = await openNumbers()
  environment.holdSyncs = true
  const put = db.put(t, 'a', 1)
  const reader = db.transaction(tx => tx.get(t, 'a'), { timeoutMs: 100 })
  const writer = db.transaction(tx => tx.put(t, 'b', 1), { timeoutMs: 100 })
  const failures = Promise.all([failureOf(() => reader), failureOf(() => writer)])
  await turns()
  environment.advance(101)
  environment.releaseSyncs()
  await put
  expect((await failures).map(({ code }) => code)).toEqual(['TIMEOUT', 'COMMIT_UNKNOWN'])
})

test('COMMIT_UNKNOWN is said only of a commit: who wrote nothing is told that the store has stopped', async () => {
  const { db, t, environment } = await openNumbers()
  environment.holdSyncs = true
  const writer = db.put(t, 'a', 1)
  const reader = db.transaction(tx => tx.get(t, 'a'))
  const refused = db.insert(t, 'a', 2)
  const gaveUp = db.transaction(tx => {
    tx.get(t, 'a')
    throw new Error('changed its mind')
  })
  const failures = Promise.all([writer, reader, refused, gaveUp].map(outcome => failureOf(() => outcome)))
  await turns()
  environment.syncError = ioError('EIO')
  environment.releaseSyncs()
  expect((await failures).map(({ code }) => code)).toEqual(['COMMIT_UNKNOWN', 'POISONED', 'POISONED', 'POISONED'])
})

test('COMMIT_UNKNOWN is said only of a commit, synchronous ones included', async () => {
  const { db, t, environment } = await openNumbers()
  db.put(t, 'a', 1).catch(() => {})
  environment.syncError = ioError('EIO')
  expect(await failureOf(() => db.transactionSync(tx => tx.get(t, 'a')))).toMatchObject({ code: 'POISONED' })
})

test('COMMIT_UNKNOWN is said only of a commit, also where a relaxed reader has to sync what is overdue', async () => {
  const { db, t, environment } = await openNumbers()
  environment.holdSyncs = true
  db.transactionSync(tx => tx.put(t, 'a', 1), { durability: 'relaxed' })
  environment.advance(200)
  environment.syncError = ioError('EIO')
  expect(await failureOf(() => db.transactionSync(tx => tx.get(t, 'a'), { durability: 'relaxed' }))).toMatchObject({ code: 'POISONED' })
})
