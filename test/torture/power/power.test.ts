/** What the model of a disk says of small traces made by hand, and what a story says of states. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { Chance } from '../../simulation/chance.js'
import type { TraceRecord } from '../interpose/index.js'
import { Disk, differencesFrom, type DiskDirectory, type DiskFile } from './disk-model.js'
import { drawImage, imageOf, type Fate, type Fates } from './images.js'
import { drawMoments } from './moments.js'
import { Story } from './story.js'

const root = mkdtempSync(join(tmpdir(), 'premisedb-power-test-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

const nothing: TraceRecord = { kind: 'write', created: false, truncated: false, synchronous: false, directory: false, writableMap: false, errno: 0, file: 0, offset: 0, names: [], data: Buffer.alloc(0) }
const inData = (name: string): string => join(root, 'data', name)
const opened = (file: number, name: string, created = true): TraceRecord => ({ ...nothing, kind: 'open', file, created, names: [inData(name)] })
const wrote = (file: number, offset: number, text: string, synchronous = false): TraceRecord => ({ ...nothing, file, offset, data: Buffer.from(text), synchronous })
const truncated = (file: number, size: number): TraceRecord => ({ ...nothing, kind: 'truncate', file, offset: size })
const syncs = (file: number): TraceRecord => ({ ...nothing, kind: 'sync', file, offset: 9 })
const synced = (file: number, errno = 0): TraceRecord => ({ ...nothing, kind: 'synced', file, offset: 9, errno })
const renamed = (from: string, to: string): TraceRecord => ({ ...nothing, kind: 'rename', names: [inData(from), inData(to)] })
const unlinked = (name: string): TraceRecord => ({ ...nothing, kind: 'unlink', names: [inData(name)] })

/** The folder that all is in, and its directory of names, are there from the beginning and have the numbers 1 and 2. */
const begin: readonly TraceRecord[] = [
  { ...nothing, kind: 'mkdir', names: [join(root, 'data')] },
  { ...nothing, kind: 'open', file: 1, directory: true, names: [root] },
  { ...nothing, kind: 'open', file: 2, directory: true, names: [join(root, 'data')] },
  syncs(1),
  synced(1),
]

function diskAfter(...records: readonly TraceRecord[]): Disk {
  const disk = new Disk(root)
  for (const record of [...begin, ...records]) disk.take(record)
  return disk
}

/** Names and contents; zero bytes are told as dots. */
function left(disk: Disk, files: Fate, names: Fate = { how: 'all' }, more: Partial<Fates> = {}): Record<string, string> {
  const fates: Fates = { ofFile: () => files, ofNames: () => names, keepsLength: () => false, lockFile: () => undefined, chance: new Chance(1), ...more }
  return Object.fromEntries(imageOf(disk, 'data', fates).files.map(({ path, bytes }) => [path.slice(2), bytes.toString().replaceAll('\0', '.')]))
}

const none: Fate = { how: 'none' }
const all: Fate = { how: 'all' }

