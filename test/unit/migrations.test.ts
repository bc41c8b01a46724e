/** Rows of older versions: migrated as they are read, rewritten behind the scenes, and never taken for what they are not. */
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { Database } from '../../engine/database.js'
import { levels, row, type ConstraintError, type UsageError } from '../../engine/index.js'
import { checkpoint, failureOf, openTest, turns, type Opened } from '../support/databases.js'

interface One {
  readonly name: string
}

interface Two {
  readonly first: string
  readonly last: string
}

interface Three extends Two {
  readonly length: number
}

const oneIn = (db: Database) => db.table('people', { key: ['string'], schema: row<One>() })
const split = ({ name }: One): Two => ({ first: name.split(' ')[0]!, last: name.split(' ')[1]! })
const byLast = { byLast: { on: (p: Two) => p.last } }
const twoIn = (db: Database) => db.table('people', { key: ['string'], schema: row<Two>(), version: 2, migrate: old => split(old as One), indexes: byLast })
const measured = (two: Two): Three => ({ ...two, length: two.first.length + two.last.length })
const threeIn = (db: Database) =>
  db.table('people', { key: ['string'], schema: row<Three>(), version: 3, migrate: (old, version) => measured(version === 1 ? split(old as One) : (old as Two)), indexes: byLast })

const names = ['ada lovelace', 'bob martin', 'cay horstmann']

/** What is no definition, as a program in JavaScript may give it. */
const declareAnything = (db: Database, name: string, definition: object): unknown => (db as unknown as { table(name: string, definition: object): unknown }).table(name, definition)

/** A database with rows of version 1; nothing is done behind the scenes until `resume`. */
async function openOld(options: Parameters<typeof openTest>[0] = {}): Promise<Opened & { readonly resume: () => void }> {
  const opened = openTest(options)
  const { db, environment } = opened
  const t = oneIn(db)
  await db.transaction(tx => {
    for (const name of names) tx.put(t, name[0]!, { name })
  })
  environment.holdDeferred = true
  const resume = (): void => {
    environment.holdDeferred = false
    while (environment.heldDeferred > 0) environment.runDeferred()
  }
  return { ...opened, resume }
}

const migrated = { a: { first: 'ada', last: 'lovelace' }, b: { first: 'bob', last: 'martin' }, c: { first: 'cay', last: 'horstmann' } }

