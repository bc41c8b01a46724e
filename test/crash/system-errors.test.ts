/** What callers are told when calls to the system fail: an error with a code, wherever it happens, and nothing is given up for it. */
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { compactDirectory } from '../../engine/compact.js'
import { Database } from '../../engine/database.js'
import { systemEnvironment, type Environment, type Files } from '../../engine/environment.js'
import { StorageError } from '../../engine/errors.js'
import { defaultLimits } from '../../engine/limits.js'
import { openEngine } from '../../engine/open.js'
import { build } from '../tidy/project.js'

const scratch: string[] = []

beforeAll(build)
afterEach(() => {
  for (const path of scratch.splice(0)) fs.rmSync(path, { recursive: true, force: true })
})

function scratchDirectory(): string {
  const path = fs.mkdtempSync(join(tmpdir(), 'premisedb-errors-'))
  scratch.push(path)
  return path
}

const numbersIn = (db: Database) => db.table('numbers', { key: ['number'] })

/** Files of which call number `call`, from 1, fails once with `code`; of these operations only, where some are named. */
function failing(call: number, code: string, only?: readonly (keyof Files)[]): { readonly environment: Environment; readonly hasFailed: () => boolean } {
  let calls = 0
  const files = Object.fromEntries(
    Object.entries(fs).map(([name, operation]) => {
      if (typeof operation !== 'function' || !(name.endsWith('Sync') || name === 'fdatasync') || name === 'closeSync' || (only && !only.includes(name as keyof Files))) return [name, operation]
      const failed = (...args: unknown[]): unknown => {
        if (++calls !== call) return (operation as (...all: unknown[]) => unknown)(...args)
        const error = Object.assign(new Error(`${code}: as the test wants it, ${name}`), { code })
        if (name !== 'fdatasync') throw error
        return setImmediate(() => (args.at(-1) as (error: Error) => void)(error))
      }
      return [name, failed]
    }),
  ) as unknown as Files
  return { environment: { ...systemEnvironment, files }, hasFailed: () => calls >= call }
}

/** Of this process. */
const openFilesIn = (path: string): string[] => fs.readdirSync('/proc/self/fd').map(fd => linkOf(`/proc/self/fd/${fd}`)).filter(name => name.startsWith(path))

/** The descriptor that the directory of them was read with is gone. */
function linkOf(path: string): string {
  try {
    return fs.readlinkSync(path)
  } catch {
    return ''
  }
}

async function withRows(path: string): Promise<void> {
  const db = new Database(openEngine(path, {}, {}))
  await db.put(numbersIn(db), 1, 'one')
  await db.close()
}

describe('an opening', () => {
  test.each([['EIO', 'a complete database'], ['EMFILE', 'a complete database'], ['ENOSPC', 'a new database']])('that meets %s anywhere in %s says so with a code, and the next one succeeds', async (code, which) => {
    const path = scratchDirectory()
    if (which === 'a complete database') await withRows(path)
    let refused = 0
    for (let call = 1; ; call++) {
      const { environment, hasFailed } = failing(call, code)
      if (which === 'a new database') fs.rmSync(path, { recursive: true, force: true })
      let db: Database | undefined
      try {
        db = new Database(openEngine(path, {}, { environment }))
      } catch (error) {
        refused++
        expect(error, `call ${call}`).toBeInstanceOf(StorageError)
        expect((error as StorageError).cause, `call ${call}`).toMatchObject({ code })
        if (code === 'ENOSPC') expect((error as StorageError).code).toMatch(/^(DISK_FULL|POISONED)$/)
        db = new Database(openEngine(path, {}, {}))
      }
      const isComplete = !hasFailed()
      await db.close().catch(() => {}) // the call may have been one of these
      if (isComplete) break
    }
    expect(refused).toBeGreaterThan(20)
  }, 60_000)

  test.skipIf(process.platform === 'win32')('that finds no free descriptors says so, and the process lives', async () => {
    const path = scratchDirectory()
    await withRows(path)
    const child = fileURLToPath(new URL('few-descriptors-child.mjs', import.meta.url))
    const { stdout, stderr, signal } = spawnSync('sh', ['-c', 'ulimit -n 64; exec "$0" "$@"', process.execPath, child, path], { encoding: 'utf8', timeout: 20_000 })
    expect({ signal, stderr }).toEqual({ signal: null, stderr: '' })
    const said = stdout.split('\n').filter(Boolean).slice(1).map(line => JSON.parse(line) as { code: unknown; name?: string })
    expect(said.at(-1)).toMatchObject({ code: null })
    expect(said.length).toBeGreaterThan(5)
    for (const outcome of said.slice(0, -1)) expect(outcome).toMatchObject({ name: 'StorageError' })
  })
})

