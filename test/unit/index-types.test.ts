/** What the types of indexes promise: keys as they are read, bounds as they may be given, handles where they may stand. `npm run typecheck` is the test; run, the same code shows that the types tell the truth. */
import { describe, expect, expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import { row, type Index, type IndexBoundOf, type IndexKeyOf, type KeyElement, type Table, type Transaction } from '../../engine/index.js'
import { sharedDatabase } from '../support/databases.js'

interface Person {
  readonly shift: string
  readonly onCall: boolean
  readonly email?: string
  readonly tags: readonly string[]
  readonly born: Date
}

const opened = sharedDatabase()
const peopleIn = () =>
  opened().db.table('people', {
    key: ['string', 'number'],
    schema: row<Person>(),
    indexes: {
      byShift: { on: p => [p.shift, p.onCall] as const },
      byLoose: { on: p => [p.shift, p.onCall] },
      byEmail: { on: p => p.email, unique: true },
      byTag: { on: p => p.tags.map(tag => tag), many: true },
      byPair: { on: p => p.tags.map((tag, i) => [tag, i] as [string, number]), many: true, unique: true },
      byOne: { on: p => [p.born] as const },
      byNothing: { on: p => (p.onCall ? null : undefined) },
      byBig: { on: () => 1n, unique: false, version: 3 },
    },
  })

const ada: Person = { shift: 'night', onCall: true, email: 'a@b.c', tags: ['x', 'y'], born: new Date(0) }

test('index keys are read as the function gives them, bare where they have one element', async () => {
  const { db } = opened()
  const t = peopleIn()
  await db.put(t, ['ada', 1], ada)
  const { byShift, byLoose, byEmail, byTag, byPair, byOne, byNothing, byBig } = t.indexes

  const ofShift = db.first(byShift)!
  expectTypeOf(ofShift.indexKey).toEqualTypeOf<readonly [string, boolean]>()
  expectTypeOf(ofShift.key).toEqualTypeOf<readonly [string, number]>()
  expectTypeOf(ofShift.value).toEqualTypeOf<Person>()
  expect(ofShift).toEqual({ indexKey: ['night', true], key: ['ada', 1], value: ada })

  expectTypeOf(db.first(byEmail)!.indexKey).toEqualTypeOf<string>()
  expectTypeOf(db.first(byTag)!.indexKey).toEqualTypeOf<string>()
  expectTypeOf(db.first(byPair)!.indexKey).toEqualTypeOf<[string, number]>()
  expectTypeOf(db.first(byOne)!.indexKey).toEqualTypeOf<Date>()
  expectTypeOf(db.first(byNothing)!.indexKey).toEqualTypeOf<null>()
  expectTypeOf(db.first(byBig)!.indexKey).toEqualTypeOf<bigint>()
  expect([byEmail, byTag, byOne, byNothing, byBig].map(index => db.first(index as typeof byEmail)!.indexKey)).toEqual(['a@b.c', 'x', new Date(0), null, 1n])
  expect([db.first(byPair)!.indexKey, db.first(byLoose)!.indexKey]).toEqual([['x', 0], ['night', true]])
})

test('rows, keys alone and single rows have types of their own', () => {
  const { db } = opened()
  const { byShift, byEmail } = peopleIn().indexes
  const rows = db.range(byShift).toArray()
  expectTypeOf(rows).toEqualTypeOf<{ readonly indexKey: readonly [string, boolean]; readonly key: readonly [string, number]; readonly value: Person }[]>()
  const keys = db.range(byShift, { keysOnly: true }).toArray()
  expectTypeOf(keys[0]!).not.toHaveProperty('value')
  expect([rows.length, keys.length, 'value' in keys[0]!]).toEqual([1, 1, false])
  expectTypeOf(db.last(byShift, { keysOnly: true })!).not.toHaveProperty('value')
  expectTypeOf(db.count(byShift)).toEqualTypeOf<number>()
  expectTypeOf(db.get(byEmail, 'a')).toEqualTypeOf<{ readonly indexKey: string; readonly key: readonly [string, number]; readonly value: Person } | undefined>()
  const inTransaction = db.transactionSync(tx => [tx.range(byShift, { prefix: ['night'] }).toArray(), tx.first(byEmail)] as const)
  expectTypeOf(inTransaction[0]).toEqualTypeOf<typeof rows>()
  expect(inTransaction[0]).toEqual(rows)
})

test('bounds are keys or leading parts of them, bare or as tuples', () => {
  const { db } = opened()
  const { byShift, byEmail, byTag, byOne, byPair } = peopleIn().indexes
  expect([
    db.count(byShift, { prefix: 'ni' }),
    db.count(byShift, { prefix: ['night'] }),
    db.count(byShift, { gte: ['night', true], lt: ['nights'] }),
    db.count(byEmail, { gt: 'a', lte: ['b'] }),
    db.count(byTag, { prefix: ['x'] }),
    db.count(byOne, { gte: new Date(0), lte: [new Date(0)] }),
    db.count(byPair, { gte: ['x', 0], lt: ['y'] }),
  ]).toEqual([1, 1, 1, 1, 1, 1, 1])
})

describe('what cannot be is refused when it is compiled', () => {
  const { compiled } = {
    compiled: (tx: Transaction): void => {
      const { db } = opened()
      const t = peopleIn()
      const { byShift, byEmail, byTag, byPair } = t.indexes
      // @ts-expect-error -- a bound of another type
      tx.range(byShift, { gte: [1] })
      // @ts-expect-error -- the second element is no string
      tx.range(byShift, { gte: ['night', 'true'] })
      // @ts-expect-error -- more elements than a key has
      tx.range(byShift, { lt: ['night', true, 1] })
      // @ts-expect-error -- no such option
      tx.range(byShift, { after: ['night'] })
      // @ts-expect-error -- not a unique index
      tx.get(byShift, ['night', true])
      // @ts-expect-error -- not a unique index
      db.get(byTag, 'x')
      // @ts-expect-error -- a unique index, and a key of another type
      tx.get(byEmail, 1)
      // @ts-expect-error -- a leading part names no row
      tx.get(byPair, 'x')
      // @ts-expect-error -- an index is no table
      tx.put(byEmail, 'a', ada)
      // @ts-expect-error -- an index is no table
      tx.has(byEmail, 'a')
      // @ts-expect-error -- an index is no table
      void db.deleteRange(byShift)
      // @ts-expect-error -- no index of this name
      tx.range(t.indexes.byName)
      // @ts-expect-error -- keys alone come without rows
      void tx.first(byShift, { keysOnly: true })?.value
      // @ts-expect-error -- handles cannot be replaced
      t.indexes.byTag = byTag
    },
  }
  const declared = (): void => {
    const { db } = opened()
    // @ts-expect-error -- rows have no such property
    db.table('x', { key: ['string'], schema: row<Person>(), indexes: { a: { on: p => p.name } } })
    // @ts-expect-error -- an object is no key
    db.table('x', { key: ['string'], schema: row<Person>(), indexes: { a: { on: p => ({ shift: p.shift }) } } })
    // @ts-expect-error -- a promise is no key
    db.table('x', { key: ['string'], schema: row<Person>(), indexes: { a: { on: async p => Promise.resolve(p.shift) } } })
    // @ts-expect-error -- a function is no key
    db.table('x', { key: ['string'], schema: row<Person>(), indexes: { a: { on: () => () => 1 } } })
    // @ts-expect-error -- a migration gives what the schema takes
    db.table('x', { key: ['string'], schema: row<Person>(), version: 2, migrate: () => ({ shift: 1 }) })
    // @ts-expect-error -- an index needs a function
    db.table('x', { key: ['string'], schema: row<Person>(), indexes: { a: { unique: true } } })
  }

  test('and only then: nothing of it is run here', () => {
    expect([compiled, declared].map(f => typeof f)).toEqual(['function', 'function'])
  })
})

test('functions of indexes are given what is read, and migrations give what is written', async () => {
  const { db } = opened()
  const schema = z.object({ at: z.string().transform(text => new Date(text)), n: z.number().default(1) })
  const t = db.table('transformed', {
    key: ['string'],
    schema,
    version: 2,
    migrate: (old, version) => {
      expectTypeOf(old).toEqualTypeOf<unknown>()
      expectTypeOf(version).toEqualTypeOf<number>()
      return { at: '2020-01-01' }
    },
    indexes: {
      byAt: {
        on: thing => {
          expectTypeOf(thing).toEqualTypeOf<{ at: Date; n: number }>()
          return [thing.at, thing.n] as const
        },
      },
    },
  })
  await db.put(t, 'a', { at: '2020-01-01' })
  expectTypeOf(db.first(t.indexes.byAt)!.indexKey).toEqualTypeOf<readonly [Date, number]>()
  expect(db.first(t.indexes.byAt)?.indexKey).toEqual([new Date('2020-01-01'), 1])
})

test('a table without indexes has none, and the types of keys and bounds can be named', () => {
  const plain = opened().db.table('plain', { key: ['string'], schema: row<number>() })
  expect(Object.keys(plain.indexes)).toEqual([])
  expectTypeOf<IndexKeyOf<{ on: (p: Person) => string | undefined }>>().toEqualTypeOf<string>()
  expectTypeOf<IndexKeyOf<{ on: (p: Person) => readonly [string] }>>().toEqualTypeOf<string>()
  expectTypeOf<IndexKeyOf<{ on: (p: Person) => [string, bigint][]; many: true }>>().toEqualTypeOf<[string, bigint]>()
  expectTypeOf<IndexBoundOf<string>>().toEqualTypeOf<string | readonly [string]>()
  expectTypeOf<readonly [string]>().toExtend<IndexBoundOf<readonly [string, number]>>()
  expectTypeOf<readonly [string]>().toExtend<IndexBoundOf<[string, number]>>()
  expectTypeOf<readonly [string, number]>().toExtend<IndexBoundOf<[string, number]>>()
  expectTypeOf<string>().toExtend<IndexBoundOf<readonly [string, number]>>()
  expectTypeOf<readonly [number]>().not.toExtend<IndexBoundOf<readonly [string, number]>>()
  const named: Index<string, readonly [string, number], Person, string | readonly [string], true> = peopleIn().indexes.byEmail
  const ofTable: Table<readonly [string, number], Person, Person, readonly [string] | readonly [string, number]> = peopleIn()
  expect([named.name, named.unique, ofTable.name]).toEqual(['byEmail', true, 'people'])
  const anyKey: KeyElement = [null, [1n, 'x'], new Date(0)]
  expect(anyKey).toHaveLength(3)
})
