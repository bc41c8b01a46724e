/**
 * Rules behind which an interleaving stands that breaks the weaker rule. U1 to U8 and U12 are the names that the code and the crash tests use for them:
 *
 *   U1   a version leaves the window by the intervals (F, S] of live snapshots; moving a snapshot takes the current root first
 *   U2   a checkpoint's target is fixed at its start, its steps never write anything newer, and F is what the root itself says
 *   U3   bytes that only the page cache holds are written anew before they are trusted      log-recovery: "bytes that only the page cache holds"
 *   U4   one order of commits and records, blocking or not                                  here; log-recovery: "a write-back error"
 *   U5   every outcome is the view of one timestamp
 *   U6   conditions and deleted ranges are evaluated on the state at commit, at weaker levels too
 *   U7   below the floor of the conflict index what was seen is compared with what is there
 *   U8   damage is told from a torn tail                                                    log-recovery: "a flipped bit"
 *   U12  a result is given out only when what it shows is durable
 */
import { cpSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { Transaction } from '../../engine/index.js'
import { StorageError } from '../../engine/index.js'
import {
  checkpoint,
  conflictOf,
  contentOf,
  deferred,
  failureOf,
  fill,
  numbersIn,
  openNumbers,
  openTest,
  scratchDirectory,
  stateOf,
  turns,
  type Numbers,
  type Opened,
} from '../support/databases.js'
import { ioError } from '../support/test-environment.js'

const rowsOf = (tx: Pick<Transaction, 'range'>, t: Numbers, reverse = false): Record<string, number> =>
  Object.fromEntries(Array.from(tx.range(t, { reverse }), ({ key, value }) => [key, value]))

describe('U1: the window keeps what a live snapshot needs', () => {
  test.each([{ level: 'serializable' }, { level: 'snapshot' }, { readOnly: true }] as const)(
    'E-3: a version between an old root and an old snapshot stays when a newer root has it (%o)',
    async options => {
      const opened = await openNumbers({ a: 1, b: 1, gone: 1 })
      const { db, t, store } = opened
      await checkpoint(opened)
      fill(opened, t, { a: 2, gone: undefined, c: 2 }) // not in the root that the reader pins
      const reader = db.begin(options)
      fill(opened, t, { a: 3, b: 3, c: undefined, gone: 3, d: 3 })
      await checkpoint(opened)
      fill(opened, t, { a: 4 })
      await checkpoint(opened)

      expect(store.epochs.pinnedRoots).toBe(2)
      expect(rowsOf(reader, t)).toEqual({ a: 2, b: 1, c: 2 })
      expect(rowsOf(reader, t, true)).toEqual({ a: 2, b: 1, c: 2 })
      expect([reader.get(t, 'gone'), reader.get(t, 'd'), reader.get(t, 'a')]).toEqual([undefined, undefined, 2])

      reader.abort()
      expect(store.epochs.pinnedRoots).toBe(1)
      fill(opened, t, { z: 1 })
      await checkpoint(opened)
      expect(store.epochs.window.keyCount, 'what was kept for the reader is gone').toBe(0)
      expect(contentOf(db, t)).toEqual({ a: 4, b: 3, gone: 3, d: 3, z: 1 })
    },
  )

  test.each(['get', 'range', 'range in reverse'] as const)('E-2: a snapshot that moves reads through the current root: what left the window meanwhile is there (%s)', async how => {
    const opened = await openNumbers({ a: 1, b: 1, c: 1 })
    const { db, t, store } = opened
    await checkpoint(opened)
    const tx = db.begin()
    expect(tx.get(t, 'a')).toBe(1)
    fill(opened, t, { b: 2, d: 2 })
    await checkpoint(opened)
    expect(store.epochs.window.keyCount, 'b and d are in the new root only').toBe(0)
    fill(opened, t, { c: 3 })
    expect(tx.get(t, 'c'), 'the snapshot has moved').toBe(3)
    if (how === 'get') expect([tx.get(t, 'b'), tx.get(t, 'd'), tx.get(t, 'a')]).toEqual([2, 2, 1])
    else expect(rowsOf(tx, t, how !== 'range')).toEqual({ a: 1, b: 2, c: 3, d: 2 })
    expect(store.epochs.pinnedRoots, 'the old root is free').toBe(1)
    tx.put(t, 'e', 1)
    await tx.commit()
  })

  test('E-4: a snapshot that outlives the age limit fails, and says so; nobody else does', async () => {
    const opened = await openNumbers({ a: 1 }, { limits: { snapshotAgeMs: 5_000, timeoutMs: 1e9 } })
    const { db, t, environment } = opened
    const forgotten = db.range(t)[Symbol.iterator]()
    const old = db.begin({ readOnly: true })
    expect(old.get(t, 'a')).toBe(1)
    fill(opened, t, { a: 2 })
    await checkpoint(opened)
    const young = db.begin({ readOnly: true })
    environment.advance(6_000)
    fill(opened, t, { a: 3 })
    await checkpoint(opened)
    expect(young.get(t, 'a')).toBe(2)
    for (const late of [() => old.get(t, 'a'), () => old.count(t), () => forgotten.next()]) {
      expect(late).toThrow(expect.objectContaining({ code: 'SNAPSHOT_TOO_OLD', retryable: true }) as Error)
    }
    old.abort()
    young.abort()
    forgotten.return?.()
    expect(opened.store.epochs.pinnedRoots).toBe(1)
    expect(contentOf(db, t)).toEqual({ a: 3 })
  })
})

describe('U2: a checkpoint in small steps', () => {
  /** Begins a checkpoint of `rows` that stands still after its first step. */
  async function halfway(rows: Record<string, number>): Promise<Opened & { t: Numbers }> {
    const opened = await openNumbers({ a: 0, b: 0, c: 0 }, { limits: { stepSizeBytes: 1 } })
    await checkpoint(opened)
    fill(opened, opened.t, rows)
    opened.environment.holdDeferred = true
    opened.environment.advance(1_000)
    await turns()
    opened.environment.runDeferred()
    expect(opened.store.epochs.appliedTs).toBeLessThan(opened.store.visibleTs)
    expect(opened.environment.heldDeferred).toBe(1)
    return opened
  }
  const finish = async ({ environment, store }: Opened, target: number): Promise<void> => {
    for (let steps = 0; store.epochs.appliedTs < target && steps < 100; steps++) {
      environment.runDeferred()
      await turns(1)
    }
    expect(store.epochs.appliedTs).toBe(target)
  }

  test('R-2: who begins between two steps reads the last complete root, and all that is newer', async () => {
    const opened = await halfway({ a: 1, b: 1, c: 1, d: 1 })
    const { db, t, store, environment } = opened
    const target = store.visibleTs
    for (let step = 0; store.epochs.appliedTs < target; step++) {
      expect(step).toBeLessThan(100)
      const reader = db.begin({ readOnly: true })
      for (const reverse of [false, true]) expect(rowsOf(reader, t, reverse)).toEqual({ a: 1, b: 1, c: 1, d: 1 })
      expect([db.get(t, 'a'), db.get(t, 'c'), db.get(t, 'd')]).toEqual([1, 1, 1])
      reader.abort()
      environment.runDeferred()
    }
    expect(contentOf(db, t)).toEqual({ a: 1, b: 1, c: 1, d: 1 })
  })

  test('K-1: a commit during the steps is not in the new root: who reads at the target does not see it', async () => {
    const opened = await halfway({ a: 1, b: 1, c: 1 })
    const { db, t, store, environment } = opened
    const target = store.visibleTs
    const newer = db.transaction(tx => [tx.put(t, 'b', 2), tx.delete(t, 'c'), tx.put(t, 'd', 2)]) // visible, and not acknowledged
    expect(store.visibleTs).toBe(target + 1)
    environment.holdSyncs = true
    await finish(opened, target)
    expect(store.acknowledgedTs).toBe(target)
    for (const reverse of [false, true]) expect(Object.fromEntries(Array.from(db.range(t, { reverse }), ({ key, value }) => [key, value]))).toEqual({ a: 1, b: 1, c: 1 })
    expect([db.get(t, 'b'), db.get(t, 'c'), db.get(t, 'd')]).toEqual([1, 1, undefined])
    environment.holdDeferred = false
    while (environment.heldDeferred > 0) environment.runDeferred()
    environment.releaseSyncs()
    await newer
    expect(contentOf(db, t)).toEqual({ a: 1, b: 2, d: 2 })
  })

  test('K-2: a process that ends between two steps loses nothing and keeps nothing by halves', async () => {
    const opened = await halfway({ a: 1, b: 1, c: 1 })
    for (const steps of [0, 1]) {
      for (let i = 0; i < steps; i++) opened.environment.runDeferred()
      const copy = scratchDirectory()
      cpSync(opened.path, copy, { recursive: true, filter: path => !path.endsWith('owner') && !path.endsWith('-lock') })
      const after = openTest({ path: copy })
      expect(contentOf(after.db, numbersIn(after.db))).toEqual({ a: 1, b: 1, c: 1 })
      await checkpoint(after)
      expect(contentOf(after.db, numbersIn(after.db))).toEqual({ a: 1, b: 1, c: 1 })
    }
  })
})

describe('U4: one order', () => {
  test('a blocking commit during an asynchronous sync takes its place behind those that wait, and makes them durable with it', async () => {
    const opened = await openNumbers()
    const { db, t, store, environment } = opened
    environment.holdSyncs = true
    const first = db.put(t, 'a', 1)
    await turns()
    expect(environment.heldSyncs).toBe(1)
    const second = db.put(t, 'a', 2)
    const before = store.visibleTs
    db.transactionSync(tx => tx.put(t, 'a', tx.get(t, 'a')! + 1))
    expect(store.visibleTs).toBe(before + 1)
    expect(store.durableTs).toBe(store.visibleTs)
    expect(db.get(t, 'a')).toBe(3)
    await Promise.all([first, second])
    environment.releaseSyncs()
    await opened.db.close()
    const again = openTest({ path: opened.path })
    expect(contentOf(again.db, numbersIn(again.db))).toEqual({ a: 3 })
  })
})

describe('U5: every outcome is the view of one timestamp', () => {
  /** Rows `a`, `c`, `e`, … each 1, in the root, so that they are fetched ahead. */
  const letters = 'acegikmoqsuw'
  const openLetters = async (): Promise<Opened & { t: Numbers }> => {
    const opened = await openNumbers(Object.fromEntries(Array.from(letters, letter => [letter, 1])))
    await checkpoint(opened)
    return opened
  }

  test.each([
    { reverse: false, ahead: { d: 2, e: undefined, i: 2, z: 2 }, rest: ['d', 'g', 'i', 'k', 'm', 'o', 'q', 's', 'u', 'w', 'z'] },
    { reverse: true, ahead: { t: 2, s: undefined, i: 2, '0': 2 }, rest: ['t', 'q', 'o', 'm', 'k', 'i', 'g', 'e', 'c', 'a', '0'] },
  ])('V-2: a cursor that meets a newer row moves with its transaction: it drops what it had fetched and goes on behind its last row (reverse: $reverse)', async ({ reverse, ahead, rest }) => {
    for (const mover of ['the cursor itself', 'another operation', 'another operation after a checkpoint'] as const) {
      const opened = await openLetters()
      const { db, t, store } = opened
      const tx = db.begin()
      const iterator = tx.range(t, { reverse })[Symbol.iterator]()
      const start = reverse ? ['w', 'u'] : ['a', 'c']
      expect([iterator.next().value?.key, iterator.next().value?.key]).toEqual(start)
      fill(opened, t, ahead)
      if (mover === 'another operation') expect(tx.get(t, 'i')).toBe(2)
      if (mover === 'another operation after a checkpoint') {
        await checkpoint(opened) // what had been fetched is outdated, and the window does not say so
        fill(opened, t, { q: 1 })
        expect(tx.get(t, 'q')).toBe(1)
      }
      const seen = [...iterator]
      expect(seen.map(({ key }) => key)).toEqual(rest)
      expect(seen.filter(({ value }) => value === 2).map(({ key }) => key).toSorted()).toEqual(Object.keys(ahead).filter(key => ahead[key as never] === 2).toSorted())
      tx.put(t, 'result', 1)
      expect(tx.commit(), 'all of it was seen at the new snapshot').toBeInstanceOf(Promise)
      await turns(3)
      expect(db.get(t, 'result')).toBe(1)
      expect(store.epochs.tracked.oldest).toBeUndefined()
    }
  })

  test.each([false, true])('V-3: where what it has seen is outdated it goes on at its old snapshot, and may not write (reverse: %s)', async reverse => {
    const opened = await openLetters()
    const { db, t } = opened
    const tx = db.begin()
    const iterator = tx.range(t, { reverse })[Symbol.iterator]()
    const seen = [iterator.next().value!.key, iterator.next().value!.key]
    fill(opened, t, { b: 2, v: 2, d: 2, e: undefined, t: 2, s: undefined })
    await checkpoint(opened)
    fill(opened, t, { k: 3 })
    for (const { key, value } of iterator) {
      seen.push(key)
      expect(value).toBe(1)
    }
    expect(seen).toEqual(reverse ? Array.from(letters).toReversed() : Array.from(letters))
    expect(() => tx.put(t, 'result', 1)).toThrow(expect.objectContaining({ code: 'CONFLICT' }) as Error)
    await conflictOf(tx)
  })

  test('own writes stay where they are when the snapshot moves under a cursor', async () => {
    const opened = await openLetters()
    const { db, t } = opened
    const tx = db.begin()
    tx.put(t, 'd', 7)
    tx.delete(t, 'g')
    tx.put(t, 'm', 7)
    const iterator = tx.range(t)[Symbol.iterator]()
    expect([1, 2, 3, 4].map(() => iterator.next().value?.key)).toEqual(['a', 'c', 'd', 'e'])
    fill(opened, t, { f: 2, g: 2, i: undefined, m: 2, n: 2 })
    expect([...iterator].map(({ key, value }) => `${key}${value}`)).toEqual(['f2', 'k1', 'm7', 'n2', 'o1', 'q1', 's1', 'u1', 'w1'])
    await tx.commit()
    expect(db.get(t, 'm')).toBe(7)
    expect(db.get(t, 'g')).toBeUndefined()
  })

  test('a transaction without writes is the view of its snapshot though rows changed between its reads', async () => {
    const opened = await openNumbers({ a: 50, b: 50 })
    const { db, t } = opened
    const sum = await db.transaction(tx => {
      const a = tx.get(t, 'a')!
      db.outside(() => fill(opened, t, { a: 0, b: 100 }))
      return a + tx.get(t, 'b')!
    })
    expect(sum).toBe(100)
  })

  test('an error is told only of a state that there was: a body never meets half of a commit', async () => {
    const opened = await openNumbers({ a: 50, b: 50, log: 0 })
    const { db, t } = opened
    for (const first of ['a', 'b'] as const) {
      for (const written of [false, true]) {
        await db.transaction(tx => {
          if (written) tx.put(t, 'log', 1)
          const one = tx.get(t, first)!
          if (tx.attempt === 1) db.outside(() => fill(opened, t, { a: db.get(t, 'b')! + 10, b: db.get(t, 'a')! - 10 }))
          const other = tx.get(t, first === 'a' ? 'b' : 'a')!
          if (one + other !== 100) throw new Error(`it saw ${one} and ${other}`)
        })
      }
    }
    expect(contentOf(db, t)['a']! + contentOf(db, t)['b']!).toBe(100)
  })

  test('at level snapshot a cursor stays at the one snapshot, at read-committed at the commit where it began', async () => {
    for (const level of ['snapshot', 'read-committed'] as const) {
      const opened = await openLetters()
      const { db, t } = opened
      const tx = db.begin({ level })
      const iterator = tx.range(t)[Symbol.iterator]()
      iterator.next()
      fill(opened, t, { d: 2, e: undefined })
      expect(tx.get(t, 'd')).toBe(level === 'snapshot' ? undefined : 2)
      await checkpoint(opened)
      expect([...iterator].map(({ key }) => key).join('')).toBe(letters.slice(1))
      expect(tx.count(t)).toBe(letters.length)
      tx.abort()
    }
  })
})

describe('U6: conditions and deleted ranges are evaluated at commit', () => {
  test('insert at read-committed meets a row that came after it looked', async () => {
    const opened = await openNumbers()
    const { db, t } = opened
    const tx = db.begin({ level: 'read-committed' })
    tx.insert(t, 'a', 1)
    tx.put(t, 'other', 1)
    fill(opened, t, { a: 2 })
    expect(await failureOf(() => tx.commit())).toMatchObject({ code: 'ROW_EXISTS', retryable: false, table: 'numbers', key: 'a' })
    expect(contentOf(db, t)).toEqual({ a: 2 })
  })

  test('update at read-committed meets the absence of the row that it looked at', async () => {
    const opened = await openNumbers({ a: 1 })
    const { db, t } = opened
    const tx = db.begin({ level: 'read-committed' })
    tx.update(t, 'a', n => n + 1)
    fill(opened, t, { a: undefined })
    expect(await failureOf(() => tx.commit())).toMatchObject({ code: 'ROW_ABSENT' })
    expect(contentOf(db, t)).toEqual({})
  })

  test('compareAndSet at read-committed conflicts where the row is another by then, and not where it is the same again', async () => {
    for (const now of [1, 3, undefined]) {
      const opened = await openNumbers({ a: 1 })
      const { db, t } = opened
      const tx = db.begin({ level: 'read-committed' })
      expect(tx.compareAndSet(t, 'a', 1, 2)).toBe(true)
      fill(opened, t, { a: 5 })
      fill(opened, t, { a: now })
      if (now === 1) {
        await tx.commit()
        expect(db.get(t, 'a')).toBe(2)
      } else {
        expect(await conflictOf(tx)).toMatchObject({ level: 'read-committed', read: { key: 'a' } })
        expect(db.get(t, 'a')).toBe(now)
      }
    }
  })

  test('conditions on rows that the transaction wrote itself, and of savepoints that failed, are none', async () => {
    const opened = await openNumbers({ b: 1 })
    const { db, t } = opened
    const tx = db.begin({ level: 'read-committed' })
    tx.put(t, 'a', 1)
    tx.update(t, 'a', n => n + 1)
    expect(() =>
      tx.transaction(child => {
        child.insert(t, 'c', 1)
        throw new Error('undone')
      }),
    ).toThrow('undone')
    fill(opened, t, { a: undefined, c: 2 })
    await tx.commit()
    expect(contentOf(db, t)).toEqual({ a: 2, b: 1, c: 2 })
  })

  test('deleteRange at read-committed deletes what is there at commit', async () => {
    const opened = await openNumbers({ a: 1, b: 1, z: 1 })
    const { db, t } = opened
    const tx = db.begin({ level: 'read-committed' })
    expect(tx.deleteRange(t, { lt: 'm' })).toBe(2)
    tx.put(t, 'd', 9)
    fill(opened, t, { a: undefined, c: 2, d: 2, x: 2 })
    await tx.commit()
    expect(contentOf(db, t)).toEqual({ d: 9, x: 2, z: 1 })
  })

  test('deleteRange of an empty range at read-committed deletes what came until the commit', async () => {
    const opened = await openNumbers()
    const { db, t } = opened
    const tx = db.begin({ level: 'read-committed' })
    expect(tx.deleteRange(t)).toBe(0)
    fill(opened, t, { a: 1 })
    await tx.commit()
    expect(contentOf(db, t)).toEqual({})
  })

  test('deleteRange at level snapshot: a row that came into the range belongs to who committed first', async () => {
    const opened = await openNumbers({ a: 1, b: 1 })
    const { db, t } = opened
    const tx = db.begin({ level: 'snapshot' })
    expect(tx.deleteRange(t)).toBe(2)
    fill(opened, t, { c: 2 })
    expect(await conflictOf(tx)).toMatchObject({ kind: 'write-write', read: { key: 'c' } })
    expect(contentOf(db, t)).toEqual({ a: 1, b: 1, c: 2 })
  })

  test('deleteRange within a savepoint that failed deletes nothing at commit', async () => {
    const opened = await openNumbers({ a: 1 })
    const { db, t } = opened
    const tx = db.begin({ level: 'read-committed' })
    expect(() =>
      tx.transaction(child => {
        child.deleteRange(t)
        throw new Error('undone')
      }),
    ).toThrow('undone')
    tx.put(t, 'b', 1)
    fill(opened, t, { c: 1 })
    await tx.commit()
    expect(contentOf(db, t)).toEqual({ a: 1, b: 1, c: 1 })
  })

  test('insert at level snapshot is a write that the first committer wins', async () => {
    const opened = await openNumbers()
    const { db, t } = opened
    const tx = db.begin({ level: 'snapshot' })
    tx.insert(t, 'a', 1)
    fill(opened, t, { a: 2 })
    expect(await conflictOf(tx)).toMatchObject({ kind: 'write-write' })
  })
})

describe('U7: below the floor of the conflict index', () => {
  const limits = { conflictIndexWrites: 2, revalidateSliceKeys: 2 }
  const many = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`k${String(i).padStart(2, '0')}`, i]))

  /** A transaction that has read everything, and so many commits after it that nothing is known of them. */
  async function belowTheFloor(changes: Record<string, number | undefined>, level: 'serializable' | 'snapshot' = 'serializable') {
    const opened = await openNumbers({ ...many, r1: 1, r2: 2, r3: 3, apart: 0 }, { limits })
    const { db, t, engine, store } = opened
    if (level === 'snapshot') {
      fill(opened, t, { gone: 1 })
      fill(opened, t, { gone: undefined })
    }
    const tx = db.begin({ level })
    const at = store.visibleTs
    for (const key of Object.keys(many)) tx.get(t, key)
    tx.range(t, { prefix: 'k' }).toArray()
    tx.range(t, { prefix: 'r', reverse: true }).toArray()
    tx.get(t, 'absent')
    for (const [key, value] of Object.entries(changes)) fill(opened, t, { [key]: value })
    for (let i = 1; i <= 6; i++) fill(opened, t, { apart: i })
    expect(engine.commitPath.index.floor).toBeGreaterThan(at)
    return { ...opened, tx, at }
  }

  const cases: [string, Record<string, number | undefined>, string | undefined][] = [
    ['nothing that was read', {}, undefined],
    ['a row, and back again', { k05: 50, 'k05 ': 1 }, 'k05'],
    ['a row to the same value', { k05: 5 }, undefined],
    ['a row', { k19: 0 }, 'k19'],
    ['a deleted row', { k19: undefined }, 'k19'],
    ['a deleted first row', { k00: undefined }, 'k00'],
    ['a row that only a range had shown', { r2: 0 }, 'r2'],
    ['the first row of a range, deleted', { r1: undefined }, 'r1'],
    ['the last row of a range, deleted', { r3: undefined }, 'r3'],
    ['a row into the range', { k055: 1 }, 'k055'],
    ['a row at the end of the range', { kz: 1 }, 'kz'],
    ['an absent row', { absent: 1 }, 'absent'],
    ['a row beside all that was read', { j: 1, l: 1 }, undefined],
  ]

  for (const way of ['asynchronous', 'checkpointed, asynchronous', 'blocking'] as const) {
    test.each(cases)(`${way}: somebody changed %s`, async (_name, changes, key) => {
      const opened = await belowTheFloor(changes)
      const { db, t, tx, at } = opened
      if (way.startsWith('checkpointed')) await checkpoint(opened)
      if (way === 'blocking') opened.engine.commitPath.catchUp = () => undefined // then the commit itself does all of it
      tx.put(t, 'result', 1)
      if (key === undefined) {
        await tx.commit()
        expect(db.get(t, 'result')).toBe(1)
        return
      }
      expect(await conflictOf(tx)).toMatchObject({ snapshotTs: at, overwrittenBy: { key } })
      expect(db.get(t, 'result')).toBeUndefined()
    })
  }

  test('commits between two slices are met by the remainder inside the commit', async () => {
    for (const [key, meets] of [['k00', true], ['k19', true], ['l', false]] as const) {
      const opened = await belowTheFloor({})
      const { db, t, tx, environment } = opened
      environment.holdDeferred = true
      tx.put(t, 'result', 1)
      const commit = failureOf(() => tx.commit()).catch((error: Error) => error)
      for (let slice = 0; slice < 6; slice++) {
        environment.runDeferred()
        await turns(1)
      }
      fill(opened, t, { [key]: 100 })
      environment.holdDeferred = false
      while (environment.heldDeferred > 0) {
        environment.runDeferred()
        await turns(1)
      }
      if (meets) expect(await commit).toMatchObject({ code: 'CONFLICT' })
      await commit
      expect(db.get(t, 'result')).toBe(meets ? undefined : 1)
    }
  })

  test('a checkpoint between two slices does not lend what it compared a newer root', async () => {
    const opened = await belowTheFloor({})
    const { db, t, tx, environment, store } = opened
    environment.holdDeferred = true
    tx.put(t, 'result', 1)
    const commit = failureOf(() => tx.commit())
    await turns()
    expect(environment.heldDeferred).toBe(1)
    fill(opened, t, { k05: 50 })
    environment.advance(1_000)
    await turns()
    expect(store.epochs.appliedTs, 'the root has what the comparison must not see').toBe(store.visibleTs)
    environment.holdDeferred = false
    while (environment.heldDeferred > 0) {
      environment.runDeferred()
      await turns(1)
    }
    expect(await commit).toMatchObject({ code: 'CONFLICT', explain: { overwrittenBy: { key: 'k05' } } })
    expect(db.get(t, 'result')).toBeUndefined()
  })

  test('transactionSync compares in one stretch', async () => {
    const opened = await openNumbers(many, { limits })
    const { db, t } = opened
    const disturb = (changes: Record<string, number | undefined>) =>
      db.transactionSync(tx => {
        tx.count(t, { prefix: 'k' })
        if (tx.attempt === 1) {
          db.outside(() => fill(opened, t, changes))
          for (let i = 0; i < 6; i++) db.outside(() => fill(opened, t, { apart: i }))
        }
        tx.put(t, 'result', tx.attempt)
        return tx.attempt
      })
    expect(disturb({})).toBe(1)
    expect(disturb({ k07: undefined })).toBe(2)
  })

  test('at level snapshot what it writes is compared', async () => {
    for (const [key, expected] of [['k05', 'k05'], ['k06', undefined]] as const) {
      const opened = await belowTheFloor({ k05: 5 }, 'snapshot') // the same value, but somebody wrote it
      opened.tx.put(opened.t, key, 1)
      if (expected === undefined) await opened.tx.commit()
      else expect(await conflictOf(opened.tx)).toMatchObject({ kind: 'write-write', overwrittenBy: { key: expected } })
      expect(opened.db.get(opened.t, key)).toBe(expected === undefined ? 1 : 5)
    }
  })

  test('at level snapshot a row that was deleted before it began is still as absent after a checkpoint', async () => {
    const opened = await belowTheFloor({}, 'snapshot')
    opened.tx.put(opened.t, 'gone', 2)
    await checkpoint(opened)
    await opened.tx.commit()
    expect(opened.db.get(opened.t, 'gone')).toBe(2)
  })

  test.each([true, false])('a transaction that is aborted between two slices ends there, and leaves no snapshot behind (its root is current: %s)', async current => {
    const opened = await belowTheFloor({})
    const { t, tx, store, environment } = opened
    if (!current) await checkpoint(opened)
    const neighbour = opened.db.begin({ readOnly: true })
    environment.holdDeferred = true
    tx.put(t, 'result', 1)
    const commit = failureOf(() => tx.commit())
    await turns()
    tx.abort()
    environment.holdDeferred = false
    while (environment.heldDeferred > 0) {
      environment.runDeferred()
      await turns(1)
    }
    expect(await commit).toMatchObject({ code: 'TRANSACTION_ENDED' })
    expect(store.epochs.tracked.oldest).toBeUndefined()
    fill(opened, t, { apart: 100 })
    await checkpoint(opened)
    expect(rowsOf(neighbour, t)['apart']).toBe(6)
    neighbour.abort()
    expect([store.epochs.live.oldest, store.epochs.pinnedRoots]).toEqual([undefined, 1])
  })
})

