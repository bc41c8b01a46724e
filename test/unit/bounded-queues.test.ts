/** What grows with use is bounded: transactions under way, the queue of those who wait, what one of them relies on, and the log behind the window. */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { LimitError } from '../../engine/errors.js'
import { checkpoint, contentOf, deferred, failureOf, numbersIn, openNumbers, openTest, stateOf, turns } from '../support/databases.js'

describe('transactions under way', () => {
  const limits = { openTransactions: 3 }
  const tooMany = { code: 'TOO_MANY_TRANSACTIONS', retryable: true }

  test('beyond the limit are refused, whoever begins them, and admitted again when one has ended', async () => {
    const { db, t, engine } = await openNumbers({ a: 1 }, { limits })
    const gate = deferred()
    const running = db.transaction(async tx => {
      await gate.promise
      tx.put(t, 'a', 2)
    })
    const handle = db.begin()
    const other = db.begin({ readOnly: true })
    const refusals = [() => db.transaction(() => 1), () => db.put(t, 'b', 1), () => db.begin(), () => db.transactionSync(() => 1)]
    for (const refused of refusals) {
      const error = await failureOf(refused)
      expect(error).toBeInstanceOf(LimitError)
      expect(error).toMatchObject(tooMany)
    }
    expect(db.get(t, 'a')).toBe(1)
    handle.abort()
    handle.abort()
    await db.put(t, 'b', 1)
    expect(await failureOf(() => Promise.all([db.put(t, 'c', 1), db.put(t, 'd', 1)]))).toMatchObject(tooMany)
    gate.resolve()
    await running
    other.abort()
    expect(engine.transactions.count).toBe(0)
    expect(contentOf(db, t)).toMatchObject({ a: 2, b: 1 })
  })

  test('count until their callers are told, so a commit that waits for the disk is one of them', async () => {
    const { db, t, engine, environment } = await openNumbers({}, { limits })
    environment.holdSyncs = true
    const waiting = [db.put(t, 'a', 1), db.put(t, 'b', 1), db.put(t, 'c', 1)]
    await turns()
    expect([engine.transactions.count, ...engine.transactions.attempts()]).toEqual([3])
    expect(await failureOf(() => db.put(t, 'd', 1))).toMatchObject(tooMany)
    environment.releaseSyncs()
    await Promise.all(waiting)
    expect(engine.transactions.count).toBe(0)
  })

  test('however they end they are counted once: committed, aborted, thrown, conflicted, timed out, cancelled, refused', async () => {
    const { db, t, engine, environment } = await openNumbers({ a: 1 }, { limits: {} })
    const { transactions } = engine
    const collide = (): void => db.outside(() => db.transactionSync(tx => tx.update(t, 'a', n => n + 1)))
    const cancel = new AbortController()
    const hangs = (): Promise<never> => new Promise(() => {})
    const late = db.begin({ timeoutMs: 10 })
    const lateWhileCommitting = db.begin({ timeoutMs: 10 })
    lateWhileCommitting.put(t, 'b', 1)
    const loser = db.begin()
    loser.put(t, 'c', loser.get(t, 'a')!)
    using disposed = db.begin()
    expect(transactions.count).toBe(4)
    collide()
    environment.holdSyncs = true
    const outcomes = [
      db.transaction(tx => tx.put(t, 'x', 1)),
      db.transaction(() => {
        throw new Error('own')
      }),
      db.transaction(tx => [tx.put(t, 'y', tx.get(t, 'a')!), collide()], { maxAttempts: 2 }),
      db.transaction(hangs, { timeoutMs: 10 }),
      db.transaction(hangs, { signal: cancel.signal }),
      db.insert(t, 'a', 1),
      lateWhileCommitting.commit(),
      loser.commit(),
    ].map(outcome => outcome.then(() => 'committed', (error: Error & { code?: string }) => error.code ?? error.message))
    expect(() => db.transactionSync(() => hangs())).toThrow(expect.objectContaining({ code: 'NOT_SYNCHRONOUS' }) as Error)
    await turns()
    cancel.abort()
    environment.advance(11)
    environment.releaseSyncs()
    expect(await Promise.all(outcomes)).toEqual(['committed', 'own', 'RETRIES_EXHAUSTED', 'TIMEOUT', 'CANCELLED', 'ROW_EXISTS', 'COMMIT_UNKNOWN', 'CONFLICT'])
    expect(() => late.get(t, 'a')).toThrow(expect.objectContaining({ code: 'TIMEOUT' }) as Error)
    late.abort()
    loser.abort()
    disposed.abort()
    expect([transactions.count, ...transactions.attempts()]).toEqual([0])
    await db.close()
    expect(() => db.begin()).toThrow(expect.objectContaining({ code: 'CLOSED' }) as Error)
    expect(transactions.count).toBe(0)
  })
})

