/** Unique indexes: whoever commits first has the key, at every level, and nobody is refused for what is not so (any more, or not yet). */
import { describe, expect, test } from 'vitest'
import type { Database } from '../../engine/database.js'
import { ConstraintError, levels, row, type Level } from '../../engine/index.js'
import { checkpoint, conflictOf, deferred, failureOf, openTest, stateOf, turns, type Opened } from '../support/databases.js'

interface User {
  readonly email?: string
  readonly names?: readonly string[]
}

const usersIn = (db: Database) =>
  db.table('users', {
    key: ['string'],
    schema: row<User>(),
    indexes: { byEmail: { on: u => u.email, unique: true }, byName: { on: u => u.names && [...u.names], unique: true, many: true } },
  })
type Users = ReturnType<typeof usersIn>

async function openUsers(rows: Readonly<Record<string, User>> = {}, options: Parameters<typeof openTest>[0] = {}): Promise<Opened & { readonly t: Users }> {
  const opened = openTest(options)
  const t = usersIn(opened.db)
  await t.ready
  await opened.db.transaction(tx => {
    for (const [key, user] of Object.entries(rows)) tx.put(t, key, user)
  })
  return { ...opened, t }
}

const violation = (key: string, holder: string, index = 'byEmail'): Error =>
  expect.objectContaining({ name: 'ConstraintError', code: 'UNIQUE_VIOLATION', retryable: false, table: 'users', key, index, holder }) as Error

const emails = (db: Database, t: Users): Record<string, string> => Object.fromEntries(Array.from(db.range(t.indexes.byEmail), ({ indexKey, key, value }) => (expect(value.email).toBe(indexKey), [indexKey, key])))

