/** What a transaction promises: how it begins, what it sees, how it ends, how often it is tried, and what is left of it. Wrong use is in misuse.test.ts. */
import { getEventListeners } from 'node:events'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { describe, expect, test, vi } from 'vitest'
import { CancelledError, ConflictError, ConstraintError, LimitError, UsageError, type Transaction } from '../../engine/index.js'
import { checkpoint, conflictOf, contentOf, deferred, failureOf, fill, numbersIn, openNumbers, openTest, scratchDirectory, stateOf, turns, type Numbers } from '../support/databases.js'
import { ioError } from '../support/test-environment.js'

const code = (expected: string): Error => expect.objectContaining({ code: expected }) as Error

/** Makes every attempt of the transaction around it lose. */
const overtake = (db: ReturnType<typeof openTest>['db'], t: Numbers, tx: Transaction): void => {
  tx.put(t, 'result', tx.get(t, 'hot')!)
  db.outside(() => db.transactionSync(other => other.update(t, 'hot', n => n + 1), { label: 'rival' }))
}

describe('db.transaction', () => {
  test.each([
    ['a synchronous body', (tx: Transaction, t: Numbers) => (tx.put(t, 'a', 1), 'result')],
    ['an asynchronous body', async (tx: Transaction, t: Numbers) => (await Promise.resolve(), tx.put(t, 'a', 1), 'result')],
    // oxlint-disable-next-line unicorn/no-thenable -- anything that can be awaited
    ['a body that returns a thenable', (tx: Transaction, t: Numbers) => (tx.put(t, 'a', 1), { then: (resolve: (value: string) => void) => resolve('result') })],
  ])('%s: resolves to what it returned, and its writes are there', async (_name, body) => {
    const { db, t } = await openNumbers()
    expect(await db.transaction<unknown>(tx => body(tx, t))).toBe('result')
    expect(contentOf(db, t)).toEqual({ a: 1 })
  })

  test.each([new Error('mine'), 'no error', undefined, { code: 'CONFLICT', retryable: true }])('a body that throws %o rejects with just that, changes nothing and is not run again', async thrown => {
    const { db, t, store } = await openNumbers({ a: 1 })
    const before = store.visibleTs
    let runs = 0
    const reasons: unknown[] = []
    const note = (reason: unknown): unknown => reasons.push(reason)
    await db
      .transaction(tx => {
        runs++
        tx.put(t, 'a', 2)
        throw thrown as Error
      })
      .catch(note)
    await db
      .transaction(async tx => {
        runs++
        tx.put(t, 'a', 2)
        await Promise.resolve()
        throw thrown as Error
      })
      .catch(note)
    expect(reasons).toHaveLength(2)
    for (const reason of reasons) expect(reason).toBe(thrown)
    expect([runs, store.visibleTs, db.get(t, 'a')]).toEqual([2, before, 1])
  })

  test('its own writes are seen by it and by nobody else until it commits', async () => {
    const { db, t } = await openNumbers({ a: 1, b: 1, c: 1 })
    const gate = deferred()
    const work = db.transaction(async tx => {
      tx.put(t, 'a', 2)
      tx.delete(t, 'b')
      tx.insert(t, 'aa', 3)
      expect([tx.get(t, 'a'), tx.has(t, 'b'), tx.count(t), tx.getMany(t, ['aa', 'b', 'c'])]).toEqual([2, false, 3, [3, undefined, 1]])
      for (const reverse of [false, true]) {
        const keys = tx.range(t, { reverse }).toArray().map(({ key }) => key)
        expect(reverse ? keys.toReversed() : keys).toEqual(['a', 'aa', 'c'])
      }
      expect([tx.first(t, { gt: 'a' })?.key, tx.last(t, { lt: 'c' })?.key]).toEqual(['aa', 'aa'])
      await gate.promise
    })
    await turns()
    expect(contentOf(db, t)).toEqual({ a: 1, b: 1, c: 1 })
    gate.resolve()
    await work
    expect(contentOf(db, t)).toEqual({ a: 2, aa: 3, c: 1 })
  })

  test('a range shows the own writes as of the moment iteration starts, anew each time', async () => {
    const { db, t } = await openNumbers({ a: 1, c: 1 })
    await db.transaction(tx => {
      const rows = tx.range(t)
      const keys: string[] = []
      for (const { key } of rows) {
        keys.push(key)
        tx.put(t, `${key}+`, 2)
        tx.delete(t, 'c')
      }
      expect(keys).toEqual(['a', 'c'])
      expect(rows.toArray().map(({ key }) => key)).toEqual(['a', 'a+', 'c+'])
    })
  })

  test('a value is a copy: what the caller does with it before or after changes nothing', async () => {
    const { db } = openTest()
    const t = db.table('objects', { key: ['string'] })
    const value = { list: [1] }
    await db.transaction(tx => {
      tx.put(t, 'a', value)
      value.list.push(2)
      ;(tx.get(t, 'a') as typeof value).list.push(3)
      expect(tx.get(t, 'a')).toEqual({ list: [1] })
    })
    ;(db.get(t, 'a') as typeof value).list.push(4)
    expect(db.get(t, 'a')).toEqual({ list: [1] })
  })
})

test('a deleteRange that is too large for its transaction deletes nothing, though the body goes on', async () => {
  const opened = await openNumbers({}, { limits: { transactionWrites: 10 } })
  const { db, t } = opened
  for (let i = 0; i < 20; i++) fill(opened, t, { [`k${i}`]: i })
  await db.transaction(tx => {
    tx.put(t, 'mine', 1)
    expect(() => tx.deleteRange(t)).toThrow(code('TRANSACTION_TOO_LARGE'))
    expect(tx.count(t)).toBe(21)
  })
  expect(db.count(t)).toBe(21)
})