describe('before they are rewritten, rows of an older version are read as they will be', () => {
  test.each(['in the window', 'in the row file'])('one by one and in ranges, in transactions and without, where they are %s', async where => {
    const opened = await openOld()
    const { db, environment, resume } = opened
    if (where === 'in the row file') {
      environment.holdDeferred = false
      await checkpoint(opened)
      environment.holdDeferred = true
    }
    const t = twoIn(db)
    expect(db.tables()).toMatchObject([{ version: 2, migrating: true }])
    const inAll = Object.entries(migrated).map(([key, value]) => ({ key, value }))
    expect([db.get(t, 'a'), db.getMany(t, ['b', 'x', 'c']), db.range(t).toArray()]).toEqual([migrated.a, [migrated.b, undefined, migrated.c], inAll])
    expect([db.first(t)?.value, db.last(t)?.value, db.count(t), db.has(t, 'a')]).toEqual([migrated.a, migrated.c, 3, true])
    for (const options of [...levels.map(level => ({ level })), { readOnly: true }]) {
      const tx = db.begin(options)
      expect([tx.get(t, 'a'), tx.getMany(t, ['b']), tx.range(t, { reverse: true }).toArray().toReversed(), tx.first(t)?.value]).toEqual([migrated.a, [migrated.b], inAll, migrated.a])
      tx.abort()
    }
    resume()
    await t.ready
    expect(db.tables()).toMatchObject([{ version: 2, migrating: false, indexes: [{ name: 'byLast', state: 'ready' }] }])
    expect([db.range(t).toArray(), db.range(t.indexes.byLast).toArray().map(({ key }) => key)]).toEqual([inAll, ['c', 'a', 'b']])
    expect(await db.check()).toMatchObject({ sound: true })
  })

  test('by update and compareAndSet, which then write the present version', async () => {
    const { db, resume } = await openOld()
    const t = twoIn(db)
    const seen: unknown[] = []
    db.transactionSync(tx => {
      tx.update(t, 'a', value => (seen.push(value), { ...value, first: 'Ada' }))
      expect(tx.compareAndSet(t, 'b', { first: 'bob', last: 'other' }, undefined)).toBe(false)
      expect(tx.compareAndSet(t, 'b', migrated.b, { first: 'Bob', last: 'martin' })).toBe(true)
      expect(tx.compareAndSet(t, 'c', migrated.c, undefined)).toBe(true)
      expect(tx.get(t, 'a')).toEqual({ first: 'Ada', last: 'lovelace' })
    })
    expect(seen).toEqual([migrated.a])
    const rows = [
      { key: 'a', value: { first: 'Ada', last: 'lovelace' } },
      { key: 'b', value: { first: 'Bob', last: 'martin' } },
    ]
    expect(db.range(t).toArray()).toEqual(rows)
    resume()
    await t.ready
    expect(db.range(t).toArray()).toEqual(rows)
    expect(db.range(t.indexes.byLast, { keysOnly: true }).toArray().map(({ key }) => key)).toEqual(['a', 'b'])
  })

  test.each(levels)('by update and compareAndSet at %s, with the rewriting between their read and their commit', async level => {
    const { db, environment, resume } = await openOld()
    environment.skipPauses = true
    const t = twoIn(db)
    let attempts = 0
    const both = db.transaction(
      async tx => {
        attempts++
        expect(tx.compareAndSet(t, 'b', migrated.b, { first: 'Bob', last: 'martin' })).toBe(true)
        tx.update(t, 'a', value => ({ ...value, first: value.first.toUpperCase() }))
        if (attempts > 1) return
        resume()
        await t.ready
      },
      { level },
    )
    await both
    expect([db.get(t, 'a'), db.get(t, 'b')]).toEqual([{ first: 'ADA', last: 'lovelace' }, { first: 'Bob', last: 'martin' }])
    expect(await db.check()).toMatchObject({ sound: true })
  })
})

describe('two versions at once', () => {
  test('rows of the first and of the second become rows of the third, each from what it is', async () => {
    const { db, environment, resume } = await openOld()
    const two = twoIn(db)
    db.transactionSync(tx => {
      tx.put(two, 'd', { first: 'dan', last: 'abramov' })
      tx.put(two, 'a', { first: 'Ada', last: 'king' })
    })
    const three = threeIn(db)
    const expected = [
      { key: 'a', value: { first: 'Ada', last: 'king', length: 7 } },
      { key: 'b', value: measured(migrated.b) },
      { key: 'c', value: measured(migrated.c) },
      { key: 'd', value: { first: 'dan', last: 'abramov', length: 10 } },
    ]
    expect(db.range(three).toArray()).toEqual(expected)
    db.transactionSync(tx => tx.put(three, 'e', { first: 'eve', last: 'x', length: 4 }))
    expect(environment.heldDeferred).toBeGreaterThan(0)
    resume()
    await three.ready
    expect(db.range(three).toArray()).toEqual([...expected, { key: 'e', value: { first: 'eve', last: 'x', length: 4 } }])
    expect(db.range(three.indexes.byLast, { keysOnly: true }).toArray().map(({ key }) => key)).toEqual(['d', 'c', 'a', 'b', 'e'])
    expect(db.tables()).toMatchObject([{ version: 3, migrating: false }])
  })

  test('also across an opening in between, and where the second was never declared', async () => {
    const { db, path, environment, resume } = await openOld()
    const two = twoIn(db)
    db.transactionSync(tx => tx.put(two, 'd', { first: 'dan', last: 'abramov' }))
    const closing = db.close()
    environment.holdDeferred = false
    resume()
    await closing
    const again = openTest({ path })
    const three = threeIn(again.db)
    expect(again.db.get(three, 'b')).toEqual(measured(migrated.b))
    expect(again.db.get(three, 'd')).toEqual({ first: 'dan', last: 'abramov', length: 10 })
    await three.ready
    expect(again.db.range(three).toArray().map(({ value }) => value.length)).toEqual([11, 9, 12, 10])
  })

  test('a newer version declared while the rewriting goes on begins it anew', async () => {
    const { db, environment, resume } = await openOld({ limits: { stepSizeBytes: 1 } })
    const two = twoIn(db)
    for (let step = 0; step < 2; step++) {
      environment.runDeferred()
      await turns(3)
    }
    expect(db.tables()).toMatchObject([{ migrating: true }])
    const three = threeIn(db)
    resume()
    await three.ready
    expect(await failureOf(() => two.ready)).toMatchObject({ code: 'TABLE_DROPPED' }) // its index was of version 2
    expect(db.count(three.indexes.byLast)).toBe(3)
    expect(db.range(three).toArray().map(({ value }) => value)).toEqual(Object.values(migrated).map(measured))
    expect(await db.check()).toMatchObject({ sound: true })
  })
})

