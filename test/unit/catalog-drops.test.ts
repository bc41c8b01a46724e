/** What a declaration changes and what it leaves alone; indexes that are dropped; tables that are renamed, dropped and made anew, with transactions in the middle of them. */
import { describe, expect, test } from 'vitest'
import type { Database } from '../../engine/database.js'
import { levels, row, type IndexDefinition, type KeyElement } from '../../engine/index.js'
import { conflictOf, failureOf, openTest, turns, type Opened } from '../support/databases.js'
import { ioError } from '../support/test-environment.js'

interface Item {
  readonly n: number
}

const plainIn = (db: Database, name = 'items') => db.table(name, { key: ['number'], schema: row<Item>() })
const itemsIn = (db: Database, more: Partial<IndexDefinition<Item>> = {}, name = 'items') =>
  db.table(name, { key: ['number'], schema: row<Item>(), indexes: { byN: { on: ({ n }): KeyElement | undefined => n, ...more } } })

/** What is no definition, as a program in JavaScript may give it. */
const declareAnything = (db: Database, name: string, definition: object): unknown => (db as unknown as { table(name: string, definition: object): unknown }).table(name, definition)

async function openItems(count = 10, options: Parameters<typeof openTest>[0] = {}): Promise<Opened & { readonly t: ReturnType<typeof itemsIn> }> {
  const opened = openTest(options)
  const t = itemsIn(opened.db)
  await opened.db.transaction(tx => {
    for (let i = 0; i < count; i++) tx.put(t, i, { n: count - i })
  })
  return { ...opened, t }
}

/** Lets work that waits for timers be done, as the deletion of what was dropped. */
async function workedOff({ environment }: Opened): Promise<void> {
  for (let round = 0; round < 100; round++) {
    environment.advance(5)
    await turns(2)
  }
}

const small = { limits: { stepSizeBytes: 1 } }
const dropped = (): Error => expect.objectContaining({ code: 'TABLE_DROPPED', retryable: false }) as Error

