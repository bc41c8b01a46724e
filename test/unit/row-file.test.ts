/** The LMDB file: rows of every size come back, whatever the native read does with them, and what was lent is not mistaken for what was kept. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { encodeKey, tablePrefix } from '../../engine/encoding/keys.js'
import { decodeRow } from '../../engine/encoding/rows.js'
import { RowFile } from '../../engine/lmdb/row-file.js'
import { owned } from '../../engine/store/store.js'
import { asTs, type Key } from '../../isolation/types.js'

/** Around the sizes where the package changes how it hands bytes over: its one buffer, a larger one, the mapped file itself. */
const sizes = [0, 1, 100, 255, 256, 4_070, 4_085, 4_096, 16_373, 16_384, 32_768, 70_000, 1_000_000, 16_000_000]
const keyOf = (n: number): Key => encodeKey(tablePrefix(1), [n], ['number'])
const valueOf = (n: number): Uint8Array => new Uint8Array(sizes[n]!).fill(n + 1)

let directory: string
let file: RowFile

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'premisedb-rows-'))
  file = new RowFile(join(directory, 'rows'), { readerSlots: 16, unsynced: true })
  file.write(batch => {
    for (let n = 0; n < sizes.length; n++) batch.put(keyOf(n), asTs(n + 1), valueOf(n))
  })
})

afterEach(async () => {
  await file.close()
  rmSync(directory, { recursive: true, force: true })
})

test('R-4: a row of any size comes back whole, in any order, one after the other and by chunks', () => {
  const root = file.pin()
  const numbers = sizes.map((_, n) => n)
  for (const n of [...numbers, ...numbers.toReversed(), 3, 13, 0, 12, 2, 11, 2]) {
    const row = root.get(keyOf(n))!
    expect([row.key, row.ts, row.value.length]).toEqual([keyOf(n), n + 1, sizes[n]])
    expect(Buffer.compare(row.value, valueOf(n))).toBe(0)
  }
  const { rows } = root.chunk({ lo: keyOf(0), hi: keyOf(99) }, false, 100, Infinity)
  expect(rows.map(({ value }) => value.length)).toEqual(sizes)
  for (const [n, { value }] of rows.entries()) expect(Buffer.compare(value, valueOf(n))).toBe(0)
  root.release()
})

test('R-4: what was read is overwritten by the next read, unless it is made one’s own', () => {
  const root = file.pin()
  const lent = root.get(keyOf(2))!.value
  const kept = owned(root.get(keyOf(2)))!.value!
  root.get(keyOf(3))
  expect(Buffer.compare(lent, valueOf(2))).not.toBe(0)
  expect(Buffer.compare(kept, valueOf(2))).toBe(0)
  root.release()
})

test('R-4: values of a chunk are not overwritten, whatever is read after them', () => {
  const root = file.pin()
  const all = { lo: keyOf(0), hi: keyOf(99) }
  const chunks = [false, true, false].map(reverse => root.chunk(all, reverse, 100, Infinity).rows)
  const stored = root.storedChunk(all, false, 100, Infinity).rows
  for (let n = 0; n < sizes.length; n++) root.get(keyOf(n))
  for (const rows of [chunks[0]!, chunks[1]!.toReversed(), chunks[2]!]) {
    expect(rows.map(({ key, ts }) => [key, ts])).toEqual(sizes.map((_, n) => [keyOf(n), n + 1]))
    for (const [n, { value }] of rows.entries()) expect(Buffer.compare(value, valueOf(n))).toBe(0)
  }
  for (const [n, { key, bytes }] of stored.entries()) expect(Buffer.compare(decodeRow(key, bytes).value, valueOf(n))).toBe(0)
  root.release()
})

test('an old root shows the old rows, after and between reads of the new one', () => {
  const before = file.pin()
  file.write(batch => {
    for (let n = 0; n < sizes.length; n++) batch.put(keyOf(n), asTs(100), new Uint8Array(7).fill(99))
  })
  const after = file.pin()
  for (let n = 0; n < sizes.length; n++) {
    expect(after.get(keyOf(n))!.ts).toBe(100)
    expect(Buffer.compare(before.get(keyOf(n))!.value, valueOf(n))).toBe(0)
    expect(after.get(keyOf(n))!.value.length).toBe(7)
  }
  before.release()
  after.release()
})
