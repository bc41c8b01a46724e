/** Salvaging what a failing disk, somebody else or malice has made of a directory: it ends, in bounded time, with a report; nothing comes back that was replaced, and nobody else's files are touched. */
import * as fs from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { beforeEach, describe, expect, test } from 'vitest'
import { decodeSegmentHeader, segmentSeed } from '../../engine/encoding/records.js'
import { encodeKey, tablePrefix } from '../../engine/encoding/keys.js'
import { openFlags, systemEnvironment, type Files } from '../../engine/environment.js'
import { check, open, row, salvage, type Database, type SalvageReport } from '../../engine/index.js'
import { defaultLimits } from '../../engine/limits.js'
import { branchFlag, childOf, flagsOf, keyCountOf, leafFlag, nodeOf, overflowFlag, valueOf, type LongValue } from '../../engine/lmdb/pages.js'
import { findStates } from '../../engine/lmdb/row-file-states.js'
import { metadataKey, RowFile } from '../../engine/lmdb/row-file.js'
import { salvageDirectory } from '../../engine/salvage.js'
import { asKey, asTs } from '../../isolation/types.js'
import { failureOf, scratchDirectory } from '../support/databases.js'

const pageSizeBytes = 4_096
let path: string
let out: string

beforeEach(() => {
  const scratch = scratchDirectory()
  path = join(scratch, 'data')
  out = join(scratch, 'out')
})

const notesIn = (db: Database) => db.table('notes', { key: ['number'], schema: row<string>() })

/** Opens, writes and closes, once for each of these. */
async function write(...openings: readonly ReadonlyMap<number, string | undefined>[]): Promise<void> {
  for (const rows of openings) {
    const db = await open(path)
    const notes = notesIn(db)
    await db.transaction(tx => {
      for (const [key, note] of rows) {
        if (note === undefined) tx.delete(notes, key)
        else tx.put(notes, key, note)
      }
    })
    await db.close()
  }
}

const manyNotes = (count: number, of: (i: number) => string | undefined = i => `note ${i} `.repeat(20)): Map<number, string | undefined> =>
  new Map(Array.from({ length: count }, (_, i) => [i, of(i)] as const))

async function notesOf(directory: string): Promise<Map<number, string>> {
  const db = await open(directory)
  const found = new Map(Array.from(db.range(notesIn(db)), ({ key, value }) => [key, value]))
  await db.close()
  return found
}

const salvageWith = (files: Partial<Files>): Promise<SalvageReport> =>
  salvageDirectory(path, out, {}, { ...systemEnvironment, files: { ...systemEnvironment.files, ...files } }, defaultLimits)

const failing = (code: string): Error => Object.assign(new Error(`${code}: on purpose`), { code })

const rowsPath = (): string => join(path, 'rows.lmdb')
const pageOf = (bytes: Buffer, page: number): Buffer => bytes.subarray(page * pageSizeBytes, (page + 1) * pageSizeBytes)
const newestMeta = (bytes: Buffer): Buffer => [0, 1].map(page => pageOf(bytes, page)).toSorted((a, b) => b.readUInt32LE(152) - a.readUInt32LE(152))[0]!
const rootOfRows = (bytes: Buffer): number => newestMeta(bytes).readUInt32LE(96 + 40)
const rootOfFreeList = (bytes: Buffer): number => newestMeta(bytes).readUInt32LE(48 + 40)

function changeRows(change: (bytes: Buffer) => void): void {
  const bytes = fs.readFileSync(rowsPath())
  change(bytes)
  fs.writeFileSync(rowsPath(), bytes)
}

function leavesBelow(bytes: Buffer, root: number): number[] {
  const page = pageOf(bytes, root)
  if (flagsOf(page) !== branchFlag) return [root]
  return Array.from({ length: keyCountOf(page)! }, (_, i) => leavesBelow(bytes, childOf(page, nodeOf(page, i)!))).flat()
}

/** Where the free list names a single page that is a leaf. */
function wordsOfFreeLeaves(bytes: Buffer): number[] {
  const page = pageOf(bytes, rootOfFreeList(bytes))
  const words: number[] = []
  for (let i = 0; i < keyCountOf(page)!; i++) {
    const value = valueOf(page, nodeOf(page, i)!)
    if (value.is !== 'here') continue
    for (let at = 8; at < value.bytes.length; at += 8) {
      const word = Number(value.bytes.readBigInt64LE(at))
      if (word < 0) at += 8
      else if (word > 1 && (word + 1) * pageSizeBytes <= bytes.length && flagsOf(pageOf(bytes, word)) === leafFlag) words.push(value.bytes.byteOffset - bytes.byteOffset + at)
    }
  }
  return words
}