describe('a declaration', () => {
  test('that says what is stored changes nothing, whatever its functions are', async () => {
    const { db, store, t } = await openItems()
    const before = store.visibleTs
    const again = db.table('items', { key: ['number'], schema: row<Item>(), indexes: { byN: { on: item => item.n, unique: false, many: false, version: 1 } } })
    await again.ready
    expect(store.visibleTs).toBe(before)
    expect([again.name, again.version, again.key, again.indexes.byN.name, again.indexes.byN.table, again.indexes.byN.unique]).toEqual(['items', 1, ['number'], 'byN', 'items', false])
    expect(db.count(t.indexes.byN)).toBe(10)
    expect(again).not.toBe(t)
  })

  test.each<[string, Partial<IndexDefinition<Item>>]>([
    ['version', { version: 2, on: ({ n }) => -n }],
    ['unique', { unique: true }],
    ['many', { many: true, on: ({ n }) => [n, -n] }],
  ])('of an index with another "%s" builds it anew', async (_what, more) => {
    const { db, t } = await openItems()
    const again = itemsIn(db, more)
    await again.ready
    expect(() => db.count(t.indexes.byN)).toThrow(dropped())
    expect(db.count(again.indexes.byN)).toBe(more.many ? 20 : 10)
    expect(db.first(again.indexes.byN)?.indexKey).toBe(more.unique ? 1 : -10)
    await turns(20)
    expect(await db.check()).toMatchObject({ sound: true })
  })

  test('with another function and the same version goes on with what was built; the next write that needs the old entry shows it', async () => {
    const { db, store } = await openItems()
    const again = itemsIn(db, { on: ({ n }) => n + 100 })
    await again.ready
    expect(db.first(again.indexes.byN)?.indexKey).toBe(1)
    const before = store.visibleTs
    expect(await failureOf(() => db.put(again, 1, { n: 5 }))).toMatchObject({ code: 'INVALID_INDEX_KEY' })
    expect(await failureOf(() => db.delete(again, 1))).toMatchObject({ code: 'INVALID_INDEX_KEY' })
    expect(store.visibleTs).toBe(before)
    expect((await db.check()).sound).toBe(false)
    const third = itemsIn(db, { on: ({ n }) => n + 100, version: 2 })
    await third.ready
    await db.put(third, 1, { n: 5 })
    expect(db.first(third.indexes.byN)?.indexKey).toBe(101)
    await turns(20)
    expect(await db.check()).toMatchObject({ sound: true })
  })

  test('adds and drops indexes beside those that stay', async () => {
    const opened = await openItems()
    const { db, t } = opened
    const declare = (names: readonly string[]) =>
      db.table('items', { key: ['number'], schema: row<Item>(), indexes: Object.fromEntries(names.map(name => [name, { on: ({ n }: Item) => (name === 'byN' ? n : name) }])) })
    const two = declare(['byN', 'other'])
    await two.ready
    expect([db.count(t.indexes.byN), db.count(two.indexes['other']!)]).toEqual([10, 10])
    const three = declare(['third', 'byN'])
    await three.ready
    expect(() => db.count(two.indexes['other']!)).toThrow(dropped())
    expect(db.tables()[0]!.indexes.map(({ name, state, declared }) => `${name} ${state} ${declared}`)).toEqual(['third ready true', 'byN ready true'])
    await db.put(t, 77, { n: 77 })
    await declare([]).ready
    expect(db.tables()[0]!.indexes).toEqual([])
    for (const index of [t.indexes.byN, two.indexes['byN']!, three.indexes['third']!]) expect(() => db.count(index)).toThrow(dropped())
    await db.put(t, 78, { n: 78 })
    await workedOff(opened)
    expect(await db.check()).toMatchObject({ sound: true, rows: 12 + 2 }) // of the catalog: the table, and which numbers were given
  })

  test('without "indexes" leaves them alone, in this opening and in the next: there the table is read, and not written', async () => {
    const { db, path } = await openItems()
    await db.put(plainIn(db), 10, { n: 100 })
    await db.close()
    const again = openTest({ path })
    const plain = plainIn(again.db)
    await plain.ready
    expect(again.db.tables()).toMatchObject([{ indexes: [{ name: 'byN', state: 'ready', declared: false }] }])
    expect([again.db.get(plain, 10), again.db.count(plain), again.db.transactionSync(tx => tx.range(plain).toArray().length)]).toEqual([{ n: 100 }, 11, 11])
    const before = again.store.visibleTs
    const writes = [
      () => again.db.put(plain, 1, { n: 1 }),
      () => again.db.insert(plain, 99, { n: 1 }),
      () => again.db.update(plain, 1, value => value),
      () => again.db.delete(plain, 1),
      () => again.db.compareAndSet(plain, 99, undefined, { n: 1 }),
      () => again.db.deleteRange(plain),
      () => again.db.transaction(tx => tx.deleteRange(plain, { lt: 0 }), { level: 'read-committed' }),
    ]
    for (const write of writes) {
      const error = await failureOf(write)
      expect(error).toMatchObject({ code: 'TABLE_MISMATCH' })
      expect(error.message).toContain('"byN"')
    }
    expect(again.store.visibleTs).toBe(before)
    const t = itemsIn(again.db)
    for (const write of writes.slice(0, 5)) await write()
    expect(again.db.count(t.indexes.byN)).toBe(11)
    expect(await again.db.check()).toMatchObject({ sound: true })
  })

  test('that is none is refused, and changes nothing', async () => {
    const { db, store } = await openItems()
    const before = [store.visibleTs, db.tables()]
    const bad: unknown[] = [
      [],
      null,
      'byN',
      { byN: null },
      { byN: {} },
      { byN: { on: 'n' } },
      { byN: { on: () => 1, unique: 1 } },
      { byN: { on: () => 1, many: 'yes' } },
      { byN: { on: () => 1, version: -1 } },
      { byN: { on: () => 1, other: true } },
      { '': { on: () => 1 } },
    ]
    for (const indexes of bad) expect(await failureOf(() => declareAnything(db, 'items', { key: ['number'], indexes }))).toMatchObject({ code: 'INVALID_ARGUMENT' })
    for (const name of ['x'.repeat(2_000), 'x'.repeat(1_880)]) {
      expect(await failureOf(() => db.table('items', { key: ['number'], indexes: { [name]: { on: () => 1 } } }))).toMatchObject({ code: 'KEY_TOO_LARGE' })
    }
    expect(await failureOf(() => db.table('items', { key: ['string'] }))).toMatchObject({ code: 'TABLE_MISMATCH' })
    expect([store.visibleTs, db.tables()]).toEqual(before)
  })

  test('may name tables and indexes as objects name what they inherit', async () => {
    const { db, path } = openTest()
    const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'progress', '1', ' ', '😀']
    const declare = (to: Database, name: string) => {
      const indexes = Object.create(null) as Record<string, IndexDefinition<Item>>
      for (const index of names) Object.defineProperty(indexes, index, { value: { on: ({ n }: Item) => [index, n] }, enumerable: true })
      return to.table(name, { key: ['number'], schema: row<Item>(), indexes })
    }
    for (const name of names) await db.put(declare(db, name), 1, { n: 1 })
    await db.close()
    const again = openTest({ path })
    for (const name of names) {
      const t = declare(again.db, name)
      expect(Object.keys(t.indexes).toSorted((a, b) => (a < b ? -1 : 1))).toEqual(names.toSorted((a, b) => (a < b ? -1 : 1)))
      for (const index of names) expect(again.db.range(t.indexes[index]!, { keysOnly: true }).toArray()).toEqual([{ indexKey: [index, 1], key: 1 }])
    }
    for (const name of names) await again.db.dropTable(name)
    expect(again.db.tables()).toEqual([])
    await turns(20)
    expect(await again.db.check()).toMatchObject({ sound: true })
  })
})

