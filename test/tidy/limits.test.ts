import { expect, test } from 'vitest'
import { defaultLimits } from '../../engine/limits.js'
import { read } from './project.js'

/** The rows of the page's tables: a limit, its default, what happens, why. */
const rows = read('docs/limits.md')
  .split('\n')
  .map(line => /^\| `(?<name>\w+)` \| (?<value>[^|]+) \| (?<met>[^|]+) \| (?<why>[^|]+) \|$/.exec(line)?.groups)
  .filter(row => row !== undefined) as { name: string; value: string; met: string; why: string }[]

const MB = 1_048_576

/** A default as the page should say it, with the unit that the name ends in. */
function spelled(name: string, value: number): string {
  const text = (n: number): string => n.toLocaleString('en-US')
  if (name.endsWith('SizeBytes')) return value % MB === 0 ? `${text(value / MB)} MB` : `${text(value)} bytes`
  return name.endsWith('Ms') ? `${text(value)} ms` : text(value)
}

test('docs/limits.md has a row for every limit of engine/limits.ts, and for nothing else', () => {
  expect(rows.map(({ name }) => name).toSorted()).toEqual(Object.keys(defaultLimits).toSorted())
})

test.each(Object.entries(defaultLimits))('%s is documented with its default, what happens when it is met, and why', (name, value) => {
  const row = rows.find(one => one.name === name)
  expect(row?.value).toBe(spelled(name, value as number))
  expect(row?.met).toMatch(/\w/)
  expect(row?.why).toMatch(/\w{3}/)
})
