/**
 * SIBENCH (Cahill, Röhm, Fekete: Serializable Isolation for Snapshot Databases, SIGMOD 2008): half of the transactions look for the row with the smallest value, half change one row.
 * Where readers wait for writers, or are aborted by them, it shows.
 */
import { loopFor } from '../clients.js'
import { abortsNote, lostNote } from '../hot-rows.js'
import { integersFrom } from '../random.js'
import { inWords } from '../report/text.js'
import { contendedSettings, ContendedStore } from '../subjects/premisedb-contended.js'
import { turn } from '../turn.js'
import type { Contestant, Context, Workload } from '../workload.js'
import { levels, row, type Level } from '../../engine/index.js'

const clients = 16
const roundMs = { full: 1_500, quick: 500 }

async function start(level: Level, rows: number, { quick, seed, directory }: Context): Promise<Contestant> {
  const store = await ContendedStore.open(directory, level)
  const { db } = store
  const table = db.table('rows', { key: ['number'], schema: row<number>() })
  await db.transaction(tx => {
    for (let id = 0; id < rows; id++) tx.put(table, id, 0)
  })
  const sum = (): number => db.range(table).toArray().reduce((total, { value }) => total + value, 0)

  const query = (): Promise<void> =>
    store.transaction(tx => {
      let seen = 0
      let least: { readonly key: number; readonly value: number } | undefined
      for (const { key, value } of tx.range(table)) {
        seen++
        if (least === undefined || value < least.value) least = { key, value }
      }
      if (seen !== rows || least === undefined) throw new Error(`A query saw ${seen} rows, not ${rows}.`)
    })
  const update = (id: number): Promise<void> =>
    store.transaction(async tx => {
      const value = tx.get(table, id)!
      await turn()
      tx.put(table, id, value + 1)
    })

  return {
    async round({ number }) {
      const integer = integersFrom(seed, number)
      const before = sum()
      let updates = 0
      store.takeAbortsPerCommit()
      const { operationsPerSecond, latencies } = await loopFor({ clients, durationMs: roundMs[quick ? 'quick' : 'full'] }, () => {
        if (integer(2) === 0) return query()
        updates++
        return update(integer(rows))
      })
      const lost = before + updates - sum()
      if (lost < 0 || (lost > 0 && level !== 'read-committed')) throw new Error(`${updates} updates at level ${level}, and ${lost} of them lost.`)
      return {
        value: operationsPerSecond,
        notes: { [abortsNote]: store.takeAbortsPerCommit(), [lostNote]: lost / Math.max(1, updates), 'p99, ms': latencies.quantileMs(0.99) },
      }
    },
    finish: () => Promise.resolve('every query saw all rows, and every update counted that the level promises to keep'),
    dispose: () => db.close(),
  }
}

const sibenchOf = (rows: number): Workload => ({
  name: `sibench-${rows}`,
  summary:
    `SIBENCH (Cahill, Röhm, Fekete, SIGMOD 2008) with ${inWords(rows)} rows: transactions that read all rows and find the one with the smallest value, and as many that read one row, let others run, and ` +
    `add one to it; ${clients} in flight, acknowledged before they are on disk. A query writes nothing, so it is valid at its snapshot and never aborted. Lost updates are counted per update.`,
  unit: 'commits/s',
  rounds: { full: 5, quick: 2 },
  entries: levels.toReversed().map(level => ({
    subject: `premisedb/${level}`,
    peer: undefined,
    settings: contendedSettings(level),
    start: context => start(level, rows, context),
  })),
  goals: [],
})

export const sibench: readonly Workload[] = [10, 100, 1_000].map(sibenchOf)
