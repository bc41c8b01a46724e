/**
 * Takes a history that somebody else recorded: says where it is not what docs/history-format.md describes. What a store did
 * wrong is no mistake of the history, so a read of a version that nobody wrote passes.
 */
import type { KeyInterval } from '../scenario.js'
import { type History, isWrite, type Operation, type TransactionRecord } from './history.js'
import { Items } from './items.js'
import { settleOutcomes } from './outcomes.js'

/** A value that is not a history. */
export class HistoryError extends Error {
  override readonly name = 'HistoryError'
  /** As in `transactions[3].operations[1].version`; empty for the whole. */
  readonly place: string
  constructor(place: string, problem: string) {
    super(`${place || 'The history'} ${problem}`)
    this.place = place
  }
}

type Fields = Readonly<Record<string, unknown>>

/** Checks a value, parsed from JSON as a rule, and returns it with its type. Throws `HistoryError`. */
export function parseHistory(value: unknown): History {
  const history = fieldsOf(value, '', ['initial', 'transactions', 'final', 'versionOrders'])
  const versions = new Set<string>()
  checkRows(history['initial'], 'initial', versions)
  const transactions = listOf(history['transactions'], 'transactions')
  const ids = new Set<unknown>()
  const commits = new Set<unknown>()
  for (const [index, transaction] of transactions.entries()) {
    const place = `transactions[${index}]`
    const { id, commit } = checkTransaction(transaction, place, versions)
    if (ids.has(id)) throw new HistoryError(`${place}.id`, `is "${id}", and so is another transaction's.`)
    if (commits.has(commit)) throw new HistoryError(`${place}.commit`, `is ${commit}, and so is another transaction's.`)
    ids.add(id)
    if (commit !== undefined) commits.add(commit)
  }
  if (history['final'] !== undefined) checkRows(history['final'], 'final', null)
  const parsed = value as History
  if (parsed.versionOrders !== undefined) checkOrders(parsed)
  return parsed
}

function checkRows(value: unknown, place: string, versions: Set<string> | null): void {
  const rows = new Set<string>()
  for (const [index, row] of listOf(value, place).entries()) {
    const at = `${place}[${index}]`
    const { table, key, version } = fieldsOf(row, at, ['table', 'key', 'version'])
    const name = JSON.stringify([textOf(table, `${at}.table`), textOf(key, `${at}.key`)])
    if (rows.has(name)) throw new HistoryError(at, 'is a row that the list has already.')
    rows.add(name)
    const id = textOf(version, `${at}.version`)
    if (versions) addVersion(id, `${at}.version`, versions)
  }
}

function addVersion(version: string, place: string, versions: Set<string>): void {
  if (versions.has(version)) throw new HistoryError(place, `is "${version}", which another write has: a version id stands for one write.`)
  versions.add(version)
}

function checkTransaction(value: unknown, place: string, versions: Set<string>): TransactionRecord {
  const transaction = fieldsOf(value, place, ['id', 'label', 'outcome', 'begin', 'end', 'commit', 'operations'])
  textOf(transaction['id'], `${place}.id`)
  if (transaction['label'] !== undefined) textOf(transaction['label'], `${place}.label`)
  const { outcome, begin, end, commit, operations } = transaction
  if (outcome !== 'committed' && outcome !== 'aborted' && outcome !== 'unknown') {
    throw new HistoryError(`${place}.outcome`, `must be "committed", "aborted" or "unknown", and is ${shown(outcome)}.`)
  }
  for (const [name, time] of Object.entries({ begin, end, commit })) {
    if (time !== undefined && !Number.isFinite(time)) throw new HistoryError(`${place}.${name}`, `must be a number, and is ${shown(time)}.`)
  }
  if (typeof begin === 'number' && typeof end === 'number' && begin > end) throw new HistoryError(place, 'ends before it begins.')
  if (commit !== undefined && outcome !== 'committed') throw new HistoryError(`${place}.commit`, 'is the place of a commit, and this is none.')
  for (const [index, operation] of listOf(operations, `${place}.operations`).entries()) {
    checkOperation(operation, `${place}.operations[${index}]`, versions)
  }
  return value as TransactionRecord
}

