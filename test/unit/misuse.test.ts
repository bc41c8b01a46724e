/** Wrong use is refused loudly: every operation in every state it may not be used in, and every argument of a kind that it may not have. Nothing is changed by it. */
import { beforeEach, describe, expect, test } from 'vitest'
import { Database } from '../../engine/database.js'
import { PremiseError, UsageError, type BeginOptions, type Transaction } from '../../engine/index.js'
import { open } from '../../engine/open.js'
import { ManualTransaction } from '../../engine/run.js'
import { Transaction as TransactionClass } from '../../engine/transaction.js'
import { contentOf, failureOf, fill, numbersIn, openNumbers, openTest, sharedDatabase, stateOf, turns, type Numbers, type Opened } from '../support/databases.js'
import { ioError } from '../support/test-environment.js'

type Any = never

class Point {
  readonly x = 1
}

const methodsOf = (prototype: object): string[] => Object.getOwnPropertyNames(prototype).filter(name => name !== 'constructor')

/** Every operation of a handle, used rightly. */
const operations: Record<string, (tx: ManualTransaction, t: Numbers) => unknown> = {
  get: (tx, t) => tx.get(t, 'a'),
  getMany: (tx, t) => tx.getMany(t, ['a']),
  has: (tx, t) => tx.has(t, 'a'),
  range: (tx, t) => tx.range(t),
  count: (tx, t) => tx.count(t),
  first: (tx, t) => tx.first(t),
  last: (tx, t) => tx.last(t),
  put: (tx, t) => tx.put(t, 'a', 2),
  delete: (tx, t) => tx.delete(t, 'a'),
  insert: (tx, t) => tx.insert(t, 'b', 2),
  update: (tx, t) => tx.update(t, 'a', n => n + 1),
  compareAndSet: (tx, t) => tx.compareAndSet(t, 'a', 1, 2),
  deleteRange: (tx, t) => tx.deleteRange(t),
  onCommit: tx => tx.onCommit(() => expect.unreachable('it did not commit')),
  transaction: tx => tx.transaction(() => {}),
  commit: tx => tx.commit(),
}

/** Brings a handle into a state, and says with which code it refuses everything from then on. */
const states: Record<string, { readonly code: string; readonly enter: (opened: Opened & { t: Numbers }) => ManualTransaction | Promise<ManualTransaction> }> = {
  'after commit': {
    code: 'TRANSACTION_ENDED',
    async enter({ db, t }) {
      const tx = db.begin()
      tx.get(t, 'a')
      await tx.commit()
      return tx
    },
  },
  'after a commit with writes': {
    code: 'TRANSACTION_ENDED',
    async enter({ db, t }) {
      const tx = db.begin()
      tx.put(t, 'a', 1)
      await tx.commit()
      return tx
    },
  },
  'while it waits for the disk': {
    code: 'TRANSACTION_ENDED',
    async enter({ db, t, environment }) {
      environment.holdSyncs = true
      const tx = db.begin()
      tx.put(t, 'a', 1)
      const commit = tx.commit()
      expect(await stateOf(commit)).toBe('pending')
      setImmediate(() => setImmediate(() => environment.releaseSyncs()))
      return tx
    },
  },
  'after abort': {
    code: 'TRANSACTION_ENDED',
    enter({ db }) {
      const tx = db.begin()
      tx.abort()
      return tx
    },
  },
  'after disposal': {
    code: 'TRANSACTION_ENDED',
    enter({ db }) {
      using tx = db.begin()
      return tx
    },
  },
  'during a savepoint': {
    code: 'SAVEPOINT_ACTIVE',
    enter({ db }) {
      const tx = db.begin()
      void tx.transaction(() => new Promise<void>(() => {}))
      return tx
    },
  },
  'on a closed database': {
    code: 'CLOSED',
    async enter({ db }) {
      const tx = db.begin()
      await db.close()
      return tx
    },
  },
  'after its deadline': {
    code: 'TIMEOUT',
    enter({ db, environment }) {
      const tx = db.begin({ timeoutMs: 5 })
      environment.advance(6)
      return tx
    },
  },
  'after its signal': {
    code: 'CANCELLED',
    enter({ db }) {
      const controller = new AbortController()
      const tx = db.begin({ signal: controller.signal })
      controller.abort()
      return tx
    },
  },
  'after a conflict was found': {
    code: 'CONFLICT',
    async enter(opened) {
      const { db, t } = opened
      const other = numbersIn(db, 'other')
      const tx = db.begin()
      tx.get(other, 'x')
      fill(opened, other, { x: 1, y: 1 })
      tx.get(other, 'y')
      expect(await failureOf(() => tx.put(t, 'b', 1))).toMatchObject({ code: 'CONFLICT' })
      return tx
    },
  },
  'after the disk failed': {
    code: 'POISONED',
    async enter({ db, t, environment }) {
      const tx = db.begin()
      environment.syncError = ioError('EIO')
      await db.put(t, 'z', 1).catch(() => {})
      return tx
    },
  },
}