describe('db.transactionSync', () => {
  test('returns what the body returned, when it is on disk', async () => {
    const { db, t, store } = await openNumbers()
    expect(db.transactionSync(tx => (tx.put(t, 'a', 1), 'result'))).toBe('result')
    expect(store.durableTs).toBe(store.visibleTs)
  })

  test('a body that throws changes nothing', async () => {
    const { db, t } = await openNumbers({ a: 1 })
    const mine = new Error('mine')
    expect(() =>
      db.transactionSync(tx => {
        tx.put(t, 'a', 2)
        throw mine
      }),
    ).toThrow(mine)
    expect(db.get(t, 'a')).toBe(1)
  })

  test('a body that returns a promise is refused, and nothing of it is kept', async () => {
    const { db, t } = await openNumbers({ a: 1 })
    const body = async (tx: Transaction): Promise<void> => {
      tx.put(t, 'a', 2)
      await Promise.resolve()
      tx.put(t, 'b', 2)
    }
    expect(() => db.transactionSync(body)).toThrow(code('NOT_SYNCHRONOUS'))
    await turns()
    expect(contentOf(db, t)).toEqual({ a: 1 })
  })

  test('is tried again where what it did outside overtook it, as often as it may', async () => {
    const { db, t } = await openNumbers({ hot: 0 })
    const attempts: number[] = []
    db.transactionSync(tx => {
      attempts.push(tx.attempt)
      if (tx.attempt < 3) overtake(db, t, tx)
    })
    expect(attempts).toEqual([1, 2, 3])
    const error = await failureOf(() => db.transactionSync(tx => overtake(db, t, tx), { maxAttempts: 4 }))
    expect(error).toMatchObject({ code: 'RETRIES_EXHAUSTED', retryable: true, explain: { read: { key: 'hot' }, overwrittenBy: { label: 'rival' } } })
    expect(error.cause).toBeInstanceOf(ConflictError)
    expect(db.get(t, 'hot')).toBe(6)
  })

  test('a body that takes longer than it may changes nothing', async () => {
    const { db, t, environment } = await openNumbers({ a: 1 })
    const slow = (tx: Transaction): void => {
      tx.put(t, 'a', 2)
      environment.advance(101)
    }
    expect(() => db.transactionSync(slow, { timeoutMs: 100 })).toThrow(code('TIMEOUT'))
    const controller = new AbortController()
    const cancelled = (tx: Transaction): void => {
      tx.put(t, 'a', 2)
      controller.abort('enough')
    }
    expect(() => db.transactionSync(cancelled, { signal: controller.signal })).toThrow(expect.objectContaining({ code: 'CANCELLED', cause: 'enough' }) as Error)
    expect(db.get(t, 'a')).toBe(1)
  })

  test('with no room in the window it makes room before it begins', async () => {
    const { db, t, store } = await openNumbers({}, { limits: { windowSizeBytes: 1_000, windowCheckpointSizeBytes: 500 } })
    for (let i = 0; i < 50; i++) db.transactionSync(tx => tx.put(t, `k${i}`, i))
    expect(store.epochs.appliedTs).toBeGreaterThan(0)
    expect(store.epochs.window.sizeBytes).toBeLessThan(3_000)
    expect(db.count(t)).toBe(50)
  })
})

describe('db.begin', () => {
  test('a handle commits once, when its owner says so, and is never tried again', async () => {
    const { db, t } = await openNumbers({ a: 1 })
    const tx = db.begin()
    expect(tx.attempt).toBe(1)
    tx.put(t, 'a', tx.get(t, 'a')! + 1)
    await turns()
    expect(db.get(t, 'a')).toBe(1)
    await tx.commit()
    expect(db.get(t, 'a')).toBe(2)
    const loser = db.begin()
    loser.get(t, 'a')
    await db.put(t, 'a', 5)
    loser.put(t, 'a', 3)
    await conflictOf(loser)
    expect(db.get(t, 'a')).toBe(5)
  })

  test('disposing of it without a commit aborts it; after a commit it does nothing', async () => {
    const { db, t, environment } = await openNumbers()
    {
      using tx = db.begin()
      tx.put(t, 'a', 1)
    }
    {
      await using tx = db.begin()
      tx.put(t, 'b', 1)
    }
    {
      using tx = db.begin()
      tx.put(t, 'c', 1)
      await tx.commit()
    }
    const tx = db.begin()
    tx[Symbol.dispose]()
    await tx[Symbol.asyncDispose]()
    expect(contentOf(db, t)).toEqual({ c: 1 })
    expect(environment.timers, 'only the checkpoint is still to come').toBe(1)
  })

  test('abort may be called at any time, and only the first call counts', async () => {
    const { db, t, store } = await openNumbers()
    const tx = db.begin()
    tx.put(t, 'a', 1)
    tx.abort()
    tx.abort()
    expect(await failureOf(() => tx.commit())).toMatchObject({ code: 'TRANSACTION_ENDED' })
    expect(store.epochs.live.oldest).toBeUndefined()
    const done = db.begin()
    done.put(t, 'b', 1)
    await done.commit()
    done.abort()
    expect(contentOf(db, t)).toEqual({ b: 1 })
  })

  test('it ends by itself at its deadline, and says so to whoever uses it later', async () => {
    const { db, t, environment, store } = await openNumbers()
    const tx = db.begin({ timeoutMs: 50 })
    tx.put(t, 'a', 1)
    environment.advance(51)
    expect(store.epochs.live.oldest, 'its snapshot is given up').toBeUndefined()
    expect(() => tx.get(t, 'a')).toThrow(code('TIMEOUT'))
    expect(await failureOf(() => tx.commit())).toMatchObject({ code: 'TIMEOUT', retryable: true })
    expect(contentOf(db, t)).toEqual({})
  })

  test('its signal ends it', async () => {
    const { db, t } = await openNumbers()
    const controller = new AbortController()
    const tx = db.begin({ signal: controller.signal })
    tx.put(t, 'a', 1)
    const reason = new Error('enough')
    controller.abort(reason)
    const error = await failureOf(() => tx.commit())
    expect(error).toBeInstanceOf(CancelledError)
    expect(error).toMatchObject({ code: 'CANCELLED', retryable: false, cause: reason })
    expect(await failureOf(() => db.begin({ signal: controller.signal }))).toMatchObject({ code: 'CANCELLED' })
  })
})

