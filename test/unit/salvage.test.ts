/** Salvaging a database: what is readable comes back under its key, what is not is named, and what was deleted stays deleted. */
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Database as DatabaseClass } from '../../engine/database.js'
import { encodeKey, tablePrefix } from '../../engine/encoding/keys.js'
import { systemEnvironment, type Files } from '../../engine/environment.js'
import { check, open, row, salvage, type Database, type SalvageReport } from '../../engine/index.js'
import { defaultLimits } from '../../engine/limits.js'
import { branchFlag, childOf, flagsOf, keyCountOf, leafFlag, nodeOf } from '../../engine/lmdb/pages.js'
import { RowFile } from '../../engine/lmdb/row-file.js'
import { openEngine } from '../../engine/open.js'
import { salvageDirectory } from '../../engine/salvage.js'
import { asTs } from '../../isolation/types.js'
import { failureOf, scratchDirectory } from '../support/databases.js'
import { build, root } from '../tidy/project.js'

const pageSizeBytes = 4_096
let scratch: string
let path: string
let out: string

beforeEach(() => {
  scratch = scratchDirectory()
  path = join(scratch, 'data')
  out = join(scratch, 'out')
})

const doctorsIn = (db: Database) => db.table('doctors', { key: ['string'], schema: row<string>() })
const shiftsIn = (db: Database) => db.table('shifts', { key: ['number', 'string'], schema: row<number>() })
const doctor = (i: number): string => `doctor ${String(i).padStart(4, '0')}`

interface Content {
  readonly doctors: Record<string, string>
  readonly shifts: Record<string, number>
}

async function contentOf(directory: string): Promise<Content> {
  const db = await open(directory)
  const doctors = Object.fromEntries(Array.from(db.range(doctorsIn(db)), ({ key, value }) => [key, value]))
  const shifts = Object.fromEntries(Array.from(db.range(shiftsIn(db)), ({ key, value }) => [key.join(' '), value]))
  await db.close()
  return { doctors, shifts }
}

/** Several openings: 1,000 doctors, each with a note that occurs nowhere else, some long, of whom every seventh is deleted and every fifth changed; and 300 shifts. */
async function filled(): Promise<Content> {
  for (let round = 0; round < 3; round++) {
    const db = new DatabaseClass(openEngine(path, {}, { limits: { windowCheckpointSizeBytes: 40_000, stepSizeBytes: 10_000 } }))
    const [doctors, shifts] = [doctorsIn(db), shiftsIn(db)]
    for (let from = 0; from < 1_000; from += 100) {
      await db.transaction(tx => {
        for (let i = from; i < from + 100; i++) {
          if (round === 0 || i % 5 === round) tx.put(doctors, doctor(i), randomBytes(i % 97 === 0 ? 4_000 : 40).toString('hex'))
          if (round === 2 && i % 7 === 0) tx.delete(doctors, doctor(i))
        }
        for (let i = 0; i < 300; i++) tx.put(shifts, [i, 'early'], round)
      })
    }
    await db.close()
  }
  return contentOf(path)
}

const rowsPath = (): string => join(path, 'rows.lmdb')
const pageOf = (bytes: Buffer, page: number): Buffer => bytes.subarray(page * pageSizeBytes, (page + 1) * pageSizeBytes)

function changeRows(change: (bytes: Buffer) => void): void {
  const bytes = fs.readFileSync(rowsPath())
  change(bytes)
  fs.writeFileSync(rowsPath(), bytes)
}

/** Pages of the newest state with these flags. */
function pagesInUse(flags: number): number[] {
  const bytes = fs.readFileSync(rowsPath())
  const metas = [0, 1].map(page => pageOf(bytes, page)).toSorted((a, b) => b.readUInt32LE(152) - a.readUInt32LE(152))
  const waiting = [metas[0]!.readUInt32LE(96 + 40)]
  const pages: number[] = []
  for (let number = waiting.pop(); number !== undefined; number = waiting.pop()) {
    const page = pageOf(bytes, number)
    if (flagsOf(page) === flags) pages.push(number)
    if (flagsOf(page) === branchFlag) for (let i = keyCountOf(page)! - 1; i >= 0; i--) waiting.push(childOf(page, nodeOf(page, i)!))
  }
  expect(pages.length).toBeGreaterThan(0)
  return pages
}

