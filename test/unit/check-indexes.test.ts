/** Verifying and salvaging a database with indexes: entries that no row has and rows without their entries are found and named, and a salvaged table gets its indexes anew. */
import * as fs from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Database } from '../../engine/database.js'
import { indexKeyStart, plainEntry, plainEntryValue, uniqueEntry, uniqueEntryValue } from '../../engine/encoding/index-entries.js'
import { encodeKey, tablePrefix } from '../../engine/encoding/keys.js'
import { encodeValue } from '../../engine/encoding/values.js'
import { check, open, row, salvage, type KeyElement } from '../../engine/index.js'
import { indexKeyInCatalog } from '../../engine/table/catalog-rows.js'
import type { Key } from '../../isolation/types.js'
import { checkpoint, failureOf, openTest, scratchDirectory, turns, type Opened } from '../support/databases.js'

interface Item {
  readonly n: number
}

const itemsIn = (db: Database, version = 1) =>
  db.table('items', {
    key: ['string'],
    schema: row<Item>(),
    indexes: {
      byN: { on: ({ n }): KeyElement => [n, 'x'], version },
      single: { on: ({ n }): KeyElement => n, unique: true, version },
      byTag: { on: ({ n }): KeyElement[] => [n, `tag ${n}`], many: true, version },
    },
  })

/** Ids as they are given: the table, then its indexes as they are declared. */
const [itemsId, byNId, singleId] = [1, 2, 3]
const rowKey = (key: string): Key => encodeKey(tablePrefix(itemsId), [key], ['string'])
const byN = (indexKey: unknown, of: string): Key => plainEntry(indexKeyStart(tablePrefix(byNId), indexKey), rowKey(of), tablePrefix(itemsId))
const single = (indexKey: unknown): Key => uniqueEntry(indexKeyStart(tablePrefix(singleId), indexKey))
const holder = (of: string): Uint8Array => uniqueEntryValue(rowKey(of), tablePrefix(itemsId))

const indexRow = (table: string, name: string, id: number) => ({
  key: indexKeyInCatalog(table, name),
  value: encodeValue({ id, unique: false, many: false, version: 1, tableVersion: 1, ready: true }),
})

async function openItems(): Promise<Opened & { readonly t: ReturnType<typeof itemsIn> }> {
  const opened = openTest()
  const t = itemsIn(opened.db)
  await opened.db.transaction(tx => {
    for (const [n, key] of ['a', 'b', 'c'].entries()) tx.put(t, key, { n })
  })
  return { ...opened, t }
}

interface Case {
  readonly writes: readonly { readonly key: Key; readonly value: Uint8Array | undefined }[]
  /** What is found where the functions are known, and where they are not. */
  readonly open: readonly object[]
  readonly closed: readonly object[]
}

const absent = { part: 'rows', table: 'items', index: 'byN', key: [9, 'x'], problem: 'it is an entry for row "z", which is absent' }
const cases: Record<string, Case> = {
  'an entry for a row that is absent': { writes: [{ key: byN([9, 'x'], 'z'), value: plainEntryValue }], open: [absent], closed: [absent] },
  'an entry of a unique index for a row that is absent': {
    writes: [{ key: single(9), value: holder('z') }],
    open: [{ index: 'single', key: 9, problem: 'it is an entry for row "z", which is absent' }],
    closed: [{ index: 'single', key: 9, problem: 'it is an entry for row "z", which is absent' }],
  },
  'an entry under a key that its row does not have': {
    writes: [{ key: byN([9, 'x'], 'a'), value: plainEntryValue }],
    open: [{ part: 'rows', table: 'items', index: 'byN', key: [9, 'x'], problem: 'it is an entry for row "a", which is not under this key' }],
    closed: [],
  },
  'an entry of a unique index that names another row': {
    writes: [{ key: single(0), value: holder('b') }],
    open: [
      { table: 'items', key: 'a', problem: 'index "single" does not have it under 0' },
      { index: 'single', key: 0, problem: 'it is an entry for row "b", which is not under this key' },
    ],
    closed: [],
  },
  'an entry that is missing': { writes: [{ key: byN([1, 'x'], 'b'), value: undefined }], open: [{ table: 'items', key: 'b', problem: 'index "byN" does not have it under [1,"x"]' }], closed: [] },
  'a row that was changed without its entries': {
    writes: [{ key: rowKey('c'), value: encodeValue({ n: 7 }) }],
    open: [
      { table: 'items', key: 'c', problem: 'index "byN" does not have it under [7,"x"]' },
      { index: 'byN', key: [2, 'x'], problem: 'it is an entry for row "c", which is not under this key' },
      { index: 'single', key: 2 },
      { index: 'byTag', key: 2 },
      { index: 'byTag', key: 'tag 2' },
    ],
    closed: [],
  },
  'a row that was deleted without its entries': {
    writes: [{ key: rowKey('c'), value: undefined }],
    open: [{ index: 'byN' }, { index: 'single' }, { index: 'byTag' }, { index: 'byTag' }],
    closed: [{ index: 'byN' }, { index: 'single' }, { index: 'byTag' }, { index: 'byTag' }],
  },
  'a row whose key its index cannot take': {
    writes: [{ key: rowKey('c'), value: encodeValue({ n: {} }) }],
    open: [{ table: 'items', key: 'c', problem: expect.stringContaining('gave what cannot be a key') as string }, { index: 'byN' }, { index: 'single' }, { index: 'byTag' }, { index: 'byTag' }],
    closed: [],
  },
  'an entry of a unique index that names no row': {
    writes: [{ key: single(9), value: encodeValue(5) }, { key: single(10), value: encodeValue(null) }, { key: single(11), value: encodeValue(Uint8Array.of(1, 2)) }],
    open: [9, 10, 11].map(key => ({ index: 'single', key, problem: 'stored key is malformed' })),
    closed: [9, 10, 11].map(key => ({ index: 'single', key, problem: 'stored key is malformed' })),
  },
  'an entry that is none': {
    writes: [{ key: encodeKey(tablePrefix(byNId), ['a'], ['string']), value: plainEntryValue }, { key: encodeKey(tablePrefix(byNId), [['a'], 5], [['string'], 'number']), value: plainEntryValue }],
    open: [{ part: 'rows', problem: 'stored key is malformed' }, { index: 'byN', key: 'a', problem: 'the key of its row is none: its key is not one of table "items"' }],
    closed: [{ part: 'rows', problem: 'stored key is malformed' }, { index: 'byN', key: 'a', problem: 'the key of its row is none: its key is not one of table "items"' }],
  },
  'an index of a table that there is not': {
    writes: [indexRow('nothing', 'lost', 99)],
    open: [{ part: 'catalog', table: 'catalog', problem: 'it is of table "nothing", which the catalog does not have' }],
    closed: [{ part: 'catalog', problem: 'it is of table "nothing", which the catalog does not have' }],
  },
  'two indexes of one number': {
    writes: [indexRow('items', 'zz', byNId)],
    open: [{ part: 'catalog', problem: 'it has the number of index "byN"' }],
    closed: [{ part: 'catalog', problem: 'it has the number of index "byN"' }],
  },
}