describe('levels', () => {
  test('serializable is the default', async () => {
    const { db, t } = await openNumbers({ a: 1 })
    const tx = db.begin()
    tx.get(t, 'a')
    await db.put(t, 'a', 2)
    tx.put(t, 'b', 1)
    expect(await conflictOf(tx)).toMatchObject({ level: 'serializable' })
  })

  test('read-committed: each operation sees the newest commit, and writes never conflict', async () => {
    const opened = await openNumbers({ a: 1 })
    const { db, t } = opened
    const tx = db.begin({ level: 'read-committed' })
    expect(tx.get(t, 'a')).toBe(1)
    fill(opened, t, { a: 2, b: 2 })
    expect(tx.get(t, 'a')).toBe(2)
    expect(tx.count(t)).toBe(2)
    tx.put(t, 'a', 3)
    fill(opened, t, { a: 4 })
    expect(tx.get(t, 'a')).toBe(3)
    await tx.commit()
    expect(db.get(t, 'a')).toBe(3)
  })

  test('snapshot: reads stay, reads never conflict, and of two who write one row the first to commit wins', async () => {
    const opened = await openNumbers({ a: 1, b: 1 })
    const { db, t } = opened
    const tx = db.begin({ level: 'snapshot' })
    fill(opened, t, { a: 2, c: 2 })
    expect(contentOf(tx as never, t)).toEqual({ a: 1, b: 1 })
    tx.put(t, 'b', 9)
    await tx.commit()
    const rival = db.begin({ level: 'snapshot' })
    rival.delete(t, 'b')
    fill(opened, t, { b: 9 }) // the same value: still somebody else's write
    expect(await conflictOf(rival)).toMatchObject({ kind: 'write-write' })
  })

  test('serializable: two blind writers of one row both commit, in commit order', async () => {
    const { db, t } = await openNumbers()
    const [first, second] = [db.begin(), db.begin()]
    second.put(t, 'a', 2)
    first.put(t, 'a', 1)
    await second.commit()
    await first.commit()
    expect(db.get(t, 'a')).toBe(1)
  })
})

describe('readOnly', () => {
  test.each(['serializable', 'snapshot'] as const)('at %s it reads one state, never conflicts and is not tracked', async level => {
    const opened = await openNumbers({ a: 1 })
    const { db, t, store } = opened
    const tx = db.begin({ readOnly: true, level })
    expect(store.epochs.tracked.oldest).toBeUndefined()
    fill(opened, t, { a: 2 })
    expect(tx.get(t, 'a')).toBe(1)
    await tx.commit()
  })

  test('at read-committed each operation sees the newest acknowledged commit', async () => {
    const opened = await openNumbers({ a: 1 })
    const { db, t } = opened
    const tx = db.begin({ readOnly: true, level: 'read-committed' })
    fill(opened, t, { a: 2 })
    expect(tx.get(t, 'a')).toBe(2)
    await tx.commit()
  })

  test('it may call onCommit and use savepoints', async () => {
    const { db, t } = await openNumbers({ a: 1 })
    const hook = vi.fn()
    expect(await db.transaction(tx => (tx.onCommit(hook), tx.transaction(child => child.get(t, 'a'))), { readOnly: true })).toBe(1)
    expect(hook).toHaveBeenCalledOnce()
  })
})