describe('a row that cannot be migrated', () => {
  const strictIn = (db: Database, broken: { row: string | undefined; error: Error }) =>
    db.table('people', {
      key: ['string'],
      schema: z.object({ first: z.string(), last: z.string().min(5) }),
      version: 2,
      migrate: old => {
        if ((old as One).name === broken.row) throw broken.error
        return split(old as One)
      },
    })

  test('is named, with what its migration threw as cause; the others are read and written', async () => {
    const { db, resume } = await openOld()
    const mine = new Error('mine')
    const broken = { row: names[1], error: mine }
    const t = strictIn(db, broken)
    resume()
    for (const read of [() => t.ready, () => db.get(t, 'b'), () => db.range(t).toArray(), () => db.update(t, 'b', value => value), () => db.compareAndSet(t, 'b', migrated.b, undefined)]) {
      const error = (await failureOf(read)) as ConstraintError
      expect(error).toMatchObject({ code: 'MIGRATION', table: 'people', key: 'b', retryable: false })
      expect(error.cause).toBe(mine)
      expect(error.message).toMatch(/row "b" of table "people" is of version 1/)
    }
    expect([db.get(t, 'a'), db.get(t, 'c'), db.count(t), db.has(t, 'b')]).toEqual([migrated.a, migrated.c, 3, true])
    await db.put(t, 'a', { first: 'Ada', last: 'lovelace' })
    expect(db.tables()).toMatchObject([{ version: 2, migrating: true }])
    broken.row = undefined
    const again = strictIn(db, broken)
    await again.ready
    expect(db.get(t, 'b')).toEqual(migrated.b)
    expect(db.tables()).toMatchObject([{ migrating: false }])
  })

  test('is one too whose new form the schema refuses: the issues are in the cause', async () => {
    const { db, environment, resume } = await openOld()
    environment.holdDeferred = false
    await db.put(oneIn(db), 'd', { name: 'dan x' })
    environment.holdDeferred = true
    const t = strictIn(db, { row: undefined, error: new Error('none') })
    resume()
    const error = (await failureOf(() => t.ready)) as ConstraintError
    expect(error).toMatchObject({ code: 'MIGRATION', key: 'd', cause: { code: 'SCHEMA', issues: [{ path: ['last'] }] } })
    expect(db.get(t, 'a')).toEqual(migrated.a)
  })

  test('can be written anew, and the next declaration goes on', async () => {
    const { db, resume } = await openOld()
    const broken = { row: names[1], error: new Error('mine') }
    const t = strictIn(db, broken)
    resume()
    await failureOf(() => t.ready)
    await db.put(t, 'b', { first: 'bob', last: 'other' })
    await strictIn(db, broken).ready
    expect(db.range(t).toArray().map(({ value }) => value.last)).toEqual(['lovelace', 'other', 'horstmann'])
  })

  test.each(['migrated after all', 'replaced', 'deleted'])('keeps an index from being built until it is, and can itself be replaced and deleted meanwhile: %s', async how => {
    const { db, resume } = await openOld()
    const broken = { is: true }
    const declare = () =>
      db.table('people', {
        key: ['string'],
        schema: row<Two>(),
        version: 2,
        migrate: old => {
          if (broken.is && (old as One).name === names[1]) throw new Error('mine')
          return split(old as One)
        },
        indexes: byLast,
      })
    const t = declare()
    resume()
    expect(await failureOf(() => t.ready)).toMatchObject({ code: 'MIGRATION', key: 'b' })
    await turns(20)
    expect(db.tables()).toMatchObject([{ migrating: true, indexes: [{ state: 'building' }] }])
    expect(() => db.count(t.indexes.byLast)).toThrow(expect.objectContaining({ code: 'INDEX_BUILDING' }) as Error)
    await db.put(t, 'd', { first: 'dan', last: 'x' })
    if (how === 'migrated after all') broken.is = false
    else if (how === 'replaced') await db.put(t, 'b', migrated.b)
    else await db.delete(t, 'b')
    const again = declare()
    await again.ready
    expect(db.range(again.indexes.byLast, { keysOnly: true }).toArray().map(({ key }) => key)).toEqual(how === 'deleted' ? ['c', 'a', 'd'] : ['c', 'a', 'b', 'd'])
    expect(await db.check()).toMatchObject({ sound: true })
  })
})