function checkOperation(value: unknown, place: string, versions: Set<string>): void {
  const { op } = fieldsOf(value, place, null)
  if (op === 'get' || op === 'put' || op === 'delete') {
    const { table, key, version } = fieldsOf(value, place, ['op', 'table', 'key', 'version'])
    textOf(table, `${place}.table`)
    textOf(key, `${place}.key`)
    if (op === 'get' && version === null) return
    const id = textOf(version, `${place}.version`)
    if (op !== 'get') addVersion(id, `${place}.version`, versions)
    return
  }
  if (op !== 'range') throw new HistoryError(`${place}.op`, `must be "get", "range", "put" or "delete", and is ${shown(op)}.`)
  const { table, bounds, limit, reverse, rows } = fieldsOf(value, place, ['op', 'table', 'bounds', 'limit', 'reverse', 'rows'])
  textOf(table, `${place}.table`)
  const limits: readonly (keyof KeyInterval)[] = ['gt', 'gte', 'lt', 'lte']
  for (const [name, bound] of Object.entries(fieldsOf(bounds, `${place}.bounds`, limits))) textOf(bound, `${place}.bounds.${name}`)
  if (limit !== undefined && !(Number.isInteger(limit) && Number(limit) >= 0)) {
    throw new HistoryError(`${place}.limit`, `must be an integer from 0, and is ${shown(limit)}.`)
  }
  if (reverse !== undefined && typeof reverse !== 'boolean') throw new HistoryError(`${place}.reverse`, `must be true or false, and is ${shown(reverse)}.`)
  for (const [index, row] of listOf(rows, `${place}.rows`).entries()) {
    const at = `${place}.rows[${index}]`
    const { key, version } = fieldsOf(row, at, ['key', 'version'])
    textOf(key, `${at}.key`)
    textOf(version, `${at}.version`)
  }
}

/** A version order is complete, or it would be another order. */
function checkOrders(history: History): void {
  const rows = new Set<string>()
  for (const [index, order] of listOf(history.versionOrders, 'versionOrders').entries()) {
    const place = `versionOrders[${index}]`
    const { table, key, versions } = fieldsOf(order, place, ['table', 'key', 'versions'])
    const name = JSON.stringify([textOf(table, `${place}.table`), textOf(key, `${place}.key`)])
    if (rows.has(name)) throw new HistoryError(place, 'is the order of a row that has one already.')
    rows.add(name)
    listOf(versions, `${place}.versions`).forEach((version, at) => textOf(version, `${place}.versions[${at}]`))
  }
  const items = new Items(settleOutcomes(history))
  const installed = new Map<string, Set<string>>(history.versionOrders!.map(({ table, key }) => [JSON.stringify([table, key]), new Set()]))
  let write = 0
  for (const operation of history.transactions.flatMap(({ operations }): readonly Operation[] => operations)) {
    if (!isWrite(operation)) continue
    if (items.isInstalled(write)) installed.get(JSON.stringify([operation.table, operation.key]))?.add(operation.version)
    write++
  }
  for (const [index, { table, key, versions }] of history.versionOrders!.entries()) {
    const missing = installed.get(JSON.stringify([table, key]))!
    for (const [at, version] of versions.entries()) {
      const place = `versionOrders[${index}].versions[${at}]`
      if (!missing.delete(version)) throw new HistoryError(place, `is "${version}", which is no committed last write of the row, or stands here twice.`)
    }
    const [other] = missing
    if (other !== undefined) throw new HistoryError(`versionOrders[${index}].versions`, `misses "${other}", which was committed.`)
  }
}

function fieldsOf(value: unknown, place: string, names: readonly string[] | null): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new HistoryError(place, `must be an object, and is ${shown(value)}.`)
  for (const name in value) {
    if (names && !names.includes(name)) throw new HistoryError(place, `has a field "${name}", which means nothing; known are ${names.join(', ')}.`)
  }
  return value as Fields
}

function listOf(value: unknown, place: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new HistoryError(place, `must be a list, and is ${shown(value)}.`)
  return value
}

function textOf(value: unknown, place: string): string {
  if (typeof value !== 'string') throw new HistoryError(place, `must be a string, and is ${shown(value)}.`)
  return value
}

function shown(value: unknown): string {
  // What JSON cannot hold comes from a caller who skipped it.
  const text = value === undefined ? 'missing' : typeof value === 'function' || typeof value === 'bigint' ? typeof value : JSON.stringify(value)
  return text.length > 40 ? `${text.slice(0, 40)}…` : text
}
