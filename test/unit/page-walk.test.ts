/** The walk over LMDB's pages: a sound file has every page in one place, and what is damaged is found without trusting what it says. */
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { encodeKey, tablePrefix } from '../../engine/encoding/keys.js'
import { StorageError } from '../../engine/errors.js'
import type { PageAudit } from '../../engine/lmdb/page-walk.js'
import { auditRowFile, checkRowFile } from '../../engine/lmdb/row-file-check.js'
import { RowFile } from '../../engine/lmdb/row-file.js'
import { asTs, type Key } from '../../isolation/types.js'
import { seededRandom } from '../crash/simulated-files.js'

const pageSizeBytes = 4_096
const keyOf = (n: number): Key => encodeKey(tablePrefix(1), [n], ['number'])

let directory: string
let sound: string
let copies = 0

beforeAll(async () => {
  directory = fs.mkdtempSync(join(tmpdir(), 'premisedb-pages-'))
  sound = join(directory, 'sound')
  await fill(sound, 12, 200, 1)
})

afterAll(() => fs.rmSync(directory, { recursive: true, force: true }))

/** Transactions that put, replace and delete rows of all sizes, so that the file has branches, leaves, long values and free pages of several transactions. */
async function fill(path: string, transactions: number, writes: number, seed: number): Promise<void> {
  const random = seededRandom(seed)
  const below = (n: number): number => Math.floor(random() * n)
  const file = new RowFile(path, { readerSlots: 16, unsynced: true })
  for (let t = 1; t <= transactions; t++) {
    file.write(batch => {
      for (let i = 0; i < writes; i++) {
        const key = keyOf(below(3_000))
        if (below(4) === 0) batch.remove(key)
        else batch.put(key, asTs(t), new Uint8Array(below(below(30) === 0 ? 30_000 : 300)).fill(t))
      }
      batch.setMetadata({ appliedTs: asTs(t), incarnation: 1 })
    })
  }
  await file.close()
}

function audit(path: string): PageAudit {
  const walk = auditRowFile(path, fs)
  let step = walk.next()
  while (!step.done) step = walk.next()
  return step.value
}

/** A copy of the sound file with `change` made to its bytes. */
function damaged(change: (bytes: Buffer) => void): string {
  const bytes = fs.readFileSync(sound)
  change(bytes)
  const path = join(directory, `damaged-${copies++}`)
  fs.writeFileSync(path, bytes)
  return path
}

const pageOf = (bytes: Buffer, page: number): Buffer => bytes.subarray(page * pageSizeBytes, (page + 1) * pageSizeBytes)
const refusal = (path: string): unknown => {
  try {
    return checkRowFile(path, fs, Infinity)
  } catch (error) {
    return error instanceof StorageError ? error.code : error
  }
}

describe('a sound file', () => {
  test.each([1, 2, 3, 4])('has every page in a tree or free, whatever was written (seed %i)', async seed => {
    const path = join(directory, `sound-${seed}`)
    await fill(path, 5 * seed, 150 * seed, seed)
    const { pages, reachable, free, problems, findings } = audit(path)
    expect(findings).toEqual([])
    expect([reachable + free, problems]).toEqual([pages, 0])
    expect(free).toBeGreaterThan(10)
    expect(refusal(path)).toBe('sound')
  })

  test('that was never written is sound too', async () => {
    const path = join(directory, 'empty')
    await new RowFile(path, { readerSlots: 16, unsynced: true }).close()
    expect(audit(path).findings).toEqual([])
    expect(refusal(path)).toBe('sound')
  })
})