describe('a table that is renamed', () => {
  test('keeps its rows, indexes and handles, also in the next opening', async () => {
    const { db, path, t } = await openItems()
    const taken = db.table('taken', { key: ['number'] })
    await taken.ready
    for (const [from, to] of [['items', 'taken'], ['nothing', 'x'], ['items', ''], ['items', undefined]]) {
      expect(await failureOf(() => db.renameTable(from!, to!))).toMatchObject({ code: 'INVALID_ARGUMENT' })
    }
    expect(await failureOf(() => db.renameTable('items', 'x'.repeat(2_000)))).toMatchObject({ code: 'KEY_TOO_LARGE' })
    await db.renameTable('items', 'items')
    await db.renameTable('items', 'things')
    await db.put(t, 20, { n: 20 })
    expect([t.name, t.indexes.byN.table, db.count(t.indexes.byN), db.tables().map(({ name }) => name)]).toEqual(['things', 'things', 11, ['taken', 'things']])
    const fresh = itemsIn(db)
    expect(db.count(fresh)).toBe(0)
    await db.close()
    const again = openTest({ path })
    const same = itemsIn(again.db, {}, 'things')
    expect([again.db.count(same), again.db.count(same.indexes.byN), again.db.count(plainIn(again.db))]).toEqual([11, 11, 0])
    expect(await again.db.check()).toMatchObject({ sound: true })
  })

  test.each(levels)('with a transaction at %s in the middle of it', async level => {
    const { db, t } = await openItems()
    const tx = db.begin({ level })
    tx.put(t, 1, { n: tx.count(t.indexes.byN) })
    await db.renameTable('items', 'things')
    if (level === 'serializable') expect(await conflictOf(tx)).toMatchObject({ table: 'catalog', overwrittenBy: { label: 'rename table "items"' } })
    else await tx.commit()
    expect(await db.transaction(inner => (inner.put(t, 2, { n: 2 }), inner.count(t)), { level })).toBe(10)
    expect(await db.check()).toMatchObject({ sound: true })
  })

  test.each(['this opening', 'the next'])('while an index is built goes on building it where it was, in %s', async opening => {
    const { db, environment, path } = openTest(small)
    await db.transaction(tx => {
      for (let i = 0; i < 10; i++) tx.put(plainIn(db), i, { n: i })
    })
    environment.holdDeferred = true
    const t = itemsIn(db)
    for (let step = 0; step < 10; step++) {
      environment.runDeferred()
      await turns(2)
    }
    const renamed = db.renameTable('items', 'things')
    const closing = opening === 'the next' ? db.close() : undefined
    environment.holdDeferred = false
    while (environment.heldDeferred > 0) environment.runDeferred()
    await renamed
    if (closing === undefined) await t.ready
    await (closing ?? db.close())
    const again = openTest({ path })
    expect(again.db.tables()).toMatchObject([{ name: 'things', indexes: [{ state: closing === undefined ? 'ready' : 'building' }] }])
    let calls = 0
    const same = itemsIn(again.db, { on: ({ n }) => (calls++, n) }, 'things')
    await same.ready
    expect([again.db.count(same.indexes.byN), calls < 20]).toEqual([10, true]) // twice for each row that was left
    expect(await again.db.check()).toMatchObject({ sound: true })
  })
})

