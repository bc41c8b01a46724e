import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Lagging, writesPerCommit } from '../../bench/lagging.js'
import { Lateness } from '../../bench/lateness.js'
import { quantile } from '../../bench/quantile.js'
import type { RowSubject, UpdatableRowStore } from '../../bench/row-store.js'
import { lmdbPerCommit } from '../../bench/subjects/lmdb-rows.js'
import { premisedbRows } from '../../bench/subjects/premisedb-rows.js'
import { changedText, rowSizeBytes, TextCensus, textOf } from '../../bench/texts.js'

test('a row is altogether another one after each change, says how many there were, and keeps its size', () => {
  const versions = [textOf(7, 0), changedText(7, textOf(7, 0)), textOf(7, 2)]
  expect(versions[1]).toBe(textOf(7, 1))
  expect(new Set([...versions, textOf(8, 0)]).size).toBe(4)
  expect(versions.map(text => text.length)).toEqual([rowSizeBytes, rowSizeBytes, rowSizeBytes])
})

test('a census refuses a row that is missing, one that was torn, and a change that was lost', () => {
  const counted = (...texts: readonly string[]): TextCensus => {
    const census = new TextCensus()
    for (const [id, text] of texts.entries()) census.add(id, text)
    return census
  }
  expect(counted(textOf(0, 1), textOf(1, 0)).proof(2, 1)).not.toBe(counted(textOf(0, 0), textOf(1, 1)).proof(2, 1))
  expect(() => counted(textOf(0, 1)).proof(2, 1)).toThrow('not 2 with 1')
  expect(() => counted(textOf(0, 1), textOf(1, 0)).proof(2, 2)).toThrow('not 2 with 2')
  expect(() => counted(`${textOf(0, 1).slice(0, -1)}-`)).toThrow('Row 0 is not')
  expect(() => counted(textOf(1, 0))).toThrow('Row 0 is not')
})

test.each<RowSubject<string, UpdatableRowStore<string>>>([premisedbRows(), lmdbPerCommit()])('$name loses no update of those in flight', async subject => {
  const directory = mkdtempSync(join(tmpdir(), 'premise-bench-rows-'))
  try {
    const store = await subject.open(directory)
    await store.load(2_500, id => textOf(id, 0))
    await Promise.all(Array.from({ length: 100 }, (_, i) => store.update(i % 7, text => changedText(i % 7, text))))
    await store.close()
    const reopened = await subject.open(directory)
    const census = new TextCensus()
    await reopened.read(reader => reader.all((id, text) => census.add(id, text)))
    const found: number[] = []
    await reopened.read(reader => reader.range(2_497, 10, id => found.push(id)))
    await reopened.close()
    expect(census.proof(2_500, 100)).toMatch(/^2500 rows, 100 changes/)
    expect(found).toEqual([2_497, 2_498, 2_499])
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})

test('validation finds what was overwritten since the snapshot and nothing else, however far it lags', () => {
  const lagging = new Lagging(10_000, 1)
  const reads = lagging.readSet()
  lagging.commit([...reads.points].slice(0, 1))
  for (const lag of [64, 1_024]) {
    while (lagging.validate(reads, lag - 1) !== undefined) lagging.commit(lagging.writtenKeys())
    expect(lagging.validate(reads, lag)).toBeDefined()
    expect(lagging.validate(lagging.readSet(), lag)).toBeUndefined()
  }
  expect(lagging.writtenKeys()).toHaveLength(writesPerCommit)
})

test('a quantile is one of the values, by nearest rank', () => {
  const values = [5, 1, 4, 2, 3]
  expect([0, 0.2, 0.21, 0.5, 0.99, 1].map(q => quantile(values, q))).toEqual([1, 1, 2, 3, 5, 5])
  expect(() => quantile([], 0.5)).toThrow('no values')
})

test('a timer that is kept waiting says how long', async () => {
  const lateness = new Lateness()
  lateness.start()
  await new Promise(resolve => setTimeout(resolve, 20))
  const untilMs = performance.now() + 60
  while (performance.now() < untilMs) continue
  await new Promise(resolve => setTimeout(resolve, 20))
  lateness.stop()
  expect(lateness.quantileMs(1)).toBeGreaterThan(50)
  expect(lateness.quantileMs(1)).toBeGreaterThan(lateness.quantileMs(0.5))
})
