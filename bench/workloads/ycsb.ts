/** The core workloads of YCSB (Cooper et al.: Benchmarking Cloud Serving Systems with YCSB, SoCC 2010). */
import { closedLoop } from '../clients.js'
import { randomFrom } from '../random.js'
import { fieldsOf, stampOf, type RecordStore, type RecordSubject } from '../records.js'
import { inWords } from '../report/text.js'
import { betterSqlite3Records } from '../subjects/better-sqlite3-records.js'
import { premisedbRecords } from '../subjects/premisedb-records.js'
import { turn } from '../turn.js'
import { scattered, zipfFrom } from '../zipf.js'
import type { Contestant, Context, Workload } from '../workload.js'

type Kind = 'read' | 'scan' | 'update' | 'insert' | 'modify'

interface Mix {
  readonly name: string
  readonly says: string
  /** Which operations look, and which write. */
  readonly looks: 'read' | 'scan'
  readonly writes: 'update' | 'insert' | 'modify' | undefined
  /** Of all operations. */
  readonly writeShare: number
  /** Whether rows are chosen by how new they are. */
  readonly isLatest: boolean
  readonly operations: { readonly full: number; readonly quick: number }
}

const clients = 64
const rows = { full: 100_000, quick: 10_000 }
const scanMax = 100
/** A round is not much longer than this for a store that syncs each write by itself. */
const roundSeconds = { full: 3, quick: 1 }
const warmUpShare = 0.2

const many = { full: 100_000, quick: 5_000 }
const fewer = { full: 10_000, quick: 1_000 }

const mixes: readonly Mix[] = [
  { name: 'a', says: 'half reads, half updates', looks: 'read', writes: 'update', writeShare: 0.5, isLatest: false, operations: many },
  { name: 'b', says: '95 % reads, 5 % updates', looks: 'read', writes: 'update', writeShare: 0.05, isLatest: false, operations: many },
  { name: 'c', says: 'reads', looks: 'read', writes: undefined, writeShare: 0, isLatest: false, operations: many },
  { name: 'd', says: '95 % reads of the newest rows, 5 % inserts', looks: 'read', writes: 'insert', writeShare: 0.05, isLatest: true, operations: many },
  { name: 'e', says: `95 % scans of one to ${scanMax} rows, 5 % inserts`, looks: 'scan', writes: 'insert', writeShare: 0.05, isLatest: false, operations: fewer },
  { name: 'f', says: 'half reads, half modifications, which read a row and write it in one transaction', looks: 'read', writes: 'modify', writeShare: 0.5, isLatest: false, operations: many },
]

/** The operations of a round, as columns. */
interface Plan {
  readonly kinds: readonly Kind[]
  readonly ranks: Int32Array
  readonly lengths: Int32Array
}

async function start(subject: RecordSubject, mix: Mix, { quick, seed, syncsPerSecond, directory }: Context): Promise<Contestant> {
  const length = quick ? 'quick' : 'full'
  const filled = await subject.open(directory)
  await filled.load(rows[length], id => fieldsOf({ id, writer: 0, modified: 0 }))
  await filled.close()
  const store = await subject.open(directory)
  const bounded = Math.min(mix.operations[length], mix.writeShare === 0 ? Infinity : (syncsPerSecond * roundSeconds[length]) / mix.writeShare)
  const random = randomFrom(seed)
  const zipf = zipfFrom(random, rows[length])
  const client = new Client(store, rows[length], mix.isLatest)
  return {
    async round({ isWarmUp }) {
      const plan = planOf(mix, Math.ceil(bounded * (isWarmUp ? warmUpShare : 1)), random, zipf)
      const startedMs = performance.now()
      await closedLoop(clients, plan.kinds.length, index => client.run(plan, index))
      return (plan.kinds.length / (performance.now() - startedMs)) * 1_000
    },
    finish: () => Promise.resolve(client.proof()),
    dispose: () => store.close(),
  }
}

function planOf({ looks, writes, writeShare }: Mix, operations: number, random: () => number, zipf: () => number): Plan {
  const kinds = Array.from({ length: operations }, (): Kind => (writes !== undefined && random() < writeShare ? writes : looks))
  return { kinds, ranks: Int32Array.from(kinds, zipf), lengths: Int32Array.from(kinds, () => 1 + Math.floor(random() * scanMax)) }
}

/** Does operations and remembers which, to compare the rows with them at the end. */
class Client {
  readonly #store: RecordStore
  readonly #loaded: number
  readonly #isLatest: boolean
  /** Who wrote which row, by the number of the operation; 0 is taken by loading. */
  readonly #writes: number[] = [-1]
  readonly #updated = new Set<number>()
  readonly #modifications = new Map<number, number>()
  #begun: number
  /** All rows below it are there. */
  #there: number
  readonly #early = new Set<number>()
  #read = 0
  #scanned = 0