describe('savepoints', () => {
  const oops = new Error('oops')
  const fail = (): never => {
    throw oops
  }

  test('what one wrote is kept with the transaction, and it returns what its body returned', async () => {
    const { db, t } = await openNumbers({ a: 1 })
    const found = await db.transaction(async tx => {
      const one = tx.transaction(child => (child.put(t, 'b', 2), child.get(t, 'a')))
      const two = await tx.transaction(async child => {
        await Promise.resolve()
        child.put(t, 'c', 3)
        return child.attempt
      })
      return [one, two]
    })
    expect(found).toEqual([1, 1])
    expect(contentOf(db, t)).toEqual({ a: 1, b: 2, c: 3 })
  })

  test.each(['synchronous', 'asynchronous'] as const)('a %s one that fails drops its writes and no others, and throws on', async kind => {
    const { db, t } = await openNumbers({ a: 1, b: 1, c: 1, d: 1 })
    await db.transaction(async tx => {
      tx.put(t, 'a', 2)
      tx.put(t, 'e', 2)
      const write = (child: Transaction): void => {
        child.put(t, 'a', 3)
        child.put(t, 'a', 4)
        child.delete(t, 'e')
        child.update(t, 'b', n => n + 1)
        child.insert(t, 'f', 1)
        child.deleteRange(t, { gte: 'c' })
        child.transaction(inner => inner.put(t, 'g', 1))
        expect(child.range(t).toArray().map(({ key }) => key)).toEqual(['a', 'b', 'g'])
      }
      if (kind === 'synchronous') expect(() => tx.transaction(child => (write(child), fail()))).toThrow(oops)
      else {
        const body = async (child: Transaction): Promise<void> => {
          write(child)
          await Promise.resolve()
          fail()
        }
        await expect(tx.transaction(body)).rejects.toBe(oops)
      }
      expect(Object.fromEntries(Array.from(tx.range(t), ({ key, value }) => [key, value]))).toEqual({ a: 2, b: 1, c: 1, d: 1, e: 2 })
      tx.put(t, 'z', 1)
    })
    expect(contentOf(db, t)).toEqual({ a: 2, b: 1, c: 1, d: 1, e: 2, z: 1 })
  })

  test('they nest: an inner one that fails leaves the outer one as it was, an outer one takes the inner one with it', async () => {
    const { db, t } = await openNumbers()
    await db.transaction(tx => {
      tx.transaction(outer => {
        outer.put(t, 'a', 1)
        expect(() => outer.transaction(inner => (inner.put(t, 'a', 2), fail()))).toThrow(oops)
        expect(outer.get(t, 'a')).toBe(1)
      })
      expect(() =>
        tx.transaction(outer => {
          outer.transaction(inner => inner.put(t, 'b', 1))
          fail()
        }),
      ).toThrow(oops)
    })
    expect(contentOf(db, t)).toEqual({ a: 1 })
  })

  test('while one runs the transaction around it may not be used; afterwards it may, and the savepoint may not', async () => {
    const { db, t } = await openNumbers()
    const tx = db.begin()
    const gate = deferred()
    let child!: Transaction
    const running = tx.transaction(async handle => {
      child = handle
      await gate.promise
    })
    expect(() => tx.get(t, 'a')).toThrow(code('SAVEPOINT_ACTIVE'))
    expect(() => tx.transaction(() => {})).toThrow(code('SAVEPOINT_ACTIVE'))
    child.put(t, 'a', 1)
    gate.resolve()
    await running
    expect(tx.get(t, 'a')).toBe(1)
    expect(() => child.get(t, 'a')).toThrow(code('TRANSACTION_ENDED'))
    await tx.commit()
    expect(contentOf(db, t)).toEqual({ a: 1 })
  })

  test('a transaction that ends while one is open is aborted, handle or body', async () => {
    const { db, t } = await openNumbers()
    const gate = deferred()
    const pause = (tx: Transaction): Promise<void> => tx.transaction(child => (child.put(t, 'a', 1), gate.promise))
    const tx = db.begin()
    const first = pause(tx)
    expect(await failureOf(() => tx.commit())).toMatchObject({ code: 'SAVEPOINT_ACTIVE' })
    let second: Promise<void> | undefined
    expect(await failureOf(() => db.transaction(body => void (second = pause(body))))).toMatchObject({ code: 'SAVEPOINT_ACTIVE' })
    gate.resolve()
    await Promise.all([first, second])
    expect(contentOf(db, t)).toEqual({})
  })

  test('a conflict ends the whole transaction although the body swallows it', async () => {
    const { db, t } = await openNumbers({ a: 1, b: 1 })
    const attempts: number[] = []
    await db.transaction(tx => {
      attempts.push(tx.attempt)
      tx.put(t, 'result', tx.attempt)
      tx.get(t, 'a')
      if (tx.attempt > 1) return
      db.outside(() => db.transactionSync(other => [other.put(t, 'a', 2), other.put(t, 'b', 2)]))
      const swallowed: unknown[] = []
      try {
        tx.transaction(child => child.get(t, 'b'))
      } catch (error) {
        swallowed.push(error)
      }
      expect(swallowed).toEqual([code('CONFLICT')])
      expect(() => tx.get(t, 'c')).toThrow(swallowed[0] as Error)
    })
    expect(attempts).toEqual([1, 2])
    expect(db.get(t, 'result')).toBe(2)
  })
})

describe('onCommit', () => {
  test('hooks run in order, once, after the commit, and not for what failed', async () => {
    const { db, t } = await openNumbers({ a: 1 })
    const ran: string[] = []
    await db.transaction(tx => {
      tx.onCommit(() => ran.push(`first ${db.get(t, 'b')}`))
      tx.transaction(child => child.onCommit(() => ran.push('of a savepoint')))
      expect(() =>
        tx.transaction(child => {
          child.onCommit(() => ran.push('of a failed savepoint'))
          throw new Error('oops')
        }),
      ).toThrow('oops')
      tx.onCommit(() => ran.push('last'))
      tx.put(t, 'b', 2)
      expect(ran).toEqual([])
    })
    expect(ran).toEqual(['first 2', 'of a savepoint', 'last'])

    const never = vi.fn()
    await failureOf(() => db.transaction(tx => (tx.onCommit(never), tx.insert(t, 'a', 1))))
    const tx = db.begin()
    tx.onCommit(never)
    tx.abort()
    const loser = db.begin()
    loser.onCommit(never)
    loser.get(t, 'a')
    fill({ db }, t, { a: 7 })
    loser.put(t, 'c', 1)
    await conflictOf(loser)
    expect(() => db.transactionSync(body => (body.onCommit(never), body.update(t, 'none', n => n)))).toThrow(code('ROW_ABSENT'))
    expect(never).not.toHaveBeenCalled()
  })

  test('a hook that throws undoes nothing, stops no other hook, and its error surfaces by itself', async () => {
    const { db, t, environment } = await openNumbers()
    const surfaced: unknown[] = []
    const defer = environment.defer.bind(environment)
    const second = vi.fn()
    const done = db.transaction(tx => {
      tx.put(t, 'a', 1)
      tx.onCommit(() => {
        environment.defer = run =>
          defer(() => {
            try {
              run()
            } catch (error) {
              surfaced.push(error)
            }
          })
        throw new Error('hook')
      })
      tx.onCommit(second)
    })
    await done
    await turns()
    expect(second).toHaveBeenCalledOnce()
    expect(surfaced).toEqual([new Error('hook')])
    expect(db.get(t, 'a')).toBe(1)
  })
})

