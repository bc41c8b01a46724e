/** Single rows by key: where LMDB has them, where the window has them, where the transaction wrote them itself, and where there are none. */
import { accountCount, initialBalance, newAccounts } from '../accounts.js'
import { operationsPerSecond } from '../operation.js'
import { integersFrom } from '../random.js'
import { inWords } from '../report/text.js'
import type { Reader, Store, Subject } from '../store.js'
import { lmdb } from '../subjects/lmdb.js'
import { premisedb } from '../subjects/premisedb.js'
import type { Contestant, Context, Entry, Workload } from '../workload.js'

const ours = premisedb('serializable', 'durable')
const relaxed = premisedb('serializable', 'relaxed')
const perTransaction = 10_000
/** Lists of random keys, used in turn. */
const lists = 16
const roundMs = { full: 1_500, quick: 400 }
/** They stay in the window until the next checkpoint, which comes ten seconds after they were written. */
const rowsInWindow = 50_000

/** Rows that a transaction writes before it reads them again and again. */
const ownRows = 100

interface Place {
  readonly rows: number
  /** Whether they are written anew before each round, so that the store has them in memory. */
  readonly rewritten: boolean
  /** What a transaction finds in all of its reads. */
  readonly read: (keys: Int32Array, tx: Reader) => number
  readonly sum: number
}

const inLmdb: Place = { rows: accountCount, rewritten: false, read: sumOf, sum: perTransaction * initialBalance }
const inWindow: Place = { ...inLmdb, rows: rowsInWindow, rewritten: true }
const missing: Place = { ...inLmdb, read: countMissing, sum: perTransaction }

export const pointRead: readonly Workload[] = [
  {
    name: 'point-read',
    summary:
      `Serializable transactions of ${inWords(perTransaction)} reads each, of random rows among ${inWords(accountCount)} that a checkpoint has moved into LMDB; the store was opened anew, so ` +
      'none is in the window. The package lmdb reads the same rows from a file of its own, without transactions.',
    unit: 'reads/s',
    rounds: { full: 9, quick: 5 },
    entries: bothAt(inLmdb),
    goals: [{ name: 'point-read/lmdb', of: ours.name, to: lmdb.name, op: '>=', target: 0.95 }],
  },
  {
    name: 'point-read-window',
    summary: `The same, of random rows among ${inWords(rowsInWindow)} that were written just before: they are read from the window, in memory.`,
    unit: 'reads/s',
    rounds: { full: 5, quick: 2 },
    entries: [{ subject: ours.name, peer: undefined, settings: ours.settings, start: context => start(ours, inWindow, context) }],
    goals: [],
  },
  {
    name: 'point-read-miss',
    summary: `The same, of keys that lie between those of random rows among ${inWords(accountCount)} in LMDB: nothing is found.`,
    unit: 'reads/s',
    rounds: { full: 9, quick: 3 },
    entries: bothAt(missing),
    goals: [],
  },
  {
    name: 'point-read-own',
    summary:
      `Serializable transactions that write ${ownRows} of ${inWords(accountCount)} rows and then read these ${inWords(perTransaction)} times, in random order, before they commit. Inside the timing: the whole ` +
      'transaction, acknowledged before it is on disk.',
    unit: 'reads/s',
    rounds: { full: 5, quick: 2 },
    entries: [{ subject: relaxed.name, peer: undefined, settings: relaxed.settings, start: startOwn }],
    goals: [],
  },
]

function bothAt(place: Place): Entry[] {
  return [
    { subject: ours.name, peer: undefined, settings: ours.settings, start: context => start(ours, place, context) },
    { subject: lmdb.name, peer: 'lmdb', settings: lmdb.settings, start: context => start(lmdb, place, context) },
  ]
}

async function start(subject: Subject, { rows, rewritten, read, sum }: Place, { quick, seed, directory }: Context): Promise<Contestant> {
  const store = await openFilled(subject, directory)
  const keys = randomKeys(rows, seed)
  let list = 0
  return {
    async round({ isWarmUp }) {
      if (rewritten) await rewrite(store, rows)
      const durationMs = quick || isWarmUp ? roundMs.quick : roundMs.full
      return perTransaction * (await operationsPerSecond(() => expectSum(store.read(tx => read(keys[list++ % lists]!, tx)), sum), durationMs))
    },
    finish: () => Promise.resolve(`every ${inWords(perTransaction)} reads found ${inWords(sum)}`),
    dispose: () => store.close(),
  }
}

async function startOwn({ quick, seed, directory }: Context): Promise<Contestant> {
  const store = await openFilled(relaxed, directory)
  const keys = randomKeys(ownRows, seed)
  let balance = initialBalance
  let list = 0
  const writeAndRead = async (): Promise<void> => {
    balance++
    let sum = 0
    await store.write(tx => {
      for (let id = 0; id < ownRows; id++) tx.put(id, { ...tx.get(id)!, balance })
      sum = sumOf(keys[list++ % lists]!, tx)
    })
    return expectSum(sum, perTransaction * balance)
  }
  return {
    async round({ isWarmUp }) {
      return perTransaction * (await operationsPerSecond(writeAndRead, quick || isWarmUp ? roundMs.quick : roundMs.full))
    },
    finish: () => Promise.resolve(`every ${inWords(perTransaction)} reads found what the transaction had written`),
    dispose: () => store.close(),
  }
}

async function openFilled(subject: Subject, directory: string): Promise<Store> {
  const filled = await subject.open(directory)
  await filled.load(newAccounts())
  await filled.close()
  return await subject.open(directory)
}

function randomKeys(rows: number, seed: number): Int32Array[] {
  const integer = integersFrom(seed)
  return Array.from({ length: lists }, () => Int32Array.from({ length: perTransaction }, () => integer(rows)))
}

/** What was read is looked at, so that nobody can leave out the reading. */
function sumOf(keys: Int32Array, tx: Reader): number {
  let sum = 0
  for (const key of keys) sum += tx.get(key)!.balance
  return sum
}

function countMissing(keys: Int32Array, tx: Reader): number {
  let count = 0
  for (const key of keys) if (tx.get(key + 0.5) === undefined) count++
  return count
}

function expectSum(sum: Promise<number> | number, expected: number): Promise<void> | void {
  if (typeof sum !== 'number') return sum.then(found => expectSum(found, expected))
  if (sum !== expected) throw new Error(`The reads found ${sum}, not ${expected}.`)
}

function rewrite(store: Store, rows: number): Promise<void> | void {
  return store.write(tx => {
    for (let id = 0; id < rows; id++) tx.put(id, tx.get(id)!)
  })
}
