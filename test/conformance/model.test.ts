/**
 * The public API against a model. Random commands (one-shot operations, transactions of every kind, handles, savepoints and iterators that stay open, syncs that
 * are held back, time, closing, crashes) act on a database and on a plain list of states. Every result must be the same, and after every command the whole
 * content. A failing run is shrunk and printed as a script.
 *
 * MODEL_RUNS says how many runs, MODEL_SEED with which seed. A failure names seed and path; MODEL_PATH repeats only it.
 */
import * as fc from 'fast-check'
import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { scratchDirectory } from '../support/databases.js'
import { commandDrafts, setups, type CommandDraft, type Setup } from './drafts.js'
import { Tally } from './observer.js'
import { Session } from './session.js'

const runs = Number(process.env['MODEL_RUNS'] ?? 300)
const fixedSeed = Number(process.env['MODEL_SEED'] ?? 1)
const path = process.env['MODEL_PATH']
/** Of so many drawn about half are done: a run has from none to all of them, and some make no sense where they stand. */
const commandsMax = 60
const timeoutMs = 30_000 + runs * 300

/** What a default run has to come across, or it shows less than it seems to. */
const occurrences = [
  ...['CONFLICT', 'ROW_EXISTS', 'ROW_ABSENT', 'SCHEMA', 'READ_ONLY', 'CLOSED', 'TIMEOUT', 'CANCELLED', 'TRANSACTION_ENDED', 'SAVEPOINT_ACTIVE', 'INVALID_VALUE', 'INVALID_ARGUMENT', 'VALUE_TOO_LARGE'].map(
    code => `throws ${code}`,
  ),
  'an operation after somebody else has committed',
  'a snapshot that moved',
  'another attempt',
  'a promise waits for a sync',
  'a savepoint kept',
  'a savepoint dropped',
  'a crash lost a commit',
]

class Command implements fc.AsyncCommand<Session, Session> {
  readonly #draft: CommandDraft

  constructor(draft: CommandDraft) {
    this.#draft = draft
  }

  check(session: Readonly<Session>): boolean {
    return session.can(this.#draft)
  }

  run(_model: Session, session: Session): Promise<void> {
    return session.run(this.#draft)
  }
}

const commands = fc.commands<Session, Session, false>([commandDrafts.map(draft => new Command(draft))], { maxCommands: commandsMax, size: 'max' })

interface Options {
  readonly numRuns: number
  readonly seed: number
  readonly tally?: Tally
  /** The disk does not do what it says. */
  readonly lies?: boolean
}

/** The report of the smallest failing run, or undefined. */
async function failureOf({ numRuns, seed, tally = new Tally(), lies = false }: Options): Promise<string | undefined> {
  const root = realpathSync(scratchDirectory())
  const play = async (setup: Setup, list: Iterable<Command>, end: 'close' | 'crash'): Promise<void> => {
    const directory = mkdtempSync(join(root, 'run-'))
    const session = new Session(directory, setup, tally, lies)
    try {
      await session.begin()
      await fc.asyncModelRun(() => ({ model: session, real: session }), list)
      await session.finish(end)
    } catch (error) {
      throw new Error(`${(error as Error).message}\n\n${session.observer.script.join('\n')}\n`, { cause: error })
    } finally {
      await session.dispose()
      rmSync(directory, { recursive: true, force: true })
    }
  }
  const property = fc.asyncProperty(setups, commands, fc.constantFrom('close', 'crash'), (setup, list, end) => play(setup, list as Iterable<Command>, end))
  const details = await fc.check(property, { numRuns, seed, unbiased: true, ...(path !== undefined && { path, endOnFailure: true }) })
  if (!details.failed) return undefined
  const error = details.errorInstance as Error
  const repeat = `MODEL_SEED=${seed} MODEL_PATH=${details.counterexamplePath} (after ${details.numRuns} runs and ${details.numShrinks} shrinks)`
  return [error.message, repeat, (error.cause as Error | undefined)?.stack].join('\n')
}

test('whatever a program does, the database does what a list of states does', async () => {
  const tally = new Tally()
  expect(await failureOf({ numRuns: runs, seed: fixedSeed, tally })).toBeUndefined()
  if (path !== undefined) return
  for (const occurrence of occurrences) expect(tally.counts.get(occurrence), occurrence).toBeGreaterThan(0)
  if (process.env['MODEL_RUNS'] !== undefined) console.log(Array.from(tally.counts, ([what, times]) => `${times} ${what}`).join(', '))
}, timeoutMs)

test.runIf(path === undefined)('with a seed that is new each time', async () => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  console.log(`model: MODEL_SEED=${seed}`)
  expect(await failureOf({ numRuns: Math.ceil(runs / 3), seed })).toBeUndefined()
}, timeoutMs)

test.runIf(path === undefined)('a disk that forgets what it has synced is found out, in a few lines', async () => {
  const report = await failureOf({ numRuns: 50, seed: 1, lies: true })
  expect(report).toContain('machine.crash(')
  expect(report!.slice(0, report!.indexOf('MODEL_SEED')).split('\n').length).toBeLessThan(25)
}, timeoutMs)