function longValuesIn(bytes: Buffer): LongValue[] {
  return leavesBelow(bytes, rootOfRows(bytes)).flatMap(leaf => {
    const page = pageOf(bytes, leaf)
    return Array.from({ length: keyCountOf(page)! }, (_, i) => valueOf(page, nodeOf(page, i)!)).filter(value => value.is === 'long')
  })
}

/** Fills a page with one node: an empty leaf but for this. */
function setOnlyNode(page: Buffer, key: Buffer, value: Buffer): void {
  const at = pageSizeBytes - (8 + key.length + value.length)
  page.fill(0, 24)
  page.writeUInt16LE(2, 20)
  page.writeUInt16LE(at - 24, 22)
  page.writeUInt16LE(at - 24, 24)
  page.writeUInt32LE(value.length, at)
  page.writeUInt16LE(key.length, at + 6)
  key.copy(page, at + 8)
  value.copy(page, at + 8 + key.length)
}

describe('what was replaced stays so', () => {
  test('where a page is missing in the free list, which has no other flaw: what lies in no tree is not taken', async () => {
    const changed = (round: number) => new Map(Array.from({ length: 60 }, (_, i) => [i * 37, i % 2 === 0 ? undefined : `changed ${round} `.repeat(20)] as const))
    await write(manyNotes(2_000), changed(1), changed(2))
    const current = await notesOf(path)
    const sound = fs.readFileSync(rowsPath())
    const words = wordsOfFreeLeaves(sound)
    expect(words.length).toBeGreaterThan(0)
    for (const word of words.slice(0, 10)) {
      const bytes = Buffer.from(sound)
      bytes.fill(0, word, word + 8)
      for (const leaf of leavesBelow(sound, rootOfRows(sound)).slice(1, -1)) pageOf(bytes, leaf).fill(0)
      fs.writeFileSync(rowsPath(), bytes)
      const report = await salvage(path, out)
      expect(report.findings.some(({ problem }) => problem.includes('pages are in use or free'))).toBe(true)
      for (const [key, note] of await notesOf(out)) expect(current.get(key)).toBe(note)
      fs.rmSync(out, { recursive: true })
    }
  })

  test('where a long value lies in another one’s place, which an opening notices too', async () => {
    const long = (word: string): Map<number, string> => new Map([[1, word.repeat(4_000)]])
    await write(long('former'))
    const before = fs.readFileSync(rowsPath())
    await write(long('second'))
    const [former] = longValuesIn(before)
    for (const repair of ['nothing', 'its number']) {
      changeRows(bytes => {
        const [value] = longValuesIn(bytes)
        expect(value!.length).toBe(former!.length)
        before.copy(bytes, value!.first * pageSizeBytes, former!.first * pageSizeBytes, (former!.first + former!.length) * pageSizeBytes)
        if (repair === 'its number') bytes.writeBigUInt64LE(BigInt(value!.first), value!.first * pageSizeBytes)
      })
      const report = await salvage(path, out)
      expect(report.findings).toContainEqual(expect.objectContaining({ part: 'rows', table: 'notes', key: 1, problem: expect.stringContaining('hold something else') as string }))
      expect(await notesOf(out)).toEqual(new Map())
      fs.rmSync(out, { recursive: true })
      expect(await failureOf(() => open(path))).toMatchObject({ code: 'CORRUPT' })
    }
  })
})

describe('somebody else’s files', () => {
  test.each(['there before', 'not there'])('a database that is made in OUT (%s) before salvage has locked it stays', async when => {
    await write(manyNotes(3))
    if (when === 'there before') fs.mkdirSync(out)
    const made = join(path, '..', 'made')
    fs.cpSync(path, made, { recursive: true })
    const openSync = ((file: string, ...more: [number, number]) => {
      if (file === join(out, 'owner')) fs.cpSync(made, out, { recursive: true })
      return fs.openSync(file, ...more)
    }) as Files['openSync']
    const before = fs.readFileSync(join(made, 'rows.lmdb'))
    expect(await failureOf(() => salvageWith({ openSync }))).toMatchObject({ code: 'INVALID_ARGUMENT' })
    expect(fs.readFileSync(join(out, 'rows.lmdb')).equals(before)).toBe(true)
    expect((await notesOf(out)).size).toBe(3)
  })

  test.each(['there before', 'not there'])('a file that is put into OUT (%s) meanwhile is left where salvage fails', async when => {
    await write(manyNotes(3))
    if (when === 'there before') fs.mkdirSync(out)
    const renameSync: Files['renameSync'] = () => {
      fs.writeFileSync(join(out, 'precious'), 'mine')
      throw failing('EIO')
    }
    expect(await failureOf(() => salvageWith({ renameSync }))).toMatchObject({ code: 'POISONED' })
    expect(fs.readdirSync(out)).toEqual(['precious'])
  })

  test('OUT as a link that leads nowhere is refused', async () => {
    await write(manyNotes(3))
    fs.symlinkSync(join(path, 'nowhere', 'at', 'all'), out)
    expect(await failureOf(() => salvage(path, out))).toMatchObject({ code: 'INVALID_ARGUMENT' })
  })
})