/** Whether OUT is a sound database that goes on above all timestamps, and what is in it. */
async function resultOf(report: SalvageReport): Promise<Content> {
  const { findings, rows } = await check(out)
  expect(findings).toEqual([])
  expect(rows).toBe(report.rows)
  return contentOf(out)
}

const without = (doctors: Record<string, string>, lacks: (key: string) => boolean): Record<string, string> => Object.fromEntries(Object.entries(doctors).filter(([key]) => !lacks(key)))

/** Everything in PATH but the lock, byte by byte. */
function bytesOf(directory: string): string[] {
  const names = (fs.readdirSync(directory, { recursive: true }) as string[]).filter(name => name !== 'owner' && fs.statSync(join(directory, name)).isFile())
  return names.toSorted().map(name => `${name} ${fs.readFileSync(join(directory, name)).toString('base64')}`)
}

describe('a sound database', () => {
  test('is copied as it is, with its timestamps, and is not changed', async () => {
    const content = await filled()
    const before = bytesOf(path)
    const progress: string[] = []
    const report = await salvage(path, out, { onProgress: ({ part }) => progress.push(part) })
    expect(bytesOf(path)).toEqual(before)
    expect(report).toMatchObject({ complete: true, problems: 0, findings: [], lostCommits: [], logCommits: 0 })
    expect(report.tables).toEqual([
      { name: 'doctors', key: ['string'], rows: Object.keys(content.doctors).length, renamed: false },
      { name: 'shifts', key: ['number', 'string'], rows: 300, renamed: false },
    ])
    expect(await resultOf(report)).toEqual(content)
    const [left, right] = [await open(path), await open(out)]
    expect(right.stats().visibleTs).toBe(left.stats().visibleTs)
    await Promise.all([left.close(), right.close()])
    expect(fs.readdirSync(out).toSorted()).toEqual(['log', 'owner', 'premisedb', 'rows.lmdb', 'rows.lmdb-lock'])
  })

  test('whose process died brings what is only in its log, deletions too', async () => {
    await filled()
    const db = await open(path)
    await db.put(doctorsIn(db), 'new', 'logged')
    await db.delete(doctorsIn(db), doctor(1))
    await db.put(shiftsIn(db), [5, 'early'], 77)
    const copy = join(scratch, 'copy')
    fs.cpSync(path, copy, { recursive: true })
    const { visibleTs } = db.stats()
    await db.close()
    const report = await salvage(copy, out)
    expect(report).toMatchObject({ complete: true, logCommits: 3 })
    expect(await resultOf(report)).toEqual(await contentOf(path))
    const salvaged = await open(out)
    expect(salvaged.stats().visibleTs).toBeGreaterThanOrEqual(visibleTs)
    await salvaged.close()
  })

  test('without a row, and one that was never written to, are copied too', async () => {
    await (await open(path)).close()
    expect(await salvage(path, out)).toMatchObject({ complete: true, rows: 0, tables: [] })
    await contentOf(out)
  })
})

