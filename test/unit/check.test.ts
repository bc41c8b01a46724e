/** Verifying a database: what is sound is called so, whatever goes on beside; what is not is found, named, and never handed out as data. */
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { encodeKey, tablePrefix } from '../../engine/encoding/keys.js'
import { Database as DatabaseClass } from '../../engine/database.js'
import { openEngine } from '../../engine/open.js'
import { check, open, row, type CheckReport, type Database } from '../../engine/index.js'
import { RowFile } from '../../engine/lmdb/row-file.js'
import { emptySummary, withoutRow, withRow, type Summary } from '../../engine/lmdb/summaries.js'
import { rowChecksum } from '../../engine/encoding/rows.js'
import { asKey, asTs } from '../../isolation/types.js'
import { seededRandom } from '../crash/simulated-files.js'
import { failureOf } from '../support/databases.js'

let directory: string
const rowsPath = (): string => join(directory, 'rows.lmdb')

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'premisedb-check-'))
})

afterEach(() => fs.rmSync(directory, { recursive: true, force: true }))

const doctorsIn = (db: Database) => db.table('doctors', { key: ['string'], schema: row<{ note: string }>() })
const shiftsIn = (db: Database) => db.table('shifts', { key: ['number', 'string'], schema: row<number>() })

/** Rows in two tables, rewritten and deleted over several openings. Returns the notes of the doctors, which occur once in the file. */
async function filled(): Promise<string[]> {
  const notes: string[] = []
  for (let round = 0; round < 3; round++) {
    const db = await open(directory)
    const [doctors, shifts] = [doctorsIn(db), shiftsIn(db)]
    await db.transaction(tx => {
      for (let i = 0; i < 200; i++) {
        notes[i] = randomBytes(20).toString('hex')
        tx.put(doctors, `doctor ${i}`, { note: notes[i]! })
        tx.put(shifts, [i, 'early'], round)
        if (i % 3 === round) tx.delete(shifts, [i, 'early'])
      }
    })
    await db.close()
  }
  return notes
}

