/** Compaction: smaller afterwards, the same rows, and at every moment a directory that opens with all of them. */
import { spawn, spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { open as openLmdb } from 'lmdb'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { compactDirectory } from '../../engine/compact.js'
import { Database } from '../../engine/database.js'
import { systemEnvironment, type Environment, type Files } from '../../engine/environment.js'
import { check, compact, open } from '../../engine/index.js'
import { defaultLimits, type Limits } from '../../engine/limits.js'
import { openEngine } from '../../engine/open.js'
import { build, root } from '../tidy/project.js'

const program = fileURLToPath(new URL('compact-child.mjs', import.meta.url))
const scratch: string[] = []
/** Steps so small that there are many. */
const smallSteps: Limits = { ...defaultLimits, stepSizeBytes: 20_000 }

/** Processes are killed at every so manieth file operation; `KILL_STRIDE=1` is at each. */
const stride = Number(process.env['KILL_STRIDE'] ?? 4)

beforeAll(build)

afterEach(() => {
  for (const path of scratch.splice(0)) fs.rmSync(path, { recursive: true, force: true })
})

function scratchDirectory(): string {
  const path = fs.mkdtempSync(join(tmpdir(), 'premisedb-compact-'))
  scratch.push(path)
  return path
}

const wordsIn = (db: Database) => db.table('words', { key: ['number', 'string'] })
const valueOf = (i: number): unknown => (i % 500 === 0 ? 'v'.repeat(20_000) : { i, text: 'v'.repeat(i % 90) })

/** A closed database: 4,000 rows in the row file, of which three quarters have been deleted and some replaced, in two tables. */
async function sparse(): Promise<string> {
  const directory = join(scratchDirectory(), 'data')
  const db = new Database(openEngine(directory, {}, { limits: { windowCheckpointSizeBytes: 100_000 } }))
  const words = wordsIn(db)
  for (let from = 0; from < 4_000; from += 500) {
    db.transactionSync(tx => {
      for (let i = from; i < from + 500; i++) tx.put(words, [i, `word ${i}`], valueOf(i))
      tx.put(db.table('other', { key: ['bigint'] }), BigInt(from), 'other')
    })
  }
  db.transactionSync(tx => tx.deleteRange(words, { gte: [1_000] }))
  for (let i = 0; i < 20; i++) await db.put(words, [i, `word ${i}`], 'replaced')
  await db.close()
  return directory
}

const expectedWords = (): [number, unknown][] => Array.from({ length: 1_000 }, (_, i) => [i, i < 20 ? 'replaced' : valueOf(i)])

/** What a directory holds, found by opening it; and that nothing lies about. */
async function holdsAll(directory: string, when: string, more: readonly [number, unknown][] = []): Promise<void> {
  const db = await open(directory)
  const found = Array.from(db.range(wordsIn(db)), ({ key, value }) => [key[0], value])
  expect(found.length, when).toBe(1_000 + more.length)
  expect(JSON.stringify(found) === JSON.stringify([...expectedWords(), ...more]), when).toBe(true)
  expect(db.count(db.table('other', { key: ['bigint'] })), when).toBe(8)
  await db.close()
  expect(fs.readdirSync(directory).toSorted(), when).toEqual(['log', 'owner', 'premisedb', 'rows.lmdb', 'rows.lmdb-lock'])
}

const rowFileSize = (directory: string): number => fs.statSync(join(directory, 'rows.lmdb')).size
const codeOf = (promise: Promise<unknown>): Promise<unknown> => promise.then(() => 'none', (error: unknown) => (error as { code?: unknown }).code)
const compactIn = (directory: string, files: Files): ReturnType<typeof compact> => compactDirectory(directory, { ...systemEnvironment, files }, smallSteps)

/** A machine whose disk has no free space when `isFull` says so. */
function whereSpaceEnds(isFull: () => boolean): Environment {
  const statfsSync = ((path: string) => Object.assign(fs.statfsSync(path), isFull() ? { bavail: 1 } : {})) as Files['statfsSync']
  return { ...systemEnvironment, files: { ...systemEnvironment.files, statfsSync } }
}

describe('a closed database', () => {
  test('takes less space afterwards, holds the same rows, and is sound', async () => {
    const directory = await sparse()
    const beforeSizeBytes = rowFileSize(directory)
    const report = await compact(directory)
    expect(report).toEqual({ rows: 1_000 + 8 + 2, beforeSizeBytes, afterSizeBytes: rowFileSize(directory) })
    expect(report.afterSizeBytes).toBeLessThan(beforeSizeBytes / 2)
    expect(fs.statSync(join(directory, 'rows.lmdb')).mode & 0o777).toBe(0o600)
    expect(await check(directory)).toMatchObject({ sound: true, rows: report.rows })
    await holdsAll(directory, 'compacted')
    expect((await compact(directory)).afterSizeBytes).toBeLessThanOrEqual(report.afterSizeBytes + 8_192)
    await holdsAll(directory, 'compacted again')
  })

  test('goes on being written to, and compacted, again and again', async () => {
    const directory = await sparse()
    const more: [number, unknown][] = []
    for (let round = 0; round < 4; round++) {
      await compactDirectory(directory, systemEnvironment, smallSteps)
      const db = await open(directory)
      more.push([10_000 + round, round])
      await db.put(wordsIn(db), [10_000 + round, 'more'], round)
      await db.close()
      await holdsAll(directory, `round ${round}`, more)
    }
  })

  test('without any row is compacted too', async () => {
    const directory = join(scratchDirectory(), 'data')
    await (await open(directory)).close()
    expect(await compact(directory)).toMatchObject({ rows: 0 })
    const db = await open(directory)
    expect(db.stats().rowFile.rows).toBe(0)
    await db.close()
  })

  test('whose process died keeps what is only in its log', async () => {
    const original = await sparse()
    const db = await open(original)
    const more: [number, unknown][] = Array.from({ length: 30 }, (_, i) => [20_000 + i, i])
    for (const [i, value] of more) await db.put(wordsIn(db), [i, 'logged'], value)
    const copy = join(scratchDirectory(), 'copy')
    fs.cpSync(original, copy, { recursive: true })
    await db.close()
    await compact(copy)
    await holdsAll(copy, 'compacted after a crash', more)
  })

  test('that is open is LOCKED; what is none is refused, and left alone', async () => {
    const directory = await sparse()
    const db = await open(directory)
    expect(await codeOf(compact(directory))).toBe('LOCKED')
    expect(db.count(wordsIn(db))).toBe(1_000)
    await db.close()
    await holdsAll(directory, 'refused')
    const empty = scratchDirectory()
    expect(await codeOf(compact(empty))).toBe('NOT_A_DATABASE')
    expect(await codeOf(compact(join(empty, 'missing')))).toBe('NOT_A_DATABASE')
    expect(fs.readdirSync(empty)).toEqual([])
    for (const path of ['', ':memory:', undefined as unknown as string]) expect(await codeOf(compact(path))).toBe('INVALID_ARGUMENT')
  })
})

describe('db.compact', () => {
  test('closes the database, compacts it before the directory is given free, and loses nothing that was accepted', async () => {
    const directory = await sparse()
    const beforeSizeBytes = rowFileSize(directory)
    const db = await open(directory)
    const words = wordsIn(db)
    const accepted = db.put(words, [30_000, 'accepted'], 'yes')
    const compacting = db.compact()
    expect(await codeOf(db.compact())).toBe('CLOSED')
    expect(await codeOf(db.put(words, [1, 'late'], 1))).toBe('CLOSED')
    const report = await compacting
    await accepted
    await db.close()
    expect(report).toMatchObject({ beforeSizeBytes, afterSizeBytes: rowFileSize(directory) })
    expect(report.afterSizeBytes).toBeLessThan(beforeSizeBytes / 2)
    await holdsAll(directory, 'compacted at its end', [[30_000, 'yes']])
  })

  test('that finds no space leaves the database closed, and as it was', async () => {
    const directory = await sparse()
    const before = fs.readFileSync(join(directory, 'rows.lmdb')).length
    let full = false
    const db = new Database(openEngine(directory, {}, { environment: whereSpaceEnds(() => full) }))
    await db.put(wordsIn(db), [40_000, 'more'], 1)
    full = true
    expect(await codeOf(db.compact())).toBe('DISK_FULL')
    await db.close()
    expect(() => db.get(wordsIn(db), [1, 'word 1'])).toThrow(expect.objectContaining({ code: 'CLOSED' }) as Error)
    expect(rowFileSize(directory)).toBe(before)
    await holdsAll(directory, 'without space', [[40_000, 1]])
  })

  test("is refused in a body, and for ':memory:', and then closes nothing", async () => {
    const db = await open(':memory:')
    await db.put(wordsIn(db), [1, 'a'], 1)
    expect(await codeOf(db.compact())).toBe('INVALID_ARGUMENT')
    let inside: Promise<unknown> | undefined
    await db.transaction(() => void (inside = codeOf(db.compact())))
    expect(await inside).toBe('OUTSIDE_TRANSACTION')
    expect(db.count(wordsIn(db))).toBe(1)
    await db.close()
  })
})

describe('what is interrupted', () => {
  test('by kill -9 before any file operation leaves the old file or the new one, complete', { timeout: 120_000 }, async () => {
    const directory = await sparse()
    let n = 1
    let replaced = 0
    for (; ; n += stride) {
      const inode = fs.statSync(join(directory, 'rows.lmdb')).ino
      const { status, signal } = spawnSync(process.execPath, [program, directory, String(n)], { stdio: ['ignore', 'ignore', 'inherit'] })
      if (signal === 'SIGKILL' && fs.statSync(join(directory, 'rows.lmdb')).ino !== inode) replaced++
      await holdsAll(directory, `killed before operation ${n}`)
      if (status === 0) break
      expect(signal, `operation ${n}`).toBe('SIGKILL')
    }
    expect(n).toBeGreaterThan(20)
    expect(replaced).toBeGreaterThan(0)
  })

  test('by kill -9 at a moment of the copying does so too, whatever LMDB was doing', { timeout: 120_000 }, async () => {
    const directory = await sparse()
    let killed = 0
    for (let round = 0; round < 8; round++) {
      const child = spawn(process.execPath, [program, directory], { stdio: ['ignore', 'pipe', 'inherit'] })
      const ended = new Promise<string | null>(resolve => child.once('close', (_status, signal) => resolve(signal)))
      await new Promise(resolve => child.stdout.once('data', resolve))
      await sleep(round * 6)
      child.kill('SIGKILL')
      if ((await ended) === 'SIGKILL') killed++
      await holdsAll(directory, `round ${round}`)
    }
    expect(killed).toBeGreaterThan(2)
  })

  test('by an error of any file operation is told, changes nothing that matters, and can be done again', { timeout: 120_000 }, async () => {
    const directory = await sparse()
    let failures = 0
    for (let n = 1; ; n++) {
      let count = 0
      const files = new Proxy(systemEnvironment.files, {
        get(target, name) {
          const operation = Reflect.get(target, name) as unknown
          if (typeof operation !== 'function') return operation
          return (...args: unknown[]): unknown => {
            if (++count !== n) return Reflect.apply(operation, target, args)
            // A close that fails has closed all the same.
            if (name === 'closeSync') Reflect.apply(operation, target, args)
            throw Object.assign(new Error('on purpose'), { code: 'EIO' })
          }
        },
      })
      const code = await codeOf(compactIn(directory, files))
      await holdsAll(directory, `operation ${n} failed`)
      if (code === 'none') {
        // All that may be left undone is the release of a descriptor.
        if (count < n) break
        continue
      }
      failures++
    }
    expect(failures).toBeGreaterThan(20)
  })

  test('leaves remains that the next opening, and the next compaction, remove', async () => {
    const directory = await sparse()
    const leave = (): void => ['rows.lmdb.new', 'rows.lmdb.new-lock'].forEach(name => fs.writeFileSync(join(directory, name), 'half'))
    leave()
    await holdsAll(directory, 'opened')
    leave()
    await compact(directory)
    await holdsAll(directory, 'compacted')
  })
})

describe('what must not be copied', () => {
  const isUnchanged = async (directory: string, action: () => Promise<unknown>): Promise<unknown> => {
    const before = fs.readFileSync(join(directory, 'rows.lmdb'))
    const code = await action()
    expect(fs.readFileSync(join(directory, 'rows.lmdb')).equals(before)).toBe(true)
    expect(fs.existsSync(join(directory, 'rows.lmdb.new'))).toBe(false)
    return code
  }

  test('a row whose checksum fails is CORRUPT, and the old file stays', async () => {
    const directory = await sparse()
    const path = join(directory, 'rows.lmdb')
    const bytes = fs.readFileSync(path)
    // In every copy of the row, for only one of them is in the newest state.
    for (let at = bytes.indexOf('v'.repeat(60)); at !== -1; at = bytes.indexOf('v'.repeat(60), at + 200)) bytes[at] = 119
    fs.writeFileSync(path, bytes)
    expect(await isUnchanged(directory, () => codeOf(compact(directory)))).toBe('CORRUPT')
  })

  test('a file from which a row has vanished is CORRUPT, and stays', async () => {
    const directory = await sparse()
    const lmdb = openLmdb({ path: join(directory, 'rows.lmdb'), noSubdir: true, encoding: 'binary', keyEncoding: 'binary', overlappingSync: false })
    const [victim] = [...lmdb.getKeys({ offset: 500, limit: 1 })]
    lmdb.transactionSync(() => void lmdb.removeSync(victim!))
    await lmdb.close()
    expect(await isUnchanged(directory, () => codeOf(compact(directory)))).toBe('CORRUPT')
  })

  test('without free space nothing is begun, and a step that would not fit ends it', async () => {
    const directory = await sparse()
    for (const steps of [0, 1, 3]) {
      let looks = 0
      const environment = whereSpaceEnds(() => looks++ >= steps)
      expect(await isUnchanged(directory, () => codeOf(compactDirectory(directory, environment, smallSteps)))).toBe('DISK_FULL')
      expect(looks).toBe(steps + 1)
    }
    await holdsAll(directory, 'afterwards')
  })
})

describe('premise compact', () => {
  const premise = (...args: string[]) => spawnSync(process.execPath, [join(root, 'dist/engine/cli/premise.js'), 'compact', ...args], { encoding: 'utf8' })

  test('says what it did, in words or as JSON', async () => {
    const directory = await sparse()
    const beforeSizeBytes = rowFileSize(directory)
    const { status, stdout } = premise(directory, '--json')
    expect(status).toBe(0)
    expect(JSON.parse(stdout)).toEqual({ rows: 1_010, beforeSizeBytes, afterSizeBytes: rowFileSize(directory) })
    const again = premise(directory)
    expect(again.status).toBe(0)
    expect(again.stdout).toMatch(/^1010 rows: \d+\.\d MB before, \d+\.\d MB now\.\n$/)
    await holdsAll(directory, 'compacted by the command')
  })

  test('ends with 2, and a sentence, where there is nothing to compact or somebody has it open', async () => {
    const directory = await sparse()
    const db = await open(directory)
    for (const [args, says] of [[[], 'one directory'], [[directory, 'x'], 'one directory'], [[directory], 'locked'], [[`${directory}-none`], 'There is no'], [['--fast'], '--fast']] as const) {
      const { status, stdout, stderr } = premise(...args)
      expect({ args, status, stdout }).toEqual({ args, status: 2, stdout: '' })
      expect(stderr).toContain(says)
    }
    await db.close()
    expect(premise('--help').stdout).toContain('premise compact PATH')
  })
})
