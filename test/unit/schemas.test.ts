/** Schemas of the libraries that people use: what they make of a row is what is stored, what they refuse changes nothing, and asynchronous ones are refused as early as they can be known. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { type } from 'arktype'
import * as v from 'valibot'
import { describe, expect, expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import { ConstraintError, levels, row } from '../../engine/index.js'
import { failureOf, openTest, sharedDatabase, turns } from '../support/databases.js'

interface Written {
  readonly name: string
  readonly size?: number
}

interface Read {
  readonly name: string
  readonly size: number
}

/** Trims a name of at most five characters, and makes a size of 7 where there is none. */
const schemas = {
  zod: z.object({ name: z.string().trim().max(5), size: z.number().default(7) }),
  valibot: v.object({ name: v.pipe(v.string(), v.trim(), v.maxLength(5)), size: v.optional(v.number(), 7) }),
  arktype: type({ name: type('string.trim').to('string <= 5'), size: 'number = 7' }),
} as const

const opened = sharedDatabase()

describe.each(Object.entries(schemas))('%s', (vendor, schema) => {
  const tableIn = () => opened().db.table(`rows of ${vendor}`, { key: ['string'], schema: schema as StandardSchemaV1<Written, Read> })

  test('what it makes of a row is written, by every way of writing', async () => {
    const { db } = opened()
    const t = tableIn()
    await db.put(t, 'put', { name: ' a ' })
    await db.insert(t, 'insert', { name: 'b', size: 1 })
    await db.put(t, 'update', { name: 'c' })
    await db.update(t, 'update', ({ name, size }) => ({ name: ` ${name}${size}` }))
    expect(await db.compareAndSet(t, 'cas', undefined, { name: 'd ' })).toBe(true)
    expect(await db.compareAndSet(t, 'cas', { name: 'd', size: 7 }, { name: 'e ', size: 2 })).toBe(true)
    expect(Array.from(db.range(t), ({ key, value }) => [key, value])).toEqual([
      ['cas', { name: 'e', size: 2 }],
      ['insert', { name: 'b', size: 1 }],
      ['put', { name: 'a', size: 7 }],
      ['update', { name: 'c7', size: 7 }],
    ])
    await db.deleteRange(t)
  })

  test.each(levels)('what it refuses changes nothing at %s, and the transaction goes on', async level => {
    const { db } = opened()
    const t = tableIn()
    await db.put(t, 'there', { name: 'a' })
    const before = db.tables()
    await db.transaction(
      tx => {
        const bad = { name: 'too long', size: 'large' } as unknown as Written
        for (const write of [
          () => tx.put(t, 'k', bad),
          () => tx.insert(t, 'k', bad),
          () => tx.update(t, 'there', () => bad),
          () => tx.compareAndSet(t, 'k', undefined, bad),
        ]) {
          expect(write).toThrow(expect.objectContaining({ code: 'SCHEMA', table: t.name, retryable: false }) as Error)
        }
        expect([tx.has(t, 'k'), tx.get(t, 'there')]).toEqual([false, { name: 'a', size: 7 }])
        tx.put(t, 'after', { name: 'b' })
      },
      { level },
    )
    expect(db.range(t).toArray().map(({ key }) => key)).toEqual(['after', 'there'])
    expect(db.tables()).toEqual(before)
    await db.deleteRange(t)
  })

  test('its issues are those of the error, with their paths', async () => {
    const { db } = opened()
    const error = await failureOf(() => db.put(tableIn(), 'k', { name: 'a', size: 'large' } as unknown as Written))
    expect(error).toBeInstanceOf(ConstraintError)
    const { key, table, issues } = error as ConstraintError
    expect({ key, table, paths: Array.from(issues!, ({ path }) => Array.from(path)) }).toEqual({ key: 'k', table: tableIn().name, paths: [['size']] })
    expect(issues![0]!.message).toMatch(/number/i)
    expect(error.message).toContain('size')
  })
})

