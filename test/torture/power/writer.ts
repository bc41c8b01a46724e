/**
 * The process whose writes are recorded: opens a database, commits with the clients of workload.ts, closes or compacts it, as often as its task says. A line of its report follows what it says, so that both
 * stand in one order.
 *
 *     node writer.js TASK        TASK is JSON
 *
 * Beside the lines of workload.ts there are `L CODE` where it could not be opened, `X CODE` where something failed, `C` at the end.
 */
import { openSync, writeSync } from 'node:fs'
import { Database } from '../../../engine/database.js'
import { compact, PremiseError } from '../../../engine/index.js'
import type { Limits } from '../../../engine/limits.js'
import { openEngine } from '../../../engine/open.js'
import { work } from '../workload.js'

export interface Act {
  readonly commits: number
  /** Share of commits that are relaxed. */
  readonly relaxed: number
  readonly ends: 'close' | 'compact' | 'close and compact'
}

export interface WriterTask {
  readonly directory: string
  readonly report: string
  readonly seed: number
  readonly limits: Partial<Limits>
  readonly acts: readonly Act[]
}

const { directory, report, seed, limits, acts } = JSON.parse(process.argv[2] ?? 'null') as WriterTask
const reportFd = openSync(report, 'a')
const say = (line: string): void => void writeSync(reportFd, `${line}\n`)
const codeOf = (error: unknown): string => (error instanceof PremiseError ? error.code : String(error))

for (const [i, act] of acts.entries()) {
  const db = opened()
  if (db === undefined) continue
  try {
    await play(db, act, seed + i)
  } catch (error) {
    say(`X ${codeOf(error)}`)
  }
}
say('C')

function opened(): Database | undefined {
  try {
    return new Database(openEngine(directory, {}, { limits }))
  } catch (error) {
    say(`L ${codeOf(error)}`)
    return undefined
  }
}

/** Clients stop when the database closes. */
async function play(db: Database, { commits, relaxed, ends }: Act, seedOfAct: number): Promise<void> {
  let left = commits
  let ending: Promise<unknown> | undefined
  const counted = (line: string): void => {
    say(line)
    if (line.startsWith('F ') || --left > 0) return
    ending ??= ends === 'compact' ? db.compact() : db.close()
    ending.catch(() => {}) // asked below
  }
  const failed = async (error: PremiseError): Promise<'stop'> => {
    if (error.code !== 'CLOSED') say(`X ${codeOf(error)}`)
    return 'stop'
  }
  try {
    await work({ db, seed: seedOfAct, mode: 'honest', bulk: false, relaxed, say: counted, failed })
  } finally {
    await (ending ?? db.close())
  }
  if (ends === 'close and compact') await compact(directory)
}