describe.each(levels)('at %s', level => {
  test('a key that another row holds is refused at the commit, by name, and nothing is changed', async () => {
    const { db, t, store } = await openUsers({ ada: { email: 'a' }, bob: { email: 'b' } })
    const before = store.visibleTs
    const error = await failureOf(() =>
      db.transaction(
        tx => {
          tx.put(t, 'cay', { email: 'a' })
          tx.put(t, 'dan', { email: 'free' })
          expect(tx.get(t, 'cay')).toEqual({ email: 'a' })
        },
        { level },
      ),
    )
    expect(error).toBeInstanceOf(ConstraintError)
    expect(error).toEqual(violation('cay', 'ada'))
    expect(error.message).toBe('Row "cay" of table "users" claims a key of the unique index "byEmail" that row "ada" holds. Nothing was changed.')
    expect([store.visibleTs, emails(db, t)]).toEqual([before, { a: 'ada', b: 'bob' }])
    for (const write of [
      () => db.put(t, 'bob', { email: 'a' }, { level }),
      () => db.insert(t, 'new', { email: 'a' }, { level }),
      () => db.update(t, 'bob', () => ({ email: 'a' }), { level }),
      () => db.compareAndSet(t, 'bob', { email: 'b' }, { email: 'a' }, { level }),
    ]) {
      expect(await failureOf(write)).toMatchObject({ code: 'UNIQUE_VIOLATION', holder: 'ada' })
    }
    expect(() => db.transactionSync(tx => tx.put(t, 'bob', { email: 'a' }), { level })).toThrow(violation('bob', 'ada'))
    expect([store.visibleTs, emails(db, t)]).toEqual([before, { a: 'ada', b: 'bob' }])
  })

  test('of many who claim a key at once exactly one commits; the others are told who holds it', async () => {
    const { db, t, environment } = await openUsers()
    environment.skipPauses = true
    const gate = deferred()
    const claims = Array.from({ length: 5 }, (_, i) =>
      db.transaction(
        async tx => {
          tx.put(t, `u${i}`, { email: 'one' })
          await gate.promise
        },
        { level, label: `u${i}` },
      ),
    )
    await turns()
    gate.resolve()
    const outcomes = await Promise.allSettled(claims)
    const winner = `u${outcomes.findIndex(({ status }) => status === 'fulfilled')}`
    for (const [i, outcome] of outcomes.entries()) {
      if (`u${i}` === winner) continue
      expect(outcome).toEqual({ status: 'rejected', reason: violation(`u${i}`, winner) })
    }
    expect(emails(db, t)).toEqual({ one: winner })
    expect(db.count(t)).toBe(1)
  })

  test('of two handles the second to commit is refused: as overtaken where its level knows that, as a violation where not', async () => {
    const { db, t } = await openUsers()
    const [a, b] = [db.begin({ level, label: 'a' }), db.begin({ level, label: 'b' })]
    a.put(t, 'ada', { email: 'one' })
    b.put(t, 'bob', { email: 'one' })
    await a.commit()
    if (level === 'read-committed') expect(await failureOf(() => b.commit())).toEqual(violation('bob', 'ada'))
    else {
      expect(await conflictOf(b)).toMatchObject({
        kind: level === 'snapshot' ? 'write-write' : 'overwritten',
        table: 'users',
        index: 'byEmail',
        read: { key: 'one' },
        overwrittenBy: { key: 'one', label: 'a', write: 'insert' },
      })
    }
    expect(emails(db, t)).toEqual({ one: 'ada' })
  })

  test.each(['in the window', 'in the row file'])('a key that its holder gave up by deletion or by moving can be claimed, with the holder %s', async where => {
    const opened = await openUsers({ ada: { email: 'a' }, bob: { email: 'b' }, cay: { email: 'c' } })
    const { db, t } = opened
    if (where === 'in the row file') await checkpoint(opened)
    await db.delete(t, 'ada', { level })
    await db.put(t, 'bob', { email: 'bb' }, { level })
    await db.put(t, 'cay', {}, { level })
    if (where === 'in the row file') await checkpoint(opened)
    for (const email of ['a', 'b', 'c']) await db.put(t, `new ${email}`, { email }, { level })
    expect(emails(db, t)).toEqual({ a: 'new a', b: 'new b', bb: 'bob', c: 'new c' })
    expect(await db.check()).toMatchObject({ sound: true })
  })

  test('a key that a transaction claimed which was aborted, failed or was undone is free', async () => {
    const { db, t } = await openUsers()
    const aborted = db.begin({ level })
    aborted.put(t, 'x', { email: 'a' })
    aborted.abort()
    await failureOf(() =>
      db.transaction(
        tx => {
          tx.put(t, 'y', { email: 'a' })
          throw new Error('mine')
        },
        { level },
      ),
    )
    await db.transaction(
      tx => {
        expect(() => tx.transaction(child => {
          child.put(t, 'z', { email: 'a' })
          throw new Error('undone')
        })).toThrow('undone')
        tx.put(t, 'ada', { email: 'a' })
      },
      { level },
    )
    expect(emails(db, t)).toEqual({ a: 'ada' })
  })

  test('rows can be swapped, rotated, replaced, and take back what was theirs', async () => {
    const { db, t } = await openUsers({ ada: { email: 'a' }, bob: { email: 'b' }, cay: { email: 'c' } })
    await db.transaction(tx => {
      tx.put(t, 'ada', { email: 'b' })
      tx.put(t, 'bob', { email: 'a' })
    }, { level })
    expect(emails(db, t)).toEqual({ a: 'bob', b: 'ada', c: 'cay' })
    await db.transaction(tx => {
      tx.put(t, 'ada', { email: 'c' })
      tx.put(t, 'cay', { email: 'a' })
      tx.put(t, 'bob', { email: 'b' })
    }, { level })
    expect(emails(db, t)).toEqual({ a: 'cay', b: 'bob', c: 'ada' })
    await db.transaction(tx => {
      tx.put(t, 'dan', { email: 'c' })
      tx.delete(t, 'ada')
      tx.put(t, 'bob', { email: 'x' })
      tx.put(t, 'bob', { email: 'b' })
    }, { level })
    expect(emails(db, t)).toEqual({ a: 'cay', b: 'bob', c: 'dan' })
    await db.transaction(tx => {
      tx.deleteRange(t)
      tx.put(t, 'all', { email: 'a', names: ['b', 'c'] })
    }, { level })
    expect([emails(db, t), db.count(t)]).toEqual([{ a: 'all' }, 1])
    expect(await db.check()).toMatchObject({ sound: true })
  })

  test('two rows of one transaction may hold one key until the commit, which names both', async () => {
    const { db, t } = await openUsers({ ada: { email: 'a' } })
    const tx = db.begin({ level })
    tx.put(t, 'bob', { email: 'a' })
    tx.put(t, 'cay', { email: 'new' })
    tx.put(t, 'dan', { email: 'new' })
    expect(tx.range(t.indexes.byEmail, { keysOnly: true }).toArray().map(({ key }) => key).toSorted()).toEqual(['ada', 'bob', 'cay', 'dan'])
    expect(tx.count(t.indexes.byEmail, { prefix: ['a'] })).toBe(2)
    tx.put(t, 'ada', { email: 'old' })
    const error = (await failureOf(() => tx.commit())) as ConstraintError
    expect(error).toMatchObject({ code: 'UNIQUE_VIOLATION', index: 'byEmail' })
    expect(new Set([error.key, error.holder])).toEqual(new Set(['cay', 'dan']))
    expect(emails(db, t)).toEqual({ a: 'ada' })
  })

  test('of two rows of one transaction the holder is who had the key before, whichever was written first', async () => {
    const { db, t } = await openUsers({ ada: { email: 'a' } })
    for (const keys of [['ada', 'bob'], ['bob', 'ada']]) {
      expect(await failureOf(() => db.transaction(tx => {
        for (const key of keys) tx.put(t, key, { email: 'a' })
      }, { level }))).toEqual(violation('bob', 'ada'))
    }
  })

  test('a row with several keys claims each, gives up each, and may have one of them twice', async () => {
    const { db, t } = await openUsers({ ada: { names: ['a', 'b', 'b'] } })
    expect(await failureOf(() => db.put(t, 'bob', { names: ['x', 'b'] }, { level }))).toEqual(violation('bob', 'ada', 'byName'))
    await db.put(t, 'ada', { names: ['a', 'c'] }, { level })
    await db.put(t, 'bob', { names: ['x', 'b'] }, { level })
    await db.transaction(tx => {
      tx.put(t, 'ada', { names: ['x', 'c'] })
      tx.put(t, 'bob', { names: ['a', 'b'] })
    }, { level })
    expect(Array.from(db.range(t.indexes.byName, { keysOnly: true }), ({ indexKey, key }) => `${indexKey} ${key}`)).toEqual(['a bob', 'b bob', 'c ada', 'x ada'])
  })

  test('a violation is told only when what it shows is on disk', async () => {
    const { db, t, environment } = await openUsers()
    environment.holdSyncs = true
    const first = db.put(t, 'ada', { email: 'a' }, { level })
    const second = db.put(t, 'bob', { email: 'a' }, { level })
    const third = failureOf(async () => {
      const tx = db.begin({ level })
      tx.put(t, 'cay', { email: 'a' })
      await tx.commit()
    })
    second.catch(() => {})
    expect([await stateOf(first), await stateOf(second), await stateOf(third)]).toEqual(['pending', 'pending', 'pending'])
    environment.releaseSyncs()
    await first
    expect(await failureOf(() => second)).toEqual(violation('bob', 'ada'))
    expect(await third).toEqual(violation('cay', 'ada'))
  })

  test('with relaxed durability claims are held against each other too', async () => {
    const { db, t, environment } = await openUsers()
    environment.holdSyncs = true
    await db.put(t, 'ada', { email: 'a' }, { level, durability: 'relaxed' })
    expect(await failureOf(() => db.put(t, 'bob', { email: 'a' }, { level, durability: 'relaxed' }))).toEqual(violation('bob', 'ada'))
    expect(db.get(t.indexes.byEmail, 'a')).toMatchObject({ key: 'ada' })
    environment.releaseSyncs()
  })

  test('a put that leaves the key as it was does not write it, and does not meet others who do the same', async () => {
    const { db, t, store } = await openUsers({ ada: { email: 'a', names: ['x'] } })
    const written = async (write: () => Promise<unknown>): Promise<number> => {
      const before = store.figures().window.keys
      await write()
      return store.figures().window.keys - before
    }
    const entries = db.range(t.indexes.byEmail, { keysOnly: true }).toArray()
    expect(await written(() => db.put(t, 'ada', { email: 'a', names: ['y'] }, { level }))).toBe(1) // the new name's entry; the old one's and the row are in the window
    expect(await written(() => db.put(t, 'ada', { email: 'a', names: ['y'] }, { level }))).toBe(0)
    expect(db.range(t.indexes.byEmail, { keysOnly: true }).toArray()).toEqual(entries)
    const counting = db.begin()
    const other = db.table('other', { key: ['string'], schema: row<number>() })
    expect(counting.count(t.indexes.byEmail)).toBe(1)
    counting.put(other, 'k', 1)
    await db.put(t, 'ada', { email: 'a' }, { level })
    await counting.commit()
    expect(db.get(other, 'k')).toBe(1)
  })
})