describe('what a transaction relies on', () => {
  test('is refused as TRANSACTION_TOO_LARGE beyond the limit of ranges, before anything more is read', async () => {
    const { db, t } = await openNumbers({ a: 1, b: 2 }, { limits: { readSetRanges: 5 } })
    const tx = db.begin()
    for (let i = 0; i < 5; i++) expect(tx.first(t)?.value).toBe(1)
    const reads = [() => tx.range(t).toArray(), () => tx.first(t), () => tx.count(t), () => tx.get(t, 'a'), () => tx.deleteRange(t), () => tx.insert(t, 'c', 1)]
    for (const read of reads) expect(read).toThrow(expect.objectContaining({ code: 'TRANSACTION_TOO_LARGE', retryable: false }) as Error)
    tx.abort()
    for (const options of [{ readOnly: true }, { level: 'snapshot' as const }]) {
      using untracked = db.begin(options)
      for (let i = 0; i < 20; i++) expect(untracked.count(t)).toBe(2)
    }
    expect(contentOf(db, t)).toEqual({ a: 1, b: 2 })
  })

  test('becomes coarser beyond the limit of points, and is still all relied on', async () => {
    const { db, t } = await openNumbers({ a: 1 }, { limits: { readSetPoints: 10 } })
    const tx = db.begin()
    for (let i = 0; i < 100; i++) tx.get(t, `k${i}`)
    tx.put(t, 'mine', 1)
    await db.put(t, 'k0', 1)
    expect(await failureOf(() => tx.commit())).toMatchObject({ code: 'CONFLICT', explain: { kind: 'phantom' } })
  })
})

describe('the log', () => {
  const limits = { segmentSizeBytes: 4_096, logReserveSizeBytes: 512, logSizeBytes: 40_000, checkpointAgeMs: 1e9 }
  const logged = (path: string): number => readdirSync(join(path, 'log')).reduce((sum, name) => sum + statSync(join(path, 'log', name)).size, 0)

  test('makes commits wait for a checkpoint when it is as large as it may be, and never grows far beyond', async () => {
    const one = openTest({ limits })
    const t = one.db.table('t', { key: ['string'] })
    let largest = 0
    for (let i = 0; i < 300; i++) {
      await one.db.put(t, `${i % 10}`, 'v'.repeat(1_000))
      largest = Math.max(largest, logged(one.path))
    }
    expect(one.store.epochs.appliedTs).toBeGreaterThan(100)
    expect(largest).toBeGreaterThan(30_000)
    expect(largest).toBeLessThan(2 * limits.logSizeBytes)
    expect(one.db.count(t)).toBe(10)
  })

  test('makes a synchronous commit run the checkpoint itself', () => {
    const one = openTest({ limits })
    const t = one.db.table('t', { key: ['string'] })
    for (let i = 0; i < 100; i++) one.db.transactionSync(tx => tx.put(t, 'a', `${i}${'v'.repeat(1_000)}`))
    expect(logged(one.path)).toBeLessThan(2 * limits.logSizeBytes)
    expect(one.store.epochs.appliedTs).toBeGreaterThan(50)
  })

  test('that no checkpoint can shorten stops nobody', async () => {
    const one = openTest({ limits: { ...limits, logSizeBytes: 1 } })
    const t = numbersIn(one.db)
    for (let i = 0; i < 20; i++) {
      await one.db.put(t, 'a', i)
      one.db.transactionSync(tx => tx.put(t, 'b', i))
    }
    expect(contentOf(one.db, t)).toEqual({ a: 19, b: 19 })
  })
})

test('of many commits that wait for room each sees what those before it took', async () => {
  const windowSizeBytes = 50_000
  const one = openTest({ limits: { windowSizeBytes, windowCheckpointSizeBytes: windowSizeBytes, checkpointAgeMs: 1e9 } })
  const { db, store, environment } = one
  const t = db.table('t', { key: ['number'] })
  await t.ready
  const gate = deferred()
  let unapplied = 0
  const largest = { bytes: 0 }
  const { window } = store.epochs
  const bodies = Array.from({ length: 200 }, (_, i) =>
    db.transaction(async tx => {
      await gate.promise
      tx.put(t, i, 'v'.repeat(1_000))
      tx.onCommit(() => (unapplied = window.sizeBytes))
    }),
  )
  environment.holdDeferred = true
  gate.resolve()
  expect(await stateOf(bodies.at(-1)!)).toBe('pending')
  environment.holdDeferred = false
  while (environment.heldDeferred > 0) environment.runDeferred()
  const watch = setInterval(() => (largest.bytes = Math.max(largest.bytes, window.sizeBytes)), 0)
  await Promise.all(bodies)
  clearInterval(watch)
  expect(Math.max(unapplied, largest.bytes)).toBeLessThan(3 * windowSizeBytes)
  expect(db.count(t)).toBe(200)
  await checkpoint(one)
})
