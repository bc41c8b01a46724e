import { readFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { filesIn, publishedSources, root, topLevelFiles } from './project.js'

const maxLines = 450

interface File {
  readonly name: string
  readonly text: string
}

const textEndings = ['.ts', '.mjs', '.js', '.json', '.md', '.html', '.css', '.yml', '.sh', '.c', '.patch']
const isText = (name: string): boolean => !/\.[a-z0-9]+$/i.test(name) || textEndings.some(ending => name.endsWith(ending))
const load = (name: string): File => ({ name, text: readFileSync(join(root, name), 'utf8') })

const folders = ['engine', 'isolation', 'test', 'bench', 'docs', '.ci'].flatMap(folder => filesIn(folder, ''))
const all = [...topLevelFiles(), ...folders].filter(name => isText(name) && !name.endsWith('package-lock.json')).map(load)
// Without this file, which has to spell what it looks for.
const code = all.filter(({ name }) => /\.(ts|mjs|js)$/.test(name) && name !== 'test/tidy/style.test.ts')
const tests = code.filter(({ name }) => name.endsWith('.test.ts'))

/** Every line that matches, as `file:line`, with what it says. */
function linesMatching(files: readonly File[], pattern: RegExp): string[] {
  return files.flatMap(({ name, text }) =>
    text.split('\n').flatMap((line, index) => (pattern.test(line) ? [`${name}:${index + 1} ${line.trim()}`] : [])),
  )
}

const postponed = /\b(?:TODO|FIXME|HACK|for now)\b/
const leftOut = /\b(?:test|it|describe|suite|bench)(?:\.\w+)*\.(?:only|skip|todo|fails)\b|\b[xf](?:it|describe|test)\s*\(/
const trailingSpace = /[ \t]$/

test('a published source fits into a small room', () => {
  const sources = publishedSources().map(load)
  const long = sources.map(({ name, text }) => ({ name, lines: text.trimEnd().split('\n').length })).filter(({ lines }) => lines > maxLines)
  expect(long, `At most ${maxLines} lines: split by reason to change.`).toEqual([])
})

test('nothing is postponed in a comment', () => {
  expect(linesMatching(code, postponed)).toEqual([])
})

test('no test is left out, and none shuts out the others', () => {
  expect(linesMatching(tests, leftOut)).toEqual([])
})

test('a file that looks like a test is run as one', () => {
  const strays = code.filter(({ name }) => /\.(spec|tests?)\.\w+$/.test(name) && !/^test\/.*\.test\.ts$/.test(name))
  expect(strays.map(({ name }) => name)).toEqual([])
})

test('no line ends in white space, and every file in one line break', () => {
  expect(linesMatching(all, trailingSpace)).toEqual([])
  expect(all.filter(({ text }) => text !== '' && !/[^\n]\n$/.test(text)).map(({ name }) => name)).toEqual([])
})

test('no file names a place on the machine it was written on', () => {
  const places = machinePlaces()
  const found = all.flatMap(({ name, text }) => places.filter(place => text.includes(place)).map(place => `${name} names ${place}`))
  expect(found).toEqual([])
  expect(linesMatching(all, /(?<![\w.])\/(?:home|Users)\/\w+\//)).toEqual([])
})

/** This checkout, the folder it lies in and the user's home, unless they are so general that a document may name them. */
function machinePlaces(): string[] {
  const general = new Set(['/', '/tmp', '/home', '/usr', '/opt', '/srv', '/var/tmp', resolve(tmpdir())])
  const places = [resolve(root), dirname(resolve(root)), resolve(homedir())]
  return places.filter(place => !general.has(place)).map(place => `${place}/`)
}

describe('the checks bite', () => {
  const found = (line: string, pattern: RegExp): number => linesMatching([{ name: 'a.ts', text: `\n${line}\n` }], pattern).length

  test.each(['// TODO later', '/* good enough for now */', 'call() // FIXME'])('postponed: %s', line => {
    expect(found(line, postponed)).toBe(1)
  })

  test.each(['test.only("a", f)', 'describe.concurrent.skip("a", f)', 'it.todo("a")', 'xit("a", f)'])('left out: %s', line => {
    expect(found(line, leftOut)).toBe(1)
  })

  test('and leave ordinary lines alone', () => {
    expect(found('for (const now of times) exit(now)', postponed)).toBe(0)
    expect(found('test.each(cases)("prefix(a) is skipped", f)', leftOut)).toBe(0)
    expect(found('  const a = 1', trailingSpace)).toBe(0)
    expect(found('  const a = 1 ', trailingSpace)).toBe(1)
  })
})