const handles: readonly Level[] = ['snapshot', 'serializable']

test.each(handles)('at %s who claims what its holder gives up meanwhile runs again, and has it', async level => {
  const { db, t, environment } = await openUsers({ ada: { email: 'a' } })
  environment.skipPauses = true
  const gate = deferred()
  const attempts: number[] = []
  const claim = db.transaction(
    async tx => {
      attempts.push(tx.attempt)
      tx.put(t, 'bob', { email: 'a' })
      if (tx.attempt === 1) await gate.promise
    },
    { level },
  )
  await turns()
  await db.delete(t, 'ada')
  gate.resolve()
  await claim
  expect([attempts, emails(db, t)]).toEqual([[1, 2], { a: 'bob' }])
})

test.each(levels)('at %s a violation that is swallowed in no way becomes a commit', async level => {
  const { db, t } = await openUsers({ ada: { email: 'a' } })
  const tx = db.begin({ level })
  tx.put(t, 'bob', { email: 'a' })
  tx.put(t, 'cay', { email: 'c' })
  expect(await failureOf(() => tx.commit())).toEqual(violation('bob', 'ada'))
  expect(await failureOf(() => tx.commit())).toMatchObject({ code: 'TRANSACTION_ENDED' })
  expect(() => tx.delete(t, 'bob')).toThrow(expect.objectContaining({ code: 'TRANSACTION_ENDED' }) as Error)
  expect(emails(db, t)).toEqual({ a: 'ada' })
})

