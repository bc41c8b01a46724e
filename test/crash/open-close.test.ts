/** Opening and closing from outside: one owner, creation that may stop anywhere, files that are not what they should be, and an end that loses nothing. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Database } from '../../engine/database.js'
import { systemEnvironment, type Environment } from '../../engine/environment.js'
import { check, compact, open } from '../../engine/index.js'
import { openEngine } from '../../engine/open.js'
import { build } from '../tidy/project.js'

const program = fileURLToPath(new URL('open-close-child.mjs', import.meta.url))
const scratch: string[] = []
const children: ChildProcess[] = []

/** Processes are killed at every so manieth file operation of an opening; `KILL_STRIDE=1` is at each. */
const stride = Number(process.env['KILL_STRIDE'] ?? 5)

beforeAll(build)

afterEach(async () => {
  for (const child of children.splice(0)) await killed(child)
  for (const path of scratch.splice(0)) fs.rmSync(path, { recursive: true, force: true })
})

function scratchDirectory(): string {
  const path = fs.mkdtempSync(join(tmpdir(), 'premisedb-open-'))
  scratch.push(path)
  return path
}

/** Runs the child program to its end. */
function inChild(command: string, directory: string, n = 0): { said: Record<string, unknown>[]; status: number | null; signal: string | null; complaint: string } {
  const { stdout, stderr, status, signal } = spawnSync(process.execPath, [program, command, directory, String(n)], { encoding: 'utf8', timeout: 20_000 })
  const said = stdout.split('\n').filter(Boolean).map(line => JSON.parse(line) as Record<string, unknown>)
  return { said, status, signal, complaint: stderr }
}

async function holder(directory: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [program, 'hold', directory], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  const said = await new Promise<string>(resolve => child.stdout.once('data', (text: Buffer) => resolve(text.toString())))
  expect(JSON.parse(said)).toEqual({ opened: child.pid })
  return child
}

function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  const ended = new Promise<void>(resolve => child.once('close', () => resolve()))
  child.kill('SIGKILL')
  return ended
}

const namesIn = (directory: string): string[] => fs.readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort()
const numbersIn = (db: Database) => db.table('numbers', { key: ['number'] })
type Failure = { readonly code?: unknown; readonly message: string }
const failureOf = (promise: Promise<unknown>): Promise<Failure> => promise.then(() => ({ message: 'it succeeded' }), (error: unknown) => error as Failure)
const codeOf = async (promise: Promise<unknown>): Promise<unknown> => (await failureOf(promise)).code

/** A closed database with rows in the row file. */
async function filled(rows = 2_000): Promise<string> {
  const directory = join(scratchDirectory(), 'data')
  const db = await open(directory)
  db.transactionSync(tx => {
    for (let i = 0; i < rows; i++) tx.put(numbersIn(db), i, 'v'.repeat(100))
  })
  await db.close()
  return directory
}

async function rowsIn(directory: string): Promise<number> {
  const db = await open(directory)
  const count = db.count(numbersIn(db))
  await db.close()
  return count
}

