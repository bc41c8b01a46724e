/** Single rows by key, where LMDB has them and where the window has them. */
import { accountCount, initialBalance, newAccounts } from '../accounts.js'
import { operationsPerSecond } from '../operation.js'
import { integersFrom } from '../random.js'
import { inWords } from '../report/text.js'
import type { Reader, Store, Subject } from '../store.js'
import { lmdb } from '../subjects/lmdb.js'
import { premisedb } from '../subjects/premisedb.js'
import type { Contestant, Context, Workload } from '../workload.js'

const ours = premisedb('serializable', 'durable')
const perTransaction = 10_000
/** Lists of random keys, used in turn. */
const lists = 16
const roundMs = { full: 1_500, quick: 400 }
/** They stay in the window until the next checkpoint, which comes ten seconds after they were written. */
const rowsInWindow = 50_000

interface Place {
  readonly rows: number
  /** Whether they are written anew before each round, so that the store has them in memory. */
  readonly rewritten: boolean
}

const inLmdb: Place = { rows: accountCount, rewritten: false }
const inWindow: Place = { rows: rowsInWindow, rewritten: true }

export const pointRead: readonly Workload[] = [
  {
    name: 'point-read',
    summary:
      `Serializable transactions of ${inWords(perTransaction)} reads each, of random rows among ${inWords(accountCount)} that a checkpoint has moved into LMDB; the store was opened anew, so ` +
      'none is in the window. The package lmdb reads the same rows from a file of its own, without transactions.',
    unit: 'reads/s',
    rounds: { full: 9, quick: 5 },
    entries: [
      { subject: ours.name, peer: undefined, settings: ours.settings, start: context => start(ours, inLmdb, context) },
      { subject: lmdb.name, peer: 'lmdb', settings: lmdb.settings, start: context => start(lmdb, inLmdb, context) },
    ],
    goals: [{ name: 'point-read/lmdb', of: ours.name, to: lmdb.name, op: '>=', target: 0.75 }],
  },
  {
    name: 'point-read-window',
    summary: `The same, of random rows among ${inWords(rowsInWindow)} that were written just before: they are read from the window, in memory.`,
    unit: 'reads/s',
    rounds: { full: 5, quick: 2 },
    entries: [{ subject: ours.name, peer: undefined, settings: ours.settings, start: context => start(ours, inWindow, context) }],
    goals: [],
  },
]

async function start(subject: Subject, { rows, rewritten }: Place, { quick, seed, directory }: Context): Promise<Contestant> {
  const filled = await subject.open(directory)
  await filled.load(newAccounts())
  await filled.close()
  const store = await subject.open(directory)
  const integer = integersFrom(seed)
  const keys = Array.from({ length: lists }, () => Int32Array.from({ length: perTransaction }, () => integer(rows)))
  let list = 0
  return {
    async round({ isWarmUp }) {
      if (rewritten) await rewrite(store, rows)
      const durationMs = quick || isWarmUp ? roundMs.quick : roundMs.full
      return perTransaction * (await operationsPerSecond(() => expectSum(store.read(tx => sumOf(keys[list++ % lists]!, tx))), durationMs))
    },
    finish: () => Promise.resolve(`every ${inWords(perTransaction)} rows that were read held ${inWords(perTransaction * initialBalance)}`),
    dispose: () => store.close(),
  }
}

/** What was read is looked at, so that nobody can leave out the reading. */
function sumOf(keys: Int32Array, tx: Reader): number {
  let sum = 0
  for (const key of keys) sum += tx.get(key)!.balance
  return sum
}

function expectSum(sum: Promise<number> | number): Promise<void> | void {
  if (typeof sum !== 'number') return sum.then(expectSum)
  if (sum !== perTransaction * initialBalance) throw new Error(`The rows that were read hold ${sum}, not ${perTransaction * initialBalance}.`)
}

function rewrite(store: Store, rows: number): Promise<void> | void {
  return store.write(tx => {
    for (let id = 0; id < rows; id++) tx.put(id, tx.get(id)!)
  })
}