describe('handles and transactions of the older version', () => {
  test('a handle is refused everywhere, by name of the versions', async () => {
    const { db, resume } = await openOld()
    const one = oneIn(db)
    const two = twoIn(db)
    for (const use of [() => db.get(one, 'a'), () => db.range(one), () => db.count(one), () => db.put(one, 'a', { name: 'x' }), () => db.transaction(tx => tx.get(one, 'a')), () => db.deleteRange(one)]) {
      const error = await failureOf(use)
      expect(error).toMatchObject({ code: 'TABLE_MISMATCH', retryable: false })
      expect(error.message).toContain('version 2 after this handle of it, which has version 1')
    }
    expect(() => oneIn(db)).toThrow(/is stored with version 2 and was declared with version 1/)
    resume()
    await two.ready
    expect(db.get(two, 'a')).toEqual(migrated.a)
  })

  test.each(levels)('a transaction at %s that has written a row of the older version before the change does not commit it', async level => {
    const { db, resume } = await openOld()
    const one = oneIn(db)
    const handle = db.begin({ level })
    handle.put(one, 'a', { name: 'too old' })
    const deleting = db.begin({ level })
    deleting.deleteRange(one)
    const two = twoIn(db)
    const written = failureOf(() => handle.commit())
    const deleted = failureOf(() => deleting.commit())
    resume()
    expect(await written).toMatchObject({ code: level === 'serializable' ? 'CONFLICT' : 'TABLE_MISMATCH' })
    expect(await deleted).toMatchObject({ code: level === 'serializable' ? 'CONFLICT' : 'TABLE_MISMATCH' })
    await two.ready
    expect(db.range(two).toArray().map(({ value }) => value)).toEqual(Object.values(migrated))
  })

  test.each(levels)('a body at %s that goes on writing to it is told at the write, however often it runs', async level => {
    const { db, environment, resume } = await openOld()
    environment.skipPauses = true
    const one = oneIn(db)
    let runs = 0
    const error = await failureOf(() =>
      db.transaction(
        tx => {
          runs++
          tx.put(one, 'a', { name: 'too old' })
          if (runs === 1) db.outside(() => twoIn(db))
        },
        { level },
      ),
    )
    expect([(error as unknown as UsageError).code, runs]).toEqual(['TABLE_MISMATCH', level === 'serializable' ? 2 : 1])
    resume()
  })
})