describe('one owner', () => {
  test('a second opener in the same process is refused with the owner named, also by another path, and the owner goes on', async () => {
    const directory = await filled(10)
    const link = `${directory}-link`
    fs.symlinkSync(directory, link)
    const owner = await open(directory)
    for (const path of [directory, link, `${directory}/../data/`]) {
      const { code, message } = await failureOf(open(path))
      expect(code).toBe('LOCKED')
      expect(message).toContain(`process ${process.pid} on `)
    }
    await owner.put(numbersIn(owner), 10, 'after the refusal')
    expect(owner.count(numbersIn(owner))).toBe(11)
    await owner.close()
    expect(await rowsIn(link)).toBe(11)
  })

  test('another process is refused with the owner named, also by another path, and the owner goes on', async () => {
    const directory = await filled(10)
    const link = `${directory}-link`
    fs.symlinkSync(directory, link)
    const owner = await open(directory)
    for (const path of [directory, link]) {
      const { said, status } = inChild('read', path)
      expect(status).toBe(0)
      expect(said).toEqual([{ code: 'LOCKED', message: expect.stringContaining(`process ${process.pid} on `) as unknown }])
    }
    await owner.put(numbersIn(owner), 10, 'after the refusal')
    await owner.close()
    expect(inChild('read', directory).said).toEqual([{ rows: 11 }])
  })

  test('the owner is in another process: it is named, and the lock is free at once after kill -9', async () => {
    const directory = await filled(0)
    for (let round = 0; round < 3; round++) {
      const child = await holder(directory)
      const { code, message } = await failureOf(open(directory))
      expect(code).toBe('LOCKED')
      expect(message).toContain(`process ${child.pid} on `)
      await killed(child)
      expect(await rowsIn(directory)).toBe(1)
    }
  })

  test('who takes the file "owner" for the leftover of a crash and removes it lets nobody in', async () => {
    const directory = await filled(10)
    const owner = await open(directory)
    fs.rmSync(join(directory, 'owner'))
    const { code, message } = await failureOf(open(directory))
    expect(code).toBe('LOCKED')
    expect(message).toContain('another process, whose file "owner" was removed')
    expect(inChild('read', directory).said).toEqual([{ code: 'LOCKED', message: expect.any(String) as unknown }])
    expect(await codeOf(check(directory))).toBe('LOCKED')
    expect(await codeOf(compact(directory))).toBe('LOCKED')
    await owner.put(numbersIn(owner), 10, 'after the refusals')
    await owner.close()
    expect(await rowsIn(directory)).toBe(11)
  })

  test('of two that make a directory at once the second finds the other, not an error of the system', async () => {
    const directory = join(scratchDirectory(), 'data')
    let first: Database | undefined
    const mkdirSync = ((path: string, options: fs.MakeDirectoryOptions) => {
      if (path === directory) first ??= new Database(openEngine(directory, {}, {}))
      return fs.mkdirSync(path, options)
    }) as typeof fs.mkdirSync
    const environment: Environment = { ...systemEnvironment, files: { ...systemEnvironment.files, mkdirSync } }
    expect(await codeOf((async () => openEngine(directory, {}, { environment }))())).toBe('LOCKED')
    await first!.close()
    expect(await rowsIn(directory)).toBe(0)
  })

  test('no directory above a new database can be lost, whoever has made it', async () => {
    const top = scratchDirectory()
    const directory = join(top, 'above', 'data')
    fs.mkdirSync(directory, { recursive: true }) // by an opener that was killed at once, say
    const synced = new Set<string>()
    const fsyncSync = (fd: number): void => void synced.add(fs.readlinkSync(`/proc/self/fd/${fd}`))
    const environment: Environment = { ...systemEnvironment, files: { ...systemEnvironment.files, fsyncSync } }
    const db = new Database(openEngine(directory, {}, { environment }))
    expect([...synced]).toEqual(expect.arrayContaining([directory, join(top, 'above'), top, '/']))
    await db.close()
  })

  test('a database whose creation ended before it had a log is sound, and opens', async () => {
    const directory = join(scratchDirectory(), 'data')
    await (await open(directory)).close()
    fs.rmSync(join(directory, 'log'), { recursive: true })
    expect(await check(directory)).toMatchObject({ sound: true, findings: [] })
    expect(await rowsIn(directory)).toBe(0)
  })

  test('a refused opener leaves the files of the owner as they are', async () => {
    const directory = await filled(10)
    const owner = await open(directory)
    const before = namesIn(directory)
    const contents = (): string[] => ['premisedb', 'owner', 'rows.lmdb'].map(name => fs.readFileSync(join(directory, name), 'latin1'))
    const bytes = contents()
    expect(await codeOf(open(directory))).toBe('LOCKED')
    inChild('read', directory)
    expect(namesIn(directory)).toEqual(before)
    expect(contents()).toEqual(bytes)
    await owner.close()
  })
})

