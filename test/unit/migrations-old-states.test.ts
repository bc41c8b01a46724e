/** Whoever reads an older state sees rows of older versions as they are now, also after they have been rewritten; and a migration hands out nothing that could not be stored. */
import { describe, expect, test } from 'vitest'
import type { Database } from '../../engine/database.js'
import { row, type ConstraintError } from '../../engine/index.js'
import { checkpoint, failureOf, openTest, turns, type Opened } from '../support/databases.js'

interface One {
  readonly n: number
}

interface Two extends One {
  readonly twice: number
}

const oneIn = (db: Database) => db.table('t', { key: ['string'], schema: row<One>() })
const twoIn = (db: Database) => db.table('t', { key: ['string'], schema: row<Two>(), version: 2, migrate: old => ({ ...(old as One), twice: (old as One).n * 2 }) })

async function openOld(): Promise<Opened> {
  const opened = openTest()
  await opened.db.transaction(tx => {
    const t = oneIn(opened.db)
    for (const [i, key] of ['a', 'b', 'c'].entries()) tx.put(t, key, { n: i + 1 })
  })
  return opened
}

const rows = [
  { key: 'a', value: { n: 1, twice: 2 } },
  { key: 'b', value: { n: 2, twice: 4 } },
  { key: 'c', value: { n: 3, twice: 6 } },
]

describe('rows that have been rewritten are migrated all the same', () => {
  test.each([{ level: 'snapshot' }, { level: 'read-committed' }, { level: 'serializable' }, { readOnly: true }] as const)('for who began before, with %o', async options => {
    for (const where of ['window', 'row file']) {
      const opened = await openOld()
      const { db } = opened
      const tx = db.begin(options)
      const t = twoIn(db)
      await t.ready
      if (where === 'row file') await checkpoint(opened)
      expect([tx.get(t, 'a'), tx.range(t).toArray(), tx.last(t), tx.count(t)]).toEqual([rows[0]!.value, rows, rows[2], 3])
      tx.abort()
    }
  })

  test('for who lost a premise, and goes on reading at its snapshot', async () => {
    const { db } = await openOld()
    const other = db.table('other', { key: ['string'], schema: row<number>() })
    await db.put(other, 'x', 1)
    const tx = db.begin()
    expect(tx.get(other, 'x')).toBe(1)
    await db.put(other, 'x', 2)
    const t = twoIn(db)
    await t.ready
    expect([tx.range(t).toArray(), tx.get(t, 'b')]).toEqual([rows, rows[1]!.value])
    await tx.commit()
  })

  test.each(['of a transaction', 'of its own'])('for an iterator %s that was begun before the rewriting ended', async whose => {
    const { db } = await openOld()
    const t = twoIn(db)
    const tx = db.begin({ level: 'snapshot' })
    const iterator = (whose === 'of its own' ? db : tx).range(t)[Symbol.iterator]()
    expect(iterator.next().value).toEqual(rows[0])
    await t.ready
    expect([iterator.next().value, iterator.next().value, iterator.next().done]).toEqual([rows[1], rows[2], true])
    tx.abort()
  })

  test('for who reads what is acknowledged while the last step is being synced', async () => {
    const { db, environment } = await openOld()
    environment.holdSyncs = true
    const t = twoIn(db)
    for (let turn = 0; turn < 10; turn++) {
      expect([db.get(t, 'a'), db.range(t).toArray()]).toEqual([rows[0]!.value, rows])
      await turns(2)
    }
    environment.releaseSyncs()
    await t.ready
    expect(db.range(t).toArray()).toEqual(rows)
  })

  test('for who sees rows of a table that was empty when its version was raised', async () => {
    const { db } = await openOld()
    const old = db.begin({ level: 'snapshot' })
    await db.deleteRange(oneIn(db))
    const t = twoIn(db)
    await t.ready
    expect([db.count(t), old.range(t).toArray()]).toEqual([0, rows])
    old.abort()
  })

  test('not for an iterator of the older version: that ends with an error', async () => {
    const { db } = await openOld()
    const iterator = db.range(oneIn(db))[Symbol.iterator]()
    expect(iterator.next().value).toEqual({ key: 'a', value: { n: 1 } })
    await twoIn(db).ready
    for (let step = 0; step < 2; step++) expect(() => iterator.next()).toThrow(expect.objectContaining({ code: 'TABLE_MISMATCH' }) as Error)
  })
})

describe('what a migration returns and cannot be stored is never read, and ready names its row', () => {
  const bad: Record<string, () => unknown> = {
    'a promise': () => Promise.resolve({ n: 1 }),
    'a promise that rejects': () => Promise.reject(new Error('nobody waits for it')),
    undefined: () => undefined,
    'an object with a function': () => ({ n: () => 1 }),
    'more than a value may hold': () => 'x'.repeat(2_000),
  }

  test.each(Object.entries(bad))('%s', async (_name, make) => {
    const { db } = openTest({ limits: { valueSizeBytes: 1_000 } })
    await db.put(oneIn(db), 'a', { n: 1 })
    const t = db.table('t', { key: ['string'], version: 2, migrate: make })
    for (const read of [() => t.ready, () => db.get(t, 'a'), () => db.range(t).toArray()]) {
      const error = (await failureOf(read)) as ConstraintError
      expect(error).toMatchObject({ code: 'MIGRATION', table: 't', key: 'a' })
      expect(error.cause).toBeDefined()
    }
    expect(db.tables()).toMatchObject([{ migrating: true }])
  })

  test('and what it returns is copied: what a reader does with it changes no other row', async () => {
    const { db } = await openOld()
    const shared = { list: [1] }
    const t = db.table('t', { key: ['string'], version: 2, migrate: () => shared })
    ;(db.get(t, 'a') as typeof shared).list.push(2)
    shared.list.push(3)
    shared.list.length = 1
    expect(db.get(t, 'b')).toEqual({ list: [1] })
    await t.ready
    expect(db.range(t).toArray().map(({ value }) => value)).toEqual([{ list: [1] }, { list: [1] }, { list: [1] }])
  })
})

