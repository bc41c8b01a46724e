/**
 * Histories of many transactions. To measure how long one of a million takes:
 *
 *   HISTORY_TRANSACTIONS=1000000 npx vitest run --config test/vitest.config.ts test/anomaly/large-history.test.ts
 */
import { describe, expect, test } from 'vitest'
import { checkHistory, forbiddenAt, type History, type TransactionRecord, type Verdict } from '../../isolation/anomaly/index.js'
import { generateHistory } from './generated-history.js'

const transactions = Number(process.env['HISTORY_TRANSACTIONS'] ?? 10_000)
const rows = Math.ceil(transactions / 10)
const names = ({ findings }: Verdict): string[] => findings.map(({ phenomenon }) => phenomenon)

function timed(title: string, history: History): Verdict {
  const begin = performance.now()
  const verdict = checkHistory(history)
  const seconds = ((performance.now() - begin) / 1_000).toFixed(1)
  if (transactions >= 100_000) console.log(`${title}: ${history.transactions.length} transactions checked in ${seconds} s`)
  return verdict
}

describe('a store is recognised by its history', { timeout: 1_800_000 }, () => {
  test.each(['serializable', 'snapshot', 'read-committed'] as const)('%s', level => {
    const verdict = timed(level, generateHistory({ transactions, rows, level }))
    expect(names(verdict).filter(phenomenon => forbiddenAt[level].has(phenomenon as never))).toEqual([])
    if (level === 'serializable') expect(verdict).toMatchObject({ findings: [], doubts: [] })
  })

  test('that is not what it should be, among rows that everybody uses', () => {
    const contended = { transactions, rows: 500, openAtOnce: 64 }
    expect(names(timed('contended snapshot', generateHistory({ ...contended, level: 'snapshot' })))).toEqual(['G2-item', 'G2', 'strictness'])
    const weak = timed('contended read-committed', generateHistory({ ...contended, level: 'read-committed' }))
    expect(names(weak)).toEqual(expect.arrayContaining(['P4', 'G-single', 'G2-item', 'G2', 'strictness']))
    expect(names(weak).filter(phenomenon => forbiddenAt['read-committed'].has(phenomenon as never))).toEqual([])
    const lengths = new Map(weak.findings.map(({ phenomenon, cycle }) => [phenomenon, cycle.length]))
    expect([lengths.get('P4'), lengths.get('G-single'), lengths.get('G2-item')]).toEqual([2, 2, 2])
  })

  test('without version orders much is unknown, and nothing is claimed', () => {
    const { transactions: recorded, ...rest } = generateHistory({ transactions, rows, level: 'serializable' })
    const unordered = { ...rest, transactions: recorded.map(({ commit: _, ...record }): TransactionRecord => record) }
    const verdict = timed('unordered', unordered)
    expect(verdict.findings).toEqual([])
    expect(verdict.doubts.length).toBeGreaterThan(0)
    expect(verdict.status).toMatchObject({ 'G1a': 'absent', 'G1b': 'absent', 'impossible-read': 'absent' })
  })

  test('one stale read is found in it', () => {
    const history = generateHistory({ transactions: 2_000, rows: 200, level: 'serializable' })
    const writers = new Map(history.transactions.flatMap(({ id, outcome, operations }) => (outcome === 'committed' ? operations : []).flatMap(operation => (operation.op === 'put' ? [[operation.version, id] as const] : []))))
    const first = new Map(history.initial.map(({ key, version }) => [key, version]))
    const isStale = (record: TransactionRecord): boolean => {
      const [read] = record.operations
      return record.outcome === 'committed' && record.commit === undefined && read?.op === 'get' && writers.has(read.version!) && first.has(read.key)
    }
    const at = history.transactions.findLastIndex(isStale)
    const changed = history.transactions.map((record, index): TransactionRecord => {
      const [read, ...others] = record.operations
      return index === at && read?.op === 'get' ? { ...record, operations: [{ ...read, version: first.get(read.key)! }, ...others] } : record
    })
    const { findings } = checkHistory({ ...history, transactions: changed })
    expect(findings.map(({ phenomenon }) => phenomenon)).toContain('strictness')
    expect(findings.every(finding => finding.transactions.includes(changed[at]!.id))).toBe(true)
  })
})

test('a ring of many transactions is one cycle, and the shortest', () => {
  const length = 3_000
  const name = (n: number): string => `r${n % length}`
  const ring = Array.from({ length }, (_, n): TransactionRecord => ({
    id: `T${n}`,
    outcome: 'committed',
    begin: 0,
    end: 1,
    commit: n,
    operations: [
      { op: 'get', table: 'rows', key: name(n + 1), version: null },
      { op: 'put', table: 'rows', key: name(n), version: `v${n}` },
    ],
  }))
  const { findings } = checkHistory({ initial: [], transactions: ring })
  expect(findings.map(({ phenomenon, cycle }) => [phenomenon, cycle.length])).toEqual([['G2-item', length]])
})