describe('a sound database', () => {
  test('is sound while others write, and when it is closed; every row and page is looked at', async () => {
    const db = await open(directory)
    const [doctors, shifts] = [doctorsIn(db), shiftsIn(db)]
    let writes = true
    let committed = 0
    const writer = (async () => {
      const random = seededRandom(1)
      const below = (n: number): number => Math.floor(random() * n)
      while (writes) {
        await db.transaction(tx => {
          for (let i = 0; i < 20; i++) tx.put(doctors, `doctor ${below(500)}`, { note: 'n'.repeat(below(below(9) === 0 ? 9_000 : 90)) })
          tx.delete(doctors, `doctor ${below(500)}`)
          tx.put(shifts, [below(500), 'late'], committed++)
        })
      }
    })()
    const reports: CheckReport[] = []
    const progress: string[] = []
    for (let i = 0; i < 12; i++) reports.push(await db.check({ onProgress: ({ part, done, total }) => progress.push(`${part} ${done <= total}`) }))
    writes = false
    await writer
    for (const { findings, problems } of reports) expect({ findings, problems }).toEqual({ findings: [], problems: 0 })
    expect(new Set(progress)).toEqual(new Set([...progress].filter(text => text.endsWith('true'))))
    const rows = db.count(doctors) + db.count(shifts) + 2
    await db.close()
    const report = await check(directory)
    expect(report).toMatchObject({ sound: true, findings: [], rows, logCommits: 0 })
    expect(report.pages).toBeGreaterThan(report.freePages)
  })

  test('in memory can be checked too, and one that is closed meanwhile says so', async () => {
    const db = await open(':memory:')
    await db.put(doctorsIn(db), 'nils', { note: '' })
    expect(await db.check()).toMatchObject({ sound: true, rows: 2 })
    const checking = db.check()
    const failed = failureOf(() => checking)
    await db.close()
    expect((await failed).code ?? 'sound').toMatch(/^(CLOSED|sound)$/)
    expect(await failureOf(() => db.check())).toMatchObject({ code: 'CLOSED' })
  })

  test('of a database in memory that is closed beside it says CLOSED: nothing has failed', async () => {
    for (let round = 0; round < 5; round++) {
      const db = await open(':memory:')
      await db.put(doctorsIn(db), 'nils', { note: '' })
      const checking = failureOf(() => db.check())
      await db.close()
      expect(await checking).toMatchObject({ code: 'CLOSED' })
      expect(await failureOf(() => db.put(doctorsIn(db), 'nils', { note: '' }))).toMatchObject({ code: 'CLOSED' })
    }
  })

  test('ends with what its listener throws, as it is', async () => {
    const reason = new DOMException('the user has seen enough', 'AbortError')
    const db = await open(directory)
    await db.transaction(tx => {
      for (let i = 0; i < 20_000; i++) tx.put(shiftsIn(db), [i, 'early'], i)
    })
    const onProgress = (): never => {
      throw reason
    }
    expect(await failureOf(() => db.check({ onProgress }))).toBe(reason)
    await db.close()
    expect(await failureOf(() => check(directory, { onProgress }))).toBe(reason)
    expect(await check(directory)).toMatchObject({ sound: true })
  })

  test('that is open is not checked from outside, and what is none is refused', async () => {
    const db = await open(directory)
    expect(await failureOf(() => check(directory))).toMatchObject({ code: 'LOCKED' })
    await db.close()
    expect(await failureOf(() => check(join(directory, 'nothing')))).toMatchObject({ code: 'NOT_A_DATABASE' })
    expect(fs.existsSync(join(directory, 'nothing'))).toBe(false)
    fs.mkdirSync(join(directory, 'empty'))
    expect(await failureOf(() => check(join(directory, 'empty')))).toMatchObject({ code: 'NOT_A_DATABASE' })
    for (const options of [null, { verbose: true }, { onProgress: 1 }]) {
      expect(await failureOf(() => check(directory, options as never))).toMatchObject({ code: 'INVALID_ARGUMENT' })
    }
  })
})