describe('one-shot operations', () => {
  test('writes are transactions of one operation', async () => {
    const { db, t } = await openNumbers({ a: 1, b: 2, c: 3 })
    expect(await db.put(t, 'd', 4)).toBeUndefined()
    expect(await db.insert(t, 'e', 5)).toBeUndefined()
    expect(await db.update(t, 'a', n => n + 10)).toBeUndefined()
    expect(await db.delete(t, 'b')).toBeUndefined()
    expect(await db.deleteRange(t, { gte: 'd' })).toBe(2)
    expect(await db.compareAndSet(t, 'c', 3, 30)).toBe(true)
    expect(await db.compareAndSet(t, 'c', 3, 31)).toBe(false)
    expect(await db.compareAndSet(t, 'x', undefined, 1)).toBe(true)
    expect(await db.compareAndSet(t, 'x', 1, undefined)).toBe(true)
    expect(contentOf(db, t)).toEqual({ a: 11, c: 30 })
    expect(await failureOf(() => db.insert(t, 'a', 1))).toMatchObject({ code: 'ROW_EXISTS' })
    expect(await failureOf(() => db.update(t, 'b', n => n))).toMatchObject({ code: 'ROW_ABSENT' })
  })

  test('reads answer from the newest acknowledged commit', async () => {
    const { db, t } = await openNumbers({ a: 1, b: 2, c: 3 })
    expect([db.get(t, 'a'), db.get(t, 'x'), db.has(t, 'a'), db.has(t, 'x')]).toEqual([1, undefined, true, false])
    expect(db.getMany(t, new Set(['c', 'x', 'a']))).toEqual([3, undefined, 1])
    expect([db.count(t), db.count(t, { gt: 'a' }), db.count(t, { limit: 2 })]).toEqual([3, 2, 2])
    expect([db.first(t), db.last(t), db.first(t, { gt: 'c' }), db.first(t, { reverse: true }), db.last(t, { lt: 'c' }), db.first(t, { limit: 0 })]).toEqual([
      { key: 'a', value: 1 },
      { key: 'c', value: 3 },
      undefined,
      { key: 'c', value: 3 },
      { key: 'b', value: 2 },
      undefined,
    ])
    expect(db.range(t, { gte: 'b', limit: 1 }).toArray()).toEqual([{ key: 'b', value: 2 }])
  })

  test('a range can be walked again and again, each time from the newest commit, each walk on one state', async () => {
    const opened = await openNumbers({ a: 1, c: 1 })
    const { db, t, store } = opened
    const rows = db.range(t)
    const keys: string[] = []
    for (const { key } of rows) {
      keys.push(key)
      fill(opened, t, { b: 2, c: undefined })
    }
    expect(keys).toEqual(['a', 'c'])
    expect([...rows].map(({ key }) => key)).toEqual(['a', 'b'])
    for (const row of rows) {
      expect(row.key).toBe('a')
      break
    }
    expect(store.epochs.live.oldest, 'leaving early releases the snapshot').toBeUndefined()
  })

  test('an update waits its turn: none is lost', async () => {
    const { db, t, environment } = await openNumbers({ n: 0 })
    environment.skipPauses = true
    await Promise.all(Array.from({ length: 50 }, () => db.update(t, 'n', n => n + 1, { maxAttempts: 100 })))
    expect(db.get(t, 'n')).toBe(50)
  })
})

describe('the guard', () => {
  type Db = ReturnType<typeof openTest>['db']
  let inserted = 0
  const oneShots: Record<string, (db: Db, t: Numbers) => unknown> = {
    get: (db, t) => db.get(t, 'a'),
    getMany: (db, t) => db.getMany(t, ['a']),
    has: (db, t) => db.has(t, 'a'),
    range: (db, t) => db.range(t),
    count: (db, t) => db.count(t),
    first: (db, t) => db.first(t),
    last: (db, t) => db.last(t),
    put: (db, t) => db.put(t, 'a', 1),
    insert: (db, t) => db.insert(t, `new ${++inserted}`, 1),
    update: (db, t) => db.update(t, 'a', n => n),
    delete: (db, t) => db.delete(t, 'a'),
    deleteRange: (db, t) => db.deleteRange(t),
    compareAndSet: (db, t) => db.compareAndSet(t, 'a', 1, 1),
    transaction: db => db.transaction(() => {}),
    transactionSync: db => db.transactionSync(() => {}),
    begin: db => db.begin(),
  }

  test.each(Object.entries(oneShots))('db.%s is refused in a body, also in a savepoint, and allowed by db.outside', async (name, call) => {
    for (const guard of ['sync', 'async'] as const) {
      const { db, t } = await openNumbers({ a: 1 }, { guard })
      const refused = async (): Promise<void> => {
        const error = await failureOf(() => call(db, t))
        expect(error).toBeInstanceOf(UsageError)
        expect(error).toMatchObject({ code: 'OUTSIDE_TRANSACTION' })
        expect(error.message).toContain(`db.${name}`)
      }
      const checks: Promise<void>[] = []
      await db.transaction(tx => {
        checks.push(refused())
        tx.transaction(() => void checks.push(refused()))
        checks.push(refused())
      })
      db.transactionSync(() => void checks.push(refused()))
      await Promise.all(checks)
      let allowed: unknown
      await db.transaction(() => {
        allowed = db.outside(() => call(db, t))
      })
      await allowed
      if (name === 'begin') (allowed as Disposable)[Symbol.dispose]()
      await call(db, t)
    }
  })

  test('after an await it is refused with guard async only', async () => {
    for (const guard of ['sync', 'async'] as const) {
      const { db, t } = await openNumbers({ a: 1 }, { guard })
      const found = await db.transaction(async () => {
        await Promise.resolve()
        try {
          return db.get(t, 'a')
        } catch (error) {
          return (error as UsageError).code
        }
      })
      expect(found).toBe(guard === 'sync' ? 1 : 'OUTSIDE_TRANSACTION')
      expect(db.get(t, 'a'), 'and allowed again afterwards').toBe(1)
    }
  })

  test('others are not concerned while a body waits, and a body that threw leaves no trace', async () => {
    const { db, t } = await openNumbers({ a: 1 })
    const gate = deferred()
    const waiting = db.transaction(() => gate.promise)
    expect(db.get(t, 'a')).toBe(1)
    await failureOf(() =>
      db.transaction(() => {
        throw new Error('oops')
      }),
    )
    expect(() =>
      db.transactionSync(() => {
        throw new Error('oops')
      }),
    ).toThrow('oops')
    expect(db.get(t, 'a')).toBe(1)
    gate.resolve()
    await waiting
  })

  test('a range asked for outside is not walked inside', async () => {
    const { db, t } = await openNumbers({ a: 1 })
    const rows = db.range(t)
    await db.transaction(() => expect(() => [...rows]).toThrow(code('OUTSIDE_TRANSACTION')))
    expect([...rows]).toHaveLength(1)
  })

  test('hooks are outside', async () => {
    const { db, t } = await openNumbers({ a: 1 })
    let found: number | undefined
    await db.transaction(async tx => {
      tx.onCommit(() => (found = db.get(t, 'a')))
      await Promise.resolve()
    })
    expect(found).toBe(1)
  })
})

