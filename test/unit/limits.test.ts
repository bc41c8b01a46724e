/** Every limit from outside: what is within it works and survives, what is over it is refused by name and leaves nothing behind. */
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import type { Engine } from '../../engine/attempt.js'
import { Database } from '../../engine/database.js'
import { defaultLimits, type Limits } from '../../engine/limits.js'
import { openEngine } from '../../engine/open.js'

const MB = 1_048_576
/** `LIMITS_WRITES=1000000` commits the largest transaction that there may be. */
const manyWrites = Number(process.env['LIMITS_WRITES'] ?? 100_000)

const opened: Database[] = []
const scratch: string[] = []

afterEach(async () => {
  for (const db of opened.splice(0)) await db.close()
  for (const path of scratch.splice(0)) fs.rmSync(path, { recursive: true, force: true })
})

function scratchDirectory(): string {
  const path = fs.mkdtempSync(join(tmpdir(), 'premisedb-limits-'))
  scratch.push(path)
  return path
}

function openIn(directory: string, limits: Partial<Limits> = {}): { engine: Engine; db: Database } {
  const engine = openEngine(directory, {}, { limits })
  const db = new Database(engine)
  opened.push(db)
  return { engine, db }
}

/** What a crash now would leave: the files as they are, opened elsewhere. No checkpoint may be running. */
function afterCrash(directory: string): Database {
  const copy = join(scratchDirectory(), 'copy')
  fs.cpSync(directory, copy, { recursive: true })
  return openIn(copy).db
}

const blobsIn = (db: Database) => db.table<readonly ['string']>('blobs', { key: ['string'] })
const codeOf = async (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'none',
    (error: unknown) => (error as { code?: unknown }).code,
  )
const thrown = (call: () => unknown): unknown => {
  try {
    call()
  } catch (error) {
    return (error as { code?: unknown }).code
  }
  return 'none'
}
const sleep = (delayMs: number): Promise<void> => new Promise(resolve => setTimeout(resolve, delayMs))

describe('values', () => {
  const sizes = [0, 1, 31, 255, 256, 2_000, 4_096, 65_535, 65_536, MB, 16 * MB]
  const bytesOf = (size: number): Uint8Array => {
    const bytes = new Uint8Array(size)
    for (let i = 0; i < size; i += 997) bytes[i] = (i * 31) & 0xff
    return bytes
  }
  const textOf = (size: number): string => 'premise '.repeat(Math.ceil(size / 8)).slice(0, size)
  const check = (db: Database): void => {
    const table = blobsIn(db)
    for (const size of sizes) {
      const bytes = db.get(table, `bytes ${size}`) as Uint8Array
      expect(bytes).toBeInstanceOf(Uint8Array)
      expect(Buffer.compare(bytes, bytesOf(size)), `${size} bytes`).toBe(0)
      expect(db.get(table, `text ${size}`) === textOf(size), `text of ${size}`).toBe(true)
    }
  }

  test('of 0 bytes to 16 MB come back from the window, from the log after a crash, and from the row file', async () => {
    const directory = join(scratchDirectory(), 'data')
    const { db } = openIn(directory, { windowCheckpointSizeBytes: 512 * MB, windowSizeBytes: 512 * MB })
    for (const size of sizes) {
      await db.put(blobsIn(db), `bytes ${size}`, bytesOf(size))
      await db.put(blobsIn(db), `text ${size}`, textOf(size))
    }
    check(db)
    check(afterCrash(directory))
    await db.close()
    check(openIn(directory).db)
  })

  test('of the largest size are kept, and over it refused as VALUE_TOO_LARGE, with nothing changed', async () => {
    const directory = join(scratchDirectory(), 'data')
    const largest = bytesOf(defaultLimits.valueSizeBytes - 16)
    const tooLarge = new Uint8Array(defaultLimits.valueSizeBytes)
    const { db } = openIn(directory)
    const table = blobsIn(db)
    await db.put(table, 'largest', largest)
    expect(await codeOf(db.put(table, 'largest', tooLarge))).toBe('VALUE_TOO_LARGE')
    expect(await codeOf(db.insert(table, 'other', tooLarge))).toBe('VALUE_TOO_LARGE')
    expect(await codeOf(db.put(table, 'other', 'x'.repeat(defaultLimits.valueSizeBytes)))).toBe('VALUE_TOO_LARGE')
    expect(thrown(() => db.transactionSync(tx => tx.put(table, 'other', tooLarge)))).toBe('VALUE_TOO_LARGE')
    expect(Buffer.compare(db.get(table, 'largest') as Uint8Array, largest)).toBe(0)
    await db.close()
    const again = openIn(directory).db
    expect(Buffer.compare(again.get(blobsIn(again), 'largest') as Uint8Array, largest)).toBe(0)
    expect(again.count(blobsIn(again))).toBe(1)
  })
})