describe('damage', () => {
  /** Flips a bit where `text` stands in the row file; the newest of several places is the one in use. */
  function damage(text: string): void {
    const bytes = fs.readFileSync(rowsPath())
    const places: number[] = []
    for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) places.push(at)
    expect(places.length).toBeGreaterThan(0)
    for (const at of places) bytes[at + 3]! ^= 4
    fs.writeFileSync(rowsPath(), bytes)
  }

  test('in a value is an error that names table and key for who reads it, and a finding; other rows are read', async () => {
    const notes = await filled()
    damage(notes[7]!)
    expect(await check(directory)).toMatchObject({
      sound: false,
      problems: 1,
      findings: [{ part: 'rows', table: 'doctors', key: 'doctor 7', problem: 'its checksum is wrong' }],
    })
    const db = await open(directory)
    const doctors = doctorsIn(db)
    for (const read of [() => db.get(doctors, 'doctor 7'), () => db.range(doctors).toArray(), () => db.transactionSync(tx => tx.get(doctors, 'doctor 7'))]) {
      expect(await failureOf(read)).toMatchObject({ code: 'CORRUPT', message: expect.stringContaining('Row "doctor 7" of table "doctors" is damaged') as string })
    }
    expect(db.get(doctors, 'doctor 8')).toEqual({ note: notes[8] })
    expect(await db.check()).toMatchObject({ problems: 1, findings: [{ table: 'doctors', key: 'doctor 7' }] })
    await db.close()
  })

  /** Changes rows behind the engine's back, with the package itself. */
  async function behindItsBack(change: (raw: { get(key: Buffer): Buffer; put(key: Buffer, value: Buffer): unknown; remove(key: Buffer): unknown }) => void): Promise<void> {
    const native = createRequire(import.meta.url)('lmdb') as { open(options: object): { transactionSync(body: () => void): void; close(): Promise<void> } & Parameters<typeof change>[0] }
    const raw = native.open({ path: rowsPath(), noSubdir: true, encoding: 'binary', keyEncoding: 'binary', overlappingSync: false })
    raw.transactionSync(() => {
      change(raw)
    })
    await raw.close()
  }
  const keyOf = (doctor: string): Buffer => Buffer.from(encodeKey(tablePrefix(1), [doctor], ['string']), 'latin1')

  test('that leaves no trace in itself is found by the counts: a row that vanished, one that came back as it was', async () => {
    await filled()
    let before: Buffer | undefined
    await behindItsBack(raw => {
      before = Buffer.from(raw.get(keyOf('doctor 3')))
    })
    const db = await open(directory)
    await db.put(doctorsIn(db), 'doctor 3', { note: 'changed' })
    await db.close()
    expect(await check(directory)).toMatchObject({ sound: true })
    await behindItsBack(raw => raw.put(keyOf('doctor 3'), before!))
    expect(await check(directory)).toMatchObject({ problems: 1, findings: [{ part: 'counts', table: 'doctors', problem: 'the rows are as many as should be, but not the same ones' }] })
    await behindItsBack(raw => raw.remove(keyOf('doctor 3')))
    expect(await check(directory)).toMatchObject({ problems: 1, findings: [{ part: 'counts', table: 'doctors', problem: '199 rows are there, and 200 should be' }] })
  })

  test('of a table’s catalog entry, and a row under another’s key, are found', async () => {
    await filled()
    await behindItsBack(raw => raw.put(keyOf('doctor 4'), Buffer.from(raw.get(keyOf('doctor 5')))))
    const { findings } = await check(directory)
    expect(findings).toContainEqual({ part: 'rows', table: 'doctors', key: 'doctor 4', problem: 'its checksum is wrong' })
    const file = new RowFile(rowsPath(), { readerSlots: 8, unsynced: true })
    file.write(batch => {
      batch.put(encodeKey(tablePrefix(9), ['nobody’s'], ['string']), asTs(1), Buffer.from([1]))
      batch.put(encodeKey(tablePrefix(1), [5], ['number']), asTs(1), Buffer.from([1]))
    })
    await file.close()
    const problems = (await check(directory)).findings.map(({ problem }) => problem)
    expect(problems).toContain('it is of table number 9, which the catalog does not have')
    expect(problems).toContain('its key is not one of table "doctors"')
  })

  test('of pages is found, and no row is read then', async () => {
    await filled()
    const bytes = fs.readFileSync(rowsPath())
    const leaf = Array.from({ length: bytes.length / 4_096 }, (_, page) => page).find(page => page > 1 && bytes.readUInt16LE(page * 4_096 + 18) === 2 && bytes.indexOf('doctor 7', page * 4_096) < (page + 1) * 4_096)!
    bytes.fill(0, leaf * 4_096, leaf * 4_096 + 4_096)
    fs.writeFileSync(rowsPath(), bytes)
    const report = await check(directory)
    expect(report).toMatchObject({ sound: false, rows: 0 })
    expect(report.findings.some(({ part, problem }) => part === 'pages' && problem.startsWith(`page ${leaf} `))).toBe(true)
    expect(await failureOf(() => open(directory))).toMatchObject({ code: 'CORRUPT' })
  })

  test('of the log is found', async () => {
    const db = await open(directory)
    await db.put(doctorsIn(db), 'nils', { note: 'a note of some length, so that it is easily found' })
    await db.put(doctorsIn(db), 'anna', { note: 'another note of some length' })
    const copy = `${directory}-copy`
    fs.cpSync(directory, copy, { recursive: true })
    await db.close()
    try {
      const log = join(copy, 'log', fs.readdirSync(join(copy, 'log'))[0]!)
      const bytes = fs.readFileSync(log)
      expect(await check(copy)).toMatchObject({ sound: true, logCommits: 3 })
      bytes[bytes.indexOf('a note of some length')]! ^= 1
      fs.writeFileSync(log, bytes)
      expect(await check(copy)).toMatchObject({ sound: false, findings: [{ part: 'log' }] })
    } finally {
      fs.rmSync(copy, { recursive: true, force: true })
    }
  })
})

