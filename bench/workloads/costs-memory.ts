/** What open transactions cost in memory. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { runInChild } from '../child.js'
import type { Held, Memory } from '../jobs/memory.js'
import { inWords } from '../report/text.js'
import { premisedbRows } from '../subjects/premisedb-rows.js'
import { textOf } from '../texts.js'
import type { Contestant, Context, Workload } from '../workload.js'

const subject = premisedbRows<string>()
const counts = { transactions: { full: 10_000, quick: 2_000 }, reads: { full: 100_000, quick: 20_000 } }

const measuredBy = 'Heap and what its objects have outside of it, after full garbage collections, in a process of its own, less what the same work leaves behind when each transaction ends at once (commits since the last checkpoint stay in memory); the note says what is left when they have ended.'

export const memory: readonly Workload[] = [
  memoryOf('memory-transaction', 'transactions', `Bytes per open transaction, with ${inWords(counts.transactions.full)} open, each of which has a snapshot of its own and has read one row. ${measuredBy}`),
  memoryOf('memory-read', 'reads', `Bytes per row that an open serializable transaction has read, with ${inWords(counts.reads.full)} read one by one. ${measuredBy}`),
]

function memoryOf(name: string, holding: Memory['holding'], summary: string): Workload {
  return {
    name,
    summary,
    unit: 'bytes',
    better: 'less',
    rounds: { full: 3, quick: 1 },
    entries: [{ subject: subject.name, peer: undefined, settings: 'level serializable, durability relaxed, otherwise defaults', start: context => start(holding, context) }],
    goals: [],
  }
}

function start(holding: Memory['holding'], { quick, directory }: Context): Promise<Contestant> {
  const count = counts[holding][quick ? 'quick' : 'full']
  return Promise.resolve({
    async round({ number }) {
      const place = join(directory, String(number))
      mkdirSync(place)
      const filled = await subject.open(place)
      await filled.load(count + 1, id => textOf(id, 0))
      await filled.close()
      const { each, leftOfEach } = await runInChild<Held>(new URL('../jobs/memory.js', import.meta.url), { directory: place, holding, count } satisfies Memory, ['--expose-gc'])
      return { value: each, notes: { 'left afterwards': leftOfEach } }
    },
    finish: () => Promise.resolve(`each of ${inWords(count)} rows was found`),
    dispose: () => Promise.resolve(),
  })
}