describe('a handle', () => {
  test('there is no operation that this suite does not know', () => {
    const named = [...methodsOf(TransactionClass.prototype), ...methodsOf(ManualTransaction.prototype)]
    expect(named.toSorted()).toEqual([...Object.keys(operations), 'abort'].toSorted())
  })

  test.each(Object.keys(operations).filter(name => name !== 'commit'))('%s works while it is open', async name => {
    const { db, t } = await openNumbers({ a: 1 })
    const tx = db.begin()
    if (name === 'onCommit') expect(() => tx.onCommit(() => {})).not.toThrow()
    else expect(() => operations[name]!(tx, t)).not.toThrow()
    await tx.commit()
  })

  describe.each(Object.entries(states))('%s', (_state, { code, enter }) => {
    test(`every operation is refused as ${code}; abort and disposal do nothing`, async () => {
      const opened = await openNumbers({ a: 1 })
      const tx = await enter(opened)
      for (const [name, operation] of Object.entries(operations)) {
        const error = await failureOf(() => operation(tx, opened.t))
        expect({ name, code: error.code, message: error.message }).toEqual({ name, code, message: expect.any(String) as string })
        expect(error instanceof UsageError || error instanceof PremiseError).toBe(true)
      }
      tx.abort()
      tx[Symbol.dispose]()
      await tx[Symbol.asyncDispose]()
      await turns()
      if (code === 'CLOSED' || code === 'POISONED') return
      expect(opened.db.get(opened.t, 'a')).toBe(1)
      expect(opened.db.has(opened.t, 'b')).toBe(false)
    })
  })

  test('of a savepoint that has ended is refused, though the transaction goes on', async () => {
    const { db, t } = await openNumbers({ a: 1 })
    const tx = db.begin()
    let child!: Transaction
    tx.transaction(handle => void (child = handle))
    for (const [name, operation] of Object.entries(operations)) {
      if (name === 'commit') continue
      expect(await failureOf(() => operation(child as ManualTransaction, t))).toMatchObject({ code: 'TRANSACTION_ENDED' })
    }
    tx.put(t, 'a', 2)
    await tx.commit()
    expect(contentOf(db, t)).toEqual({ a: 2 })
  })

  test('of a read-only transaction refuses every write, and goes on reading', async () => {
    const { db, t } = await openNumbers({ a: 1 })
    const tx = db.begin({ readOnly: true })
    for (const name of ['put', 'delete', 'insert', 'update', 'compareAndSet', 'deleteRange']) {
      expect(await failureOf(() => operations[name]!(tx, t))).toMatchObject({ code: 'READ_ONLY' })
    }
    expect(tx.get(t, 'a')).toBe(1)
    await tx.commit()
    expect(await failureOf(() => db.put(t, 'a', 2, { readOnly: true } as Any))).toMatchObject({ code: 'READ_ONLY' })
  })

  test.each(Object.entries(states).filter(([state]) => state !== 'while it waits for the disk' && state !== 'after a conflict was found'))(
    'a range that was begun before is not walked on %s',
    async (_state, { code, enter }) => {
      const opened = await openNumbers({ a: 1, b: 2 })
      const begin = (options?: BeginOptions) => Database.prototype.begin.call(opened.db, options)
      let iterator: Iterator<unknown> | undefined
      let rows: Iterable<unknown> | undefined
      opened.db.begin = options => {
        const tx = begin(options)
        rows ??= tx.range(opened.t)
        iterator ??= rows[Symbol.iterator]()
        iterator.next()
        return tx
      }
      await enter(opened)
      expect(() => iterator!.next()).toThrow(expect.objectContaining({ code }) as Error)
      expect(() => rows![Symbol.iterator]()).toThrow(expect.objectContaining({ code }) as Error)
    },
  )
})

