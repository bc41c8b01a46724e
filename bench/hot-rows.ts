/** Clients that count up the same few rows: each transaction reads a row, lets the others have their turn, and writes it. */
import { loopFor } from './clients.js'
import { integersFrom } from './random.js'
import { ContendedStore } from './subjects/premisedb-contended.js'
import { turn } from './turn.js'
import type { Contestant, Context, Measured, Round } from './workload.js'
import { row, type Level } from '../engine/index.js'

export interface HotRows {
  readonly level: Level
  readonly rows: number
  readonly clients: number
  readonly roundMs: { readonly full: number; readonly quick: number }
}

export const abortsNote = 'aborts per commit'
export const lostNote = 'lost per commit'

export interface HotRowsContestant extends Contestant {
  round(round: Round): Promise<Measured>
}

/** Values are commits per second. A round fails where an update was lost that the level keeps. */
export async function startHotRows({ level, rows, clients, roundMs }: HotRows, { quick, seed, directory }: Context): Promise<HotRowsContestant> {
  const store = await ContendedStore.open(directory, level)
  const { db } = store
  const counters = db.table('counters', { key: ['number'], schema: row<number>() })
  await db.transaction(tx => {
    for (let id = 0; id < rows; id++) tx.put(counters, id, 0)
  })
  const sum = (): number => db.range(counters).toArray().reduce((total, { value }) => total + value, 0)
  return {
    async round({ number }) {
      const integer = integersFrom(seed, number)
      const before = sum()
      store.takeAbortsPerCommit()
      const { operations, operationsPerSecond, latencies } = await loopFor({ clients, durationMs: roundMs[quick ? 'quick' : 'full'] }, () => {
        const id = integer(rows)
        return store.transaction(async tx => {
          const count = tx.get(counters, id)!
          await turn()
          tx.put(counters, id, count + 1)
        })
      })
      const lost = before + operations - sum()
      if (lost < 0 || (lost > 0 && level !== 'read-committed')) throw new Error(`${operations} transactions at level ${level} lost ${lost} updates.`)
      return {
        value: operationsPerSecond,
        notes: { [abortsNote]: store.takeAbortsPerCommit(), [lostNote]: lost / operations, 'p99, ms': latencies.quantileMs(0.99) },
      }
    },
    finish: () => Promise.resolve('every update counted that the level promises to keep'),
    dispose: () => db.close(),
  }
}
