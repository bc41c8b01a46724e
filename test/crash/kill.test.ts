/**
 * kill -9 of a writer with 32 clients at a random moment, again and again over one directory, under limits so small that checkpoints never end. (`npm run torture -- --family kill` does it under the
 * limits that everybody has.) The oracle is kept outside the store; the database is asked only what it holds.
 *
 * `KILL_ROUNDS` and `KILL_SEED` choose how many rounds and which.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { beforeAll, expect, test } from 'vitest'
import { Database } from '../../engine/database.js'
import { openEngine } from '../../engine/open.js'
import { Chance } from '../simulation/chance.js'
import { build } from '../tidy/project.js'
import { Oracle } from '../torture/oracle.js'
import { stateOf, tablesOf, type Mode } from '../torture/workload.js'
import { smallLimits } from './kill-child.mjs'

const rounds = Number(process.env['KILL_ROUNDS'] ?? 6)
const seed = Number(process.env['KILL_SEED'] ?? 1)
const child = fileURLToPath(new URL('kill-child.mjs', import.meta.url))
/** For a child to say what it has found; far longer than it takes. */
const patienceMs = 20_000

/** Starts a writer and kills it, seeded, a moment after it has said what it found; sometimes while it is still opening. */
async function killedWriter(directory: string, report: string, mode: Mode, chance: Chance): Promise<void> {
  const writer = spawn(process.execPath, [child, directory, report, String(chance.below(2 ** 32)), mode], { stdio: ['ignore', 'ignore', 'pipe'] })
  let complaint = ''
  writer.stderr.on('data', (text: Buffer) => (complaint += text.toString()))
  const ended = new Promise<void>(resolve => writer.once('close', () => resolve()))
  if (chance.is(0.2)) await sleep(40 + chance.next() * 200)
  else {
    const until = performance.now() + patienceMs
    while (!hasFound(report) && writer.exitCode === null && performance.now() < until) await sleep(5)
    await sleep(chance.next() * 1_200)
  }
  const exited = writer.exitCode
  writer.kill('SIGKILL')
  await ended
  expect({ exited, complaint }, 'The writer ended by itself.').toEqual({ exited: null, complaint: '' })
}

const hasFound = (report: string): boolean => existsSync(report) && readFileSync(report, 'latin1').includes('\nA ')

interface Outcome {
  readonly oracle: Oracle
  readonly judged: number
  readonly goesOn: boolean
}

async function torture(mode: Mode, times: number, ofSeed: number): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'premisedb-kill-'))
  const directory = join(folder, 'data')
  const oracle = new Oracle()
  const chance = new Chance(ofSeed)
  let judged = 0
  try {
    for (let round = 0; round < times; round++) {
      const report = join(folder, `report-${round}`)
      await killedWriter(directory, report, mode, chance)
      if (oracle.take(report)) judged++
      rmSync(report, { force: true })
    }
    const db = new Database(openEngine(directory, {}, { limits: smallLimits }))
    const tables = tablesOf(db)
    oracle.judge(stateOf(db, tables))
    await db.put(tables.progress, -1, times)
    await db.close()
    const again = new Database(openEngine(directory, {}, {}))
    const goesOn = again.get(tablesOf(again).progress, -1) === times
    await again.close()
    return { oracle, judged: judged + 1, goesOn }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

beforeAll(build)

test(`after kill -9 no acknowledged commit is lost and none is partial (${rounds} rounds)`, { timeout: 30_000 + rounds * 10_000 }, async () => {
  const { oracle, judged, goesOn } = await torture('honest', rounds, seed)
  const { acknowledged, lost, partial, wrong } = oracle
  console.log(`${rounds} kills, ${judged} states judged, ${acknowledged} acknowledged commits: ${lost.length} lost, ${partial.length} partial, ${wrong.length} wrong`)
  expect({ lost, partial, wrong }).toEqual({ lost: [], partial: [], wrong: [] })
  expect(goesOn).toBe(true)
  expect(acknowledged).toBeGreaterThan(rounds * 50)
})

test.each(['early', 'relaxed'] as const)('the harness notices losses where acknowledgements are %s', { timeout: 120_000 }, async mode => {
  let lost = 0
  // A kill that comes just after a write to the log loses nothing.
  for (let times = 0; lost === 0 && times < 8; times++) {
    const { oracle } = await torture(mode, 4, seed + times)
    console.log(`acknowledgements ${mode}: ${oracle.lost.length} of ${oracle.acknowledged} lost`)
    expect({ partial: oracle.partial, wrong: oracle.wrong }).toEqual({ partial: [], wrong: [] })
    lost += oracle.lost.length
  }
  expect(lost).toBeGreaterThan(0)
})