test('a claim relies on its key at serializable, also where the row is deleted again before the commit', async () => {
  const { db, t } = await openUsers()
  const tx = db.begin()
  tx.put(t, 'bob', { email: 'a' })
  tx.delete(t, 'bob')
  tx.put(t, 'cay', { email: 'c' })
  await db.put(t, 'ada', { email: 'a' })
  expect(await conflictOf(tx)).toMatchObject({ index: 'byEmail', read: { key: 'a' } })
})

test('at snapshot a claim that was given up before the commit counts for nothing', async () => {
  const { db, t } = await openUsers()
  const tx = db.begin({ level: 'snapshot' })
  tx.put(t, 'bob', { email: 'a' })
  tx.put(t, 'bob', { email: 'b' })
  tx.transaction(child => child.put(t, 'cay', { email: 'c' }))
  expect(() => tx.transaction(child => {
    child.put(t, 'dan', { email: 'd' })
    throw new Error('undone')
  })).toThrow('undone')
  await db.put(t, 'ada', { email: 'a' })
  await db.put(t, 'eve', { email: 'd' })
  await tx.commit()
  expect(emails(db, t)).toEqual({ a: 'ada', b: 'bob', c: 'cay', d: 'eve' })
})

test('in a table whose keys are tuples, and under keys that are tuples, errors name them as they are', async () => {
  const { db } = openTest()
  const t = db.table('users', { key: ['string', 'bigint'], schema: row<User>(), indexes: { byPair: { on: u => [u.email!, 1n], unique: true } } })
  await db.put(t, ['a', 1n], { email: 'x' })
  const error = await failureOf(() => db.put(t, ['b', 2n], { email: 'x' }))
  expect(error).toMatchObject({ code: 'UNIQUE_VIOLATION', key: ['b', 2n], holder: ['a', 1n], index: 'byPair' })
  expect(error.message).toContain('Row ["b","2n"] of table "users"')
  expect(db.get(t.indexes.byPair, ['x', 1n])).toEqual({ indexKey: ['x', 1n], key: ['a', 1n], value: { email: 'x' } })
})

test.each(levels)('at %s claims are held against commits that the conflict index has forgotten', async level => {
  const { db, t } = await openUsers({}, { limits: { conflictIndexWrites: 3 } })
  const [taken, free, counted] = [db.begin({ level }), db.begin({ level }), db.begin({ level })]
  taken.put(t, 'ada', { email: 'a' })
  free.put(t, 'bob', { email: 'b' })
  counted.put(t, 'cay', { email: `c${counted.count(t.indexes.byEmail, { prefix: 'x' })}` })
  await db.put(t, 'eve', { email: 'a' })
  for (let i = 0; i < 20; i++) await db.put(t, `x${i}`, { email: `x${i}` })
  expect(await failureOf(() => taken.commit())).toMatchObject({ code: level === 'read-committed' ? 'UNIQUE_VIOLATION' : 'CONFLICT' })
  await free.commit()
  if (level === 'serializable') expect(await conflictOf(counted)).toMatchObject({ index: 'byEmail', kind: 'phantom' })
  else await counted.commit()
  expect(emails(db, t)).toMatchObject({ a: 'eve', b: 'bob' })
  expect(await db.check()).toMatchObject({ sound: true })
})

test.each(levels)('at %s a chain of handovers under retries ends with every key held once', async level => {
  const { db, t, environment } = await openUsers(Object.fromEntries(Array.from({ length: 6 }, (_, i) => [`u${i}`, { email: `e${i}` }])))
  environment.skipPauses = true
  const swaps = Array.from({ length: 30 }, (_, i) =>
    db.transaction(
      async tx => {
        const [a, b] = [`u${i % 6}`, `u${(i * 5 + 1 + Math.floor(i / 6)) % 6}`]
        if (a === b) return
        const [x, y] = [tx.get(t, a)!, tx.get(t, b)!]
        await Promise.resolve()
        tx.put(t, a, y)
        tx.put(t, b, x)
      },
      { level, maxAttempts: 100 },
    ),
  )
  const outcomes = await Promise.allSettled(swaps)
  for (const outcome of outcomes) if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'UNIQUE_VIOLATION' })
  if (level !== 'read-committed') expect(outcomes.filter(({ status }) => status === 'rejected')).toEqual([])
  expect(Object.keys(emails(db, t))).toEqual(['e0', 'e1', 'e2', 'e3', 'e4', 'e5'])
  expect(await db.check()).toMatchObject({ sound: true })
})
