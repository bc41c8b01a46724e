/** The `premise matrix` command, run as a user runs it: PremiseDB itself under the matrix, with real files and real syncs. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type MatrixDocument, scenarios } from '../../isolation/anomaly/index.js'
import type { Level } from '../../isolation/types.js'
import { build, root } from '../tidy/project.js'

let folder = ''
beforeAll(() => {
  build()
  folder = mkdtempSync(join(tmpdir(), 'premise-command-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Its temporary files go into a folder of our own, to see what it leaves behind. */
function premise(...args: string[]) {
  const command = [join(root, 'dist/engine/cli/premise.js'), ...args]
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { encoding: 'utf8', env: { ...process.env, TMPDIR: folder } })
  return { status, stdout, stderr }
}

const ids = scenarios.map(({ id }) => id)
const allowedAt = (level: Level): string[] => scenarios.filter(scenario => scenario.allowedAt.includes(level)).map(({ id }) => id)

test('PremiseDB shows at each level exactly the anomalies that the level allows', () => {
  const { status, stdout, stderr } = premise('matrix', '--json')
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  const { subjects, cells } = JSON.parse(stdout) as MatrixDocument
  expect(subjects).toEqual(['read-committed', 'snapshot', 'serializable'].map(level => ({ name: `premisedb/${level}`, level, control: 'optimistic' })))
  const possible = (subject: string) => cells.filter(cell => cell.subject === subject && cell.observed === 'possible').map(({ anomaly }) => anomaly)
  expect(possible('premisedb/read-committed')).toEqual(allowedAt('read-committed'))
  expect(possible('premisedb/snapshot')).toEqual(allowedAt('snapshot'))
  expect(possible('premisedb/serializable')).toEqual([])
  expect(cells.every(({ schedules, witnesses, forbidden }) => schedules > 0 && witnesses <= schedules && forbidden.length === 0)).toBe(true)
  expect(cells).toHaveLength(3 * ids.length)
}, 120_000)

test('the choice of anomalies and subjects, the traces and the page', () => {
  const page = join(folder, 'matrix.html')
  const { status, stdout } = premise('matrix', '--only', 'P4', '--only', 'G2', '--subject', 'premisedb/serializable', '--trace', '--html', page)
  expect(status).toBe(0)
  for (const id of ['P4', 'G2-item', 'G2-empty-range', 'G2-range', 'G2-limit']) expect(stdout).toMatch(new RegExp(`^${id} +✓ prevented$`, 'm'))
  expect(stdout).not.toContain('doctors-on-call')
  expect(stdout).toContain('was aborted by the engine, which says: The transaction "adds')
  expect(stdout).not.toContain('\u001b')
  expect(readFileSync(page, 'utf8')).toContain('<section id="G2-limit"')
  expect(readdirSync(folder)).toEqual(['matrix.html'])
})

test.each([
  ['no command', []],
  ['an unknown command', ['matrices']],
  ['an unknown option', ['matrix', '--every']],
  ['an unknown anomaly', ['matrix', '--only', 'G9']],
  ['an unknown subject', ['matrix', '--subject', 'premisedb']],
  ['a seed that is no number', ['matrix', '--seed', 'spring']],
  ['two forms of output at once', ['matrix', '--json', '--trace']],
])('%s is a mistake: exit code 2, and nothing is run', (_title, args) => {
  expect(premise(...args).status).toBe(2)
})

test('help is help, with exit code 0', () => {
  expect(premise('--help')).toMatchObject({ status: 0, stderr: '', stdout: expect.stringContaining('matrix') as string })
  const { status, stdout } = premise('matrix', '--help')
  expect(status).toBe(0)
  for (const word of ['--only', '--subject', '--trace', '--html', '--json', '--seed', ...ids]) expect(stdout).toContain(word)
})