describe('a declaration', () => {
  test('without "migrate" is refused where there are rows, and changes nothing', async () => {
    const { db, store, resume } = await openOld()
    const before = store.visibleTs
    const declare = () => db.table('people', { key: ['string'], version: 2 })
    expect(declare).toThrow(/is stored with version 1 and was declared with version 2, without "migrate"/)
    expect([store.visibleTs, db.tables()[0]!.version]).toEqual([before, 1])
    db.transactionSync(tx => tx.deleteRange(oneIn(db)))
    declare()
    expect(db.tables()).toMatchObject([{ version: 2, migrating: false }])
    resume()
  })

  test('after an opening goes on with what was left, and is refused without "migrate" and without the indexes’ functions where it would have to write', async () => {
    const { db, path, environment, resume } = await openOld({ limits: { stepSizeBytes: 1 } })
    const t = twoIn(db)
    environment.runDeferred()
    await turns(3)
    const closing = db.close()
    resume()
    await closing
    expect(await failureOf(() => t.ready)).toMatchObject({ code: 'CLOSED' })
    const again = openTest({ path })
    expect(again.db.tables()).toMatchObject([{ version: 2, migrating: true }])
    expect(() => again.db.table('people', { key: ['string'], version: 2 })).toThrow(/has rows of versions before 2, and was declared without "migrate"/)
    expect(() => oneIn(again.db)).toThrow(expect.objectContaining({ code: 'TABLE_MISMATCH' }) as Error)
    const two = twoIn(again.db)
    expect(again.db.range(two).toArray().map(({ value }) => value)).toEqual(Object.values(migrated))
    await two.ready
    expect(again.db.tables()).toMatchObject([{ migrating: false }])
    await again.db.close()
    const third = openTest({ path })
    const plain = third.db.table('people', { key: ['string'], schema: row<Two>(), version: 2, indexes: byLast })
    await plain.ready
    expect(third.db.range(plain).toArray().map(({ value }) => value)).toEqual(Object.values(migrated))
    expect(third.db.count(plain.indexes.byLast)).toBe(3)
  })

  test('of a newer version must declare the functions of its indexes too, which are then built anew', async () => {
    const { db, resume } = await openOld()
    const two = twoIn(db)
    resume()
    await two.ready
    expect(() => db.table('people', { key: ['string'], version: 3, migrate: old => old })).toThrow(/has indexes, whose functions must be declared together with it/)
    expect(db.tables()).toMatchObject([{ version: 2 }])
    const three = db.table('people', { key: ['string'], schema: row<Three>(), version: 3, migrate: old => measured(old as Two), indexes: { byLast: { on: p => [p.length, p.last] } } })
    expect(() => db.count(two.indexes.byLast)).toThrow(expect.objectContaining({ code: 'TABLE_MISMATCH' }) as Error)
    expect(() => db.count(three.indexes.byLast)).toThrow(expect.objectContaining({ code: 'INDEX_BUILDING' }) as Error)
    await three.ready
    expect(db.range(three.indexes.byLast, { keysOnly: true }).toArray().map(({ indexKey }) => indexKey)).toEqual([[9, 'martin'], [11, 'lovelace'], [12, 'horstmann']])
    await db.delete(three, 'a')
    expect(db.count(three.indexes.byLast)).toBe(2)
    expect(await db.check()).toMatchObject({ sound: true })
  })

  test('with a version that is none, or with what cannot migrate, is refused', async () => {
    const { db } = openTest()
    for (const more of [{ version: 0 }, { version: 1.5 }, { version: '2' }, { version: Infinity }, { migrate: {} }, { indexes: { x: { on: () => 1, version: 0 } } }]) {
      expect(await failureOf(() => declareAnything(db, 't', { key: ['string'], ...more }))).toMatchObject({ code: 'INVALID_ARGUMENT' })
    }
    expect(db.tables()).toEqual([])
  })
})