describe('damaged pages', () => {
  test('a flipped bit in a row: exactly this row is missing, and is named', async () => {
    const { doctors, shifts } = await filled()
    const note = Buffer.from(doctors[doctor(8)]!)
    changeRows(bytes => {
      for (let at = bytes.indexOf(note); at >= 0; at = bytes.indexOf(note, at + 1)) bytes[at + 5]! ^= 4
    })
    const report = await salvage(path, out)
    expect(report.complete).toBe(false)
    expect(report.findings).toContainEqual({ part: 'rows', table: 'doctors', key: doctor(8), problem: expect.stringContaining('checksum') as string })
    const count = Object.keys(doctors).length
    expect(report.findings).toContainEqual({ part: 'counts', table: 'doctors', problem: `${count - 1} rows were found in the row file, and ${count} should be there` })
    expect(report.problems).toBe(2)
    expect(await resultOf(report)).toEqual({ doctors: without(doctors, key => key === doctor(8)), shifts })
  })

  test('a zeroed leaf: its keys are named, and all other rows are there', async () => {
    const { doctors, shifts } = await filled()
    const pages = pagesInUse(leafFlag)
    const page = pages[Math.floor(pages.length / 2)]!
    changeRows(bytes => pageOf(bytes, page).fill(0))
    const report = await salvage(path, out)
    const { range } = report.findings.find(finding => finding.range !== undefined)!
    const [from, to] = [range!.from!.key as string, range!.to!.key as string]
    expect([range!.from!.table, range!.to!.table]).toEqual(['doctors', 'doctors'])
    const isLost = (key: string): boolean => key >= from && key < to
    expect(Object.keys(doctors).filter(isLost).length).toBeGreaterThan(5)
    expect(await resultOf(report)).toEqual({ doctors: without(doctors, isLost), shifts })
  })

  test('a zeroed branch: its leaves are found, for they are neither in a tree nor free', async () => {
    const content = await filled()
    for (const page of pagesInUse(branchFlag)) changeRows(bytes => pageOf(bytes, page).fill(0))
    const report = await salvage(path, out)
    expect(report.complete).toBe(false)
    expect(report.findings.every(({ part }) => part === 'pages')).toBe(true)
    expect(await resultOf(report)).toEqual(content)
  })

  test('a zeroed branch beside a free list that cannot be read: nothing is taken that may have been deleted', async () => {
    const { doctors } = await filled()
    for (const page of pagesInUse(branchFlag)) changeRows(bytes => pageOf(bytes, page).fill(0))
    changeRows(bytes => {
      for (const meta of [0, 1]) pageOf(bytes, Number(pageOf(bytes, meta).readBigUInt64LE(48 + 40))).fill(0)
    })
    const report = await salvage(path, out)
    expect(report.findings.some(({ problem }) => problem.includes('free list'))).toBe(true)
    const { doctors: found } = await resultOf(report)
    for (const [key, note] of Object.entries(found)) expect(doctors[key]).toBe(note)
  })

  test.each([
    ['the first', [0]],
    ['the second', [1]],
    ['both', [0, 1]],
  ])('meta pages, %s: the newest state is found', async (_, damaged) => {
    const content = await filled()
    changeRows(bytes => {
      for (const page of damaged) pageOf(bytes, page).fill(0)
    })
    const report = await salvage(path, out)
    expect(report.complete).toBe(false)
    expect(await resultOf(report)).toEqual(content)
  })

  test('a meta page that names another root, or another transaction: the newest state is found', async () => {
    const content = await filled()
    const bytes = fs.readFileSync(rowsPath())
    for (const meta of [0, 1]) {
      for (const at of [96 + 40, 152, 144, 96 + 6, 24]) {
        changeRows(changed => pageOf(changed, meta).writeUInt8(pageOf(changed, meta).readUInt8(at) ^ 4, at))
        const report = await salvage(path, out)
        expect(await resultOf(report), `meta page ${meta}, byte ${at}`).toEqual(content)
        fs.rmSync(out, { recursive: true })
        fs.writeFileSync(rowsPath(), bytes)
      }
    }
  })

  test('a file that is cut short gives the rest, and says between which keys rows are missing', async () => {
    const { doctors } = await filled()
    fs.truncateSync(rowsPath(), Math.floor(fs.statSync(rowsPath()).size / 2))
    const report = await salvage(path, out)
    expect(report.complete).toBe(false)
    const { doctors: found } = await resultOf(report)
    for (const [key, note] of Object.entries(found)) expect(doctors[key]).toBe(note)
  })

  test('garbage in place of the row file, or none: what is in the log is there, under a name of its own where the name is lost', async () => {
    await filled()
    const db = await open(path)
    await db.put(doctorsIn(db), 'new', 'logged')
    await db.put(db.table('later', { key: ['bigint', 'date'] }), [1n, new Date(5)], 1)
    const copy = join(scratch, 'copy')
    fs.cpSync(path, copy, { recursive: true })
    await db.close()
    for (const garble of [() => fs.writeFileSync(join(copy, 'rows.lmdb'), randomBytes(200_000)), () => fs.rmSync(join(copy, 'rows.lmdb'))]) {
      garble()
      const report = await salvage(copy, out)
      expect(report).toMatchObject({ complete: false, logCommits: 3 })
      expect(report.lostCommits.length).toBe(1)
      expect(report.tables).toEqual([
        { name: 'later', key: ['bigint', 'date'], rows: 1, renamed: false },
        { name: 'salvaged-1', key: ['string'], rows: 1, renamed: true },
      ])
      expect((await check(out)).findings).toEqual([])
      const salvaged = await open(out)
      expect(salvaged.get(salvaged.table('salvaged-1', { key: ['string'], schema: row<string>() }), 'new')).toBe('logged')
      await salvaged.close()
      fs.rmSync(out, { recursive: true })
    }
  })

  test('of the catalog: its tables get new names, and keep their rows', async () => {
    const { doctors, shifts } = await filled()
    const catalogKey = (name: string): Buffer => Buffer.from(encodeKey(tablePrefix(0), [name], ['string']), 'latin1')
    changeRows(bytes => {
      for (const name of ['doctors', 'shifts']) {
        const key = catalogKey(name)
        for (let at = bytes.indexOf(key); at >= 0; at = bytes.indexOf(key, at + 1)) bytes[at + key.length + 8]! ^= 1
      }
    })
    const report = await salvage(path, out)
    expect(report.tables.map(({ name, key, renamed }) => ({ name, key, renamed }))).toEqual([
      { name: 'salvaged-1', key: ['string'], renamed: true },
      { name: 'salvaged-2', key: ['number', 'string'], renamed: true },
    ])
    expect(report.findings).toContainEqual(expect.objectContaining({ part: 'catalog', table: 'salvaged-2' }))
    expect((await check(out)).findings).toEqual([])
    const db = await open(out)
    expect(Object.fromEntries(Array.from(db.range(db.table('salvaged-1', { key: ['string'], schema: row<string>() })), ({ key, value }) => [key, value]))).toEqual(doctors)
    expect(db.count(db.table('salvaged-2', { key: ['number', 'string'] }))).toBe(Object.keys(shifts).length)
    await db.close()
  })

  test('deleted rows stay deleted: with every page in turn zeroed, none comes back and none is outdated', { timeout: 120_000 }, async () => {
    const { doctors } = await filled()
    const bytes = fs.readFileSync(rowsPath())
    for (let page = 0; page < bytes.length / pageSizeBytes; page += 5) {
      changeRows(changed => pageOf(changed, page).fill(0))
      const report = await salvage(path, out)
      const { doctors: found } = await contentOf(out)
      for (const [key, note] of Object.entries(found)) expect(doctors[key], `page ${page}, ${key}`).toBe(note)
      if (Object.keys(found).length < Object.keys(doctors).length) expect(report.complete, `page ${page}`).toBe(false)
      fs.rmSync(out, { recursive: true })
      fs.writeFileSync(rowsPath(), bytes)
    }
  })
})