test('keys up to the largest size are kept, in the row file too, and over it refused as KEY_TOO_LARGE', async () => {
  const directory = join(scratchDirectory(), 'data')
  const { db } = openIn(directory)
  const table = blobsIn(db)
  let largest = 0
  for (let size = defaultLimits.keySizeBytes - 20; size <= defaultLimits.keySizeBytes; size++) {
    const code = await codeOf(db.put(table, 'k'.repeat(size), size))
    if (code === 'none') largest = size
    else expect(code).toBe('KEY_TOO_LARGE')
  }
  expect(largest).toBeGreaterThan(defaultLimits.keySizeBytes - 10)
  expect(largest).toBeLessThan(defaultLimits.keySizeBytes)
  for (const call of [() => db.get(table, 'k'.repeat(largest + 1)), () => db.range(table, { gte: 'k'.repeat(5_000) }).toArray()]) {
    expect(thrown(call)).toBe('KEY_TOO_LARGE')
  }
  await db.close()
  const again = openIn(directory).db
  expect(again.get(blobsIn(again), 'k'.repeat(largest))).toBe(largest)
  expect(again.range(blobsIn(again), { prefix: 'k'.repeat(largest) }).toArray().length).toBe(1)
})

describe('a transaction', () => {
  test(`of ${manyWrites} writes commits, and all of it is there after reopening`, { timeout: 120_000 }, async () => {
    const directory = join(scratchDirectory(), 'data')
    const { db } = openIn(directory)
    const numbers = db.table('numbers', { key: ['number'] })
    await db.transaction(
      tx => {
        for (let i = 0; i < manyWrites; i++) tx.put(numbers, i, i)
      },
      { timeoutMs: 100_000 },
    )
    expect(db.count(numbers)).toBe(manyWrites)
    await db.close()
    const again = openIn(directory).db
    let next = 0
    let wrong = 0
    for (const { key, value } of again.range(again.table('numbers', { key: ['number'] }))) if (key !== next++ || value !== key) wrong++
    expect({ next, wrong }).toEqual({ next: manyWrites, wrong: 0 })
  })

  test.each([
    ['bytes', { transactionSizeBytes: 100_000 }],
    ['writes', { transactionWrites: 50 }],
  ])('with more %s than allowed is refused as TRANSACTION_TOO_LARGE before anything is installed', async (_, limits) => {
    const { db, engine } = openIn(join(scratchDirectory(), 'data'), limits)
    const table = blobsIn(db)
    await db.put(table, 'before', 1)
    const before = engine.store.visibleTs
    const fill = (put: (key: string, value: string) => void): void => {
      for (let i = 0; i < 60; i++) put(`row ${i}`, 'v'.repeat(2_000))
    }
    expect(await codeOf(db.transaction(tx => fill((key, value) => tx.put(table, key, value))))).toBe('TRANSACTION_TOO_LARGE')
    expect(thrown(() => db.transactionSync(tx => fill((key, value) => tx.insert(table, key, value))))).toBe('TRANSACTION_TOO_LARGE')
    const handle = db.begin()
    expect(thrown(() => fill((key, value) => handle.put(table, key, value)))).toBe('TRANSACTION_TOO_LARGE')
    handle.abort()
    expect(engine.store.visibleTs).toBe(before)
    expect(db.range(table).toArray()).toEqual([{ key: 'before', value: 1 }])
    await db.put(table, 'after', 2)
    expect(db.count(table)).toBe(2)
  })
})

