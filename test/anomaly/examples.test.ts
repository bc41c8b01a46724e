/** The programs in docs/examples, run as a reader runs them, only for a shorter time. */
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { build, root } from '../tidy/project.js'

let folder = ''
beforeAll(() => {
  build()
  folder = mkdtempSync(join(tmpdir(), 'premise-examples-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Ending {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

async function run(example: string, seconds: string): Promise<Ending> {
  const program = spawn(process.execPath, [join(root, 'docs/examples', example), '--seconds', seconds], { env: { ...process.env, TMPDIR: folder } })
  const output = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const) {
    program[stream].setEncoding('utf8').on('data', (text: string) => {
      output[stream] += text
    })
  }
  const status = await new Promise<number | null>(resolve => program.on('close', resolve))
  return { status, ...output }
}

const examples = ['on-call.mjs', 'bank.mjs']

test('snapshot breaks the rule of each example, serializable keeps it, and the engine says why it refused', async () => {
  for (const { status, stdout, stderr } of await Promise.all(examples.map(example => run(example, '1')))) {
    expect({ status, stderr }, stdout).toEqual({ status: 0, stderr: '' })
    const [weak = '', strong = ''] = stdout.split('\nserializable: ')
    expect(weak).toMatch(/\nsnapshot: [\d,]+ commits?, [\d,]+ retr.*\n {2}✗ The rule was found broken [\d,]+ times?, first after \d+ ms: /)
    expect(strong).toMatch(/^[\d,]+ commits?, [\d,]+ retr.*\n {2}✓ The rule always held\.\n/)
    expect(strong.replaceAll(/\s+/g, ' ')).toMatch(/so it hears why it was refused: The transaction ".*" read .*, but before it could commit, commit \d+ \(".*"\) (had put row|had (brought a row under|taken a row from) key)/)
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(110)
  }
  expect(readdirSync(folder)).toEqual([])
})

test.each(examples)('%s fails where snapshot had no chance to break the rule: nothing has been shown then', async example => {
  const { status, stdout } = await run(example, '1e-9')
  expect(status).toBe(1)
  expect(stdout).toContain('This is not what should have happened.')
})

test.each(examples)('%s refuses a time that is none', async example => {
  expect(await run(example, 'soon')).toMatchObject({ status: 1, stderr: expect.stringContaining('--seconds must be a number above 0, not "soon".') as string })
})