describe('a damaged log', () => {
  /** A copy of a database whose newest commits are in the log only: a row for each, and one that each of them replaces. */
  async function logged(): Promise<{ readonly copy: string; readonly segment: string; readonly firstTs: number }> {
    const db = await open(path)
    const doctors = doctorsIn(db)
    await doctors.ready
    const firstTs = db.stats().visibleTs + 1
    for (let i = 0; i < 20; i++) {
      await db.transaction(tx => {
        tx.put(doctors, doctor(i), `the note of doctor ${i} `)
        tx.put(doctors, 'last', `${i}`)
      })
    }
    const copy = join(scratch, 'copy')
    fs.cpSync(path, copy, { recursive: true })
    await db.close()
    return { copy, segment: join(copy, 'log', fs.readdirSync(join(copy, 'log'))[0]!), firstTs }
  }

  function changeLog(segment: string, change: (bytes: Buffer) => void): void {
    const bytes = fs.readFileSync(segment)
    change(bytes)
    fs.writeFileSync(segment, bytes)
  }
  const placeOf = (bytes: Buffer, i: number): number => bytes.indexOf(`the note of doctor ${i} `)

  test('in the middle: what is before and behind it is there, and the commits that are missing are named', async () => {
    const { copy, segment, firstTs } = await logged()
    changeLog(segment, bytes => {
      bytes[placeOf(bytes, 7)]! ^= 1
      bytes.fill(0, placeOf(bytes, 12) - 80, placeOf(bytes, 13) + 8)
    })
    const report = await salvage(copy, out)
    expect(report.lostCommits).toEqual([
      { from: firstTs + 7, to: firstTs + 7 },
      { from: firstTs + 12, to: firstTs + 13 },
    ])
    expect(report).toMatchObject({ complete: false, findings: [{ part: 'log' }] })
    const { doctors } = await resultOf(report)
    expect(doctors['last']).toBe('19')
    expect(Array.from({ length: 20 }, (_, i) => i).filter(i => !(doctor(i) in doctors))).toEqual([7, 12, 13])
  })

  test('whose records lie in each other’s places: they are taken in their order', async () => {
    const { copy, segment } = await logged()
    changeLog(segment, bytes => {
      const records: number[] = []
      for (let at = bytes.indexOf('PmRc'); at >= 0; at = bytes.indexOf('PmRc', at + 1)) records.push(at)
      const sizeBytes = records[5]! - records[4]!
      expect([sizeBytes > 64, records[8]! - records[7]!]).toEqual([true, sizeBytes])
      const kept = Buffer.from(bytes.subarray(records[4]!, records[5]!))
      bytes.copyWithin(records[4]!, records[7]!, records[8]!)
      kept.copy(bytes, records[7]!)
    })
    const report = await salvage(copy, out)
    expect(report).toMatchObject({ complete: false, lostCommits: [{}] })
    expect(report.lostCommits[0]!.to).toBeUndefined()
    const { doctors } = await resultOf(report)
    expect([Object.keys(doctors).length, doctors['last']]).toEqual([21, '19'])
  })

  test('at its head: the first record vouches for what follows', async () => {
    const { copy, segment } = await logged()
    changeLog(segment, bytes => bytes.fill(7, 8, 70))
    const report = await salvage(copy, out)
    expect(report).toMatchObject({ complete: false, lostCommits: [] })
    expect(Object.keys((await resultOf(report)).doctors)).toHaveLength(21)
  })

  test('at head and first record, or gone: that commits may be missing is said', async () => {
    const { copy, segment } = await logged()
    changeLog(segment, bytes => bytes.fill(7, 0, 200))
    expect((await salvage(copy, out)).lostCommits).toEqual([{ from: 1 }])
    fs.rmSync(out, { recursive: true })
    fs.rmSync(join(copy, 'log'), { recursive: true })
    expect(await salvage(copy, out)).toMatchObject({ complete: false, lostCommits: [{ from: 1 }] })
    await contentOf(out)
  })

  test('that holds only what the row file has loses nothing', async () => {
    const content = await filled()
    for (const name of fs.readdirSync(join(path, 'log'))) changeLog(join(path, 'log', name), bytes => bytes.fill(9, 0, 100))
    const report = await salvage(path, out)
    expect(report.complete).toBe(false)
    expect(await resultOf(report)).toEqual(content)
  })
})

