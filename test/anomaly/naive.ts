/**
 * The history checker once more, as literally as possible and for a handful of transactions: every version order and every
 * meaning of every absence is tried, and in each of these worlds every simple cycle is looked at. Shares only the format.
 */
import { contains, isWrite } from '../../isolation/anomaly/checker/history.js'
import type { History, Phenomenon, TransactionRecord, Write } from '../../isolation/anomaly/index.js'

/** A version of a row: a write, or null for what was there before. */
type Version = Write | null

interface Look {
  readonly reader: string
  readonly row: string
  /** What the read can have shown: one version, or one of several absences. */
  readonly meanings: readonly Version[]
  readonly missedByRange: boolean
  /** The number of the range read of its transaction that this was part of. */
  readonly range: number | null
  readonly isPresent: boolean
  readonly wroteBefore: boolean
}

interface Link {
  readonly from: string
  readonly to: string
  readonly kind: 'ww' | 'wr' | 'rw'
  readonly isRange: boolean
}

export interface World {
  readonly reading: number
  /** What occurs, with the length of the shortest cycle; 0 where it is none. */
  readonly phenomena: ReadonlyMap<Phenomenon, number>
}

export class TooManyWorlds extends Error {}

const rowOf = ({ table, key }: { table: string; key: string }): string => `${table}/${key}`
const product = <T>(lists: readonly (readonly T[])[]): T[][] =>
  lists.reduce<T[][]>((heads, list) => heads.flatMap(head => list.map(last => [...head, last])), [[]])

function permutations<T>(values: readonly T[]): T[][] {
  return values.length < 2 ? [[...values]] : values.flatMap((value, i) => permutations(values.toSpliced(i, 1)).map(rest => [value, ...rest]))
}

export class Naive {
  readonly #history: History
  readonly #committed: readonly TransactionRecord[]
  readonly #rows: readonly string[]
  readonly #initial: ReadonlyMap<string, string>
  readonly #bad = new Set<Phenomenon>()
  readonly #looks: Look[] = []