describe('a table that is dropped', () => {
  test('ends its handles and those of its indexes, and its space becomes free in steps', async () => {
    const opened = await openItems(20, small)
    const { db, t, store } = opened
    const iterator = db.range(t)[Symbol.iterator]()
    iterator.next()
    await db.dropTable('items')
    expect(db.tables()).toEqual([])
    for (const use of [() => db.get(t, 1), () => db.put(t, 1, { n: 1 }), () => db.range(t.indexes.byN), () => db.transaction(tx => tx.count(t)), () => db.deleteRange(t)]) expect(await failureOf(use)).toEqual(dropped())
    expect(await failureOf(() => db.dropTable('items'))).toMatchObject({ code: 'INVALID_ARGUMENT' })
    expect((await db.check()).rows).toBeGreaterThan(40)
    await workedOff(opened)
    expect(await db.check()).toMatchObject({ sound: true, rows: 1 }) // of the catalog: which numbers were given
    expect([iterator.next().value, iterator.return?.().done]).toEqual([{ key: 1, value: { n: 19 } }, true])
    expect(store.epochs.live.oldest).toBeUndefined()
  })

  test.each(levels)('with a transaction at %s in the middle of it', async level => {
    const { db, t } = await openItems()
    const [reader, writer] = [db.begin({ level }), db.begin({ level })]
    expect(reader.count(t.indexes.byN)).toBe(10)
    writer.put(t, 1, { n: 1 })
    await db.dropTable('items')
    await reader.commit()
    expect(await failureOf(() => writer.commit())).toMatchObject({ code: level === 'serializable' ? 'CONFLICT' : 'TABLE_DROPPED' })
    expect(await failureOf(() => db.transaction(tx => tx.put(t, 1, { n: 1 }), { level }))).toEqual(dropped())
    await turns(20)
    expect(await db.check()).toMatchObject({ sound: true })
  })

  test.each(levels)('and made anew under its name is empty, whatever a transaction at %s had written to the old one', async level => {
    const { db, path, t } = await openItems(20, small)
    const writer = db.begin({ level })
    writer.put(t, 99, { n: 99 })
    const gone = db.dropTable('items')
    const fresh = itemsIn(db)
    expect([db.count(fresh), db.count(fresh.indexes.byN)]).toEqual([0, 0])
    await gone
    await failureOf(() => writer.commit())
    await db.put(fresh, 5, { n: 55 })
    expect(() => db.count(t)).toThrow(dropped())
    expect(db.range(fresh.indexes.byN).toArray()).toEqual([{ indexKey: 55, key: 5, value: { n: 55 } }])
    await db.close()
    const again = openTest({ path })
    const same = itemsIn(again.db)
    expect([again.db.range(same).toArray(), again.db.count(same.indexes.byN)]).toEqual([[{ key: 5, value: { n: 55 } }], 1])
    await turns(50)
    expect(await again.db.check()).toMatchObject({ sound: true })
  })

  test('while its index is built or its rows are migrated: ready says that it was dropped', async () => {
    const { db, environment } = openTest(small)
    await db.transaction(tx => {
      for (let i = 0; i < 10; i++) tx.put(plainIn(db), i, { n: i })
    })
    environment.holdDeferred = true
    const building = itemsIn(db)
    const migrating = db.table('items', { key: ['number'], version: 2, migrate: old => old, indexes: {} })
    const gone = db.dropTable('items')
    environment.holdDeferred = false
    while (environment.heldDeferred > 0) environment.runDeferred()
    await gone
    for (const { ready } of [building, migrating]) expect(await failureOf(() => ready)).toEqual(dropped())
    await turns(30)
    expect(await db.check()).toMatchObject({ sound: true })
  })
})

