/** What open transactions, and what they have read, take in memory. Needs `--expose-gc`. */
import { answer } from '../child.js'
import { textOf } from '../texts.js'
import { open, row, type ManualTransaction } from '../../engine/index.js'

export interface Memory {
  readonly directory: string
  readonly holding: 'transactions' | 'reads'
  readonly count: number
}

export interface Held {
  /** Bytes per transaction, or per read. */
  readonly each: number
  /** What is left of them when the transactions have ended. */
  readonly leftOfEach: number
}

/** None of the transactions may end while others begin. */
const timeoutMs = 1_000_000
const settleMs = 200
/** Fewer than the engine drops with each commit. */
const trimmedPerCommit = 32

async function measure({ directory, holding, count }: Memory): Promise<Held> {
  const db = await open(directory, { durability: 'relaxed' })
  const rows = db.table('rows', { key: ['number'], schema: row<string>() })
  let commits = 0

  // Once before, so that what is made only once is there already.
  await run('at once')
  const before = await settledBytes()
  await run('at once')
  const withoutThem = await settledBytes()
  const held = await run('later')
  const withThem = await settledBytes()
  abortAll(held)
  // What was kept for them is given up commit by commit.
  for (let i = 0; i < count / trimmedPerCommit; i++) await commit()
  const afterwards = await settledBytes()
  await db.close()
  const ofCommits = withoutThem - before
  return { each: (withThem - withoutThem - ofCommits) / count, leftOfEach: (afterwards - withoutThem - ofCommits) / count }

  /** Begins and reads; what is not aborted at once is returned. */
  async function run(aborted: 'at once' | 'later'): Promise<ManualTransaction[]> {
    const begun: ManualTransaction[] = []
    for (let id = 0; id < count; id++) {
      if (id === 0 || holding === 'transactions') {
        await commit()
        begun.push(db.begin({ timeoutMs }))
      }
      const tx = begun.at(-1)!
      if (tx.get(rows, id) === undefined) throw new Error(`Row ${id} is missing.`)
      if (aborted === 'at once' && (holding === 'transactions' || id === count - 1)) begun.pop()!.abort()
    }
    return begun
  }

  /** To a row that nobody reads. The next snapshot is another one. */
  function commit(): Promise<void> {
    return db.put(rows, count, textOf(count, ++commits))
  }

  /** When nothing waits to be written. */
  async function settledBytes(): Promise<number> {
    await db.put(rows, count, textOf(count, ++commits), { durability: 'durable' })
    await new Promise(resolve => setTimeout(resolve, settleMs))
    return usedBytes()
  }
}

/** A function of its own: a variable of one that waits would keep the last of them. */
function abortAll(held: ManualTransaction[]): void {
  for (const tx of held) tx.abort()
  held.length = 0
}

/** The heap and what its objects have outside of it. */
function usedBytes(): number {
  if (!('gc' in globalThis && typeof globalThis.gc === 'function')) throw new Error('The process must be started with --expose-gc.')
  for (let i = 0; i < 3; i++) globalThis.gc()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

answer(measure)
