/** A slice of every family, as `npm run torture` plays it, and what the command line says. */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { build, root } from '../tidy/project.js'
import type { Said } from './driver.js'
import { DriverProcess } from './driver-process.js'
import { canCutPower } from './ext4-disk.js'
import { growthIn } from './families/soak.js'
import { canInterpose } from './interpose/index.js'
import { Reading } from './known-database.js'
import { Oracle } from './oracle.js'
import { canMount } from './scratch.js'
import type { SoakSample } from './soak.js'
import type { State } from './workload.js'

const folder = mkdtempSync(join(tmpdir(), 'premisedb-torture-test-'))
/** How many, from which seed on. Few, for a control is played with each. */
const slice: Readonly<Record<string, readonly [count: number, seed: number]>> = {
  kill: [2, 1],
  'second-opener': [9, 1],
  shutdown: [2, 1],
  'index-build': [2, 1],
  reopen: [4, 1],
  garbage: [12, 1],
  damage: [8, 1],
  freelist: [3_000, 1],
  soak: [4, 1],
  ...(canMount() ? { 'disk-full': [1, 1] } : {}),
  ...(canCutPower() ? { ext4: [2, 1] } : {}),
  ...(canInterpose() ? { 'power-cut': [50, 1], compound: [50, 1], 'kill-every-call': [8, 120], 'io-error': [5, 231] } : {}),
}
const clean = { lost: 0, partial: 0, wrong: 0, crashes: 0, hangs: 0, silent: 0, controlFailed: true, pass: true }

interface Answer {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

function torture(...args: readonly string[]): Promise<Answer> {
  return new Promise(resolve => {
    const child = spawn(process.execPath, ['dist/test/torture/main.js', ...args], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    const said = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const) child[name].on('data', (text: Buffer) => (said[name] += text.toString()))
    child.once('close', code => resolve({ code, ...said }))
  })
}

beforeAll(build)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe.concurrent('a slice of each family', () => {
  test.each(Object.entries(slice))('%s: nothing is found, and the control fails', { timeout: 120_000 }, async (family, [count, seed]) => {
    const { code, stdout, stderr } = await torture('--family', family, '--count', `${count}`, '--seed', `${seed}`, '--json')
    expect({ code, stderr, ...(JSON.parse(stdout) as object) }).toMatchObject({ ...clean, family, count, seed, code: 0 })
  })
})

describe('the command line', () => {
  test('says what there is, and refuses what there is not', async () => {
    const [help, unknown, none] = await Promise.all([torture('--help'), torture('--family', 'flood'), torture('--family', 'kill', '--count', '0')])
    expect(help).toMatchObject({ code: 0, stdout: expect.stringContaining('npm run torture -- --family F') })
    expect(unknown).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('not "flood"') })
    expect(none).toMatchObject({ code: 2, stderr: expect.stringContaining('--count must be an integer of at least 1') })
  })

  test('results are kept, count again, and are not played again; each failure says how to repeat it', async () => {
    const file = join(folder, 'results.jsonl')
    const args = ['--family', 'garbage', '--seed', '9', '--json', '--resume', file] as const
    const first = await torture(...args, '--count', '1')
    expect(first.code, first.stderr).toBe(0)
    const [line] = readFileSync(file, 'utf8').split('\n') as [string]
    const another = { ...(JSON.parse(line) as object), seed: 10, tally: { failures: [{ kind: 'silent', sentence: 'three rows are gone' }], figures: {} } }
    writeFileSync(file, `${line}\n${JSON.stringify(another)}\n`)
    const both = await torture(...args, '--count', '2')
    expect(JSON.parse(both.stdout)).toMatchObject({ ...clean, count: 2, silent: 1, pass: false })
    expect(both.code).toBe(1)
    expect(both.stderr).toContain('silent: three rows are gone\n  To play it again: npm run torture -- --family garbage --seed 10 --count 1\n')
    expect(readFileSync(file, 'utf8').split('\n')).toHaveLength(3)
  })
})

