import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { type History, judgeTwice, type Operation, serialOrder, type TransactionRecord } from '../../isolation/anomaly/index.js'
import { key, perform, program, type Request, runSerially, table, withOperation } from './serial-history.js'

/** Tries every permutation; shares nothing with the engine's own search but the idea. */
function hasSerialOrderByBruteForce(judged: History): boolean {
  const committed = judged.transactions.filter(({ outcome }) => outcome === 'committed')
  const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)
  const state = (rows: Map<string, string>): [string, string][] => [...rows].sort(([a], [b]) => (a < b ? -1 : 1))
  const explains = (order: readonly TransactionRecord[]): boolean => {
    const rows = new Map(judged.initial.map(row => [row.key, row.version]))
    for (const operation of order.flatMap(({ operations }) => operations)) {
      const asked: Request = operation.op === 'range' ? { op: 'range', gte: operation.bounds.gte!, lte: operation.bounds.lte!, limit: operation.limit, reverse: operation.reverse ?? false } : operation
      const again = perform(asked, rows, 'version' in operation ? (operation.version ?? '') : '')
      if (operation.op === 'get' && again.op === 'get' && again.version !== operation.version) return false
      if (operation.op === 'range' && again.op === 'range' && !same(again.rows, operation.rows)) return false
    }
    return same(state(rows), state(new Map(judged.final!.map(row => [row.key, row.version]))))
  }
  const permute = (left: readonly TransactionRecord[], order: readonly TransactionRecord[]): boolean =>
    left.length === 0 ? explains(order) : left.some(next => permute(left.filter(other => other !== next), [...order, next]))
  return permute(committed, [])
}

/** All reads of committed transactions, as places in the history. */
const readsOf = (judged: History): [number, number][] =>
  judged.transactions.flatMap(({ outcome, operations }, t) =>
    operations.flatMap(({ op }, o): [number, number][] => (outcome === 'committed' && (op === 'get' || op === 'range') ? [[t, o]] : [])),
  )

/** The history in which one read returned `version` in place of what it did return. */
function withRead(judged: History, [t, o]: [number, number], version: string | null): History {
  const change = (operation: Operation): Operation => {
    if (operation.op === 'get') return { ...operation, version }
    if (operation.op !== 'range') return operation
    const [first, ...others] = operation.rows
    const rows = version === null ? others : first ? [{ key: first.key, version }, ...others] : [{ key: operation.bounds.gte ?? 'a', version }]
    return { ...operation, rows }
  }
  return withOperation(judged, t, o, change)
}

test('every serial execution is judged clean by both opinions', () => {
  fc.assert(
    fc.property(program, asked => {
      const verdict = judgeTwice(runSerially(asked))
      expect(verdict.findings).toEqual([])
      expect(verdict.serialOrder).not.toBeNull()
    }),
    { numRuns: 2_000 },
  )
})

test('a read of something else is caught by the second opinion unless another order really explains it', () => {
  let caught = 0
  fc.assert(
    fc.property(program, fc.nat(), fc.nat(), (asked, where, what) => {
      const clean = runSerially(asked)
      const reads = readsOf(clean)
      fc.pre(reads.length > 0)
      const versions = clean.transactions.flatMap(({ operations }) => operations.flatMap(operation => (operation.op === 'put' ? [operation.version] : [])))
      const candidates = [null, ...clean.initial.map(row => row.version), ...versions]
      const mutated = withRead(clean, reads[where % reads.length]!, candidates[what % candidates.length]!)
      const order = serialOrder(mutated)
      expect(order !== null).toBe(hasSerialOrderByBruteForce(mutated))
      if (order === null) caught++
      // The graph must name something wherever no serial order exists: this throws where it does not.
      judgeTwice(mutated)
    }),
    { numRuns: 2_000 },
  )
  expect(caught).toBeGreaterThan(300)
})

test('a read of a version that nobody wrote is always caught by both opinions', () => {
  fc.assert(
    fc.property(program, fc.nat(), (asked, where) => {
      const clean = runSerially(asked)
      const reads = readsOf(clean)
      fc.pre(reads.length > 0)
      const verdict = judgeTwice(withRead(clean, reads[where % reads.length]!, 'nobody'))
      expect(verdict.serialOrder).toBeNull()
      expect(verdict.findings.length).toBeGreaterThan(0)
    }),
    { numRuns: 500 },
  )
})

test('a final state that no order leaves behind is always caught by both opinions', () => {
  fc.assert(
    fc.property(program, key, (asked, row) => {
      const clean = runSerially(asked)
      const final = [...clean.final!.filter(left => left.key !== row), { table, key: row, version: 'nobody' }]
      const verdict = judgeTwice({ ...clean, final })
      expect(verdict.serialOrder).toBeNull()
      expect(verdict.findings.map(({ phenomenon }) => phenomenon)).toContain('impossible-state')
    }),
    { numRuns: 300 },
  )
})
