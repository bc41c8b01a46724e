/**
 * Histories of any size, as a store of a given level would produce them: so many transactions open at once over rows with
 * version chains, each with four operations (point reads, ranges of up to 8 rows, updates, blind writes, some deletes), a fifth
 * of them read-only. Reads see a snapshot, or at `read-committed` the newest commit; the first committer wins; `serializable`
 * validates every read.
 */
import { seeded } from '../../isolation/anomaly/schedule/interleavings.js'
import type { History, Operation, TransactionRecord } from '../../isolation/anomaly/index.js'

export interface GeneratedOptions {
  readonly transactions: number
  readonly rows: number
  readonly level: 'read-committed' | 'snapshot' | 'serializable'
  readonly openAtOnce?: number
  readonly seed?: string
}

interface Open {
  readonly id: string
  readonly begin: number
  readonly snapshot: number
  readonly isReadOnly: boolean
  readonly operations: Operation[]
  /** Rows by number: what was read, and what was written with which version, null for a delete. */
  readonly read: Set<number>
  readonly written: Map<number, string | null>
}

const table = 'rows'
const operationsEach = 4
const rangeWidth = 12
const rangeLimit = 8

export function generateHistory(options: GeneratedOptions): History {
  return new Generator(options).run()
}

class Generator {
  readonly #options: GeneratedOptions
  readonly #random: () => number
  readonly #names: readonly string[]
  /** By row, oldest first. */
  readonly #chains: { commit: number; version: string | null }[][]
  readonly #transactions: TransactionRecord[] = []
  #commits = 0
  #instants = 0

  constructor(options: GeneratedOptions) {
    this.#options = options
    this.#random = seeded(options.seed ?? 'history')
    this.#names = Array.from({ length: options.rows }, (_, row) => `row-${String(row).padStart(7, '0')}`)
    this.#chains = this.#names.map((_, row) => [{ commit: 0, version: row % 5 === 0 ? null : `T0.${row}` }])
  }

  run(): History {
    const initial = this.#rows()
    const open: Open[] = []
    for (let begun = 0; begun < this.#options.transactions || open.length > 0; ) {
      while (begun < this.#options.transactions && open.length < (this.#options.openAtOnce ?? 16)) open.push(this.#begin(`T${++begun}`))
      const at = Math.floor(this.#random() * open.length)
      if (open[at]!.operations.length < operationsEach) this.#step(open[at]!)
      else this.#end(open.splice(at, 1)[0]!)
    }
    return { initial, transactions: this.#transactions, final: this.#rows() }
  }

  #begin(id: string): Open {
    const isReadOnly = this.#random() < 0.2
    return { id, begin: ++this.#instants, snapshot: this.#commits, isReadOnly, operations: [], read: new Set(), written: new Map() }
  }

  #step(transaction: Open): void {
    const kind = this.#random()
    const row = Math.floor(this.#random() * this.#names.length)
    if (kind < 0.1) this.#range(transaction, row)
    else if (kind < 0.55 || transaction.isReadOnly) {
      transaction.read.add(row)
      transaction.operations.push({ op: 'get', table, key: this.#names[row]!, version: this.#see(transaction, row) })
    } else {
      const read = [...transaction.read].at(-1)
      const target = read === undefined || this.#random() < 0.3 ? row : read
      const version = `${transaction.id}.${transaction.operations.length}`
      const op = this.#random() < 0.05 ? 'delete' : 'put'
      transaction.operations.push({ op, table, key: this.#names[target]!, version })
      transaction.written.set(target, op === 'delete' ? null : version)
    }
  }

  #range(transaction: Open, from: number): void {
    const to = Math.min(from + rangeWidth, this.#names.length) - 1
    const rows: { key: string; version: string }[] = []
    for (let row = from; row <= to && rows.length < rangeLimit; row++) {
      const version = this.#see(transaction, row)
      if (version !== null) rows.push({ key: this.#names[row]!, version })
      transaction.read.add(row)
    }
    transaction.operations.push({ op: 'range', table, bounds: { gte: this.#names[from]!, lte: this.#names[to]! }, limit: rangeLimit, rows })
  }

  #see({ written, snapshot }: Open, row: number): string | null {
    const own = written.get(row)
    if (own !== undefined) return own
    const seen = this.#options.level === 'read-committed' ? this.#commits : snapshot
    return this.#chains[row]!.findLast(({ commit }) => commit <= seen)!.version
  }

  #end({ id, begin, snapshot, operations, read, written }: Open): void {
    const isNewer = (row: number): boolean => this.#chains[row]!.at(-1)!.commit > snapshot
    const { level } = this.#options
    const premises = level === 'serializable' ? [...read, ...written.keys()] : level === 'snapshot' ? [...written.keys()] : []
    const end = ++this.#instants
    if (written.size > 0 && premises.some(isNewer)) this.#transactions.push({ id, outcome: 'aborted', begin, end, operations })
    else if (written.size === 0) this.#transactions.push({ id, outcome: 'committed', begin, end, operations })
    else {
      const commit = ++this.#commits
      for (const [row, version] of written) this.#chains[row]!.push({ commit, version })
      this.#transactions.push({ id, outcome: 'committed', begin, end, commit, operations })
    }
  }

  #rows(): History['initial'] {
    return this.#names.flatMap((key, row) => {
      const { version } = this.#chains[row]!.at(-1)!
      return version === null ? [] : [{ table, key, version }]
    })
  }
}