describe('a database', () => {
  const calls: Record<string, (db: Database, t: Numbers) => unknown> = {
    table: db => numbersIn(db),
    transaction: db => db.transaction(() => {}),
    transactionSync: db => db.transactionSync(() => {}),
    begin: db => db.begin(),
    get: (db, t) => db.get(t, 'a'),
    getMany: (db, t) => db.getMany(t, ['a']),
    has: (db, t) => db.has(t, 'a'),
    range: (db, t) => db.range(t),
    count: (db, t) => db.count(t),
    first: (db, t) => db.first(t),
    last: (db, t) => db.last(t),
    put: (db, t) => db.put(t, 'a', 1),
    insert: (db, t) => db.insert(t, 'b', 1),
    update: (db, t) => db.update(t, 'a', n => n),
    delete: (db, t) => db.delete(t, 'a'),
    deleteRange: (db, t) => db.deleteRange(t),
    compareAndSet: (db, t) => db.compareAndSet(t, 'a', 1, 1),
    check: db => db.check(),
    stats: db => db.stats(),
    compact: db => db.compact(),
    tables: db => db.tables(),
    renameTable: db => db.renameTable('numbers', 'figures'),
    dropTable: db => db.dropTable('numbers'),
  }

  test('there is no operation that this suite does not know', () => {
    expect(methodsOf(Database.prototype).toSorted()).toEqual([...Object.keys(calls), 'outside', 'close'].toSorted())
  })

  test('that is closed refuses everything; closing it again is the same promise', async () => {
    const { db, t } = await openNumbers({ a: 1 })
    const rows = db.range(t)
    const iterator = rows[Symbol.iterator]()
    iterator.next()
    const closing = db.close()
    expect(db.close()).toBe(closing)
    for (const when of ['closing', 'closed']) {
      for (const [name, call] of Object.entries(calls)) {
        const error = await failureOf(() => call(db, t))
        expect({ when, name, code: error.code }).toEqual({ when, name, code: 'CLOSED' })
      }
      await closing
    }
    expect(() => iterator.next()).toThrow(expect.objectContaining({ code: 'CLOSED' }) as Error)
    expect(() => [...rows]).toThrow(expect.objectContaining({ code: 'CLOSED' }) as Error)
    expect(db.outside(() => 1)).toBe(1)
    expect(db[Symbol.asyncDispose]()).toBe(closing)
  })

  test('whose disk failed refuses everything, and can be closed', async () => {
    const { db, t, environment } = await openNumbers({ a: 1 })
    environment.syncError = ioError('EIO')
    expect(await failureOf(() => db.put(t, 'z', 1))).toMatchObject({ code: 'COMMIT_UNKNOWN' })
    for (const [name, call] of Object.entries(calls)) {
      const error = await failureOf(() => call(db, t))
      expect({ name, code: error.code }).toEqual({ name, code: 'POISONED' })
    }
    await db.close()
    expect(await failureOf(() => db.get(t, 'a'))).toMatchObject({ code: 'CLOSED' })
  })
})

