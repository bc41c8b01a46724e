/** The `premise check-history` command, run as a user runs it. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Verdict } from '../../isolation/anomaly/index.js'
import { build, root } from '../tidy/project.js'
import { history } from './adya.js'

let folder = ''
beforeAll(() => {
  build()
  folder = mkdtempSync(join(tmpdir(), 'premise-history-'))
  writeFileSync(join(folder, 'skew.json'), JSON.stringify(history('x0 y0', 'r1(x0) r1(y0) r2(x0) r2(y0) w1(x1) w2(y2) c1 c2', 'x1 y2')))
  writeFileSync(join(folder, 'typo.json'), '{ "initial": [], "transactons": [] }')
  writeFileSync(join(folder, 'text.json'), 'transactions: none')
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function check(...args: string[]) {
  const command = [join(root, 'dist/engine/cli/premise.js'), 'check-history', ...args]
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { encoding: 'utf8', cwd: folder })
  return { status, stdout, stderr }
}

test('what occurred is told in sentences; what the level rules out makes exit code 1', () => {
  const { status, stdout, stderr } = check('skew.json')
  expect({ status, stderr }).toEqual({ status: 1, stderr: '' })
  expect(stdout).toContain(
    [
      'G2-item           OCCURRED, ruled out at serializable: a cycle with two or more reads of rows that were overwritten later',
      '    T1 before T2, because T1 read y as it was before T2 wrote it.',
      '    T2 before T1, because T2 read x as it was before T1 wrote it.',
      'G2                absent',
      '',
    ].join('\n'),
  )
})

test('at a level that allows it the same history is fine', () => {
  const { status, stdout } = check('skew.json', '--level', 'snapshot', '--json')
  expect(status).toBe(0)
  const verdict = JSON.parse(stdout) as Verdict & { level: string }
  expect(verdict).toMatchObject({ level: 'snapshot', status: { 'G2-item': 'occurred', 'G-single': 'absent' }, findings: [{ phenomenon: 'G2-item' }], doubts: [] })
})

test.each([
  ['a file that is not there', ['none.json'], 'none.json: ENOENT'],
  ['a file that is not JSON', ['text.json'], 'text.json: '],
  ['a history with a mistake in it', ['typo.json'], 'typo.json: The history has a field "transactons"'],
  ['no file', [], 'takes one file'],
  ['two files', ['skew.json', 'skew.json'], 'takes one file'],
  ['a level that there is not', ['skew.json', '--level', 'strict'], 'not "strict"'],
])('%s is a mistake: exit code 2', (_title, args, message) => {
  expect(check(...args)).toMatchObject({ status: 2, stdout: '', stderr: expect.stringContaining(message) as string })
})