describe('a disk that fails', () => {
  test.each(['EIO', 'EBADMSG', 'EUCLEAN', 'EREMOTEIO'])('with %s at any one place ends no salvage', { timeout: 60_000 }, async code => {
    await write(new Map([...manyNotes(100), [50, 'long '.repeat(4_000)]]), manyNotes(10, i => `again ${i}`))
    const names = new Map<number, string>()
    const openSync = ((file: string, ...more: [number, number]) => {
      const fd = fs.openSync(file, ...more)
      names.set(fd, file)
      return fd
    }) as Files['openSync']
    const current = await notesOf(path)
    const hit = new Set<string>()
    for (let place = 0; ; place++) {
      let left = place
      let isHit = false
      const readSync = ((fd: number, ...more: [Buffer, number, number, number]) => {
        if (names.get(fd)!.startsWith(path) && left-- === 0) {
          isHit = true
          hit.add(names.get(fd)!.slice(path.length))
          throw failing(code)
        }
        return fs.readSync(fd, ...more)
      }) as Files['readSync']
      await salvageWith({ openSync, readSync })
      if (!isHit) break
      for (const [key, note] of await notesOf(out)) expect(current.get(key)).toBe(note)
      fs.rmSync(out, { recursive: true })
    }
    expect([...hit].map(name => name.split('/')[1]).toSorted((a, b) => (a! < b! ? -1 : 1))).toEqual(['log', 'premisedb', 'rows.lmdb'])
  })

  const readOnly = (code: string): Files['openSync'] =>
    ((file: string, flags: number, mode: number) => {
      if (file.startsWith(path) && (flags & (openFlags.O_RDWR | openFlags.O_WRONLY | openFlags.O_CREAT)) !== 0) throw failing(code)
      return fs.openSync(file, flags, mode)
    }) as Files['openSync']

  test.each(['EROFS', 'EACCES'])('and can only be read (%s) is salvaged from, unless somebody owns the database', async code => {
    await write(manyNotes(20))
    const db = await open(path)
    expect(await failureOf(() => salvageWith({ openSync: readOnly(code) }))).toMatchObject({ code: 'LOCKED' })
    fs.rmSync(join(path, 'owner'))
    expect(await failureOf(() => salvageWith({ openSync: readOnly(code) }))).toMatchObject({ code: 'LOCKED' }) // by the marker
    await db.close()
    for (const owner of ['missing', 'there']) {
      if (owner === 'there') fs.writeFileSync(join(path, 'owner'), 'nobody')
      const report = await salvageWith({ openSync: readOnly(code) })
      expect({ owner, complete: report.complete, rows: (await notesOf(out)).size }).toEqual({ owner, complete: true, rows: 20 })
      fs.rmSync(out, { recursive: true })
    }
    expect(fs.readFileSync(join(path, 'owner'), 'utf8')).toBe('nobody')
  })

  test('and gives directories in place of files: what is elsewhere is read', async () => {
    await write(manyNotes(20))
    for (const name of ['owner', 'premisedb', 'rows.lmdb']) {
      fs.rmSync(join(path, name))
      fs.mkdirSync(join(path, name))
      await salvage(path, out)
      if (name !== 'rows.lmdb') expect((await notesOf(out)).size).toBe(20)
      fs.rmSync(out, { recursive: true })
    }
  })
})