test('the path of an issue leads into arrays and objects, whatever form the library gives it', async () => {
  const { db } = openTest()
  const bad = { list: [{ n: 1 }, { n: 'x' }] } as unknown as { list: { n: number }[] }
  const nested = {
    zod: z.object({ list: z.array(z.object({ n: z.number() })) }),
    valibot: v.object({ list: v.array(v.object({ n: v.number() })) }),
    arktype: type({ list: type({ n: 'number' }).array() }),
  }
  for (const [vendor, schema] of Object.entries(nested)) {
    const t = db.table(vendor, { key: ['string'], schema: schema as StandardSchemaV1<typeof bad> })
    const { issues } = (await failureOf(() => db.put(t, 'k', bad))) as ConstraintError
    expect(Array.from(issues!, ({ path }) => Array.from(path))).toEqual([['list', 1, 'n']])
  }
})

test('several issues are all told, and the message names their places', async () => {
  const { db } = openTest()
  const t = db.table('t', { key: ['number'], schema: z.object({ a: z.number(), b: z.number() }) })
  const error = await failureOf(() => db.put(t, 1, {} as { a: number; b: number }))
  expect((error as ConstraintError).issues?.map(({ path }) => path)).toEqual([['a'], ['b']])
  expect(error.message).toMatch(/does not fit its schema: a, b\./)
})

test('what may be written and what is read are typed as the schema says', async () => {
  const { db } = openTest()
  const inZod = db.table('zod', { key: ['string'], schema: z.object({ at: z.string().transform(text => new Date(text)), n: z.number().default(1) }) })
  await db.put(inZod, 'a', { at: '2020-01-01' })
  const fromZod = db.get(inZod, 'a')!
  expectTypeOf(fromZod).toEqualTypeOf<{ at: Date; n: number }>()
  expect(fromZod).toEqual({ at: new Date('2020-01-01'), n: 1 })

  const inValibot = db.table('valibot', { key: ['string'], schema: v.object({ at: v.pipe(v.string(), v.transform(text => new Date(text))), n: v.optional(v.number(), 1) }) })
  await db.put(inValibot, 'a', { at: '2020-01-01' })
  expectTypeOf(db.get(inValibot, 'a')!).toEqualTypeOf<{ at: Date; n: number }>()
  expect(db.get(inValibot, 'a')).toEqual(fromZod)

  const inArktype = db.table('arktype', { key: ['string'], schema: type({ at: 'string.date.iso.parse', n: 'number = 1' }) })
  await db.put(inArktype, 'a', { at: '2020-01-01' })
  expectTypeOf(db.get(inArktype, 'a')!).toEqualTypeOf<{ at: Date; n: number }>()
  expect(db.get(inArktype, 'a')).toEqual(fromZod)

  const wrong = (): void => {
    // @ts-expect-error -- what is read is no input
    void db.put(inZod, 'a', { at: new Date(0) })
    // @ts-expect-error -- a property too few
    void db.put(inValibot, 'a', { n: 1 })
    // @ts-expect-error -- a property of another type
    void db.put(inArktype, 'a', { at: '2020-01-01', n: 'one' })
  }
  expect(wrong).toBeTypeOf('function')
})

test('reading validates nothing: what is stored was valid when it was written', async () => {
  const { db } = openTest()
  let calls = 0
  const counted: StandardSchemaV1<number> = { '~standard': { version: 1, vendor: 'test', validate: value => (calls++, { value: value as number }) } }
  const t = db.table('t', { key: ['string'], schema: counted })
  await db.put(t, 'a', 1)
  const before = calls
  expect([db.get(t, 'a'), db.range(t).toArray(), db.transactionSync(tx => tx.get(t, 'a'))]).toEqual([1, [{ key: 'a', value: 1 }], 1])
  expect(calls).toBe(before)
})

test('a schema that throws ends the write with just that, and changes nothing', async () => {
  const { db } = openTest()
  const mine = new Error('mine')
  const throwing: StandardSchemaV1<number> = {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: () => {
        throw mine
      },
    },
  }
  const t = db.table('t', { key: ['string'], schema: throwing })
  expect(await failureOf(() => db.put(t, 'a', 1))).toBe(mine)
  expect(db.has(t, 'a')).toBe(false)
})

