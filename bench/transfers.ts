/** Durable transactions of two reads and two writes, each round on a store opened anew, so that stores that wait for their turn have nothing to do meanwhile. */
import type { Operation } from './clients.js'
import { integersFrom } from './random.js'
import { premisedbRows } from './subjects/premisedb-rows.js'
import { changedText, TextCensus, textOf } from './texts.js'
import type { Contestant, Context, Measured } from './workload.js'
import { open, row, type Database } from '../engine/index.js'

interface Sizes {
  readonly full: number
  readonly quick: number
}

/** Does transfers for about so long and tells how many were done. */
export type Drive = (durationMs: number, transfer: Operation) => Promise<Measured & { readonly operations: number }>

/** The warm-up takes this part of a round. */
const warmUpShare = 0.3

/** None is to be missing in the counts. */
const settings = { maxAttempts: 1_000, timeoutMs: 60_000 }

export async function startTransfers({ quick, seed, directory }: Context, rows: Sizes, roundMs: Sizes, drive: Drive): Promise<Contestant> {
  const length = quick ? 'quick' : 'full'
  const count = rows[length]
  const filled = await premisedbRows<string>().open(directory)
  await filled.load(count, id => textOf(id, 0))
  await filled.close()
  let done = 0
  let running: Database | undefined
  const openTable = async () => {
    running = await open(directory)
    return { db: running, table: running.table('rows', { key: ['number'], schema: row<string>() }) }
  }
  return {
    async round({ number, isWarmUp }) {
      const integer = integersFrom(seed, number)
      const { db, table } = await openTable()
      const { operations, ...measured } = await drive(roundMs[length] * (isWarmUp ? warmUpShare : 1), () => {
        const a = integer(count)
        const b = (a + 1 + integer(count - 1)) % count
        return db.transaction(tx => {
          const [foundA, foundB] = [tx.get(table, a)!, tx.get(table, b)!]
          tx.put(table, a, changedText(a, foundA))
          tx.put(table, b, changedText(b, foundB))
        }, settings)
      })
      done += operations
      await db.close()
      running = undefined
      return measured
    },
    async finish() {
      const { db, table } = await openTable()
      const census = new TextCensus()
      for (const { key, value } of db.range(table)) census.add(key, value)
      census.proof(count, 2 * done)
      return 'every transaction changed two rows once'
    },
    async dispose() {
      await running?.close()
    },
  }
}
