/**
 * kill -9 of a writer with 32 clients at a random moment, again and again over one directory. The oracle is the harness's own record of what was
 * acknowledged (`kill-child.mjs` says what a report means); the database is asked only what it holds.
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
import { build } from '../tidy/project.js'
import { accounts, seeded, smallLimits, startBalance, stateOf, tablesOf, type State } from './kill-child.mjs'

const rounds = Number(process.env['KILL_ROUNDS'] ?? 6)
const seed = Number(process.env['KILL_SEED'] ?? 1)
const child = fileURLToPath(new URL('kill-child.mjs', import.meta.url))
/** For a child to say what it has found; far longer than it takes. */
const patienceMs = 20_000

type Mode = 'honest' | 'early' | 'relaxed'

/** What is known to be committed. What an opening has shown is as good as acknowledged: from then on it must stay. */
class Oracle {
  /** Token to the token whose rows it deleted. */
  readonly #committed = new Map<string, string>()
  readonly #progress = new Map<number, number>()
  acknowledged = 0
  lost: string[] = []
  partial: string[] = []
  wrong: string[] = []

  acknowledge(token: string, deleted: string, number: number, client: number): void {
    this.acknowledged++
    this.#committed.set(token, deleted)
    this.#progress.set(client, number)
  }

  /** Judges the state that an opening found, and takes it as the new base. */
  judge(state: State): void {
    const present = new Map(state.left.map(([token, , deleted]) => [token, deleted]))
    for (const [token, deleted] of present) this.#committed.set(token, deleted)
    const deleted = new Set(this.#committed.values())
    for (const token of this.#committed.keys()) {
      if (present.has(token) === deleted.has(token)) this.lost.push(`${token} is ${present.has(token) ? 'there though its deletion was acknowledged' : 'gone'}`)
    }
    // What is lost is counted once.
    for (const token of this.#committed.keys()) if (!present.has(token)) this.#committed.delete(token)
    this.#judgeParts(state)
    for (const [client, number] of this.#progress) {
      const found = state.progress.find(([of]) => of === client)?.[1] ?? 0
      if (found < number) this.lost.push(`client ${client} is at ${found} and had reached ${number}`)
    }
    for (const [client, number] of state.progress) this.#progress.set(client, number)
    const sum = state.balances.reduce((total, balance) => total + balance, 0)
    if (state.balances.length > 0 && sum !== accounts * startBalance) this.wrong.push(`the accounts hold ${sum} instead of ${accounts * startBalance}`)
  }

  /** All rows of a transaction or none. */
  #judgeParts({ left, right }: State): void {
    const parts = new Map<string, number[]>()
    for (const [token, i, value] of right) {
      if (value !== token) this.wrong.push(`a row of ${token} says ${value}`)
      const list = parts.get(token)
      if (list) list.push(i)
      else parts.set(token, [i])
    }
    for (const [token, rights] of left) {
      const found = parts.get(token) ?? []
      parts.delete(token)
      if (found.length !== rights || found.some((part, i) => part !== i)) this.partial.push(`${token} has ${found.length} of its ${rights} rows`)
    }
    for (const token of parts.keys()) this.partial.push(`${token} has rows but no head`)
  }
}

/** Starts a writer and kills it, seeded, a moment after it has said what it found; sometimes while it is still opening. */
async function killedWriter(directory: string, report: string, mode: Mode, random: () => number): Promise<void> {
  const writer = spawn(process.execPath, [child, directory, report, String(Math.floor(random() * 2 ** 32)), mode], { stdio: ['ignore', 'ignore', 'pipe'] })
  let complaint = ''
  writer.stderr.on('data', (text: Buffer) => (complaint += text.toString()))
  const ended = new Promise<void>(resolve => writer.once('close', () => resolve()))
  if (random() < 0.2) await sleep(40 + random() * 200)
  else {
    const until = performance.now() + patienceMs
    while (!hasFound(report) && writer.exitCode === null && performance.now() < until) await sleep(5)
    await sleep(random() * 1_200)
  }
  const exited = writer.exitCode
  writer.kill('SIGKILL')
  await ended
  expect({ exited, complaint }, 'The writer ended by itself.').toEqual({ exited: null, complaint: '' })
}

const hasFound = (report: string): boolean => existsSync(report) && readFileSync(report, 'latin1').includes('\nA ')

/** Returns whether the writer came so far as to say what it found. */
function take(report: string, oracle: Oracle): boolean {
  if (!existsSync(report)) return false
  const lines = readFileSync(report, 'utf8').split('\n').slice(0, -1)
  for (const line of lines) {
    if (line.startsWith('F ')) oracle.judge(JSON.parse(line.slice(2)) as State)
    else {
      const [, token, deleted, number, client] = line.split(' ')
      oracle.acknowledge(token!, deleted!, Number(number), Number(client))
    }
  }
  return lines.length > 0
}

interface Outcome {
  readonly oracle: Oracle
  readonly judged: number
  readonly goesOn: boolean
}

async function torture(mode: Mode, times: number, ofSeed: number): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'premisedb-kill-'))
  const directory = join(folder, 'data')
  const oracle = new Oracle()
  const random = seeded(ofSeed)
  let judged = 0
  try {
    for (let round = 0; round < times; round++) {
      const report = join(folder, `report-${round}`)
      await killedWriter(directory, report, mode, random)
      if (take(report, oracle)) judged++
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