describe('what is refused', () => {
  test('an OUT that holds something, or lies in PATH; a PATH that is open, or holds nothing', async () => {
    const db = await open(path)
    expect(await failureOf(() => salvage(path, out))).toMatchObject({ code: 'LOCKED' })
    await db.close()
    fs.mkdirSync(out)
    fs.writeFileSync(join(out, 'file'), '')
    for (const where of [out, join(out, 'file'), path, join(path, 'salvaged'), join(path, 'log', 'deep', 'down')]) {
      expect(await failureOf(() => salvage(path, where)), where).toMatchObject({ code: 'INVALID_ARGUMENT' })
    }
    expect(fs.readdirSync(path).toSorted()).toEqual(['log', 'owner', 'premisedb', 'rows.lmdb', 'rows.lmdb-lock'])
    const empty = join(scratch, 'empty')
    fs.mkdirSync(empty)
    expect(await failureOf(() => salvage(empty, join(scratch, 'new')))).toMatchObject({ code: 'NOT_A_DATABASE' })
    expect(await failureOf(() => salvage(join(scratch, 'none'), join(scratch, 'new')))).toMatchObject({ code: 'NOT_A_DATABASE' })
    expect(fs.readdirSync(empty)).toEqual([])
    expect(fs.existsSync(join(scratch, 'new'))).toBe(false)
    for (const args of [['', out], [path, ''], [':memory:', out], [path, undefined], [path, empty, null], [path, empty, { verbose: 1 }], [path, empty, { onProgress: 1 }]] as const) {
      expect(await failureOf(() => salvage(...(args as unknown as [string, string])))).toMatchObject({ code: 'INVALID_ARGUMENT' })
    }
  })

  test('a marker of a newer format is; one that is gone or garbled is a finding', async () => {
    const content = await filled()
    const marker = join(path, 'premisedb')
    fs.writeFileSync(marker, 'premisedb format 99\n')
    expect(await failureOf(() => salvage(path, out))).toMatchObject({ code: 'FORMAT_TOO_NEW' })
    for (const spoil of [() => fs.writeFileSync(marker, 'x'), () => fs.rmSync(marker)]) {
      spoil()
      const report = await salvage(path, out)
      expect(report).toMatchObject({ complete: false, problems: 1, findings: [{ part: 'marker' }] })
      expect(await resultOf(report)).toEqual(content)
      fs.rmSync(out, { recursive: true })
    }
  })

  test('without free space, or where an operation fails, nothing is left in OUT', async () => {
    await filled()
    fs.mkdirSync(out)
    for (const from of [0, 3]) {
      let looks = 0
      const statfsSync = ((where: string) => Object.assign(fs.statfsSync(where), looks++ >= from ? { bavail: 1 } : {})) as Files['statfsSync']
      const environment = { ...systemEnvironment, files: { ...systemEnvironment.files, statfsSync } }
      expect(await failureOf(() => salvageDirectory(path, out, {}, environment, { ...defaultLimits, stepSizeBytes: 10_000 }))).toMatchObject({ code: 'DISK_FULL' })
      expect(fs.readdirSync(out)).toEqual([])
    }
    const renameSync: Files['renameSync'] = () => {
      throw Object.assign(new Error('on purpose'), { code: 'EIO' })
    }
    const environment = { ...systemEnvironment, files: { ...systemEnvironment.files, renameSync } }
    expect(await failureOf(() => salvageDirectory(path, out, {}, environment, defaultLimits))).toMatchObject({ code: 'POISONED' })
    expect(fs.readdirSync(out)).toEqual([])
    await salvage(path, out)
    await contentOf(out)
  })

  test('an OUT that an interrupted salvage has left is no database', async () => {
    await filled()
    const left = join(scratch, 'left')
    const renameSync: Files['renameSync'] = (from, to) => {
      // As a crash at this moment would leave it.
      if (!fs.existsSync(left)) fs.cpSync(out, left, { recursive: true })
      fs.renameSync(from, to)
    }
    await salvageDirectory(path, out, {}, { ...systemEnvironment, files: { ...systemEnvironment.files, renameSync } }, defaultLimits)
    expect(fs.readdirSync(left)).not.toContain('premisedb')
    expect(await failureOf(() => open(left))).toMatchObject({ code: 'NOT_A_DATABASE' })
  })
})