describe('an asynchronous schema', () => {
  const isEven = async (n: number): Promise<boolean> => Promise.resolve(n % 2 === 0)
  const isFour = (value: unknown): boolean => typeof value === 'object' && value !== null && 'n' in value && value.n === 4
  const asynchronous: Record<string, StandardSchemaV1> = {
    'of Zod, with an async refinement deep inside': z.object({ list: z.array(z.object({ n: z.number().refine(isEven) })) }),
    'of Zod, with an async transform': z.object({ n: z.number().transform(async n => Promise.resolve(n)) }),
    'of Zod, in a branch of a union': z.object({ n: z.union([z.string(), z.number().refine(isEven)]) }),
    'of Zod, behind an optional, a record and a pipe': z.record(z.string(), z.string().pipe(z.string().refine(async text => Promise.resolve(text !== ''))).optional()),
    'of Valibot, a pipe': v.pipeAsync(v.number(), v.checkAsync(isEven)),
    'of Valibot, an object': v.objectAsync({ n: v.pipeAsync(v.number(), v.checkAsync(isEven)) }),
    'that always returns a promise': { '~standard': { version: 1, vendor: 'test', validate: async value => Promise.resolve({ value }) } },
    'that returns a promise which rejects': { '~standard': { version: 1, vendor: 'test', validate: () => Promise.reject(new Error('nobody waits for it')) } },
  }

  test.each(Object.entries(asynchronous))('%s is refused at the declaration, and no table is made', async (_name, schema) => {
    const { db, store } = openTest()
    const before = store.visibleTs
    expect(await failureOf(() => db.table('t', { key: ['string'], schema }))).toMatchObject({ code: 'NOT_SYNCHRONOUS' })
    await turns()
    expect([store.visibleTs, db.tables()]).toEqual([before, []])
    await db.table('t', { key: ['string'], schema: row<number>() }).ready
  })

  const found: Record<string, StandardSchemaV1<{ n: number }>> = {
    'of Zod, whose function returns a promise and is no async one': z.object({ n: z.number().refine(n => Promise.resolve(n % 2 === 0)) }),
    'of Zod, whose async function is hidden in another': z.object({ n: z.number().superRefine(async () => Promise.resolve()) }),
    'that returns a promise for some rows': {
      '~standard': { version: 1, vendor: 'test', validate: value => (isFour(value) ? Promise.resolve({ value: value as { n: number } }) : { value: value as { n: number } }) },
    },
    'whose promise rejects': {
      '~standard': { version: 1, vendor: 'test', validate: value => (isFour(value) ? Promise.reject(new Error('nobody waits for it')) : { value: value as { n: number } }) },
    },
  }

  test.each(Object.entries(found))('%s is found at the write, which changes nothing', async (_name, schema) => {
    const { db } = openTest()
    const t = db.table('t', { key: ['string'], schema })
    expect(await failureOf(() => db.put(t, 'a', { n: 4 }))).toMatchObject({ code: 'NOT_SYNCHRONOUS' })
    await turns()
    expect(db.count(t)).toBe(0)
  })

  test('is not suspected where a synchronous one merely throws at values of the wrong type', async () => {
    const { db } = openTest()
    const schema = z.string().transform(text => text.toUpperCase())
    const brittle: StandardSchemaV1<string> = { '~standard': { version: 1, vendor: 'test', validate: value => ({ value: (value as string).toUpperCase() }) } }
    const [a, b] = [db.table('a', { key: ['string'], schema }), db.table('b', { key: ['string'], schema: brittle })]
    await db.transaction(tx => {
      tx.put(a, 'k', 'x')
      tx.put(b, 'k', 'y')
    })
    expect([db.get(a, 'k'), db.get(b, 'k')]).toEqual(['X', 'Y'])
  })
})

test('what is no Standard Schema is refused', async () => {
  const { db } = openTest()
  for (const schema of [null, 1, 'zod', {}, { '~standard': {} }, { '~standard': { version: 1, vendor: 'test' } }, () => true]) {
    expect(await failureOf(() => db.table('t', { key: ['string'], schema: schema as unknown as StandardSchemaV1 }))).toMatchObject({ code: 'INVALID_ARGUMENT' })
  }
  expect(db.tables()).toEqual([])
})