  constructor(store: RecordStore, loaded: number, isLatest: boolean) {
    this.#store = store
    this.#loaded = loaded
    this.#isLatest = isLatest
    this.#begun = loaded
    this.#there = loaded
  }

  run({ kinds, ranks, lengths }: Plan, index: number): Promise<void> | void {
    const id = this.#isLatest ? this.#there - 1 - ranks[index]! : scattered(ranks[index]!, this.#loaded)
    switch (kinds[index]!) {
      case 'read': {
        const found = this.#store.read(id)
        if (found === undefined || Number.parseInt(found.field0, 10) !== id) throw new Error(`Row ${id} was not read.`)
        this.#read++
        return
      }
      case 'scan':
        this.#scan(id, lengths[index]!)
        // Scans are long, so that whoever waits for the disk would wait for those of all others.
        return turn()
      case 'update':
        this.#updated.add(id)
        return this.#store.update(id, fieldsOf({ id, writer: this.#writes.push(id) - 1, modified: 0 }))
      case 'modify':
        this.#modifications.set(id, (this.#modifications.get(id) ?? 0) + 1)
        return this.#store.modify(id, fields => {
          const stamp = stampOf(fields)
          return fieldsOf({ ...stamp, modified: stamp.modified + 1 })
        })
      case 'insert':
        return this.#insert(this.#begun++)
    }
  }

  #scan(from: number, limit: number): void {
    const expected = Math.min(limit, this.#there - from)
    const found = this.#store.scan(from, limit)
    if (found.length < expected || found.some((fields, i) => Number.parseInt(fields.field0, 10) !== from + i)) {
      throw new Error(`A scan of ${limit} rows from ${from} on found ${found.length}, or others.`)
    }
    this.#scanned++
  }

  #insert(id: number): Promise<void> | void {
    const done = this.#store.insert(id, fieldsOf({ id, writer: this.#writes.push(id) - 1, modified: 0 }))
    const end = (): void => {
      this.#early.add(id)
      while (this.#early.delete(this.#there)) this.#there++
    }
    return done === undefined ? end() : done.then(end)
  }

  /** Compares every row with what was done. */
  proof(): string {
    const found = this.#store.scan(0, this.#begun + 1)
    if (found.length !== this.#begun) throw new Error(`There are ${found.length} rows, not ${this.#begun}.`)
    for (const [position, fields] of found.entries()) {
      const { id, writer, modified } = stampOf(fields)
      if (id !== position) throw new Error(`Row ${position} says that it is ${id}.`)
      const isWritten = id >= this.#loaded || this.#updated.has(id)
      if (isWritten ? this.#writes[writer] !== id : writer !== 0) throw new Error(`Row ${id} was written by operation ${writer}, which did not write it.`)
      if (modified !== (this.#modifications.get(id) ?? 0)) throw new Error(`Row ${id} was modified ${modified} times, and not as often as it was asked to be.`)
    }
    const done = [
      ...(this.#read > 0 ? [`${inWords(this.#read)} reads found theirs`] : []),
      ...(this.#updated.size > 0 ? [`${inWords(this.#updated.size)} updated`] : []),
      ...(this.#modifications.size > 0 ? [`${inWords(this.#modifications.size)} modified, each as often as it was to be`] : []),
      ...(this.#scanned > 0 ? [`${inWords(this.#scanned)} scans complete`] : []),
    ]
    return [`${inWords(found.length)} rows`, ...done].join(', ')
  }
}

const subjects = [
  { subject: premisedbRecords, peer: undefined },
  { subject: betterSqlite3Records, peer: 'better-sqlite3' },
] as const

export const ycsb: readonly Workload[] = mixes.map(mix => ({
  name: `ycsb-${mix.name}`,
  summary:
    `YCSB ${mix.name.toUpperCase()} (Cooper et al., SoCC 2010): ${mix.says}; ${clients} clients on ${inWords(rows.full)} rows of 1 KB, ten fields each (quick: ${inWords(rows.quick)}), ` +
    `${mix.isLatest ? 'newer rows more often by Zipf’s law (0.99)' : 'chosen by Zipf’s law (0.99) and scattered'}. Unlike the original, keys are the numbers of the rows, and an update writes all fields. ` +
    'Writes are acknowledged when they are on disk. Reading is synchronous in both stores; after a scan others have their turn. At the end every row is compared with what was done to it.',
  unit: 'operations/s',
  rounds: { full: 5, quick: 2 },
  entries: subjects.map(({ subject, peer }) => ({ subject: subject.name, peer, settings: subject.settings, start: context => start(subject, mix, context) })),
  goals: [],
}))