describe('U12: a result is given out only when what it shows is durable', () => {
  /** A commit of `a` that is visible and whose sync is held. */
  async function pending(changes: Record<string, number | undefined> = { a: 2 }) {
    const opened = await openNumbers({ a: 1, b: 1 })
    const { db, t, environment, store } = opened
    environment.holdSyncs = true
    const commit = db.transaction(tx => {
      for (const [key, value] of Object.entries(changes)) {
        if (value === undefined) tx.delete(t, key)
        else tx.put(t, key, value)
      }
    })
    commit.catch(() => {})
    await turns()
    expect(environment.heldSyncs).toBe(1)
    expect(store.durableTs).toBeLessThan(store.visibleTs)
    return { ...opened, commit }
  }

  type Outcome = (opened: Awaited<ReturnType<typeof pending>>) => Promise<unknown>
  const outcomes: [string, Outcome][] = [
    ['a value', ({ db, t }) => db.transaction(tx => tx.get(t, 'a'))],
    ['a value of a range', ({ db, t }) => db.transaction(tx => tx.range(t).toArray())],
    ['a number of rows', ({ db, t }) => db.transaction(tx => tx.count(t))],
    ['a value at read-committed', ({ db, t }) => db.transaction(tx => tx.get(t, 'a'), { level: 'read-committed' })],
    ['a value at level snapshot', ({ db, t }) => db.transaction(tx => tx.last(t, { lte: 'a' }), { level: 'snapshot' })],
    [
      'an error of the body',
      ({ db, t }) =>
        db.transaction(tx => {
          throw new Error(`${tx.get(t, 'a')}`)
        }),
    ],
    ['a constraint', ({ db, t }) => db.transaction(tx => (tx.get(t, 'a'), tx.insert(t, 'b', 1)))],
    ['a commit without writes of a handle', ({ db, t }) => {
      const tx = db.begin()
      tx.get(t, 'a')
      return tx.commit()
    }],
    ['what a savepoint that failed had read', ({ db, t }) => db.transaction(tx => {
      const body = (child: Transaction): never => {
        throw new Error(`${child.get(t, 'a')}`)
      }
      try {
        return tx.transaction(body)
      } catch {
        return 'it failed'
      }
    })],
    ['a compareAndSet that wrote nothing', ({ db, t }) => db.compareAndSet(t, 'a', 77, 78)],
    ['a conflict', ({ db, t }) => {
      const tx = db.begin()
      tx.get(t, 'b')
      tx.put(t, 'c', 1)
      db.transaction(other => other.put(t, 'b', 3)).catch(() => {})
      return tx.commit()
    }],
    ['attempts that ran out', ({ db, t }) => db.transaction(tx => {
      tx.put(t, 'c', tx.get(t, 'b')!)
      void db.outside(() => db.put(t, 'b', 3).catch(() => {}))
    }, { maxAttempts: 1 })],
    ['an insert at read-committed whose condition fails at commit', ({ db, t }) => {
      const tx = db.begin({ level: 'read-committed' })
      tx.insert(t, 'new', 1)
      db.transaction(other => other.put(t, 'new', 3)).catch(() => {})
      return tx.commit()
    }],
    ['an update at read-committed whose condition fails at commit', ({ db, t }) => {
      const tx = db.begin({ level: 'read-committed' })
      tx.update(t, 'b', n => n)
      db.transaction(other => other.delete(t, 'b')).catch(() => {})
      return tx.commit()
    }],
  ]

  test.each(outcomes)('%s waits for the disk', async (_name, outcome) => {
    const opened = await pending()
    const promise = outcome(opened)
    expect(await stateOf(promise)).toBe('pending')
    opened.environment.releaseSyncs()
    await promise.catch(() => {})
    expect(opened.store.durableTs).toBe(opened.store.visibleTs)
  })

  test.each(outcomes)('%s is not told where the disk fails', async (_name, outcome) => {
    const opened = await pending()
    const promise = outcome(opened)
    await turns()
    opened.environment.syncError = ioError('EIO')
    opened.environment.releaseSyncs()
    const error = await failureOf(() => promise)
    expect(error).toBeInstanceOf(StorageError)
    expect(error.code, 'it has no commit of its own that could be in doubt').toBe('POISONED')
    expect(await failureOf(() => opened.commit)).toMatchObject({ code: 'COMMIT_UNKNOWN' })
  })

  test('the absence of a deleted row waits too', async () => {
    const opened = await pending({ a: undefined })
    const { db, t, environment } = opened
    const promise = db.transaction(tx => [tx.get(t, 'a'), tx.has(t, 'a'), tx.range(t, { lte: 'a' }).toArray()])
    expect(await stateOf(promise)).toBe('pending')
    const range = db.transaction(tx => tx.count(t, { lte: 'a' }))
    expect(await stateOf(range)).toBe('pending')
    environment.releaseSyncs()
    expect(await promise).toEqual([undefined, false, []])
    expect(await range).toBe(0)
  })

  test('what was not seen is not waited for', async () => {
    const { db, t, environment, commit } = await pending()
    expect(await db.transaction(tx => tx.get(t, 'b'))).toBe(1)
    expect(await db.transaction(tx => tx.get(t, 'never written'))).toBeUndefined()
    expect(await stateOf(commit)).toBe('pending')
    environment.releaseSyncs()
    await commit
  })

  test('transactionSync waits by itself', async () => {
    const { db, t, store, environment, commit } = await pending()
    expect(db.transactionSync(tx => tx.get(t, 'a'))).toBe(2)
    expect(store.durableTs).toBe(store.visibleTs)
    environment.releaseSyncs()
    await commit
  })

  test('one-shot reads and read-only transactions begin at what was acknowledged, and do not wait', async () => {
    const { db, t, environment, commit } = await pending({ a: 2, b: undefined, c: 2 })
    expect([db.get(t, 'a'), db.has(t, 'b'), db.getMany(t, ['a', 'c']), db.count(t), db.last(t), db.first(t)]).toEqual([
      1,
      true,
      [1, undefined],
      2,
      { key: 'b', value: 1 },
      { key: 'a', value: 1 },
    ])
    expect(await db.transaction(tx => rowsOf(tx, t), { readOnly: true })).toEqual({ a: 1, b: 1 })
    environment.releaseSyncs()
    await commit
    expect(contentOf(db, t)).toEqual({ a: 2, c: 2 })
  })

  test('hooks run when the commit is durable, before its promise resolves', async () => {
    const { db, t, environment, commit } = await pending()
    const order: string[] = []
    const done = db.transaction(tx => {
      tx.put(t, 'c', 1)
      tx.onCommit(() => order.push('hook'))
    })
    void done.then(() => order.push('resolved'))
    await turns()
    expect(order).toEqual([])
    environment.releaseSyncs()
    await Promise.all([done, commit])
    await turns()
    expect(order).toEqual(['hook', 'resolved'])
  })

  test('who waits for a relaxed commit makes its sync happen', async () => {
    const opened = await openNumbers({ a: 1 })
    const { db, t, store } = opened
    await db.put(t, 'a', 2, { durability: 'relaxed' })
    expect(store.durableTs).toBeLessThan(store.visibleTs)
    await turns(20)
    expect(store.durableTs, 'nobody waits: only the timer will sync it').toBeLessThan(store.visibleTs)
    expect(await db.transaction(tx => tx.get(t, 'a'))).toBe(2) // the clock stands still
    expect(store.durableTs).toBe(store.visibleTs)
  })

  test('an acknowledged relaxed commit is shown, and a read-only transaction that shows it vouches for it', async () => {
    const opened = await openNumbers({ a: 1 })
    const { db, t, store, environment } = opened
    await db.put(t, 'a', 2, { durability: 'relaxed' })
    expect(db.get(t, 'a')).toBe(2)
    environment.holdSyncs = true
    const promise = db.transaction(tx => tx.get(t, 'a'), { readOnly: true })
    expect(await stateOf(promise)).toBe('pending')
    environment.releaseSyncs()
    expect(await promise).toBe(2)
    expect(store.durableTs).toBe(store.visibleTs)
  })

  test('a body may go on while what it read becomes durable', async () => {
    const { db, t, environment, commit } = await pending()
    const gate = deferred()
    const promise = db.transaction(async tx => {
      const a = tx.get(t, 'a')
      await gate.promise
      return a
    })
    environment.releaseSyncs()
    await commit
    gate.resolve()
    expect(await promise).toBe(2)
  })
})