test('a change is not made from inside a body, nor on a closed database', async () => {
  const { db, t } = await openItems()
  for (const change of [() => db.renameTable('items', 'x'), () => db.dropTable('items')]) {
    expect(await failureOf(() => db.transaction(change))).toMatchObject({ code: 'OUTSIDE_TRANSACTION' })
  }
  expect(db.count(t)).toBe(10)
  await db.close()
  for (const change of [() => db.renameTable('items', 'x'), () => db.dropTable('items'), () => itemsIn(db), () => db.tables()]) expect(await failureOf(change)).toMatchObject({ code: 'CLOSED' })
})

describe('a full disk', () => {
  /** The log gets no more space than it has. */
  function fillDisk({ environment }: Opened): () => void {
    const { writeSync } = environment.files
    const refusing = (fd: number, bytes: Uint8Array, ...rest: unknown[]): number => {
      const [from = 0, length = bytes.length] = rest as number[]
      if (bytes.subarray(from, from + length).every(byte => byte === 0)) throw ioError('ENOSPC')
      return (writeSync as (...all: unknown[]) => number)(fd, bytes, ...rest)
    }
    Object.assign(environment.files, { writeSync: refusing })
    return () => void Object.assign(environment.files, { writeSync })
  }

  /** With a log that asks for space for every few commits. */
  async function openTight(): Promise<Opened> {
    const opened = openTest({ limits: { logReserveSizeBytes: 256, stepSizeBytes: 1 } })
    await opened.db.transaction(tx => {
      for (let i = 0; i < 40; i++) tx.put(plainIn(opened.db), i, { n: i })
    })
    return opened
  }

  test('refuses a change of the catalog, which then changes nothing', async () => {
    const opened = await openTight()
    const { db, store } = opened
    const empty = fillDisk(opened)
    // What is left of the space that was asked for before.
    for (let code: unknown = 'none', i = 0; code === 'none' && i < 100; i++) code = await db.put(plainIn(db), 0, { n: 0 }).then(() => 'none', (error: { code: string }) => error.code)
    const before = [store.visibleTs, db.tables()]
    for (const change of [() => itemsIn(db), () => db.table('new', { key: ['string'] }), () => db.renameTable('items', 'renamed'), () => db.dropTable('items'), () => db.table('items', { key: ['number'], version: 2, migrate: old => old })]) {
      expect(await failureOf(change)).toMatchObject({ code: 'DISK_FULL', retryable: true })
    }
    expect([store.visibleTs, db.tables()]).toEqual(before)
    expect([db.count(plainIn(db)), db.get(plainIn(db), 7)]).toEqual([40, { n: 7 }])
    empty()
    const t = itemsIn(db)
    await t.ready
    expect(db.count(t.indexes.byN)).toBe(40)
  })

  test('stops a build, which goes on when there is space', async () => {
    const opened = await openTight()
    const { db, environment } = opened
    environment.holdDeferred = true
    const t = itemsIn(db)
    const empty = fillDisk(opened)
    environment.holdDeferred = false
    while (environment.heldDeferred > 0) environment.runDeferred()
    expect(await failureOf(() => t.ready)).toMatchObject({ code: 'DISK_FULL' })
    expect(db.tables()).toMatchObject([{ indexes: [{ name: 'byN', state: 'building' }] }])
    empty()
    await db.put(t, 100, { n: 100 })
    const again = itemsIn(db)
    await workedOff(opened)
    environment.advance(1_000)
    await again.ready
    expect([db.count(t.indexes.byN), db.count(again.indexes.byN)]).toEqual([41, 41])
    await workedOff(opened)
    expect(await db.check()).toMatchObject({ sound: true })
  })
})