describe('creation', () => {
  test('makes missing directories, and everything private: directories 0700, files 0600', async () => {
    const root = scratchDirectory()
    const before = process.umask(0)
    try {
      const directory = join(root, 'missing/data')
      const db = new Database(openEngine(directory, {}, { limits: { segmentSizeBytes: 4_096, logReserveSizeBytes: 4_096, windowCheckpointSizeBytes: 10_000 } }))
      for (let i = 0; i < 50; i++) await db.put(numbersIn(db), i, 'v'.repeat(1_000))
      await db.close()
      await (await open(directory)).close()
      const paths = ['missing', 'missing/data', ...fs.readdirSync(directory, { recursive: true, encoding: 'utf8' }).map(name => `missing/data/${name}`)]
      const modes = paths.map(path => fs.statSync(join(root, path))).map(stat => [stat.isDirectory(), stat.mode & 0o777])
      expect(paths.length).toBeGreaterThan(6)
      expect(modes.filter(([isDirectory, mode]) => mode !== (isDirectory ? 0o700 : 0o600))).toEqual([])
    } finally {
      process.umask(before)
    }
  })

  test('that fails at any file operation is completed by the next opening', async () => {
    const root = scratchDirectory()
    let steps = 0
    for (let n = 1; ; n++) {
      const directory = join(root, `failed-${n}`)
      const { environment, operations } = failingAt(n)
      let made: Database | undefined
      try {
        made = new Database(openEngine(directory, {}, { environment }))
      } catch (error) {
        expect((error as NodeJS.ErrnoException).code, `operation ${n}`).toBeDefined()
        steps = n
      }
      const complete = operations() < n
      // Where all of the opening went well it is the closing that fails.
      await made?.close().catch(() => {})
      await works(directory, `operation ${n}`)
      if (complete) break
    }
    expect(steps).toBeGreaterThan(30)
  })

  test('in which the process is killed at a file operation is completed by the next opening', { timeout: 120_000 }, async () => {
    const root = scratchDirectory()
    let n = 1
    for (; !(await dying(join(root, `killed-${n}`), n)); n += stride) await works(join(root, `killed-${n}`), `killed before operation ${n}`)
    expect(n).toBeGreaterThan(30)
  })

  test('an opening that is killed at a file operation takes nothing from what was there', { timeout: 120_000 }, async () => {
    const directory = join(scratchDirectory(), 'data')
    await killed(await holder(directory))
    let n = 1
    for (; !(await dying(directory, n)); n += stride) expect(await rowsIn(directory), `killed before operation ${n}`).toBe(1)
    expect(n).toBeGreaterThan(20)
  })

  /** Whether the child outlived its opening. */
  function dying(directory: string, n: number): Promise<boolean> {
    return new Promise(resolve => {
      let said = ''
      const child = spawn(process.execPath, [program, 'die', directory, String(n)], { stdio: ['ignore', 'pipe', 'inherit'] })
      child.stdout.on('data', (text: Buffer) => (said += text.toString()))
      child.once('close', (_status, signal) => resolve(said.includes('survived') && signal === null))
    })
  }

  async function works(directory: string, when: string): Promise<void> {
    const db = await failureOf(open(directory))
    expect(db, when).toEqual({ message: 'it succeeded' })
  }
})

/** A machine whose `n`th file operation fails, and how many there were. */
function failingAt(n: number): { environment: Environment; operations: () => number } {
  let count = 0
  const files = new Proxy(systemEnvironment.files, {
    get(target, name) {
      const operation = Reflect.get(target, name) as unknown
      if (typeof operation !== 'function') return operation
      return (...args: unknown[]): unknown => {
        if (++count === n) throw Object.assign(new Error('on purpose'), { code: 'EIO' })
        return Reflect.apply(operation, target, args)
      }
    },
  })
  return { environment: { ...systemEnvironment, files }, operations: () => count }
}

