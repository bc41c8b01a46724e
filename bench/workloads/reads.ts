/** Rows that lie side by side: short ranges, and all of them. */
import { accountCount, newAccount, type Account } from '../accounts.js'
import { operationsPerSecond } from '../operation.js'
import { integersFrom } from '../random.js'
import { inWords } from '../report/text.js'
import type { RowReader, RowSubject } from '../row-store.js'
import { lmdbRows } from '../subjects/lmdb-rows.js'
import { premisedbRows } from '../subjects/premisedb-rows.js'
import type { Contestant, Context, Entry, Workload } from '../workload.js'

const ours = premisedbRows<Account>()
const theirs = lmdbRows<Account>()
const rangeRows = 10
const rangesPerTransaction = 1_000
/** Lists of random places, used in turn. */
const lists = 16
const roundMs = { full: 1_500, quick: 400 }
const rounds = { full: 9, quick: 3 }

/** What a transaction reads, and the sum of it. */
interface Question {
  readonly read: (reader: RowReader<Account>) => number
  readonly sum: number
}

interface Reading {
  readonly questions: (seed: number) => readonly Question[]
  /** What is counted, of one question. */
  readonly counted: number
}

const ranges: Reading = {
  counted: rangesPerTransaction,
  questions(seed) {
    const integer = integersFrom(seed)
    return Array.from({ length: lists }, () => {
      const places = Int32Array.from({ length: rangesPerTransaction }, () => integer(accountCount - rangeRows))
      return {
        read(reader) {
          let sum = 0
          for (const from of places) reader.range(from, rangeRows, (id, account) => (sum = summed(sum, id, account)))
          return sum
        },
        sum: places.reduce((sum, from) => sumOfNew(sum, from, from + rangeRows), 0),
      }
    })
  },
}

const everything: Reading = {
  counted: accountCount,
  questions: () => [
    {
      read(reader) {
        let sum = 0
        reader.all((id, account) => (sum = summed(sum, id, account)))
        return sum
      },
      sum: sumOfNew(0, 0, accountCount),
    },
  ],
}

/** What was read is looked at, all columns of it and the order, so that nobody can leave out the reading. */
function summed(sum: number, id: number, { owner, balance, changes, note }: Account): number {
  return (Math.imul(sum, 31) + id + balance + changes + owner.charCodeAt(owner.length - 1) + note.charCodeAt(id % note.length)) | 0
}

function sumOfNew(sum: number, from: number, to: number): number {
  for (let id = from; id < to; id++) sum = summed(sum, id, newAccount(id))
  return sum
}

async function start(subject: RowSubject<Account>, { questions, counted }: Reading, { quick, seed, directory }: Context): Promise<Contestant> {
  const filled = await subject.open(directory)
  await filled.load(accountCount, newAccount)
  await filled.close()
  const store = await subject.open(directory)
  const asked = questions(seed)
  let next = 0
  const ask = async (): Promise<void> => {
    const { read, sum } = asked[next++ % asked.length]!
    if ((await store.read(read)) !== sum) throw new Error(`${subject.name} read something else than was written.`)
  }
  return {
    async round({ isWarmUp }) {
      return counted * (await operationsPerSecond(ask, quick || isWarmUp ? roundMs.quick : roundMs.full))
    },
    finish: () => Promise.resolve(`the ${inWords(counted)} that a transaction reads always had the checksum of what was written, the first ${(asked[0]!.sum >>> 0).toString(16)}`),
    dispose: () => store.close(),
  }
}

const entriesOf = (reading: Reading): Entry[] => [
  { subject: ours.name, peer: undefined, settings: ours.settings, start: context => start(ours, reading, context) },
  { subject: theirs.name, peer: 'lmdb', settings: theirs.settings, start: context => start(theirs, reading, context) },
]

const amongRows = `${inWords(accountCount)} rows that a checkpoint has moved into LMDB`

export const reads: readonly Workload[] = [
  {
    name: 'range-10',
    summary:
      `Ranges of ${rangeRows} rows with their values, in serializable transactions of ${inWords(rangesPerTransaction)} ranges each, at random places among ${amongRows}. ` +
      'The package lmdb reads the same rows from a file of its own, without transactions.',
    unit: 'ranges/s',
    rounds,
    entries: entriesOf(ranges),
    goals: [{ name: 'range-10/lmdb', of: ours.name, to: theirs.name, op: '>=', target: 0.9 }],
  },
  {
    name: 'scan',
    summary: `All of ${amongRows}, with their values, in a serializable transaction; the checksum of what was read is made inside the timing. The package lmdb does so without a transaction.`,
    unit: 'rows/s',
    rounds,
    entries: entriesOf(everything),
    goals: [{ name: 'scan/lmdb', of: ours.name, to: theirs.name, op: '>=', target: 0.75 }],
  },
]
