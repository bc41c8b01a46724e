/** A million rows into an empty store. */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { inWords } from '../report/text.js'
import { loadBatch, type RowStore, type RowSubject } from '../row-store.js'
import { lmdbRows } from '../subjects/lmdb-rows.js'
import { premisedbRows } from '../subjects/premisedb-rows.js'
import { rowSizeBytes, TextCensus, textOf } from '../texts.js'
import type { Contestant, Context, Workload } from '../workload.js'

const ours = premisedbRows<string>()
const theirs = lmdbRows<string>()
const rows = { full: 1_000_000, quick: 50_000, warmUp: 20_000 }

export const bulkLoad: Workload = {
  name: 'bulk-load',
  summary:
    `${inWords(rows.full)} rows of ${rowSizeBytes} bytes put into an empty store, in the order of their keys, in transactions of ${inWords(loadBatch)} rows, one after the other; PremiseDB ` +
    'acknowledges them before they are on disk (relaxed). Inside the timing: opening the store, making the rows, and closing it, after which everything is on disk and in the main file. ' +
    'In the same way the package lmdb syncs while it works on, as is its default, and is waited for at the end.',
  unit: 'rows/s',
  rounds: { full: 3, quick: 2 },
  entries: [
    { subject: ours.name, peer: undefined, settings: ours.settings, start: context => start(ours, context) },
    { subject: theirs.name, peer: 'lmdb', settings: theirs.settings, start: context => start(theirs, context) },
  ],
  goals: [{ name: 'bulk-load/lmdb', of: ours.name, to: theirs.name, op: '>=', target: 0.6 }],
}

/** Each round makes a store of its own, of other rows; all rows of the last one are looked at in the end. */
function start(subject: RowSubject<string>, { quick, directory }: Context): Promise<Contestant> {
  const place = join(directory, 'loaded')
  let loaded = { count: 0, changes: 0 }
  let running: RowStore<string> | undefined
  return Promise.resolve({
    async round({ number, isWarmUp }) {
      rmSync(place, { recursive: true, force: true })
      mkdirSync(place)
      const count = isWarmUp ? rows.warmUp : quick ? rows.quick : rows.full
      loaded = { count, changes: number }
      const startedMs = performance.now()
      running = await subject.open(place)
      await running.load(count, id => textOf(id, number))
      await running.close()
      running = undefined
      return (count / (performance.now() - startedMs)) * 1_000
    },
    async finish() {
      const census = new TextCensus()
      running = await subject.open(place)
      await running.read(reader => reader.all((id, text) => census.add(id, text)))
      return census.proof(loaded.count, loaded.count * loaded.changes)
    },
    async dispose() {
      await running?.close()
    },
  })
}