describe('what is no database of ours', () => {
  test('a directory with foreign files is refused and left alone', async () => {
    const directory = scratchDirectory()
    fs.writeFileSync(join(directory, 'letter.txt'), 'dear')
    expect(await codeOf(open(directory))).toBe('NOT_A_DATABASE')
    expect(fs.readdirSync(directory)).toEqual(['letter.txt'])
  })

  test('a file in the place of the directory is refused', async () => {
    const path = join(scratchDirectory(), 'file')
    fs.writeFileSync(path, 'dear')
    expect(await codeOf(open(path))).toBe('NOT_A_DATABASE')
    expect(fs.readFileSync(path, 'utf8')).toBe('dear')
  })

  test.each([
    ['FORMAT_TOO_NEW', 'premisedb format 2\n'],
    ['FORMAT_TOO_NEW', 'premisedb format 12345\n'],
    ['NOT_A_DATABASE', 'premisedb format x\n'],
    ['NOT_A_DATABASE', 'something else'],
    ['NOT_A_DATABASE', ''],
  ])('%s where the marker says %j', async (code, marker) => {
    const directory = await filled(10)
    fs.writeFileSync(join(directory, 'premisedb'), marker)
    const before = fs.readFileSync(join(directory, 'rows.lmdb'))
    expect(await codeOf(open(directory))).toBe(code)
    expect(fs.readFileSync(join(directory, 'rows.lmdb')).equals(before)).toBe(true)
  })

  test.each([10, 20_000])('a database of %i rows without its marker is refused and not made anew', async rows => {
    const directory = await filled(rows)
    const marker = join(directory, 'premisedb')
    fs.renameSync(marker, `${directory}-marker`)
    expect(await codeOf(open(directory))).toBe('NOT_A_DATABASE')
    fs.renameSync(`${directory}-marker`, marker)
    expect(await rowsIn(directory)).toBe(rows)
  })

  test.each(['owner', 'premisedb', 'rows.lmdb', 'rows.lmdb-lock', 'log', 'log/segment'])('a symbolic link in the place of %s is refused', async name => {
    const directory = await filled(10)
    const [segment] = fs.readdirSync(join(directory, 'log'))
    const path = join(directory, name === 'log/segment' ? `log/${segment}` : name)
    const target = `${directory}-target`
    fs.renameSync(path, target)
    fs.symlinkSync(target, path)
    const before = fs.statSync(target).isFile() ? fs.readFileSync(target) : undefined
    expect(await codeOf(open(directory))).toMatch(/^(NOT_A_DATABASE|CORRUPT)$/)
    if (before) expect(fs.readFileSync(target).equals(before)).toBe(true)
    fs.unlinkSync(path)
    fs.renameSync(target, path)
    expect(await rowsIn(directory)).toBe(10)
  })

  test.each(['owner', 'rows.lmdb', 'rows.lmdb-lock', 'log'])('a dangling link in the place of %s is not followed at creation', async name => {
    const directory = scratchDirectory()
    const target = join(scratchDirectory(), 'elsewhere')
    fs.symlinkSync(target, join(directory, name))
    await codeOf(open(directory))
    expect(fs.existsSync(target)).toBe(false)
  })
})

