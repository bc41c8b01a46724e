/** Changes rows, one relaxed commit each, the last one durable. Then closes, or is killed and leaves the commits in the log. */
import { answer } from '../child.js'
import { integersFrom } from '../random.js'
import { changedText } from '../texts.js'
import { open, row } from '../../engine/index.js'

export interface LeaveLog {
  readonly directory: string
  readonly rows: number
  readonly commits: number
  readonly seed: number
  readonly end: 'closed' | 'killed'
}

async function leaveLog({ directory, rows, commits, seed, end }: LeaveLog): Promise<LeaveLog['end']> {
  const db = await open(directory, { durability: 'relaxed' })
  const table = db.table('rows', { key: ['number'], schema: row<string>() })
  const integer = integersFrom(seed)
  for (let i = 1; i <= commits; i++) {
    const id = integer(rows)
    await db.transaction(tx => tx.put(table, id, changedText(id, tx.get(table, id)!)), i === commits ? { durability: 'durable' } : {})
  }
  if (end === 'closed') await db.close()
  else afterwards = () => process.kill(process.pid, 'SIGKILL')
  return end
}

let afterwards = (): unknown => process.disconnect()

answer(leaveLog, () => afterwards())