describe('back-pressure', () => {
  const budget = 300_000
  const tiny: Partial<Limits> = { windowCheckpointSizeBytes: 100_000, windowSizeBytes: budget, stepSizeBytes: 50_000, stepMs: 2 }

  test.each(['durable', 'relaxed'] as const)('keeps a fast %s writer near the budget of the window, and every commit succeeds', async durability => {
    const directory = join(scratchDirectory(), 'data')
    const { db, engine } = openIn(directory, tiny)
    const table = blobsIn(db)
    const writers = 32
    const commits = 100
    let peak = 0
    const write = async (writer: number): Promise<void> => {
      for (let i = 0; i < commits; i++) {
        await db.put(table, `${writer} ${i}`, 'v'.repeat(1_000), { durability })
        peak = Math.max(peak, engine.store.epochs.window.sizeBytes)
      }
    }
    await Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)))
    // When room is made writers go on before what was checkpointed has been trimmed, so there may be twice the budget for a moment, and a commit of each writer.
    expect(peak).toBeLessThan(2 * budget + 2 * writers * 1_300)
    expect(peak).toBeGreaterThan(budget / 4)
    await db.close()
    const again = openIn(directory).db
    expect(again.count(blobsIn(again))).toBe(writers * commits)
  })

  test('keeps a writer of transactionSync near the budget too', () => {
    const { db, engine } = openIn(join(scratchDirectory(), 'data'), tiny)
    const table = blobsIn(db)
    let peak = 0
    for (let i = 0; i < 1_000; i++) {
      db.transactionSync(tx => tx.put(table, `${i}`, 'v'.repeat(1_000)), { durability: 'relaxed' })
      peak = Math.max(peak, engine.store.epochs.window.sizeBytes)
    }
    expect(peak).toBeLessThan(budget + 10_000)
    expect(db.count(table)).toBe(1_000)
  })
})

describe('a forgotten reader', () => {
  const limits: Partial<Limits> = { snapshotAgeMs: 50, windowCheckpointSizeBytes: 20_000, windowSizeBytes: 100_000, checkpointAgeMs: 20 }

  test('meets SNAPSHOT_TOO_OLD once it has pinned an old state for too long, and gives that state up', async () => {
    const { db, engine } = openIn(join(scratchDirectory(), 'data'), limits)
    const table = blobsIn(db)
    await db.transaction(tx => {
      for (let i = 0; i < 100; i++) tx.put(table, `old ${i}`, 'v'.repeat(500))
    })
    const reader = db.begin({ readOnly: true, timeoutMs: 60_000 })
    const writer = db.begin({ timeoutMs: 60_000 })
    writer.get(table, 'old 1')
    const iterator = db.range(table)[Symbol.iterator]()
    iterator.next()
    expect(reader.get(table, 'old 1')).toBe('v'.repeat(500))
    const startedMs = performance.now()
    for (let i = 0; performance.now() - startedMs < 400; i++) {
      await db.put(table, `old ${i % 100}`, 'w'.repeat(1_000))
      await sleep(2)
    }
    expect(thrown(() => reader.get(table, 'old 99'))).toBe('SNAPSHOT_TOO_OLD')
    expect(thrown(() => reader.range(table).toArray())).toBe('SNAPSHOT_TOO_OLD')
    expect(thrown(() => iterator.next())).toBe('SNAPSHOT_TOO_OLD')
    writer.put(table, 'late', 1)
    expect(await codeOf(writer.commit())).toMatch(/^(SNAPSHOT_TOO_OLD|CONFLICT)$/)
    expect(engine.store.epochs.pinnedRoots).toBeLessThan(8)
    expect(db.has(table, 'late')).toBe(false)
    reader.abort()
    writer.abort()
  })

  test('a reader within the age limit keeps its state through any number of checkpoints', async () => {
    const { db, engine } = openIn(join(scratchDirectory(), 'data'), { ...limits, snapshotAgeMs: 60_000 })
    const table = blobsIn(db)
    await db.put(table, 'a', 'old')
    const readers = []
    for (let i = 0; i < 40; i++) {
      readers.push({ reader: db.begin({ readOnly: true, timeoutMs: 60_000 }), a: db.get(table, 'a') })
      await db.put(table, 'a', `${i}${'v'.repeat(30_000)}`)
      await sleep(5)
    }
    expect(engine.store.epochs.pinnedRoots).toBeGreaterThan(2)
    for (const { reader, a } of readers) {
      expect(reader.get(table, 'a') === a).toBe(true)
      reader.abort()
    }
    expect(engine.store.epochs.pinnedRoots).toBe(1)
  })
})