describe('a damaged file', () => {
  /** Pages of the trees, by what the sound file has of them. */
  const treePages = (): number[] => {
    const bytes = fs.readFileSync(sound)
    const used: number[] = []
    for (let page = 2; page * pageSizeBytes < bytes.length; page++) {
      const broken = damaged(copy => pageOf(copy, page).fill(0))
      if (audit(broken).problems > 0) used.push(page)
      fs.rmSync(broken)
    }
    return used
  }

  test('every page that the trees use is missed when it is zeroed, and no free one is; such a file is refused at the opening', () => {
    const used = treePages()
    const { reachable } = audit(sound)
    // The two meta pages count as reachable; pages of a long value after its first hold nothing that a walk could judge: their row's checksum does.
    expect(used.length).toBeGreaterThan(50)
    expect(used.length).toBeLessThanOrEqual(reachable - 2)
    for (const page of used) {
      const path = damaged(copy => pageOf(copy, page).fill(0))
      expect(refusal(path)).toBe('CORRUPT')
      fs.rmSync(path)
    }
  })

  const isLeaf = (page: Buffer): boolean => page.readUInt16LE(18) === 2
  const leaves = (bytes: Buffer): number[] => {
    const found: number[] = []
    for (let page = 2; page * pageSizeBytes < bytes.length; page++) if (isLeaf(pageOf(bytes, page)) && pageOf(bytes, page).readUInt16LE(20) > 8) found.push(page)
    return found
  }
  /** Says of each leaf that `harm` can be done to (there are stale ones too, in free pages) whether that is found. */
  const foundIn = (harm: (page: Buffer, bytes: Buffer) => void): boolean[] =>
    leaves(fs.readFileSync(sound)).map(page => {
      const path = damaged(bytes => harm(pageOf(bytes, page), bytes))
      const { problems } = audit(path)
      fs.rmSync(path)
      return problems > 0
    })

  test.each<[string, (page: Buffer) => void]>([
    ['another number', page => page.writeUInt32LE(page.readUInt32LE(0) + 1, 0)],
    ['a transaction that has not been', page => page.writeUInt32LE(1_000_000, 8)],
    ['the flags of a branch', page => page.writeUInt16LE(1, 18)],
    ['more keys than have room', page => page.writeUInt16LE(4_090, 20)],
    ['two keys in the wrong order', page => {
      const first = page.readUInt16LE(24)
      page.writeUInt16LE(page.readUInt16LE(26), 24)
      page.writeUInt16LE(first, 26)
    }],
    ['a node outside itself', page => page.writeUInt16LE(60_000, 26)],
    ['a key fewer', page => page.writeUInt16LE(page.readUInt16LE(20) - 2, 20)],
  ])('a leaf with %s is found', (_what, harm) => {
    const before = audit(sound)
    const answers = foundIn(harm)
    // Leaves in use are found; the rest lie in free pages, where nothing can be wrong.
    expect(answers.filter(Boolean).length).toBeGreaterThan(10)
    expect(answers.filter(found => !found).length).toBeLessThanOrEqual(before.free)
  })

  test.each([0, 1])('meta page %i must be sound, though the other one is newer: the native library looks at both', page => {
    const path = damaged(bytes => pageOf(bytes, page).fill(0x41))
    expect(refusal(path)).toBe('CORRUPT')
    expect(() => audit(path)).toThrow(StorageError)
  })

  test('whatever a file says, the walk ends with findings or a typed error', () => {
    const random = seededRandom(5)
    const below = (n: number): number => Math.floor(random() * n)
    let findings = 0
    let refused = 0
    for (let i = 0; i < 400; i++) {
      const path = damaged(bytes => {
        for (let times = 1 + below(3); times > 0; times--) {
          const page = pageOf(bytes, below(below(8) === 0 ? 2 : bytes.length / pageSizeBytes))
          const at = below(below(3) === 0 ? pageSizeBytes : 200)
          for (let b = at; b < Math.min(at + 1 + below(40), pageSizeBytes); b++) page[b] = below(256)
        }
        if (below(20) === 0) bytes.copyWithin(below(bytes.length), below(bytes.length))
      })
      try {
        findings += audit(path).problems > 0 ? 1 : 0
      } catch (error) {
        if (!(error instanceof StorageError && error.code === 'CORRUPT')) throw error
        refused++
      }
      expect(['sound', 'CORRUPT']).toContain(refusal(path))
      fs.rmSync(path)
    }
    expect(findings).toBeGreaterThan(40)
    expect(refused).toBeGreaterThan(0)
  })
})