test('M-1: after any writes the summaries are those of the rows that are there', async () => {
  const file = new RowFile(rowsPath(), { readerSlots: 8, unsynced: true })
  const random = seededRandom(3)
  const below = (n: number): number => Math.floor(random() * n)
  const prefixes = [0, 1, 200, 300].map(tablePrefix)
  for (let t = 1; t <= 40; t++) {
    file.write(batch => {
      for (let i = below(60); i >= 0; i--) {
        const key = encodeKey(prefixes[below(4)]!, [below(40)], ['number'])
        if (below(3) === 0) batch.remove(key)
        else batch.put(key, asTs(t), randomBytes(below(50)))
      }
    })
    const root = file.pin()
    const found = new Map<string, Summary>()
    for (const prefix of prefixes) {
      for (const { bytes } of root.storedChunk({ lo: asKey(prefix), hi: asKey(`${prefix}\xff`) }, false, Infinity, Infinity).rows) {
        found.set(prefix, withRow(found.get(prefix) ?? emptySummary, rowChecksum(bytes)))
      }
    }
    const said = new Map([...root.summaries()].filter(([, { rows }]) => rows > 0))
    expect(said).toEqual(found)
    root.release()
  }
  await file.close()
  expect(withoutRow(withRow(emptySummary, 2 ** 32 - 1), 2 ** 32 - 1)).toEqual(emptySummary)
})

test('an open database is sound while checkpoints come and the log is cut behind them, also to several checks at once', { timeout: 60_000 }, async () => {
  const limits = { windowCheckpointSizeBytes: 40_000, segmentSizeBytes: 20_000, logReserveSizeBytes: 4_096, logCheckpointSizeBytes: 40_000, checkpointAgeMs: 20 }
  const db = new DatabaseClass(openEngine(directory, {}, { limits }))
  const shifts = shiftsIn(db)
  await db.transaction(tx => {
    for (let i = 0; i < 20_000; i++) tx.put(shifts, [i, 'early'], i)
  })
  let writes = true
  const writer = (async () => {
    for (let i = 0; writes; i++) await Promise.all([1, 2, 3, 4].map(n => db.put(doctorsIn(db), `doctor ${n}`, { note: `${i}`.padEnd(6_000, 'n') })))
  })()
  const before = db.stats().appliedTs
  const reports = await Promise.all(Array.from({ length: 12 }, () => db.check()))
  writes = false
  await writer
  expect(db.stats().appliedTs).toBeGreaterThan(before + 12)
  for (const { findings } of reports) expect(findings).toEqual([])
  await db.close()
})

test('checks of a database come one after the other, so that they never take all slots for readers', async () => {
  const engine = openEngine(directory, {}, { limits: { readerSlots: 8 } })
  const db = new DatabaseClass(engine)
  const { store } = engine
  const ends: (() => void)[] = []
  const audits = Array.from({ length: 12 }, async (_, i) => {
    await db.put(doctorsIn(db), 'nils', { note: `${i}` })
    await store.checkpoint()
    return store.audit(({ root }) => new Promise<number>(resolve => ends.push(() => resolve(root.appliedTs))))
  })
  for (let ended = 0; ended < audits.length; ended++) {
    while (ends.length === ended) await new Promise(resolve => setTimeout(resolve, 5))
    await new Promise(resolve => setTimeout(resolve, 5))
    expect(ends).toHaveLength(ended + 1)
    ends[ended]!()
  }
  await Promise.all(audits)
  expect(await db.check()).toMatchObject({ sound: true })
  await db.close()
})