describe('an opening that fails', () => {
  test('where directories above cannot be synced does not: it is nothing of ours', async () => {
    const path = join(scratchDirectory(), 'data')
    fs.mkdirSync(path)
    for (const code of ['EINVAL', 'EACCES', 'EROFS']) {
      const openSync = ((name: string, ...more: [fs.OpenMode]) => {
        if (name === tmpdir()) throw Object.assign(new Error(code), { code })
        return fs.openSync(name, ...more)
      }) as typeof fs.openSync
      const db = new Database(openEngine(path, {}, { environment: { ...systemEnvironment, files: { ...fs, openSync } } }))
      await db.put(numbersIn(db), 1, 'one')
      expect(db.get(numbersIn(db), 1)).toBe('one')
      await db.close()
      fs.rmSync(path, { recursive: true })
      fs.mkdirSync(path)
    }
  })

  test.each([['catalog', 'numbers', 12], ['summaries', '\xffsummary ', 14], ['metadata', '\xffpremisedb', 3]] as const)('because of damage in the %s leaves nothing open, and can be repeated at once', async (_, text, behind) => {
    const path = join(scratchDirectory(), 'data')
    await withRows(path)
    const bytes = fs.readFileSync(join(path, 'rows.lmdb'))
    const needle = Buffer.from(text, 'latin1')
    for (let at = bytes.indexOf(needle); at >= 0; at = bytes.indexOf(needle, at + 1)) bytes[at + needle.length + behind]! ^= 1
    fs.writeFileSync(join(path, 'rows.lmdb'), bytes)
    for (let i = 0; i < 3; i++) {
      await expect((async () => openEngine(path, {}, {}))()).rejects.toMatchObject({ code: 'CORRUPT' })
      await new Promise(resolve => setTimeout(resolve, 10))
      expect(openFilesIn(path)).toEqual([])
    }
  })

  test.each(['premisedb', 'rows.lmdb'])('because %s is a pipe does not wait for somebody to write to it', async name => {
    const path = join(scratchDirectory(), 'data')
    await withRows(path)
    fs.rmSync(join(path, name))
    expect(spawnSync('mkfifo', [join(path, name)]).status).toBe(0)
    await expect((async () => openEngine(path, {}, {}))()).rejects.toMatchObject({ code: 'NOT_A_DATABASE' })
  })

  test.each(['EIO', 'ELOOP', 'Unknown system error -37'])('with %s, which has a name or has none, says so with a code', async code => {
    const path = join(scratchDirectory(), 'data')
    const { environment } = failing(3, code, ['openSync'])
    await expect((async () => openEngine(path, {}, { environment }))()).rejects.toMatchObject({ code: 'POISONED', cause: { code } })
  })

  test('because of what it was given is a mistake of the caller', async () => {
    await expect((async () => openEngine('a\0b', {}, {}))()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })
})

describe('closing', () => {
  test('a database in memory whose directory cannot be removed says so with a code, and is closed', async () => {
    const rmSync = ((path: string) => {
      scratch.push(path)
      throw Object.assign(new Error('EIO'), { code: 'EIO' })
    }) as typeof fs.rmSync
    const files = { ...fs }
    const db = new Database(openEngine(':memory:', {}, { environment: { ...systemEnvironment, files } }))
    Object.assign(files, { rmSync })
    await expect(db.close()).rejects.toMatchObject({ code: 'POISONED', cause: { code: 'EIO' } })
    expect(() => db.get(numbersIn(db), 1)).toThrow(expect.objectContaining({ code: 'CLOSED' }))
  })

  test.each([['fdatasync', 'COMMIT_UNKNOWN'], ['writeSync', 'COMMIT_UNKNOWN']] as const)('after a failed %s of relaxed commits tells that they are lost, whose callers nobody told', async (operation, code) => {
    const path = scratchDirectory()
    await withRows(path)
    const { environment, hasFailed } = arming([operation])
    const db = new Database(openEngine(path, {}, { environment }))
    const table = numbersIn(db)
    environment.armed = true
    await db.put(table, 2, 'two', { durability: 'relaxed' })
    while (!hasFailed()) await new Promise(resolve => setTimeout(resolve, 5))
    await new Promise(resolve => setTimeout(resolve, 5))
    await expect(db.close()).rejects.toMatchObject({ code })
    const again = new Database(openEngine(path, {}, {}))
    expect(again.get(numbersIn(again), 1)).toBe('one')
    await again.close()
  })
})

/** As `failing`, the first call after `armed` was set. */
function arming(only: readonly (keyof Files)[]): { readonly environment: Environment & { armed: boolean }; readonly hasFailed: () => boolean } {
  const { environment, hasFailed } = failing(1, 'EIO', only)
  const armed = { ...environment, armed: false }
  const choose = (name: keyof Files) => (...args: unknown[]): unknown => ((armed.armed ? environment.files : fs)[name] as (...all: unknown[]) => unknown)(...args)
  return { environment: Object.assign(armed, { files: { ...fs, ...Object.fromEntries(only.map(name => [name, choose(name)])) } as unknown as Files }), hasFailed }
}

describe('a compaction', () => {
  test.each(['renameSync', 'fsyncSync', 'openSync'] as const)('that meets EIO in %s says so with a code, and the database is whole', async operation => {
    const path = scratchDirectory()
    await withRows(path)
    let refused = 0
    for (let call = 1; ; call++) {
      const { environment, hasFailed } = failing(call, 'EIO', [operation])
      try {
        await compactDirectory(path, environment, defaultLimits)
      } catch (error) {
        refused++
        expect(error, `call ${call}`).toBeInstanceOf(StorageError)
      }
      const db = new Database(openEngine(path, {}, {}))
      expect(db.get(numbersIn(db), 1)).toBe('one')
      await db.close()
      if (!hasFailed()) break
    }
    expect(refused).toBeGreaterThan(0)
  })
})