describe('retries', () => {
  test('attempts are counted from 1, and a body that wins at last has its last result kept', async () => {
    const { db, t, environment } = await openNumbers({ hot: 0 })
    environment.skipPauses = true
    const attempts: number[] = []
    const result = await db.transaction(async tx => {
      attempts.push(tx.attempt)
      await Promise.resolve()
      if (tx.attempt < 5) overtake(db, t, tx)
      return tx.attempt
    })
    expect(result).toBe(5)
    expect(attempts).toEqual([1, 2, 3, 4, 5])
  })

  test.each([1, 2, 10])('maxAttempts %i is how often the body runs; 10 is the default', async maxAttempts => {
    const { db, t, environment } = await openNumbers({ hot: 0 })
    environment.skipPauses = true
    const options = maxAttempts === 10 ? {} : { maxAttempts }
    const error = await failureOf(() => db.transaction(tx => overtake(db, t, tx), options))
    expect(error).toBeInstanceOf(LimitError)
    expect(error).toMatchObject({ code: 'RETRIES_EXHAUSTED', explain: { kind: 'overwritten' } })
    expect(error.cause).toBeInstanceOf(ConflictError)
    expect(db.get(t, 'hot')).toBe(maxAttempts)
  })

  test('a body that throws because of what it read is judged by what it read: with an outdated premise it is still told its error', async () => {
    const { db, t } = await openNumbers({ hot: 0 })
    let runs = 0
    const mine = new Error('mine')
    const error = await failureOf(() =>
      db.transaction(tx => {
        runs++
        tx.get(t, 'hot')
        db.outside(() => fill({ db }, t, { hot: 1 }))
        throw mine
      }),
    )
    expect(error).toBe(mine)
    expect(runs).toBe(1)
  })

  test("another transaction's conflict is this body's error, and no reason to run it again", async () => {
    const { db, t } = await openNumbers({ a: 1 })
    const other = db.begin()
    other.get(t, 'a')
    await db.put(t, 'a', 2)
    other.put(t, 'b', 1)
    let runs = 0
    const error = await failureOf(() => db.transaction(async () => (runs++, other.commit())))
    expect(error).toBeInstanceOf(ConflictError)
    expect(runs).toBe(1)
  })

  test('a constraint, a limit and wrong use are not tried again', async () => {
    const { db, t } = await openNumbers({ a: 1 }, { limits: { valueSizeBytes: 100 } })
    for (const [expected, action] of [
      ['ROW_EXISTS', tx => tx.insert(t, 'a', 1)],
      ['INVALID_KEY', tx => tx.get(t, 5 as never)],
      ['VALUE_TOO_LARGE', tx => tx.put(t, 'b', 'x'.repeat(200) as never)],
    ] as [string, (tx: Transaction) => unknown][]) {
      let runs = 0
      expect(await failureOf(() => db.transaction(tx => (runs++, action(tx))))).toMatchObject({ code: expected, retryable: false })
      expect(runs).toBe(1)
    }
  })
})

describe('the deadline', () => {
  test('ends a body that does not, over all attempts, and what the body does later is refused', async () => {
    const { db, t, environment, store } = await openNumbers()
    const gate = deferred()
    let late: Promise<unknown> = Promise.resolve()
    const work = failureOf(() =>
      db.transaction(
        tx => {
          tx.put(t, 'a', 1)
          return (late = gate.promise.then(() => tx.put(t, 'b', 1)))
        },
        { timeoutMs: 30 },
      ),
    )
    await turns()
    environment.advance(31)
    expect(await work).toMatchObject({ code: 'TIMEOUT', retryable: true })
    expect(store.epochs.live.oldest).toBeUndefined()
    gate.resolve()
    expect(await failureOf(() => late)).toMatchObject({ code: 'TIMEOUT' })
    expect(contentOf(db, t)).toEqual({})
  })

  test('counts over all attempts and their pauses', async () => {
    const { db, t, environment } = await openNumbers({ hot: 0 })
    const work = failureOf(() => db.transaction(tx => overtake(db, t, tx), { timeoutMs: 20, maxAttempts: 1_000 }))
    for (let ms = 0; ms < 25; ms++) {
      await turns(2)
      environment.advance(1)
    }
    expect(await work).toMatchObject({ code: 'TIMEOUT' })
    expect(db.get(t, 'hot')).toBeGreaterThan(2)
    expect(db.has(t, 'result')).toBe(false)
  })

  test('ends the wait for room in the window', async () => {
    const { db, t, environment } = await openNumbers({}, { limits: { windowSizeBytes: 1, windowCheckpointSizeBytes: 1 } })
    environment.holdSyncs = true
    db.put(t, 'a', 1).catch(() => {})
    await turns()
    const work = failureOf(() => db.put(t, 'b', 1, { timeoutMs: 30 }))
    await turns()
    environment.advance(31)
    expect(await work).toMatchObject({ code: 'TIMEOUT' })
    environment.releaseSyncs()
  })

  test('leaves no timer and no listener behind, however a transaction ended', async () => {
    const { db, t, environment } = await openNumbers({ a: 1 })
    const { signal } = new AbortController()
    await checkpoint({ db, environment } as never).catch(() => {})
    const before = environment.timers
    await db.transaction(async tx => (await Promise.resolve(), tx.get(t, 'a')), { signal })
    await failureOf(() => db.transaction(async () => Promise.reject(new Error('oops')), { signal }))
    const tx = db.begin({ signal })
    tx.get(t, 'a')
    await tx.commit()
    db.begin({ signal }).abort()
    await failureOf(() => db.insert(t, 'a', 1, { signal }))
    db.transactionSync(body => body.get(t, 'a'), { signal })
    expect(environment.timers).toBe(before)
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })
})

