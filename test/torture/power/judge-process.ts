/** Opens image after image as its parent names them: says what is there, checks it, writes to it, and opens it again. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Database } from '../../../engine/database.js'
import { check, PremiseError, row, type Table } from '../../../engine/index.js'
import type { Limits } from '../../../engine/limits.js'
import { openEngine } from '../../../engine/open.js'
import { stateOf, tablesOf, type State } from '../workload.js'

export interface Question {
  readonly directory: string
  /** Whether it is checked before it is opened, too. */
  readonly checksFirst: boolean
}

export interface Verdict {
  readonly state?: State
  /** The step that did not go as it should, and what came instead. */
  readonly trouble?: { readonly step: Step; readonly what: string; readonly isTyped: boolean }
}

export type Step = 'check it closed' | 'open it' | 'read it' | 'check it' | 'write to it' | 'close it' | 'open it again' | 'find what was written' | 'find what was there'

const limits: Partial<Limits> = { logReserveSizeBytes: 4_096 }

process.on('message', (question: Question) => void answer(question))

async function answer({ directory, checksFirst }: Question): Promise<void> {
  let step: Step = 'check it closed'
  let state: State | undefined
  const opened = (): Database => new Database(openEngine(directory, {}, { limits }))
  try {
    if (checksFirst && existsSync(join(directory, 'premisedb'))) assertSound(await check(directory))
    step = 'open it'
    let db = opened()
    step = 'read it'
    state = stateOf(db, tablesOf(db))
    step = 'write to it'
    const probe = probeIn(db)
    db.transactionSync(tx => tx.put(probe, 1, 'written'))
    step = 'check it'
    assertSound(await db.check())
    step = 'close it'
    await db.close()
    step = 'open it again'
    db = opened()
    step = 'find what was written'
    if (db.get(probeIn(db), 1) !== 'written') throw new Error('it is not there')
    step = 'find what was there'
    if (JSON.stringify(stateOf(db, tablesOf(db))) !== JSON.stringify(state)) throw new Error('it is another state')
    step = 'close it'
    await db.close()
    say({ state })
  } catch (error) {
    const what = error instanceof PremiseError ? `${error.code}: ${error.message}` : String(error)
    say({ ...(state && { state }), trouble: { step, what, isTyped: error instanceof PremiseError || error instanceof Unsound } })
  }
}

class Unsound extends Error {}

function assertSound({ sound, findings, problems }: { readonly sound: boolean; readonly findings: readonly unknown[]; readonly problems: number }): void {
  if (!sound) throw new Unsound(`${problems} problems, the first: ${JSON.stringify(findings[0])}`)
}

const probeIn = (db: Database): Table<number, string, string, number> => db.table('probe', { key: ['number'], schema: row<string>() })

const say = (verdict: Verdict): void => void process.send!(verdict)