test('a version that is declared at the very moment in which the rewriting for another one ends is rewritten too', async () => {
  for (let moment = 0; moment < 24; moment++) {
    const [calls, microtasks] = [Math.floor(moment / 8), moment % 8]
    const { db, environment } = await openOld()
    environment.holdDeferred = true
    void twoIn(db)
    const next = async (): Promise<void> => {
      environment.runDeferred()
      await turns(4)
    }
    while (db.tables()[0]!.migrating) await next()
    for (let call = 0; call < calls; call++) await next()
    environment.runDeferred()
    for (let i = 0; i < microtasks; i++) await Promise.resolve()
    const three = db.table('t', { key: ['string'], schema: row<{ three: number }>(), version: 3, migrate: old => ({ three: (old as Two).n }) })
    environment.holdDeferred = false
    while (environment.heldDeferred > 0) environment.runDeferred()
    await three.ready
    expect({ moment, migrating: db.tables()[0]!.migrating }).toEqual({ moment, migrating: false })
    expect(db.get(three, 'b')).toEqual({ three: 2 })
    await db.close()
  }
})

test('rows of a table whose indexes are not declared are migrated and rewritten; the indexes wait for their functions', async () => {
  const opened = await openOld()
  const { db, environment, path } = opened
  const indexes = { byTwice: { on: ({ twice }: Two) => twice } }
  const declare = (to: Database) => to.table('t', { key: ['string'], schema: row<Two>(), version: 2, migrate: old => ({ n: (old as One).n, twice: (old as One).n * 2 }), indexes })
  environment.holdDeferred = true
  declare(db)
  const closing = db.close()
  environment.holdDeferred = false
  while (environment.heldDeferred > 0) environment.runDeferred()
  await closing
  const again = openTest({ path })
  const plain = twoIn(again.db)
  expect(again.db.range(plain).toArray()).toEqual(rows)
  await plain.ready
  expect(again.db.tables()).toMatchObject([{ migrating: false, indexes: [{ state: 'building', declared: false }] }])
  const error = await failureOf(() => again.db.put(plain, 'd', { n: 4, twice: 8 }))
  expect(error).toMatchObject({ code: 'TABLE_MISMATCH' })
  expect(error.message).toContain('"byTwice"')
  const t = declare(again.db)
  await t.ready
  expect(again.db.range(t.indexes.byTwice).toArray().map(({ indexKey, key }) => [indexKey, key])).toEqual([[2, 'a'], [4, 'b'], [6, 'c']])
  expect(again.db.tables()).toMatchObject([{ migrating: false }])
})

test('a write that a savepoint undid is none: the transaction commits though the table has changed since', async () => {
  const { db } = await openOld()
  const [t, other] = [oneIn(db), db.table('other', { key: ['string'], schema: row<number>() })]
  const tx = db.begin({ level: 'snapshot' })
  tx.put(other, 'x', 1)
  expect(() =>
    tx.transaction(child => {
      child.put(t, 'a', { n: 5 })
      child.deleteRange(t, { gt: 'a' })
      throw new Error('undone')
    }),
  ).toThrow('undone')
  await twoIn(db).ready
  await tx.commit()
  expect([db.get(other, 'x'), db.range(twoIn(db)).toArray()]).toEqual([1, rows])
})

describe('equal bytes of two versions are two rows', () => {
  const hundredfoldIn = (db: Database) => db.table('t', { key: ['string'], schema: row<One>(), version: 2, migrate: old => ({ n: (old as One).n * 100 }) })

  /** A transaction that has seen n: 100 in a row whose bytes say 1, and another that then writes n: 1. */
  async function openSeen(level: 'serializable' | 'read-committed') {
    const opened = await openOld()
    const { db, environment } = opened
    environment.holdDeferred = true // nothing is rewritten
    const t = hundredfoldIn(db)
    return { ...opened, t, tx: db.begin({ level }), write: () => db.transactionSync(tx => tx.put(t, 'a', { n: 1 })) }
  }

  test.each(['get', 'range'] as const)('for the second chance of a %s', async how => {
    const { db, t, tx, write } = await openSeen('serializable')
    expect(how === 'get' ? tx.get(t, 'a') : tx.first(t)?.value).toEqual({ n: 100 })
    write()
    tx.put(t, 'z', { n: 0 })
    expect(await failureOf(() => tx.commit())).toMatchObject({ code: 'CONFLICT' })
    expect(db.get(t, 'z')).toBeUndefined()
  })

  test('for the condition of a compareAndSet', async () => {
    const { db, t, tx, write } = await openSeen('read-committed')
    expect(tx.compareAndSet(t, 'a', { n: 100 }, { n: 7 })).toBe(true)
    write()
    expect(await failureOf(() => tx.commit())).toMatchObject({ code: 'CONFLICT' })
    expect(db.get(t, 'a')).toEqual({ n: 1 })
  })
})