describe('the signal', () => {
  test('that is aborted before begins nothing', async () => {
    const { db, t } = await openNumbers()
    const body = vi.fn()
    const signal = AbortSignal.abort('why')
    expect(await failureOf(() => db.transaction(body, { signal }))).toMatchObject({ code: 'CANCELLED', retryable: false, cause: 'why' })
    expect(await failureOf(() => db.put(t, 'a', 1, { signal }))).toBeInstanceOf(CancelledError)
    expect(body).not.toHaveBeenCalled()
  })

  test('ends a body that waits, and what the body does later is refused', async () => {
    const { db, t } = await openNumbers()
    const controller = new AbortController()
    const gate = deferred()
    let late: Promise<unknown> = Promise.resolve()
    const work = failureOf(() => db.transaction(tx => (late = gate.promise.then(() => tx.put(t, 'a', 1))), { signal: controller.signal }))
    await turns()
    const reason = { any: 'thing' }
    controller.abort(reason)
    expect((await work).cause).toBe(reason)
    gate.resolve()
    expect(await failureOf(() => late)).toMatchObject({ code: 'CANCELLED' })
    expect(contentOf(db, t)).toEqual({})
  })

  test('ends the pause between two attempts', async () => {
    const { db, t } = await openNumbers({ hot: 0 })
    const controller = new AbortController()
    const work = db.transaction(tx => overtake(db, t, tx), { signal: controller.signal })
    expect(await stateOf(work.catch((error: unknown) => Promise.reject(error as Error)))).toBe('pending')
    controller.abort()
    expect(await failureOf(() => work)).toMatchObject({ code: 'CANCELLED' })
    expect(db.get(t, 'hot')).toBe(2)
  })

  test('that is aborted in the body, while the body still runs, cancels it', async () => {
    const { db, t } = await openNumbers()
    const controller = new AbortController()
    const work = db.transaction(
      tx => {
        tx.put(t, 'a', 1)
        controller.abort()
      },
      { signal: controller.signal },
    )
    expect(await failureOf(() => work)).toMatchObject({ code: 'CANCELLED' })
    expect(contentOf(db, t)).toEqual({})
  })
})

describe('durability', () => {
  test('relaxed: acknowledged at once, synced within 50 ms', async () => {
    const { db, t, store, environment } = await openNumbers()
    await db.put(t, 'a', 1, { durability: 'relaxed' })
    await turns()
    expect(store.durableTs).toBeLessThan(store.visibleTs)
    expect(db.get(t, 'a')).toBe(1)
    environment.advance(50)
    await turns()
    expect(store.durableTs).toBe(store.visibleTs)
  })

  test('the default of the database can be said at open, and each transaction may say otherwise', async () => {
    const { db, t, store } = await openNumbers({}, { durability: 'relaxed' })
    await db.put(t, 'a', 1)
    db.transactionSync(tx => tx.put(t, 'b', 1))
    expect(store.durableTs).toBeLessThan(store.visibleTs)
    await db.put(t, 'c', 1, { durability: 'durable' })
    expect(store.durableTs).toBe(store.visibleTs)
  })

  test('closing syncs what was acknowledged', async () => {
    const path = scratchDirectory()
    const { db, t } = await openNumbers({}, { path, durability: 'relaxed' })
    await db.put(t, 'a', 1)
    await db.close()
    const again = openTest({ path })
    expect(contentOf(again.db, numbersIn(again.db))).toEqual({ a: 1 })
  })
})

describe('schemas', () => {
  interface Doctor {
    readonly name: string
    readonly onCall: boolean
  }
  /** Takes a name or a doctor, gives a doctor. */
  const schema: StandardSchemaV1<string | Doctor, Doctor> = {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate(value) {
        if (typeof value === 'string') return { value: { name: value, onCall: true } }
        const { name, onCall } = value as Partial<Doctor>
        const issues = [
          ...(typeof name === 'string' ? [] : [{ message: 'must be a string', path: ['name'] }]),
          ...(typeof onCall === 'boolean' ? [] : [{ message: 'must be a boolean', path: [{ key: 'onCall' }] }]),
        ]
        return issues.length > 0 ? { issues } : { value: { name: name!, onCall: onCall! } }
      },
    },
  }

  test('what is written is what the schema made of it', async () => {
    const { db } = openTest()
    const doctors = db.table('doctors', { key: ['string'], schema })
    await db.put(doctors, 'nils', 'Nils')
    await db.insert(doctors, 'ada', { name: 'Ada', onCall: false, extra: 1 } as Doctor)
    await db.update(doctors, 'nils', ({ name }) => ({ name, onCall: false }))
    expect(await db.compareAndSet(doctors, 'ada', { name: 'Ada', onCall: false }, 'Ada L.')).toBe(true)
    expect(db.range(doctors).toArray().map(({ value }) => value)).toEqual([
      { name: 'Ada L.', onCall: true },
      { name: 'Nils', onCall: false },
    ])
  })

  test('what does not fit is refused at the write, with all issues, and the transaction can go on', async () => {
    const { db } = openTest()
    const doctors = db.table('doctors', { key: ['string'], schema })
    await db.transaction(async tx => {
      for (const write of [
        () => tx.put(doctors, 'nils', {} as Doctor),
        () => tx.insert(doctors, 'nils', {} as Doctor),
        () => tx.compareAndSet(doctors, 'nils', undefined, {} as Doctor),
      ]) {
        const error = await failureOf(write)
        expect(error).toBeInstanceOf(ConstraintError)
        expect(error).toMatchObject({
          code: 'SCHEMA',
          retryable: false,
          table: 'doctors',
          key: 'nils',
          issues: [
            { message: 'must be a string', path: ['name'] },
            { message: 'must be a boolean', path: ['onCall'] },
          ],
        })
        expect(error.message).toContain('does not fit its schema: name, onCall.')
      }
      expect(tx.get(doctors, 'nils')).toBeUndefined()
      tx.put(doctors, 'ada', 'Ada')
    })
    expect(db.count(doctors)).toBe(1)
  })

  test('a schema that validates asynchronously is refused, and its outcome is nobody’s unhandled rejection', async () => {
    const { db } = openTest()
    const late: StandardSchemaV1 = { '~standard': { version: 1, vendor: 'test', validate: () => Promise.reject(new Error('late')) } }
    expect(await failureOf(() => db.table('late', { key: ['string'], schema: late }))).toMatchObject({ code: 'NOT_SYNCHRONOUS' })
    expect(db.tables()).toEqual([])
    // One that turns out to be asynchronous only for what is written.
    const later: StandardSchemaV1 = { '~standard': { version: 1, vendor: 'test', validate: value => (value === 1 ? late['~standard'].validate(value) : { value }) } }
    const t = db.table('later', { key: ['string'], schema: later })
    expect(await failureOf(() => db.put(t, 'a', 1))).toMatchObject({ code: 'NOT_SYNCHRONOUS' })
    await turns()
    expect(db.count(t)).toBe(0)
  })

  test('a schema that throws is an error of the body', async () => {
    const { db } = openTest()
    const oops = new Error('oops')
    const broken: StandardSchemaV1 = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate() {
          throw oops
        },
      },
    }
    const t = db.table('broken', { key: ['string'], schema: broken })
    expect(await failureOf(() => db.put(t, 'a', 1))).toBe(oops)
  })
})

