/** Code of the caller that the engine runs, or that runs beside it: hooks, formatters of stack traces, options with a prototype. */
import { afterEach, expect, test } from 'vitest'
import { checkpoint, openNumbers, openTest, type Numbers } from '../support/databases.js'

afterEach(() => {
  Reflect.deleteProperty(Error, 'prepareStackTrace')
})

test('a hook never runs within the call that began its transaction, whatever that has to wait for', async () => {
  const { db, t } = await openNumbers({ a: 1 })
  for (const options of [{}, { durability: 'relaxed' }, { readOnly: true }] as const) {
    const said: string[] = []
    const promise = db.transaction(tx => {
      if (!('readOnly' in options)) tx.put(t, 'a', 2)
      tx.onCommit(() => said.push('hook'))
    }, options)
    said.push('returned')
    await promise
    expect(said).toEqual(['returned', 'hook'])
  }
})

test('hooks that begin the next transaction can do so for ever', async () => {
  const { db, t } = await openNumbers({ a: 0 })
  const links = 5_000
  await new Promise<void>((resolve, reject) => {
    const link = (n: number): void => {
      const next = (): void => (n === links ? resolve() : link(n + 1))
      db.transaction(
        tx => {
          tx.put(t, 'a', n)
          tx.onCommit(next)
        },
        { durability: 'relaxed' },
      ).catch(reject)
    }
    link(1)
  })
  expect(db.get(t, 'a')).toBe(links)
})

/** A row holds an error; whoever formats stack traces reads another row while the first is being decoded. */
async function withErrors(read: (t: Numbers, one: Awaited<ReturnType<typeof openNumbers>>) => unknown): Promise<unknown> {
  const one = await openNumbers()
  const { db } = one
  const t = db.table('failures', { key: ['string'] }) as unknown as Numbers
  const put = (key: string, n: number): Promise<void> => db.put(t, key, { error: new Error('boom'), owner: `owner-${n}`, balance: n } as unknown as number)
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  await put('a', 11)
  await put('b', 22)
  Error.stackTraceLimit = stackTraceLimit
  await checkpoint(one) // the rows are now read from LMDB
  let inside = false
  let formatted = 0
  Error.prepareStackTrace = error => {
    if (inside) return String(error)
    inside = true
    formatted++
    db.outside(() => db.get(t, 'b'))
    inside = false
    return String(error)
  }
  const found = await read(t, one)
  expect(formatted).toBeGreaterThan(0)
  return found
}

test('a row is not mixed with one that is read while it is decoded', async () => {
  expect(await withErrors((t, { db }) => db.get(t, 'a'))).toMatchObject({ owner: 'owner-11', balance: 11 })
  expect(await withErrors((t, { db }) => db.transaction(tx => tx.get(t, 'a')))).toMatchObject({ owner: 'owner-11', balance: 11 })
  const updated = withErrors(async (t, { db }) => {
    await db.update(t, 'a', row => ({ ...(row as unknown as object), error: null }) as unknown as number)
    return db.get(t, 'a')
  })
  expect(await updated).toMatchObject({ owner: 'owner-11', balance: 11 })
})

test('options that an object inherits are nobody’s options', async () => {
  const { db, t } = await openNumbers({ a: 1 })
  await db.transaction(tx => tx.put(t, 'a', 2), Object.create({ readOnly: true, level: 'nonsense' }) as object)
  expect(db.get(t, 'a')).toBe(2)
})

test('a key read many times counts once, also against the second chances of a validation', async () => {
  const { db, t } = await openNumbers({ a: 1 })
  const tx = db.begin()
  for (let i = 0; i < 200; i++) tx.get(t, 'a')
  await db.transaction(other => {
    other.put(t, 'a', 1)
    for (let i = 0; i < 500; i++) other.put(t, `other ${i}`, i)
  })
  tx.put(t, 'b', 1)
  await expect(tx.commit()).resolves.toBeUndefined()
})

test('a table declared again and again is one table to a transaction', async () => {
  const { db } = openTest()
  const declare = (): Numbers => db.table('numbers', { key: ['string'] }) as unknown as Numbers
  const tx = db.begin()
  tx.put(declare(), 'a', 1)
  for (let i = 0; i < 2_000; i++) expect(tx.get(declare(), 'a')).toBe(1)
  await tx.commit()
})

test('values in the window do not share memory with what is not the window’s', async () => {
  const one = await openNumbers()
  const { db, t, store } = one
  const others: Buffer[] = []
  for (let i = 0; i < 50; i++) {
    others.push(Buffer.from('somebody else’s'))
    await db.put(t, `k${i}`, i)
  }
  const { window } = store.epochs
  const pool = new Set(others.map(({ buffer }) => buffer as ArrayBufferLike))
  const memories = new Set<ArrayBufferLike>()
  for (let key = window.keyFrom('' as never); key !== undefined; key = window.keyFrom(`${key}\0` as never)) {
    const { value } = window.newest(key)!
    if (value !== undefined) memories.add(value.buffer)
  }
  expect(memories.size).toBe(1)
  for (const memory of memories) expect(pool.has(memory)).toBe(false)
})