describe('more old states than LMDB has reader slots', () => {
  test('cost the oldest readers theirs, with SNAPSHOT_TOO_OLD, and stop neither checkpoints nor commits', async () => {
    const { db, engine } = openIn(join(scratchDirectory(), 'data'), { readerSlots: 12, windowCheckpointSizeBytes: 10_000 })
    const table = blobsIn(db)
    const readers = []
    for (let i = 0; i < 30; i++) {
      await db.put(table, 'a', i)
      const reader = db.begin({ readOnly: true, timeoutMs: 60_000 })
      const { appliedTs } = engine.store.epochs
      await db.put(table, `filler ${i}`, 'v'.repeat(12_000))
      while (engine.store.epochs.appliedTs === appliedTs) await sleep(1)
      readers.push(reader)
    }
    expect(engine.store.epochs.pinnedRoots).toBeLessThan(12)
    expect(readers.slice(0, 15).map(reader => thrown(() => reader.get(table, 'a')))).toEqual(Array(15).fill('SNAPSHOT_TOO_OLD'))
    expect(readers.slice(-6).map(reader => reader.get(table, 'a'))).toEqual([24, 25, 26, 27, 28, 29])
    for (const reader of readers) reader.abort()
    await db.put(table, 'a', 'goes on')
    expect(engine.store.epochs.pinnedRoots).toBe(1)
  })
})

describe('a full disk', () => {
  /** Runs `use` on a file system of its own, or returns false where this process may not make one. */
  async function onTinyDisk(use: (directory: string) => Promise<void>): Promise<boolean> {
    const directory = scratchDirectory()
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m,mode=0700', 'tmpfs', directory], { stdio: 'ignore' })
    } catch {
      return false
    }
    try {
      await use(directory)
    } finally {
      for (const db of opened.splice(0)) await db.close().catch(() => {})
      execFileSync('umount', [directory])
    }
    return true
  }

  function fill(path: string): void {
    const fd = fs.openSync(path, 'a')
    try {
      for (let size = MB; size >= 1; size >>= 1) {
        try {
          for (;;) fs.writeSync(fd, Buffer.alloc(size))
        } catch {
          // Full for pieces of this size.
        }
      }
    } finally {
      fs.closeSync(fd)
    }
  }

  test.each([
    ['before a checkpoint', {}],
    ['while checkpoints are due', { checkpointAgeMs: 50 }],
    ['while the window is full', { windowCheckpointSizeBytes: 300_000, windowSizeBytes: 600_000 }],
  ])('%s is DISK_FULL with nothing changed; reads go on, and it works again when there is space', async (_, limits) => {
    const made = await onTinyDisk(async disk => {
      const directory = join(disk, 'data')
      const ballast = join(disk, 'ballast')
      const { db } = openIn(directory, limits)
      const table = blobsIn(db)
      const accepted: string[] = []
      const put = async (key: string): Promise<unknown> => {
        const code = await codeOf(db.put(table, key, key.repeat(500), { timeoutMs: 1_000 }))
        if (code === 'none') accepted.push(key)
        return code
      }
      const isSound = (of: Database): void => {
        const found = Array.from(of.range(blobsIn(of)), ({ key, value }) => (value === key.repeat(500) ? key : `wrong ${key}`))
        expect(found).toEqual(accepted.toSorted((a, b) => (a < b ? -1 : 1)))
      }
      for (let i = 0; i < 50; i++) expect(await put(`before ${i}`)).toBe('none')
      fill(ballast)
      const codes = new Set<unknown>()
      for (let i = 0; i < 600; i++) codes.add(await put(`full ${i}`))
      codes.delete('none')
      expect([...codes]).toEqual(['DISK_FULL'])
      await sleep(300)
      expect(thrown(() => db.transactionSync(tx => tx.put(table, 'sync', 'v'.repeat(2 * MB))))).toBe('DISK_FULL')
      isSound(db)
      fs.rmSync(ballast)
      for (let i = 0; i < 200; i++) expect(await put(`after ${i}`)).toBe('none')
      isSound(db)
      await db.close()
      isSound(openIn(directory).db)
    })
    expect([true, false]).toContain(made)
  })

  test('does not keep a database from closing, and opening says DISK_FULL where there is too little space', async () => {
    const made = await onTinyDisk(async disk => {
      const directory = join(disk, 'data')
      const ballast = join(disk, 'ballast')
      const { db } = openIn(directory)
      for (let i = 0; i < 50; i++) await db.put(blobsIn(db), `row ${i}`, 'v'.repeat(5_000))
      fill(ballast)
      await db.close()
      expect(thrown(() => openIn(directory))).toBe('DISK_FULL')
      fs.rmSync(ballast)
      const again = openIn(directory).db
      expect(again.count(blobsIn(again))).toBe(50)
    })
    expect([true, false]).toContain(made)
  })
})