describe('tables', () => {
  test('the same definition gives the same table, in this opening and the next', async () => {
    const path = scratchDirectory()
    const first = openTest({ path })
    const key = ['string', ['number', 'date']] as const
    const t = first.db.table('t', { key })
    await first.db.put(t, ['a', [1, new Date(0)]], 1)
    expect(first.db.get(first.db.table('t', { key }), ['a', [1, new Date(0)]])).toBe(1)
    await first.db.close()
    const second = openTest({ path })
    expect(second.db.get(second.db.table('t', { key }), ['a', [1, new Date(0)]])).toBe(1)
  })

  test('another key is refused, naming both, in this opening and the next', async () => {
    const path = scratchDirectory()
    const first = openTest({ path })
    await first.db.table('t', { key: ['string', 'number'] }).ready
    for (const key of [['string'], ['number', 'string'], ['string', 'number', 'null'], [['string', 'number']]] as const) {
      expect(() => first.db.table('t', { key })).toThrow(code('TABLE_MISMATCH'))
    }
    await first.db.close()
    const second = openTest({ path })
    const error = await failureOf(() => second.db.table('t', { key: ['string', 'bigint'] }))
    expect(error).toMatchObject({ code: 'TABLE_MISMATCH', retryable: false })
    expect(error.message).toContain('["string","number"]')
    expect(error.message).toContain('["string","bigint"]')
  })

  test('a definition that is changed afterwards changes nothing', async () => {
    const { db } = openTest()
    const key: ('string' | 'number')[] = ['string']
    const t = db.table('t', { key })
    key.push('number')
    expect(() => db.table('t', { key: ['string'] })).not.toThrow()
    await db.put(t, 'a' as never, 1)
    expect(db.get(t, 'a' as never)).toBe(1)
  })

  test('a table can be used before it is ready, in a transaction that began before it was made', async () => {
    const opened = await openNumbers({ a: 1 })
    const { db, environment } = opened
    const tx = db.begin()
    tx.get(opened.t, 'a')
    environment.holdSyncs = true
    const late = numbersIn(db, 'late')
    expect(await stateOf(late.ready)).toBe('pending')
    tx.put(late, 'x', 1)
    expect(tx.get(late, 'x')).toBe(1)
    const commit = tx.commit()
    environment.releaseSyncs()
    await Promise.all([commit, late.ready])
    expect(contentOf(db, late)).toEqual({ x: 1 })
  })
})

test('nothing that goes wrong becomes an unhandled rejection', async () => {
  const unhandled: unknown[] = []
  const note = (reason: unknown): unknown => unhandled.push(reason)
  process.on('unhandledRejection', note)
  try {
    const opened = await openNumbers({ a: 1, hot: 0 }, { limits: { conflictIndexWrites: 1, revalidateSliceKeys: 1 } })
    const { db, t, environment } = opened
    const gate = deferred<never>()
    const controller = new AbortController()
    const handled: Promise<unknown>[] = []
    const expectFailure = (promise: Promise<unknown>): void => void handled.push(failureOf(() => promise))

    expectFailure(db.transaction(() => gate.promise, { timeoutMs: 10 }))
    expectFailure(db.transaction(() => gate.promise, { signal: controller.signal }))
    expectFailure(db.transaction(tx => tx.transaction(() => gate.promise), { timeoutMs: 10 }))
    expectFailure(db.transaction(async tx => (await Promise.resolve(), overtake(db, t, tx)), { maxAttempts: 2 }))
    expect(() => db.transactionSync(() => Promise.reject(new Error('oops')))).toThrow(code('NOT_SYNCHRONOUS'))
    const lagging = db.begin()
    for (let i = 0; i < 10; i++) lagging.get(t, `k${i}`)
    for (let i = 0; i < 10; i++) fill(opened, t, { [`x${i}`]: i })
    lagging.put(t, 'b', 1)
    const commit = lagging.commit()
    lagging.abort()
    expectFailure(commit)
    await turns()
    environment.advance(11)
    controller.abort()
    gate.reject(new Error('too late'))
    await Promise.all(handled)

    environment.holdSyncs = true
    expectFailure(db.put(t, 'a', 2))
    const table = numbersIn(db, 'never ready')
    const waiting = db.transaction(tx => tx.get(t, 'a'))
    expectFailure(waiting)
    db.put(t, 'c', 1, { durability: 'relaxed' }).catch(() => {})
    await turns()
    environment.syncError = ioError('EIO')
    environment.releaseSyncs()
    await Promise.all(handled)
    expectFailure(table.ready)
    expectFailure(db.put(t, 'a', 3))
    await Promise.all(handled)
    await db.close().catch(() => {})
    await turns(20)
    expect(handled.length).toBeGreaterThan(7)
  } finally {
    process.off('unhandledRejection', note)
  }
  expect(unhandled).toEqual([])
})