describe('a damaged row file', () => {
  const damages: readonly (readonly [string, (sound: Buffer) => Buffer])[] = [
    ['empty', () => Buffer.alloc(0)],
    ['one byte long', sound => sound.subarray(0, 1)],
    ['one page long', sound => sound.subarray(0, 4_096)],
    ['cut in the middle', sound => sound.subarray(0, sound.length >> 1)],
    ['one page short', sound => sound.subarray(0, sound.length - 4_096)],
    ['one byte short', sound => sound.subarray(0, sound.length - 1)],
    ['all zeros', sound => Buffer.alloc(sound.length)],
    ['zeros behind its meta pages', sound => Buffer.from(sound).fill(0, 8_192)],
    ['without its first meta page', sound => Buffer.from(sound).fill(0, 0, 4_096)],
    ['random', sound => Buffer.from(sound.map((_, i) => Math.imul(i, 2_654_435_761) >>> 24))],
  ]

  test.each(damages)('%s is CORRUPT, and never ends the process', async (_, damage) => {
    const directory = await filled()
    const path = join(directory, 'rows.lmdb')
    const sound = fs.readFileSync(path)
    fs.writeFileSync(path, damage(sound))
    const { said, status, signal } = inChild('read', directory)
    expect({ status, signal, said }).toEqual({ status: 0, signal: null, said: [expect.objectContaining({ code: 'CORRUPT' })] })
    fs.writeFileSync(path, sound)
    expect(await rowsIn(directory)).toBe(2_000)
  })

  test('missing is CORRUPT: the rows were in it', async () => {
    const directory = await filled(10)
    fs.rmSync(join(directory, 'rows.lmdb'))
    expect(await codeOf(open(directory))).toBe('CORRUPT')
  })

  test('an older one beside a newer log is no way to lose commits silently', async () => {
    const directory = await filled(10)
    const older = fs.readFileSync(join(directory, 'rows.lmdb'))
    for (let round = 0; round < 3; round++) {
      const db = await open(directory)
      await db.put(numbersIn(db), 10 + round, 'later')
      await db.close()
    }
    fs.writeFileSync(join(directory, 'rows.lmdb'), older)
    expect(await codeOf(open(directory))).toBe('CORRUPT')
  })

  test('without its newest meta page it loses nothing silently', async () => {
    const directory = await filled(10)
    const path = join(directory, 'rows.lmdb')
    const file = fs.readFileSync(path)
    const newest = file.readBigUInt64LE(152) > file.readBigUInt64LE(4_096 + 152) ? 0 : 4_096
    fs.writeFileSync(path, file.fill(0, newest, newest + 4_096))
    const { said, signal } = inChild('read', directory)
    expect(signal).toBe(null)
    expect([{ rows: 10 }, expect.objectContaining({ code: 'CORRUPT' })]).toContainEqual(said[0])
  })
})

describe("':memory:'", () => {
  const inTmp = (): string[] => fs.readdirSync(tmpdir()).filter(name => /^premisedb-[A-Za-z0-9]{6}$/.test(name))

  test('leaves nothing in the temporary directory after close', async () => {
    const before = inTmp()
    const db = await open(':memory:')
    const other = await open(':memory:')
    await db.put(numbersIn(db), 1, 'mine')
    expect(other.count(numbersIn(other))).toBe(0)
    expect(inTmp().length).toBeGreaterThanOrEqual(before.length + 2)
    await db.close()
    await other.close()
    expect(inTmp().filter(name => !before.includes(name))).toEqual([])
  })
})

