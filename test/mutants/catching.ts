/** Runs one mutant, or none, against what should catch it. */
import { fork, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Level } from '../../engine/index.js'
import { compiledCopy, sourceCopy } from './copies.js'
import type { Mutant } from './mutant.js'
import type { Report } from './play.js'

export interface Caught {
  readonly caught: boolean
  /** Histories played, the one that shows it included; undefined where a test was run. */
  readonly histories: number | undefined
  /** What was seen. */
  readonly how: string
}

/** Whoever says nothing for so long hangs, and a mutant that hangs is caught. */
const silenceMs = 60_000
/** A test file takes seconds. */
const testMs = 300_000

const playerFile = fileURLToPath(new URL('play.js', import.meta.url))

export async function playUntilCaught(mutant: Mutant | undefined, levels: readonly Level[], seed: number, max: number): Promise<Caught> {
  using copy = compiledCopy(mutant)
  const child = fork(playerFile, [copy.folder, levels.join(), `${seed}`, `${max}`], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
  let complaint = ''
  child.stderr!.on('data', (text: Buffer) => (complaint = (complaint + text.toString()).slice(-2_000)))
  let clean = 0
  return await new Promise<Caught>(resolve => {
    const end = (caught: Caught): void => {
      clearTimeout(timer)
      child.removeAllListeners()
      child.kill('SIGKILL')
      resolve(caught)
    }
    const hang = (): void => end({ caught: true, histories: clean + 1, how: `nothing was heard for ${silenceMs / 1_000} s` })
    let timer = setTimeout(hang, silenceMs)
    child.on('message', (report: Report) => {
      clean = report.clean
      clearTimeout(timer)
      timer = setTimeout(hang, silenceMs)
      if (!report.ended) return
      if (report.violation === undefined) end({ caught: false, histories: clean, how: '' })
      else end({ caught: true, histories: clean + 1, how: report.violation })
    })
    child.on('exit', code => end({ caught: true, histories: clean + 1, how: `the process ended with exit code ${code}: ${complaint.split('\n').find(line => /Error/.test(line)) ?? complaint}` }))
  })
}

/** Runs a test file on a copy of the sources; caught means that it fails. */
export async function testUntilCaught(mutant: Mutant | undefined, test: string): Promise<Caught> {
  using copy = sourceCopy(mutant)
  const child = spawn(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', '--config', 'test/vitest.config.ts', test], {
    cwd: copy.folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: testMs,
    env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: '0' },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (output += text.toString()))
  const code = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve))
  // That a test failed must be said, or it is something else that went wrong.
  const failed = /Tests\s.*?(\d+) failed/.exec(output)
  if (code !== 0 && failed === null) throw new Error(`${test} could not be run:\n${output}`)
  return { caught: code !== 0, histories: undefined, how: failed ? `${failed[1]} of its tests fail` : '' }
}