describe('files', () => {
  test('what was written before a sync began is on the disk when it has ended, and not before', () => {
    const before = [opened(5, 'a'), wrote(5, 0, 'one'), syncs(5), wrote(5, 3, 'two')]
    expect(left(diskAfter(...before), none)).toEqual({ a: '' })
    expect(left(diskAfter(...before, synced(5)), none)).toEqual({ a: 'one' })
    expect(left(diskAfter(...before, synced(5)), all)).toEqual({ a: 'onetwo' })
  })

  test('a synchronous write is on the disk when it has returned, and takes the place of what came before it', () => {
    const disk = diskAfter(opened(5, 'a'), wrote(5, 0, 'abcdef'))
    let within: Record<string, string> = {}
    disk.take(wrote(5, 2, 'CD', true), () => (within = left(disk, none)))
    expect(within).toEqual({ a: '' })
    expect(left(disk, none)).toEqual({ a: '..CD' })
    expect(left(disk, all)).toEqual({ a: 'abCDef' })
  })

  test('a write that is kept behind one that is lost leaves zeros between', () => {
    const disk = diskAfter(opened(5, 'a'), wrote(5, 0, 'one'), wrote(5, 3, 'two'))
    const images = new Set(Array.from({ length: 50 }, (_, i) => left(disk, { how: 'some', share: 0.5 }, all, { chance: new Chance(i) })['a']))
    expect(images).toEqual(new Set(['', 'one', '...two', 'onetwo']))
    expect(left(disk, { how: 'until', at: disk.now - 1 })).toEqual({ a: 'one' })
    expect(left(disk, none, all, { keepsLength: () => true })).toEqual({ a: '......' })
  })

  test('a write is torn between sectors, and nowhere else', () => {
    const disk = diskAfter(opened(5, 'a'), wrote(5, 500, `${'x'.repeat(12)}${'y'.repeat(512)}z`))
    const images = Array.from({ length: 100 }, (_, i) => left(disk, { how: 'torn', share: 0.5 }, all, { chance: new Chance(i) })['a']!.slice(500).replaceAll(/(.)\1*/g, '$1'))
    expect(new Set(images)).toEqual(new Set(['', 'x', 'xy', 'xyz', 'x.z', '.y', '.yz', '.z']))
  })

  test('a truncation is pending like a write', () => {
    const disk = diskAfter(opened(5, 'a'), wrote(5, 0, 'long'), syncs(5), synced(5), truncated(5, 0), wrote(5, 0, 'ab'))
    expect([left(disk, none), left(disk, all)]).toEqual([{ a: 'long' }, { a: 'ab' }])
    expect(left(disk, { how: 'until', at: disk.now - 1 })).toEqual({ a: '' })
  })

  test('after a failed sync later ones do not write what it should have written', () => {
    const disk = diskAfter(opened(5, 'a'), wrote(5, 0, 'one'), syncs(5), synced(5, 5), wrote(5, 3, 'two'), syncs(5), synced(5))
    expect(left(disk, none)).toEqual({ a: '...two' })
    expect(left(disk, all)).toEqual({ a: 'onetwo' })
    for (const record of [wrote(5, 0, 'ONE'), syncs(5), synced(5)]) disk.take(record)
    expect([left(disk, none), left(disk, all)]).toEqual([{ a: 'ONEtwo' }, { a: 'ONEtwo' }])
  })

  test('what a process leaves is pending for the next one, and a sync that it has not heard of covers nothing', () => {
    const disk = diskAfter(opened(5, 'a'), wrote(5, 0, 'one'), syncs(5))
    disk.processEnded()
    expect(left(disk, none)).toEqual({ a: '' })
    for (const record of [opened(5, 'a', false), syncs(5), synced(5)]) disk.take(record)
    expect(left(disk, none)).toEqual({ a: 'one' })
  })

  test('what is written through a map, but for the lock file, is an error', () => {
    const map = { ...nothing, kind: 'map', writableMap: true, file: 5 } as const
    expect(() => diskAfter(opened(5, 'rows.lmdb-lock'), map)).not.toThrow()
    expect(() => diskAfter(opened(5, 'rows.lmdb'), map)).toThrow('data/rows.lmdb is written through a map')
  })
})

describe('names', () => {
  const made = [opened(5, 'a.tmp'), wrote(5, 0, 'one'), syncs(5), synced(5)]

  test('a synced file whose name was not is gone', () => {
    expect(left(diskAfter(...made), all, none)).toEqual({})
    expect(left(diskAfter(...made, syncs(2), synced(2)), all, none)).toEqual({ 'a.tmp': 'one' })
  })

  test('a rename that was not synced leaves the old name or the new one', () => {
    const disk = diskAfter(...made, syncs(2), synced(2), renamed('a.tmp', 'a'))
    expect([left(disk, none, none), left(disk, none, all)]).toEqual([{ 'a.tmp': 'one' }, { a: 'one' }])
    for (const record of [syncs(2), synced(2)]) disk.take(record)
    expect(left(disk, none, none)).toEqual({ a: 'one' })
  })

  test('a rename over another file, and a removal, are whole or not at all', () => {
    const disk = diskAfter(opened(6, 'a'), ...made, syncs(2), synced(2), renamed('a.tmp', 'a'), unlinked('a'))
    expect(left(disk, none, none)).toEqual({ a: '', 'a.tmp': 'one' })
    expect(left(disk, none, { how: 'until', at: disk.now - 1 })).toEqual({ a: 'one' })
    expect(left(disk, none, all)).toEqual({})
  })

  test('a change of names may be kept without the one before it', () => {
    const disk = diskAfter(...made, renamed('a.tmp', 'a'))
    const images = new Set(Array.from({ length: 50 }, (_, i) => Object.keys(left(disk, none, { how: 'some', share: 0.5 }, { chance: new Chance(i) })).join(' ')))
    expect(images).toEqual(new Set(['', 'a.tmp', 'a']))
  })

  test('a number that comes back is another file', () => {
    const disk = diskAfter(opened(5, 'a'), wrote(5, 0, 'one'), syncs(2), synced(2), unlinked('a'), opened(5, 'b'), wrote(5, 0, 'two'))
    expect([left(disk, all, none), left(disk, all, all)]).toEqual([{ a: 'one' }, { b: 'two' }])
  })

  test('a directory whose name was not synced is gone with everything in it', () => {
    const disk = new Disk(root)
    for (const record of [...begin.slice(0, 3), ...made, syncs(2), synced(2)]) disk.take(record)
    expect(imageOf(disk, 'data', { ofFile: () => all, ofNames: () => none, keepsLength: () => false, lockFile: () => undefined, chance: new Chance(1) })).toEqual({ directories: [], files: [] })
  })
})