/** Each of them kept earlier versions busy for minutes. */
describe('made up to take long', { timeout: 20_000 }, () => {
  test('a free list that names all pages again and again', async () => {
    await write(manyNotes(3))
    changeRows(bytes => {
      const pages = 2 ** 24
      newestMeta(bytes).writeBigUInt64LE(BigInt(pages - 1), 144)
      const runs = Buffer.alloc(8 * 401)
      runs.writeBigInt64LE(400n, 0)
      for (let at = 8; at < runs.length; at += 16) {
        runs.writeBigInt64LE(-BigInt(pages - 3), at)
        runs.writeBigInt64LE(2n, at + 8)
      }
      setOnlyNode(pageOf(bytes, rootOfFreeList(bytes)), Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]), runs)
    })
    expect((await salvage(path, out)).complete).toBe(false)
    await notesOf(out)
  })

  test('rows that all name the same long value: it is not read for each of them', async () => {
    await write(new Map([...manyNotes(2_000), [5_000, 'x'.repeat(200_000)]]))
    changeRows(bytes => {
      const [{ first, transaction, length, sizeBytes }] = longValuesIn(bytes) as [LongValue]
      for (const leaf of leavesBelow(bytes, rootOfRows(bytes)).slice(2, 40)) {
        const page = pageOf(bytes, leaf)
        let at = pageSizeBytes
        page.fill(0, 24)
        for (let i = 0; i < 100; i++) {
          at -= 8 + 2 + 24
          page.writeUInt16LE(at - 24, 24 + 2 * i)
          page.writeUInt32LE(sizeBytes, at)
          page.writeUInt16LE(1, at + 4)
          page.writeUInt16LE(2, at + 6)
          page.writeUInt16BE(i, at + 8)
          for (const [j, word] of [first, transaction, length].entries()) page.writeBigUInt64LE(BigInt(word), at + 10 + 8 * j)
        }
        page.writeUInt16LE(200, 20)
        page.writeUInt16LE(at - 24, 22)
      }
      expect(flagsOf(pageOf(bytes, first))).toBe(overflowFlag)
    })
    let readBytes = 0
    const readSync = ((fd: number, buffer: Buffer, offset: number, length: number, at: number) => {
      if (length > pageSizeBytes) readBytes += length
      return fs.readSync(fd, buffer, offset, length, at)
    }) as Files['readSync']
    expect((await salvageWith({ readSync })).complete).toBe(false)
    expect(readBytes).toBeLessThan(8 * fs.statSync(rowsPath()).size)
  })

  test('records whose bodies overlap, and have other checksums', async () => {
    await write(manyNotes(3))
    const segment = join(path, 'log', fs.readdirSync(join(path, 'log'))[0]!)
    const header = decodeSegmentHeader(fs.readFileSync(segment))
    if (typeof header !== 'object') throw new Error('a header is there')
    const seed = segmentSeed(header)
    const bytes = Buffer.alloc(16 * 1_024 * 1_024)
    fs.readFileSync(segment).copy(bytes, 0, 0, 80)
    for (let i = 0; i < 5_000; i++) {
      const record = bytes.subarray(80 + i * 64, 80 + (i + 1) * 64)
      const words = [0x63526d50, 1, bytes.length - 80 - (i + 1) * 64, 1, i + 1, 0, header.incarnation, 0, 1_000 + i, 0, 1_000 + i, 0, bytes.length, 0, seed]
      for (const [j, word] of words.entries()) record.writeUInt32LE(word, j * 4)
      record.writeUInt32LE(crc32(record.subarray(0, 60), seed), 60)
    }
    fs.writeFileSync(segment, bytes)
    expect((await salvage(path, out)).complete).toBe(false)
    expect((await notesOf(out)).size).toBe(3)
  })

  test('where all pages must be looked at, others may work in between', async () => {
    await write(manyNotes(20_000))
    changeRows(bytes => pageOf(bytes, 0).fill(0))
    const fd = fs.openSync(rowsPath(), 'r')
    const search = findStates(fs, fd)
    let steps = 0
    while (!search.next().done) steps++
    fs.closeSync(fd)
    expect(steps).toBeGreaterThan(fs.statSync(rowsPath()).size / pageSizeBytes / 128)
  })
})

describe('numbers that nobody can have given', () => {
  const highest = 2 ** 48 - 1
  const noteKey = (n: number) => encodeKey(tablePrefix(1), [n], ['number'])

  test.each([
    ['a timestamp', highest, Buffer.alloc(6, 1), 0],
    ['a number of openings', 1, Buffer.alloc(6, 0xff), 1],
    ['no number of openings', 1, Buffer.alloc(2), 1],
    ['a timestamp of what the file says of itself', highest, Buffer.alloc(6, 1), 1],
  ])('%s: the new database can be opened, and written to', async (what, ts, metadata, rows) => {
    fs.mkdirSync(path)
    const file = new RowFile(rowsPath(), { readerSlots: 8, unsynced: true })
    file.write(batch => {
      batch.put(noteKey(1), asTs(what === 'a timestamp' ? ts : 1), Buffer.from([1]))
      batch.put(metadataKey, asTs(ts), metadata)
      batch.put(asKey('\xffsummary \x00'), asTs(1), Buffer.alloc(1))
    })
    await file.close()
    const report = await salvage(path, out)
    expect(report).toMatchObject({ complete: false, rows: rows * 2 })
    expect((await check(out)).findings).toEqual([])
    const db = await open(out)
    await db.put(notesIn(db), 2, 'new')
    expect(db.get(notesIn(db), 2)).toBe('new')
    await db.close()
  })
})