describe('arguments', () => {
  const shared = sharedDatabase()
  let t: Numbers
  let count = 0
  beforeEach(() => {
    t = numbersIn(shared().db, `numbers ${++count}`)
    fill(shared(), t, { a: 1 })
  })

  /** The action is refused with the code, in a transaction that can go on, and as an operation of its own. */
  async function refused(code: string, call: (on: Transaction & Database) => unknown): Promise<void> {
    const { db } = shared()
    await db.transaction(async tx => {
      const error = await failureOf(() => call(tx as Any))
      expect(error).toBeInstanceOf(UsageError)
      expect(error).toMatchObject({ code, retryable: false })
      tx.put(t, 'after', 1)
    })
    expect(await failureOf(() => call(db as Any))).toMatchObject({ code })
    expect(contentOf(db, t)).toEqual({ a: 1, after: 1 })
  }

  const withTable: Record<string, (on: Transaction & Database, table: Any) => unknown> = {
    get: (on, table) => on.get(table, 'a'),
    getMany: (on, table) => on.getMany(table, ['a']),
    has: (on, table) => on.has(table, 'a'),
    range: (on, table) => on.range(table),
    count: (on, table) => on.count(table),
    first: (on, table) => on.first(table),
    last: (on, table) => on.last(table),
    put: (on, table) => on.put(table, 'a', 1),
    delete: (on, table) => on.delete(table, 'a'),
    insert: (on, table) => on.insert(table, 'b', 1),
    update: (on, table) => on.update(table, 'a', n => n),
    compareAndSet: (on, table) => on.compareAndSet(table, 'a', 1, 2),
    deleteRange: (on, table) => on.deleteRange(table),
  }
  test.each(Object.entries(withTable))('table of %s', async (_name, call) => {
    for (const table of [undefined, null, {}, 'numbers', 5, []]) await refused('INVALID_ARGUMENT', on => call(on, table as Any))
    const foreign = numbersIn(openTest().db, t.name)
    await refused('FOREIGN_TABLE', on => call(on, foreign as Any))
  })

  test('a table of an earlier opening is foreign', async () => {
    const first = await openNumbers({ a: 1 })
    await first.db.close()
    const second = openTest({ path: first.path })
    expect(await failureOf(() => second.db.get(first.t, 'a'))).toMatchObject({ code: 'FOREIGN_TABLE' })
  })

  const withKey: Record<string, (on: Transaction & Database, key: Any) => unknown> = {
    get: (on, key) => on.get(t, key),
    getMany: (on, key) => on.getMany(t, ['a' as Any, key]),
    has: (on, key) => on.has(t, key),
    put: (on, key) => on.put(t, key, 1),
    delete: (on, key) => on.delete(t, key),
    insert: (on, key) => on.insert(t, key, 1),
    update: (on, key) => on.update(t, key, n => n),
    compareAndSet: (on, key) => on.compareAndSet(t, key, 1, 2),
    'range gt': (on, key) => on.range(t, { gt: key }),
    'count gte': (on, key) => on.count(t, { gte: key }),
    'first lt': (on, key) => on.first(t, { lt: key }),
    'last lte': (on, key) => on.last(t, { lte: key }),
    'deleteRange prefix': (on, key) => on.deleteRange(t, { prefix: key }),
  }
  test.each(Object.entries(withKey))('key of %s', async (name, call) => {
    for (const key of [null, 5, {}, ['a'], Symbol('a'), '\ud800', ...(name.includes(' ') ? [] : [undefined])]) await refused('INVALID_KEY', on => call(on, key as Any))
  })

  test('a key of several elements is an array of just as many', async () => {
    const pairs = shared().db.table('pairs', { key: ['string', 'number'] })
    for (const key of ['a', ['a'], ['a', 1, 2], ['a', Number.NaN], [1, 'a'], undefined]) await refused('INVALID_KEY', on => on.get(pairs, key as Any))
    await refused('INVALID_KEY', on => on.range(pairs, { gte: ['a', 1, 2] as Any }))
    await refused('INVALID_KEY', on => on.range(pairs, { prefix: 'a' as Any }))
  })

  const withValue: Record<string, (on: Transaction & Database, value: Any) => unknown> = {
    put: (on, value) => on.put(t, 'a', value),
    insert: (on, value) => on.insert(t, 'b', value),
    update: (on, value) => on.update(t, 'a', () => value),
    'compareAndSet next': (on, value) => on.compareAndSet(t, 'a', 1, value),
    'compareAndSet expected': (on, value) => on.compareAndSet(t, 'a', value, 1),
  }
  test.each(Object.entries(withValue))('value of %s', async (name, call) => {
    const values = [() => {}, Symbol('a'), { a: undefined }, new Point(), '\ud800', [,], new WeakMap(), Promise.resolve()] // oxlint-disable-line no-sparse-arrays
    for (const value of [...values, ...(name.startsWith('compare') ? [] : [undefined])]) await refused('INVALID_VALUE', on => call(on, value as Any))
  })

  const withRange: Record<string, (on: Transaction & Database, options: Any) => unknown> = {
    range: (on, options) => on.range(t, options),
    count: (on, options) => on.count(t, options),
    first: (on, options) => on.first(t, options),
    last: (on, options) => on.last(t, options),
    deleteRange: (on, options) => on.deleteRange(t, options),
  }
  const badRanges: unknown[] = [
    null,
    5,
    'a',
    true,
    { unknown: 1 },
    { Limit: 1 },
    { limit: -1 },
    { limit: 1.5 },
    { limit: '1' },
    { limit: Number.NaN },
    { limit: null },
    { reverse: 1 },
    { reverse: 'yes' },
    { gt: 'a', gte: 'a' },
    { lt: 'a', lte: 'a' },
    { prefix: 'a', gt: 'a' },
    { prefix: 'a', lte: 'a' },
  ]
  test.each(Object.entries(withRange))('range of %s', async (_name, call) => {
    for (const options of badRanges) {
      try {
        await refused('INVALID_ARGUMENT', on => call(on, options as Any))
      } catch (error) {
        throw new Error(`with ${JSON.stringify(options)}`, { cause: error })
      }
    }
  })

  test('options that are undefined are as good as none', async () => {
    const { db } = shared()
    const range = { gt: undefined, gte: undefined, lt: undefined, lte: undefined, prefix: undefined, reverse: undefined, limit: undefined } as Any
    expect([db.count(t, range), db.count(t, undefined), db.first(t, range)?.key, db.last(t, range)?.key]).toEqual([1, 1, 'a', 'a'])
    const options = { level: undefined, readOnly: undefined, durability: undefined, label: undefined, timeoutMs: undefined, signal: undefined } as Any
    await db.put(t, 'b', 1, options)
    db.begin(options).abort()
    expect(db.transactionSync(tx => tx.count(t), options)).toBe(2)
  })

  test('bounds that leave nothing between them are an empty range', async () => {
    const { db } = shared()
    expect(db.range(t, { gt: 'z', lt: 'a' }).toArray()).toEqual([])
    expect(await db.deleteRange(t, { gt: 'a', lt: 'a' })).toBe(0)
  })

  test('callbacks and lists', async () => {
    for (const bad of [undefined, null, 5, 'a', {}]) {
      await refused('INVALID_ARGUMENT', on => on.update(t, 'a', bad as Any))
      if (typeof bad !== 'string') await refused('INVALID_ARGUMENT', on => on.getMany(t, bad as Any))
      await refused('INVALID_ARGUMENT', on => on.transaction(bad as Any))
    }
    const { db } = shared()
    const tx = db.begin()
    for (const bad of [undefined, null, 5, 'a', {}]) {
      expect(await failureOf(() => tx.onCommit(bad as Any))).toMatchObject({ code: 'INVALID_ARGUMENT' })
      expect(await failureOf(() => db.transactionSync(bad as Any))).toMatchObject({ code: 'INVALID_ARGUMENT' })
      expect(await failureOf(() => db.outside(bad as Any))).toMatchObject({ code: 'INVALID_ARGUMENT' })
    }
    tx.abort()
  })

  const badOptions: unknown[] = [
    null,
    5,
    'serializable',
    true,
    { unknown: 1 },
    { Level: 'snapshot' },
    { level: 'repeatable-read' },
    { level: 5 },
    { level: null },
    { readOnly: 1 },
    { durability: 'fast' },
    { durability: false },
    { label: 5 },
    { label: null },
    { timeoutMs: 0 },
    { timeoutMs: -1 },
    { timeoutMs: Number.NaN },
    { timeoutMs: Number.POSITIVE_INFINITY },
    { timeoutMs: 2 ** 31 },
    { timeoutMs: '100' },
    { signal: {} },
    { signal: new AbortController() },
    { signal: null },
    { maxAttempts: 0 },
    { maxAttempts: 1.5 },
    { maxAttempts: '3' },
    { maxAttempts: Number.POSITIVE_INFINITY },
  ]
  const withOptions: Record<string, (db: Database, options: Any) => unknown> = {
    transaction: (db, options) => db.transaction(tx => tx.put(t, 'b', 1), options),
    transactionSync: (db, options) => db.transactionSync(tx => tx.put(t, 'b', 1), options),
    begin: (db, options) => db.begin(options),
    put: (db, options) => db.put(t, 'b', 1, options),
    insert: (db, options) => db.insert(t, 'b', 1, options),
    update: (db, options) => db.update(t, 'a', () => 2, options),
    delete: (db, options) => db.delete(t, 'a', options),
    deleteRange: (db, options) => db.deleteRange(t, {}, options),
    compareAndSet: (db, options) => db.compareAndSet(t, 'a', 1, 2, options),
  }
  test.each(Object.entries(withOptions))('options of %s', async (_name, call) => {
    const { db } = shared()
    for (const options of badOptions) {
      const error = await failureOf(() => call(db, options as Any))
      expect({ options, code: error.code }).toEqual({ options, code: 'INVALID_ARGUMENT' })
      expect(error).toBeInstanceOf(UsageError)
    }
    expect(contentOf(db, t)).toEqual({ a: 1 })
  })

  test('db.begin has no attempts to count', async () => {
    expect(await failureOf(() => shared().db.begin({ maxAttempts: 3 } as Any))).toMatchObject({ code: 'INVALID_ARGUMENT' })
  })

  test.each([undefined, null, '', 5, {}, []])('a table needs a name: %o', async name => {
    expect(await failureOf(() => shared().db.table(name as Any, { key: ['string'] }))).toMatchObject({ code: 'INVALID_ARGUMENT' })
  })

  test.each([
    undefined,
    null,
    'string',
    {},
    { key: [] },
    { key: 'string' },
    { key: ['text'] },
    { key: [undefined] },
    { key: [['string'], ['x']] },
    { key: ['string'], schema: {} },
    { key: ['string'], schema: null },
    { key: ['string'], schema: { '~standard': { version: 1 } } },
    { key: ['string'], Schema: {} },
  ])('a table needs a definition: %j', async definition => {
    const { db } = shared()
    expect(await failureOf(() => db.table('new', definition as unknown as { key: ['string'] }))).toMatchObject({ code: 'INVALID_ARGUMENT' })
  })

  test.each([
    [undefined, {}],
    ['', {}],
    [5, {}],
    [':memory:', null],
    [':memory:', { durability: 'fast' }],
    [':memory:', { guard: 'on' }],
    [':memory:', { readOnly: true }],
  ])('open(%o, %o)', async (path, options) => {
    expect(await failureOf(() => open(path as Any, options as Any))).toMatchObject({ code: 'INVALID_ARGUMENT' })
  })
})