describe('the oracle', () => {
  const state = (changes: Partial<State> = {}): State => ({ left: [['a', 1, '-']], right: [['a', 0, 'a']], progress: [[3, 1]], balances: [], garbled: [], ...changes })
  const judged = (...states: readonly State[]): Pick<Oracle, 'lost' | 'partial' | 'wrong'> => {
    const oracle = new Oracle()
    oracle.acknowledge('a', '-', 1, 3)
    for (const one of states) oracle.judge(one)
    return { lost: oracle.lost, partial: oracle.partial, wrong: oracle.wrong }
  }

  test('finds nothing where everything is there, and more', () => {
    const more = state({ left: [['a', 1, '-'], ['b', 0, '-']], progress: [[3, 2]] })
    expect(judged(state(), more)).toEqual({ lost: [], partial: [], wrong: [] })
  })

  test('misses what was acknowledged, and what an opening has shown', () => {
    expect(judged(state({ left: [], right: [], progress: [] })).lost).toEqual(['a is gone', 'client 3 is at 0 and had reached 1'])
    expect(judged(state({ left: [['a', 1, '-'], ['b', 0, '-']] }), state()).lost).toEqual(['b is gone'])
  })

  test('knows deletions', () => {
    const deletes = state({ left: [['b', 0, 'a']], right: [], progress: [[3, 2]] })
    expect(judged(deletes).lost).toEqual([])
    expect(judged(deletes, state({ left: [['a', 0, '-'], ['b', 0, 'a']], right: [], progress: [[3, 2]] })).lost).toEqual(['a is there though its deletion was acknowledged'])
  })

  test('sees parts of transactions and rows that nobody wrote', () => {
    expect(judged(state({ right: [] })).partial).toEqual(['a has 0 of its 1 rows'])
    expect(judged(state({ right: [['a', 0, 'a'], ['b', 0, 'b']] })).partial).toEqual(['b has rows but no head'])
    expect(judged(state({ right: [['a', 0, 'z']] })).wrong).toEqual(['a row of a says z'])
    expect(judged(state({ garbled: ['a'], balances: [999] })).wrong).toEqual(['the accounts hold 999 instead of 48000', 'the padding of a is not what was written'])
  })
})

describe('reads of a broken database', () => {
  const expected = new Map([['fir 1', 'one'], ['fir 2', 'two'], ['fir 3', null]])
  const sound: readonly Said[] = [['range fir 1', 'one'], ['range fir 2', 'two'], ['range', null], ['get fir 1', 'one'], ['get fir 2', 'two'], ['get fir 3', null]]
  const but = (...changed: readonly Said[]): Reading => new Reading([...sound.filter(([name]) => !changed.some(([other]) => other === name)), ...changed])
  const verdict = (reading: Reading): object => ({ wrong: reading.wrongIn(expected), missing: reading.missingIn(expected), errors: reading.errors, untyped: reading.untyped })

  test('give what was written, or an error', () => {
    expect(verdict(but())).toEqual({ wrong: 0, missing: 0, errors: 0, untyped: undefined })
    const refused = but(['get fir 1', { code: 'CORRUPT' }], ['range', { code: 'CORRUPT' }])
    expect(verdict(refused)).toEqual({ wrong: 0, missing: 0, errors: 2, untyped: undefined })
    expect(verdict(but(['get fir 1', { code: null, untyped: 'Error: MDB_BAD_TXN' }]))).toMatchObject({ errors: 1, untyped: 'Error: MDB_BAD_TXN' })
  })

  test('are wrong where they give another value, or a row that was deleted, or one twice', () => {
    expect(verdict(but(['get fir 1', 'two'], ['range fir 3', 'three']))).toMatchObject({ wrong: 2, missing: 0 })
    expect(verdict(new Reading([...sound, ['range fir 1', 'one']]))).toMatchObject({ wrong: 1, missing: 0 })
  })

  test('miss a row where they leave it out without an error', () => {
    expect(verdict(but(['get fir 2', null]))).toMatchObject({ wrong: 0, missing: 1 })
    expect(verdict(new Reading(sound.filter(([name]) => name !== 'range fir 2')))).toMatchObject({ wrong: 0, missing: 1 })
  })
})

describe('growth', () => {
  const level: SoakSample = {
    heapBytes: 20e6, bufferBytes: 20e6, residentBytes: 150e6, windowBytes: 2e6, rowFileBytes: 30e6, logBytes: 2e6, descriptors: 28, readerSlots: 3, iterators: 5, openTransactions: 5, resources: 40,
  }
  const samples = (at: (i: number) => Partial<SoakSample>): SoakSample[] => Array.from({ length: 30 }, (_, i) => ({ ...level, ...at(i) }))

  test('is not seen where figures come and go, or rise while a process warms up', () => {
    expect(growthIn(samples(i => ({ heapBytes: 20e6 + (i % 3) * 5e6, descriptors: 28 + (i % 2) })))).toEqual([])
    expect(growthIn(samples(i => ({ rowFileBytes: Math.min(i, 10) * 5e6 })))).toEqual([])
  })

  test('is seen in each figure, and samples that are too few say nothing', () => {
    for (const name of Object.keys(level) as (keyof SoakSample)[]) expect(growthIn(samples(i => ({ [name]: level[name] + i * 10 * level[name] }))), name).toHaveLength(1)
    expect(growthIn(samples(() => ({})).slice(0, 5))).toEqual(['only 5 samples were taken'])
  })
})

test('a wait has a deadline: a process that does not end in time is told, and is gone', async () => {
  const report = join(folder, 'report')
  const sleeper = new DriverProcess('nowhere', { command: 'look', directory: folder, report }, ['sh', '-c', 'exec sleep 600', 'sh'])
  expect(await sleeper.says('L ', 50)).toBeUndefined()
  expect(await sleeper.endsWithin(50)).toBeUndefined()
  expect(sleeper.hasEnded).toBe(true)
  writeFileSync(report, 'L {"code":null}\nA half a li')
  expect(sleeper.lines).toEqual(['L {"code":null}'])
})