describe('check finds', () => {
  test.each(Object.entries(cases))('%s', async (_name, { writes, open: whenOpen, closed }) => {
    const opened = await openItems()
    const { db, store, path } = opened
    expect(await db.check()).toMatchObject({ sound: true })
    store.install(writes, 'durable')
    expect(await db.check()).toMatchObject({ sound: false, problems: whenOpen.length, findings: whenOpen })
    await db.close()
    expect(await check(path)).toMatchObject({ sound: closed.length === 0, findings: closed })
    const again = openTest({ path })
    const undeclared = await again.db.check()
    expect(undeclared).toMatchObject({ problems: closed.length, findings: closed })
  })

  test('nothing where all is well: with rows and entries in the window, in the row file, half built, dropped, migrated', async () => {
    const opened = await openItems()
    const { db, t, path } = opened
    const isSound = async (): Promise<void> => expect(await db.check()).toMatchObject({ sound: true, findings: [] })
    await isSound()
    await checkpoint(opened)
    await db.put(t, 'b', { n: 50 })
    await db.delete(t, 'c')
    await isSound()
    const old = db.begin({ readOnly: true })
    const two = itemsIn(db, 2)
    await isSound()
    await two.ready
    await isSound()
    const three = db.table('items', { key: ['string'], schema: row<Item & { two: number }>(), version: 2, migrate: item => ({ ...(item as Item), two: 2 }), indexes: {} })
    await isSound()
    await three.ready
    await isSound()
    expect(old.count(db.table('other', { key: ['string'] }))).toBe(0)
    old.abort()
    await db.close()
    expect(await check(path)).toMatchObject({ sound: true })
  })
})

describe('reading through an index that is damaged', () => {
  test('is an error that names index and row; keys alone can be read, and a higher version builds it anew', async () => {
    const { db, store, t } = await openItems()
    store.install([{ key: byN([1, 'm'], 'z'), value: plainEntryValue }, { key: single(9), value: holder('z') }], 'durable')
    await store.whenDurable(store.visibleTs)
    for (const read of [() => db.range(t.indexes.byN).toArray(), () => db.transaction(tx => tx.range(t.indexes.byN).toArray()), () => db.get(t.indexes.single, 9), () => db.transaction(tx => tx.get(t.indexes.single, 9)), () => db.last(t.indexes.single)]) {
      const error = await failureOf(read)
      expect(error).toMatchObject({ code: 'CORRUPT' })
      expect(error.message).toMatch(/index "(byN|single)" of table "items" has an entry for row "z", which is absent/i)
    }
    expect([db.count(t.indexes.byN), db.range(t.indexes.byN, { keysOnly: true }).toArray().map(({ key }) => key), db.first(t.indexes.byN)?.key]).toEqual([4, ['a', 'z', 'b', 'c'], 'a'])
    store.install([{ key: single(8), value: encodeValue(5) }], 'durable')
    await store.whenDurable(store.visibleTs)
    for (const read of [() => db.get(t.indexes.single, 8), () => db.range(t.indexes.single, { gte: 8, keysOnly: true }).toArray(), () => db.put(t, 'd', { n: 8 })]) expect(await failureOf(read)).toMatchObject({ code: 'CORRUPT' })
    const anew = itemsIn(db, 2)
    await anew.ready
    expect(db.range(anew.indexes.byN).toArray().map(({ key }) => key)).toEqual(['a', 'b', 'c'])
    await turns(20)
    expect(await db.check()).toMatchObject({ sound: true })
  })
})