describe('close', () => {
  test('finishes what was accepted before it, though nobody awaited that', async () => {
    const directory = await filled(0)
    const db = await open(directory)
    const table = numbersIn(db)
    const results = Array.from({ length: 500 }, (_, i) => db.put(table, i, 'accepted'))
    const body = db.transaction(tx => tx.put(table, 500, 'accepted'))
    const relaxed = db.put(table, 501, 'accepted', { durability: 'relaxed' })
    const handle = db.begin()
    handle.put(table, 502, 'accepted')
    const committed = handle.commit()
    await db.close()
    expect((await Promise.allSettled([...results, body, relaxed, committed])).filter(({ status }) => status === 'rejected')).toEqual([])
    expect(await rowsIn(directory)).toBe(503)
  })

  test('again returns the same promise, and every operation afterwards throws CLOSED', async () => {
    const db = await open(await filled(3))
    const table = numbersIn(db)
    const range = db.range(table)
    const iterator = range[Symbol.iterator]()
    iterator.next()
    const handle = db.begin()
    const first = db.close()
    expect(db.close()).toBe(first)
    expect(await codeOf(db.put(table, 1, 'late'))).toBe('CLOSED')
    await first
    await db.close()
    const calls: Record<string, () => unknown> = {
      get: () => db.get(table, 1),
      getMany: () => db.getMany(table, [1]),
      has: () => db.has(table, 1),
      range: () => db.range(table),
      count: () => db.count(table),
      first: () => db.first(table),
      last: () => db.last(table),
      table: () => db.table('another', { key: ['string'] }),
      begin: () => db.begin(),
      transactionSync: () => db.transactionSync(() => 1),
      iterate: () => [...range],
      next: () => iterator.next(),
      'handle.get': () => handle.get(table, 1),
      'handle.put': () => handle.put(table, 1, 'late'),
      transaction: () => db.transaction(() => 1),
      put: () => db.put(table, 1, 'late'),
      insert: () => db.insert(table, 9, 'late'),
      update: () => db.update(table, 1, value => value),
      delete: () => db.delete(table, 1),
      deleteRange: () => db.deleteRange(table),
      compareAndSet: () => db.compareAndSet(table, 1, undefined, 'late'),
      'handle.commit': () => handle.commit(),
    }
    const codes: Record<string, unknown> = {}
    for (const [name, call] of Object.entries(calls)) codes[name] = await codeOf((async () => call())())
    expect(codes).toEqual(Object.fromEntries(Object.keys(calls).map(name => [name, 'CLOSED'])))
    handle.abort()
  })

  test('with running transactions returns, and they settle without a trace', async () => {
    const directory = await filled(0)
    const db = await open(directory)
    const table = numbersIn(db)
    let goOn = (): void => {}
    const gate = new Promise<void>(resolve => (goOn = resolve))
    const running = db.transaction(async tx => {
      tx.put(table, 1, 'half')
      await gate
      tx.put(table, 2, 'half')
    })
    const settled = codeOf(running)
    await db.close()
    goOn()
    expect(await settled).toBe('CLOSED')
    expect(await rowsIn(directory)).toBe(0)
  })

  test('gives the directory free at once', async () => {
    const directory = await filled(1)
    for (let i = 0; i < 20; i++) expect(await rowsIn(directory)).toBe(1)
  })

  test('leaves nothing that keeps the process alive, but for the deadlines of transactions that still run', async () => {
    const directory = await filled(0)
    expect(inChild('write-and-close', directory, 100)).toMatchObject({ said: [{ closed: true }], status: 0 })
    expect(inChild('run-and-close', directory)).toMatchObject({ said: [{ closed: true }, { unfinished: 'TIMEOUT' }], status: 0 })
    expect(await rowsIn(directory)).toBe(100)
  })
})

describe('a process that ends without close', () => {
  test.each(['write-and-return', 'write-and-exit', 'write-and-throw'])('loses nothing acknowledged: %s', async command => {
    const directory = await filled(0)
    const { said, signal } = inChild(command, directory, 200)
    expect({ said, signal }).toEqual({ said: [{ acknowledged: 200 }], signal: null })
    expect(await rowsIn(directory)).toBeGreaterThanOrEqual(200)
  })
})

test('a row file that ends before pages which were taken and given back is sound, and opens', async () => {
  let short = 0
  for (let rows = 5_000; rows < 5_200; rows += 10) {
    const directory = await filled(rows)
    const db = await open(directory)
    await db.deleteRange(numbersIn(db), { gte: 10 })
    await db.close()
    const file = fs.readFileSync(join(directory, 'rows.lmdb'))
    const lastPage = Math.max(Number(file.readBigUInt64LE(144)), Number(file.readBigUInt64LE(4_096 + 144)))
    if (file.length < (lastPage + 1) * 4_096) short++
    expect(await rowsIn(directory)).toBe(10)
  }
  expect(short).toBeGreaterThan(0)
})