test('pages that the disk does not give count as damaged', async () => {
  const { doctors, shifts } = await filled()
  const pages = pagesInUse(leafFlag)
  const bad = pages[1]
  const readSync = ((fd: number, buffer: Buffer, offset: number, length: number, position: number) => {
    const isRows = length === pageSizeBytes && position === bad! * pageSizeBytes
    if (isRows) throw Object.assign(new Error('on purpose'), { code: 'EIO' })
    return fs.readSync(fd, buffer, offset, length, position)
  }) as Files['readSync']
  const report = await salvageDirectory(path, out, {}, { ...systemEnvironment, files: { ...systemEnvironment.files, readSync } }, defaultLimits)
  expect(report.findings.some(({ problem }) => problem === `page ${bad} cannot be read`)).toBe(true)
  const { doctors: found, shifts: alsoFound } = await resultOf(report)
  expect(alsoFound).toEqual(shifts)
  for (const [key, note] of Object.entries(found)) expect(doctors[key]).toBe(note)
  expect(Object.keys(found).length).toBeGreaterThan(Object.keys(doctors).length - 200)
})

test('a directory that holds nothing but a row file gives its rows', async () => {
  const file = new RowFile(join(scratch, 'rows'), { readerSlots: 8, unsynced: true })
  file.write(batch => batch.put(encodeKey(tablePrefix(1), [1], ['number']), asTs(1), Buffer.from([1])))
  await file.close()
  fs.mkdirSync(path)
  fs.renameSync(join(scratch, 'rows'), rowsPath())
  const report = await salvage(path, out)
  expect(report.tables).toEqual([{ name: 'salvaged-1', key: ['number'], rows: 1, renamed: true }])
})