test('a folder that is there is on the disk, and the model is held against the real files', () => {
  const folder = join(root, 'real')
  mkdirSync(join(folder, 'log'), { recursive: true })
  writeFileSync(join(folder, 'log/1'), 'one')
  const disk = new Disk(folder)
  const differences = (): string[] => differencesFrom(folder, disk.top, path => path.endsWith('ignored'))
  expect((disk.top.synced.get('log') as DiskDirectory).synced.get('1') as DiskFile).toMatchObject({ path: 'log/1', pending: [] })
  writeFileSync(join(folder, 'ignored'), '')
  expect(differences()).toEqual([])
  writeFileSync(join(folder, 'log/1'), 'ONE')
  writeFileSync(join(folder, 'other'), '')
  expect(differences().toSorted()).toEqual([`${folder}/log/1 has another content`, `${folder}/other is there`])
})

test('images and moments follow from their seeds', () => {
  const records = [...begin, opened(5, 'a'), wrote(5, 0, 'one'), wrote(5, 0, 'two', true), syncs(5), synced(5), renamed('a', 'b')]
  const draw = (seed: number): unknown => [drawMoments(records, 20, new Chance(seed), { from: 5 }), drawImage(diskAfter(...records.slice(5, 8)), 'data', new Chance(seed), undefined)]
  expect(draw(1)).toEqual(draw(1))
  const moments = drawMoments(records, 200, new Chance(3), { from: 5 })
  expect(new Set(moments.map(({ record }) => record))).toEqual(new Set([5, 6, 7, 8, 9, 10]))
  expect(moments).toEqual(moments.toSorted((a, b) => a.record - b.record || Number(b.within) - Number(a.within)))
  expect(new Set(moments.filter(({ within }) => within).map(({ record }) => record))).toEqual(new Set([7]))
})

describe('a story', () => {
  const empty = { left: [], right: [], progress: [], balances: [], garbled: [] }
  const both = { ...empty, left: [['a', 0, '-'], ['b', 0, '-']], progress: [[3, 2]] } as const
  const storyOf = (...lines: readonly string[]): Story => {
    const story = new Story()
    story.take(`${[`F ${JSON.stringify(empty)}`, ...lines].join('\n')}\nA half a li`)
    return story
  }

  test('misses what was said before the cut, and nothing that was said later', () => {
    const story = storyOf('A a - 1 3', 'A b - 2 3')
    const first = { ...empty, left: [['a', 0, '-']], progress: [[3, 1]] } as const
    expect([story.length, story.judge(both, 3), story.judge(first, 2), story.judge(both, 2)]).toEqual([3, [], [], []])
    expect(story.judge(first, 3).map(({ kind }) => kind)).toEqual(['lost'])
  })

  test('misses a relaxed commit only where a durable one came after it', () => {
    const relaxed = storyOf('R a - 1 3')
    expect(relaxed.judge(empty, 2)).toEqual([])
    expect(storyOf('R a - 1 3', 'A b - 2 3').judge(empty, 3).map(({ kind }) => kind)).toEqual(['lost'])
    expect(storyOf('A a - 1 3', 'R b a 2 3', 'R c b 3 3').judge({ ...empty, left: [['c', 0, 'b']], progress: [[3, 3]] }, 4)).toEqual([])
  })

  test('knows which rows belong to the progress of a client', () => {
    const story = storyOf('A a - 1 3', 'A b - 2 3')
    expect(story.judge({ ...both, progress: [[3, 1]] }, 1)).toEqual([{ kind: 'partial', sentence: "b is there, though its client's progress says otherwise" }])
    expect(story.judge({ ...both, left: [['a', 0, '-']] }, 1)).toEqual([{ kind: 'partial', sentence: "b is not there, though its client's progress says otherwise" }])
  })

  test('forgets what came after a cut', () => {
    const story = storyOf('A a - 1 3', 'A b - 2 3')
    story.cut(2)
    story.take(`F ${JSON.stringify({ ...empty, left: [['a', 0, '-']], progress: [[3, 1]] })}\nA c - 2 3\n`)
    expect(story.judgeOpenings(1)).toEqual([])
    expect(story.judge({ ...empty, left: [['a', 0, '-'], ['c', 0, '-']], progress: [[3, 2]] }, 4)).toEqual([])
    expect(story.othersFrom(0)).toEqual([])
  })
})