  constructor(history: History) {
    this.#history = history
    this.#committed = history.transactions.filter(({ outcome }) => outcome === 'committed')
    this.#initial = new Map(history.initial.map(row => [rowOf(row), row.version]))
    const named = [...history.initial, ...(history.final ?? []), ...history.transactions.flatMap(writesOf)]
    this.#rows = [...new Set(named.map(rowOf))]
    for (const reader of this.#committed) this.#follow(reader)
    if (history.final && !this.#rows.every(row => this.#lastVersions(row).length > 0)) this.#bad.add('impossible-state')
  }

  worlds(limit: number): World[] {
    const ordersByRow = this.#rows.map(row => this.#orders(row))
    const readings = product(this.#looks.map(({ meanings }) => meanings.map((_, index) => index)))
    const count = ordersByRow.reduce((total, orders) => total * orders.length, readings.length)
    if (count > limit) throw new TooManyWorlds()
    const combinations = product(ordersByRow)
    return readings.flatMap((reading, number) => combinations.map(orders => ({ reading: number, phenomena: this.#judge(new Map(this.#rows.map((row, i) => [row, orders[i]!])), reading) })))
  }

  #follow({ id, operations }: TransactionRecord): void {
    const own = new Map<string, Write>()
    const see = (row: string, version: string | null, range: number | null): void => {
      const mine = own.get(row)
      if (mine && (mine.op === 'put' ? mine.version : null) === version) return
      if (mine) this.#bad.add('own-write-missed')
      const meanings = this.#meanings(id, row, version, own.has(row))
      if (meanings.length > 0) this.#looks.push({ reader: id, row, meanings, missedByRange: range !== null && version === null, range, isPresent: version !== null, wroteBefore: own.has(row) })
    }
    for (const [number, operation] of operations.entries()) {
      if (isWrite(operation)) own.set(rowOf(operation), operation)
      else if (operation.op === 'get') see(rowOf(operation), operation.version, null)
      else {
        const { table, bounds, rows, limit, reverse } = operation
        const keys = rows.map(({ key }) => key)
        const sorted = reverse ? keys.toSorted().reverse() : keys.toSorted()
        if (keys.some((key, i) => !contains(bounds, key) || key !== sorted[i] || keys.indexOf(key) !== i) || rows.length > (limit ?? Infinity)) this.#bad.add('impossible-read')
        for (const { key, version } of rows) see(`${table}/${key}`, version, number)
        const isCut = limit !== undefined && rows.length >= limit && rows.length > 0
        for (const row of this.#rows) {
          const key = row.slice(table.length + 1)
          const isBeyond = isCut && (reverse ? key < keys.at(-1)! : key > keys.at(-1)!)
          if (row.startsWith(`${table}/`) && contains(bounds, key) && !keys.includes(key) && !isBeyond) see(row, null, number)
        }
      }
    }
  }

  #meanings(reader: string, row: string, version: string | null, hasWritten: boolean): Version[] {
    // Nobody ever wrote it: there is nothing that the read could depend on.
    if (version === null && !this.#rows.includes(row)) return []
    if (version === null) {
      const before = this.#initial.has(row) ? [] : [null]
      const deletes = this.#installed(row).filter(write => write.op === 'delete' && this.#writer(write)?.id !== reader)
      if (before.length + deletes.length > 0) return [...before, ...deletes]
      const others = this.#history.transactions.filter(({ id }) => id !== reader)
      const remover = others.find(transaction => writesOf(transaction).some(write => write.op === 'delete' && rowOf(write) === row))
      this.#bad.add(!remover ? 'impossible-read' : remover.outcome === 'committed' ? 'G1b' : 'G1a')
      return []
    }
    if (this.#initial.get(row) === version) return [null]
    const writer = this.#history.transactions.find(transaction => writesOf(transaction).some(write => write.version === version && write.op === 'put' && rowOf(write) === row))
    if (!writer || (writer.id === reader && !hasWritten)) this.#bad.add('impossible-read')
    else if (writer.id !== reader && writer.outcome === 'aborted') this.#bad.add('G1a')
    else if (writer.id !== reader) {
      const last = writesOf(writer).findLast(write => rowOf(write) === row)!
      if (last.version !== version) this.#bad.add('G1b')
      return [last]
    }
    return []
  }

  #installed(row: string): Write[] {
    return this.#committed.flatMap(transaction => writesOf(transaction).findLast(write => rowOf(write) === row) ?? [])
  }

  #writer(version: Version): TransactionRecord | undefined {
    return version ? this.#history.transactions.find(({ operations }) => operations.includes(version)) : undefined
  }

  /** The versions that can be the last; none where nothing explains the final row. */
  #lastVersions(row: string): Version[] {
    const found = this.#history.final!.find(left => rowOf(left) === row)?.version
    const installed = this.#installed(row)
    if (installed.length === 0) return this.#initial.get(row) === found ? [null] : []
    return installed.filter(write => (found === undefined ? write.op === 'delete' : write.op === 'put' && write.version === found))
  }

  #orders(row: string): Write[][] {
    const installed = this.#installed(row)
    if (installed.length < 2) return [installed]
    const last = this.#history.final ? this.#lastVersions(row) : []
    const ends = (order: readonly Write[]): boolean => last.length === 0 || last.includes(order.at(-1)!)
    const commits = installed.map(write => this.#writer(write)!.commit)
    const inCommitOrder = installed.toSorted((a, b) => this.#writer(a)!.commit! - this.#writer(b)!.commit!)
    if (commits.every(commit => commit !== undefined) && (ends(inCommitOrder) || last.length === 0)) return [inCommitOrder]
    const all = permutations(installed).filter(order => last.length !== 1 || order.at(-1) === last[0])
    const follows = this.#looks.flatMap(({ reader, row: seen, meanings, isPresent, wroteBefore }): [Version, Write][] => {
      const own = installed.find(write => this.#writer(write)!.id === reader)
      return seen === row && own && isPresent && !wroteBefore ? [[meanings[0]!, own]] : []
    })
    const fitting = all.filter(order => follows.every(([earlier, later]) => earlier === null || order.indexOf(earlier) < order.indexOf(later)))
    return fitting.length > 0 ? fitting : all
  }

  #judge(orders: ReadonlyMap<string, readonly Write[]>, reading: readonly number[]): Map<Phenomenon, number> {
    const found = new Map([...this.#bad].map((phenomenon): [Phenomenon, number] => [phenomenon, 0]))
    const links: Link[] = []
    const link = (from: Version | string, to: Version | string, kind: Link['kind'], isRange = false): void => {
      const [a, b] = [from, to].map(end => (typeof end === 'string' ? end : this.#writer(end)?.id))
      if (a !== undefined && b !== undefined && a !== b) links.push({ from: a, to: b, kind, isRange })
    }
    for (const order of orders.values()) order.forEach((write, i) => i > 0 && link(order[i - 1]!, write, 'ww'))
    const seenByRanges = new Map<string, { place: number; isPresent: boolean }>()
    for (const [i, look] of this.#looks.entries()) {
      const order = orders.get(look.row)!
      const version = look.meanings[reading[i]!]!
      const place = version ? order.indexOf(version) : -1
      link(version, look.reader, 'wr', look.missedByRange)
      link(look.reader, order[place + 1] ?? null, 'rw', look.missedByRange)
      const own = order.findIndex(write => this.#writer(write)!.id === look.reader)
      if (own > place + 1) note(found, 'P4', own - place)
      if (look.range === null || look.wroteBefore) continue
      const id = `${look.reader} ${look.row}`
      const before = seenByRanges.get(id)
      seenByRanges.set(id, { place, isPresent: look.isPresent })
      if (!before || (!before.isPresent && !look.isPresent)) continue
      if (before.isPresent !== look.isPresent) note(found, 'PMP', 0)
      if (before.place === place) continue
      const between = order.slice(Math.min(before.place, place) + 1, Math.max(before.place, place))
      if (between.some(write => write.op === 'delete')) note(found, 'PMP', 0)
    }
    this.#nameCycles(links, found)
    return found
  }

  #nameCycles(links: readonly Link[], found: Map<Phenomenon, number>): void {
    const name = (cycle: readonly Link[]): void => {
      const reads = cycle.filter(({ kind }) => kind === 'rw')
      if (reads.length > 1) note(found, reads.some(({ isRange }) => isRange) ? 'G2' : 'G2-item', cycle.length)
      else if (reads.length === 1) note(found, 'G-single', cycle.length)
      else note(found, cycle.some(({ kind }) => kind === 'wr') ? 'G1c' : 'G0', cycle.length)
    }
    const extend = (path: readonly Link[]): void => {
      const [first] = path
      const last = path.at(-1)!
      const earlier = this.#committed.find(({ id }) => id === last.to)!
      const later = this.#committed.find(({ id }) => id === first!.from)!
      if (earlier.end !== undefined && later.begin !== undefined && earlier.end < later.begin) note(found, 'strictness', path.length + 1)
      if (last.to === first!.from) name(path)
      else if (!path.slice(1).some(({ from }) => from === last.to)) links.filter(({ from }) => from === last.to).forEach(next => extend([...path, next]))
    }
    const distinct = [...new Map(links.map(one => [JSON.stringify(one), one])).values()]
    distinct.forEach(one => extend([one]))
  }
}

const note = (found: Map<Phenomenon, number>, phenomenon: Phenomenon, length: number): unknown =>
  found.set(phenomenon, Math.min(length, found.get(phenomenon) ?? Number.POSITIVE_INFINITY))

const writesOf = ({ operations }: TransactionRecord): Write[] => operations.filter(isWrite)