describe('in an order that cannot be', () => {
  test('commit twice: the second call is refused and does not disturb the first', async () => {
    const { db, t, environment } = await openNumbers()
    environment.holdSyncs = true
    const tx = db.begin()
    tx.put(t, 'a', 1)
    const first = tx.commit()
    expect(await failureOf(() => tx.commit())).toMatchObject({ code: 'TRANSACTION_ENDED' })
    environment.releaseSyncs()
    await first
    expect(db.get(t, 'a')).toBe(1)
  })

  test('what a body leaves running may not act once it has ended', async () => {
    const { db, t } = await openNumbers()
    let late: Promise<unknown> | undefined
    await db.transaction(tx => {
      late = Promise.resolve().then(() => turns(2)).then(() => tx.put(t, 'a', 1))
      tx.put(t, 'b', 1)
    })
    expect(await failureOf(() => late)).toMatchObject({ code: 'TRANSACTION_ENDED' })
    expect(contentOf(db, t)).toEqual({ b: 1 })
  })

  test('a callback of update may end the transaction, which then changes nothing', async () => {
    const { db, t } = await openNumbers({ a: 1 })
    const tx = db.begin()
    expect(() => tx.update(t, 'a', n => (tx.abort(), n + 1))).toThrow(expect.objectContaining({ code: 'TRANSACTION_ENDED' }) as Error)
    expect(db.get(t, 'a')).toBe(1)
  })
})