describe('salvage', () => {
  /** A copy of the directory as a crash leaves it. */
  const copyOf = (path: string): string => {
    const copy = join(scratchDirectory(), 'data')
    fs.cpSync(path, copy, { recursive: true })
    return copy
  }

  test.each(['closed', 'crashed'])('of a sound database that was %s brings all rows, and indexes are built when they are declared', async how => {
    const { db, t, path } = await openItems()
    await db.put(t, 'b', { n: 50 })
    let source = path
    if (how === 'closed') await db.close()
    else source = copyOf(path)
    const out = join(scratchDirectory(), 'out')
    const report = await salvage(source, out)
    expect(report).toMatchObject({ complete: true, problems: 0, tables: [{ name: 'items', rows: 3, renamed: false }] })
    expect(await check(out)).toMatchObject({ sound: true })
    const salvaged = await open(out)
    expect(salvaged.tables()).toMatchObject([{ name: 'items', indexes: [] }])
    const plain = salvaged.table('items', { key: ['string'], schema: row<Item>() })
    await salvaged.put(plain, 'd', { n: 4 })
    const again = itemsIn(salvaged)
    await again.ready
    expect(salvaged.range(again.indexes.byN).toArray().map(({ key, value }) => [key, value.n])).toEqual([['a', 0], ['c', 2], ['d', 4], ['b', 50]])
    expect(salvaged.get(again.indexes.single, 50)?.key).toBe('b')
    expect(await salvaged.check()).toMatchObject({ sound: true })
    await salvaged.close()
    expect(await check(out)).toMatchObject({ sound: true })
  })

  test('of a database in the middle of a change brings rows of each version, and the change is made again', async () => {
    const { db, environment, path } = openTest({ limits: { stepSizeBytes: 1 } })
    const one = db.table('items', { key: ['string'], schema: row<Item>() })
    await db.transaction(tx => {
      for (const [n, key] of ['a', 'b', 'c', 'd', 'e'].entries()) tx.put(one, key, { n })
    })
    environment.holdDeferred = true
    const declare = (to: Database) =>
      to.table('items', { key: ['string'], schema: row<Item & { two: number }>(), version: 2, migrate: item => ({ ...(item as Item), two: 2 }), indexes: { byTwo: { on: ({ two, n }): KeyElement => [two, n] } } })
    declare(db)
    for (let step = 0; step < 3; step++) {
      environment.runDeferred()
      await turns(3)
    }
    const source = copyOf(path)
    environment.holdDeferred = false
    while (environment.heldDeferred > 0) environment.runDeferred()
    const out = join(scratchDirectory(), 'out')
    expect(await salvage(source, out)).toMatchObject({ complete: true, tables: [{ name: 'items', rows: 5 }] })
    const salvaged = await open(out)
    expect(salvaged.tables()).toMatchObject([{ name: 'items', version: 2, migrating: true, indexes: [] }])
    const t = declare(salvaged)
    expect(salvaged.range(t).toArray().map(({ value }) => value)).toEqual([0, 1, 2, 3, 4].map(n => ({ n, two: 2 })))
    await t.ready
    expect(salvaged.range(t.indexes.byTwo, { keysOnly: true }).toArray().map(({ key }) => key)).toEqual(['a', 'b', 'c', 'd', 'e'])
    expect(await salvaged.check()).toMatchObject({ sound: true })
    await salvaged.close()
  })

  test('of a database whose indexes are wrong brings what its rows say', async () => {
    const { db, store, path } = await openItems()
    store.install([{ key: byN([9, 'x'], 'z'), value: plainEntryValue }, { key: single(0), value: holder('b') }, { key: byN([1, 'x'], 'b'), value: undefined }, { key: indexKeyInCatalog('items', 'byTag'), value: undefined }], 'durable')
    await db.close()
    const out = join(scratchDirectory(), 'out')
    await salvage(path, out)
    const salvaged = await open(out)
    const t = itemsIn(salvaged)
    await t.ready
    expect(salvaged.range(t.indexes.byN).toArray().map(({ indexKey, key }) => [indexKey, key])).toEqual([[[0, 'x'], 'a'], [[1, 'x'], 'b'], [[2, 'x'], 'c']])
    expect([salvaged.get(t.indexes.single, 0)?.key, salvaged.count(t.indexes.byTag)]).toEqual(['a', 6])
    await salvaged.close()
  })
})