describe('premise salvage', () => {
  beforeAll(build)
  const premise = (...args: string[]) => spawnSync(process.execPath, [join(root, 'dist/engine/cli/premise.js'), 'salvage', ...args], { encoding: 'utf8' })

  test('ends with 0 where all was readable, with 1 and a list where something was not', async () => {
    const content = await filled()
    const sound = premise(path, out)
    expect(sound).toMatchObject({ status: 0, stderr: '' })
    expect(sound.stdout).toContain('Everything was readable')
    expect(await contentOf(out)).toEqual(content)
    fs.rmSync(out, { recursive: true })
    const pages = pagesInUse(leafFlag)
    changeRows(bytes => pageOf(bytes, pages[3]!).fill(0))
    const damaged = premise(path, out)
    expect(damaged).toMatchObject({ status: 1, signal: null, stderr: '' })
    expect(damaged.stdout).toMatch(/^pages: from table "doctors", row "doctor \d+" to .*: page \d+ /m)
    fs.rmSync(out, { recursive: true })
    const asJson = premise(path, out, '--json')
    expect(asJson.status).toBe(1)
    expect(JSON.parse(asJson.stdout)).toMatchObject({ complete: false, tables: [{ name: 'doctors' }, { name: 'shifts' }] })
  })

  test('ends with 2, and a sentence, for mistakes, where there is nothing, or somebody has it open', async () => {
    const db = await open(path)
    for (const [args, says] of [[[path], 'two directories'], [[path, out, out], 'two directories'], [[path, out], 'locked'], [[`${path}-none`, out], 'There is no'], [['--fast'], '--fast'], [[path, scratch], 'not empty']] as const) {
      const { status, stdout, stderr } = premise(...args)
      expect({ args, status, stdout }).toEqual({ args, status: 2, stdout: '' })
      expect(stderr).toContain(says)
    }
    await db.close()
    expect(premise('--help').stdout).toContain('premise salvage PATH OUT')
  })
})
