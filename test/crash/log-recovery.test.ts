/** What the commit log holds after kills, power cuts, lying caches and flipped bits. */
import { crc32 } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { asKey, asTs } from '../../isolation/types.js'
import { decodeSegmentHeader, encodeSegmentHeader, segmentHeaderSizeBytes } from '../../engine/encoding/records.js'
import { ioError, keepAll, keepNone, keepSome, seededRandom, SimulatedCrash, SimulatedFiles } from './simulated-files.js'
import {
  activePath,
  add,
  addAll,
  between,
  codeOf,
  codeOfPromise,
  commitAt,
  open,
  plain,
  recordsIn,
  recordsOf,
  segmentPaths,
  smallLimits,
  timestamps,
  turns,
} from './log-harness.js'

/** One record per commit, all in one segment; the process is killed. */
function killedLog(last: number): { disk: SimulatedFiles; path: string; content: Buffer } {
  const disk = new SimulatedFiles()
  const { log } = open(disk)
  for (let ts = 1; ts <= last; ts++) {
    addAll(log, ts, ts)
    log.flushSync()
  }
  disk.kill()
  const path = activePath(disk)
  return { disk, path, content: disk.read(path) }
}

/** What opening finds when the segment has this content: timestamps and whether a tail was dropped, or an error. */
function openWith(disk: SimulatedFiles, path: string, content: Buffer): { found: number[]; dropped: boolean } | { error: string } {
  const copy = disk.clone()
  copy.overwrite(path, content)
  try {
    const { recovered } = open(copy)
    return { found: timestamps(recovered.commits), dropped: recovered.droppedTail !== undefined }
  } catch (error) {
    return { error: (error as Error).message }
  }
}

describe('a torn tail', () => {
  const { disk, path, content } = killedLog(7)
  const last = recordsIn(content).at(-1)!

  test('of any length is dropped, and all before it is kept: the file ends early', () => {
    for (let end = last.start; end < last.end; end++) {
      expect(openWith(disk, path, content.subarray(0, end))).toEqual({ found: between(1, 6), dropped: end > last.start })
    }
    expect(openWith(disk, path, content.subarray(0, last.end))).toEqual({ found: between(1, 7), dropped: false })
  })

  test('of any length is dropped, and all before it is kept: the rest is zeros', () => {
    for (let end = last.start; end < last.end; end++) {
      const torn = Buffer.from(content).fill(0, end)
      expect(openWith(disk, path, torn)).toEqual({ found: between(1, 6), dropped: end > last.start })
    }
  })

  test('of a record of many sectors is dropped whichever of its sectors are missing', () => {
    const large = new SimulatedFiles()
    const { log } = open(large)
    addAll(log, 1, 2)
    log.flushSync()
    add(log, commitAt(3, 700_000))
    large.holdSyncs = 'then'
    large.onCall = call => {
      if (call.name === 'fdatasyncSync') throw ioError('EIO')
    }
    expect(codeOf(() => log.flushSync())).toBe('COMMIT_UNKNOWN')
    const random = seededRandom(3)
    for (let i = 0; i < 20; i++) {
      const cut = large.clone()
      cut.powerCut(keepSome(random, 0.5 + i / 40))
      const { recovered } = open(cut)
      expect(timestamps(recovered.commits)).toEqual([1, 2])
    }
    large.powerCut(keepAll)
    expect(plain(open(large).recovered.commits)).toEqual(plain([commitAt(1), commitAt(2), commitAt(3, 700_000)]))
  })
})

describe('a flipped bit (U8)', () => {
  const { disk, path, content } = killedLog(7)
  const records = recordsIn(content)
  const flipped = (at: number): Buffer => {
    const copy = Buffer.from(content)
    copy[at]! ^= 1 << at % 8
    return copy
  }

  test('in a record that a later one knows to be synced is damage, wherever it is, and the error says what is lost', () => {
    for (const [i, { start, end }] of records.slice(0, -1).entries()) {
      for (let at = start; at < end; at++) {
        const outcome = openWith(disk, path, flipped(at))
        expect(outcome).toEqual({ error: expect.stringContaining(`Commits ${i + 1} to ${i + 1} are lost`) })
        expect(outcome).toEqual({ error: expect.stringMatching(new RegExp(`${path} is unreadable at offset ${start}\\b`)) })
      }
    }
  })

  test('in the last record is a torn tail', () => {
    const { start, end } = records.at(-1)!
    for (let at = start; at < end; at++) expect(openWith(disk, path, flipped(at))).toEqual({ found: between(1, 6), dropped: true })
  })

  test('is not the only way to lose a record: one that does not continue its predecessor is not used', () => {
    // The same opening twice, with different commits 2: as if a disk had kept an old sector.
    const [one, other] = [4, 5].map(sizeBytes => {
      const made = new SimulatedFiles()
      const { log } = open(made, 0, { incarnation: 1 })
      for (const commit of [commitAt(1), commitAt(2, sizeBytes), commitAt(3)]) {
        add(log, commit)
        log.flushSync()
      }
      made.kill()
      return made
    })
    const found = one!.read(activePath(one!))
    const [, , third] = recordsIn(found)
    const strange = other!.read(activePath(other!))
    expect(recordsIn(strange)[2]!.start).toBe(third!.start)
    strange.copy(found, third!.start, third!.start, third!.end)
    expect(openWith(one!, activePath(one!), found)).toEqual({ found: [1, 2], dropped: true })
  })

  test('in a segment header is damage', () => {
    for (let at = 0; at < segmentHeaderSizeBytes; at++) {
      expect(openWith(disk, path, flipped(at))).toEqual({ error: expect.stringContaining('has no valid header. Commits above 0 are lost') })
    }
    expect(openWith(disk, path, content.subarray(0, 10))).toHaveProperty('error')
    expect(openWith(disk, path, Buffer.alloc(0))).toHaveProperty('error')
  })

  test('in a log that was closed in order is damage also in its last commit', async () => {
    const closed = new SimulatedFiles()
    const { log } = open(closed)
    addAll(log, 1, 2)
    await log.close(true)
    const found = closed.read(activePath(closed))
    const { start, end } = recordsIn(found)[0]!
    for (let at = start; at < end; at++) {
      const copy = Buffer.from(found)
      copy[at]! ^= 1
      expect(openWith(closed, activePath(closed), copy)).toEqual({ error: expect.stringContaining('Commits 1 to 2 are lost') })
    }
  })

  test('in commits that were copied when the log was opened is damage though no later record says so', () => {
    const copied = disk.clone()
    open(copied)
    copied.kill()
    const found = copied.read(activePath(copied))
    const { start } = recordsIn(found).at(-1)!
    found[start + 70]! ^= 1
    expect(openWith(copied, activePath(copied), found)).toEqual({ error: expect.stringContaining('Commits 1 to 7 are lost') })
  })

  test('in a record that nobody knew to be synced is a torn tail though a valid one follows, and that one is not used', async () => {
    for (const known of [false, true]) {
      const both = new SimulatedFiles()
      const { log } = open(both)
      both.holdSyncs = 'then'
      addAll(log, 1, 1)
      await turns()
      if (known) both.releaseSync()
      addAll(log, 2, 2)
      log.flushSync()
      both.kill()
      const found = both.read(activePath(both))
      const [first, second] = recordsIn(found)
      expect(second!.syncedEnd > first!.start).toBe(known)
      found[first!.start + 70]! ^= 1
      const outcome = openWith(both, activePath(both), found)
      if (known) expect(outcome).toEqual({ error: expect.stringContaining('Commits 1 to 1 are lost') })
      else expect(outcome).toEqual({ found: [], dropped: true })
    }
  })

  test('zeros in the place of a synced record are damage, not the end of the log', () => {
    const { start, end } = records[2]!
    expect(openWith(disk, path, Buffer.from(content).fill(0, start, end))).toEqual({ error: expect.stringContaining('Commits 3 to 3 are lost') })
  })

  test('after the timestamps of a dropped tail none of them is given again', () => {
    const copy = disk.clone()
    copy.overwrite(path, flipped(records.at(-1)!.start + 70))
    expect(open(copy).recovered).toMatchObject({ lastTs: 6, nextTs: 7 + smallLimits.unsyncedCommits + 1 })
  })
})

describe('segments', () => {
  /** Several segments, nothing applied. */
  function segments(): { disk: SimulatedFiles; paths: string[]; last: number } {
    const disk = new SimulatedFiles()
    const { log } = open(disk)
    const last = 249
    for (let ts = 1; ts <= last; ts++) {
      addAll(log, ts, ts)
      if (ts % 3 === 0) log.flushSync()
    }
    disk.kill()
    const paths = segmentPaths(disk)
    expect(paths.length).toBeGreaterThan(4)
    return { disk, paths, last }
  }

  test('are read across their borders, each once', () => {
    const { disk, last } = segments()
    expect(plain(open(disk).recovered.commits)).toEqual(plain(between(1, last).map(ts => commitAt(ts))))
    expect(segmentPaths(disk), 'copied into one').toHaveLength(1)
  })

  test('an end that its successor knows to be synced cannot be torn', () => {
    const { disk, paths } = segments()
    const content = disk.read(paths[1]!)
    const { start, lastTs } = recordsIn(content).at(-1)!
    const outcome = openWith(disk, paths[1]!, Buffer.from(content).fill(0, start))
    expect(outcome).toEqual({ error: expect.stringMatching(new RegExp(`is unreadable at offset ${start}\\b.*to ${lastTs} are lost`)) })
  })

  test('a missing one is damage: in the middle, at the beginning, all', () => {
    const { disk, paths } = segments()
    for (const missing of [paths.slice(2, 3), paths.slice(0, 1), paths.slice(0, 3)]) {
      const copy = disk.clone()
      for (const path of missing) copy.files.unlinkSync(path)
      expect(codeOf(() => open(copy))).toBe('CORRUPT')
    }
    for (const path of paths) disk.files.unlinkSync(path)
    expect(codeOf(() => open(disk.clone(), 5))).toBe('CORRUPT')
    expect(open(disk, 0).recovered.commits, 'a store without commits may have died before it had a log').toEqual([])
  })

  test('a missing one does not matter when it is superseded, nor does damage in it', () => {
    const { disk, paths, last } = segments()
    const applied = recordsIn(disk.read(paths[2]!)).at(-1)!.lastTs
    disk.overwrite(paths[1]!, Buffer.from('not a segment'))
    disk.files.unlinkSync(paths[2]!)
    expect(timestamps(open(disk, applied).recovered.commits)).toEqual(between(applied + 1, last))
  })

  test('of a newer format, foreign content under a segment name, links: refused; unknown names: left alone', () => {
    const { disk, paths } = segments()
    disk.overwrite('/store/log/notes.txt', Buffer.from('hello'))
    disk.overwrite('/store/log/0000000099.tmp', Buffer.from('never finished'))
    const next = '/store/log/0000000098.log'

    const newer = disk.clone()
    const header = decodeSegmentHeader(newer.read(paths[0]!).subarray(0, segmentHeaderSizeBytes))
    if (typeof header === 'string') throw new Error(header)
    newer.overwrite(next, withVersion(encodeSegmentHeader({ ...header, number: 98 }), 2))
    expect(codeOf(() => open(newer))).toBe('FORMAT_TOO_NEW')

    const foreign = disk.clone()
    foreign.overwrite(next, Buffer.alloc(200, 'x'))
    expect(codeOf(() => open(foreign))).toBe('CORRUPT')
    const renamed = disk.clone()
    renamed.overwrite(next, renamed.read(paths[0]!))
    expect(codeOf(() => open(renamed))).toBe('CORRUPT')
    const linked = disk.clone()
    linked.plantLink(next)
    expect(codeOf(() => open(linked))).toBe('CORRUPT')
    const linkedDirectory = new SimulatedFiles()
    linkedDirectory.plantLink('/store/log')
    expect(codeOf(() => open(linkedDirectory))).toBe('CORRUPT')

    expect(open(disk).recovered.lastTs).toBe(249)
    expect(disk.list('/store/log')).toEqual([expect.stringMatching(/\.log$/), 'notes.txt'])
    expect(foreign.openDescriptors + renamed.openDescriptors + newer.openDescriptors).toBe(0)
  })

  test('of a later opening than this one are refused: the rest of the store is older than its log', () => {
    const { disk } = segments()
    expect(codeOf(() => open(disk, 0, { incarnation: 1 }))).toBe('CORRUPT')
  })

  function withVersion(bytes: Buffer, version: number): Buffer {
    bytes.writeUInt32LE(version, 8)
    bytes.writeUInt32LE(crc32(bytes.subarray(0, 76)), 76)
    return bytes
  }
})

describe('bytes that only the page cache holds (U3)', () => {
  const lose: [string, (disk: SimulatedFiles) => void][] = [
    ['the process was killed before the sync', () => {}],
    ['the sync failed and the kernel dropped the pages', disk => disk.failWriteback(activePath(disk))],
  ]

  test.each(lose)('are made durable before they are served: %s', async (_, drop) => {
    const disk = new SimulatedFiles()
    const first = open(disk)
    addAll(first.log, 1, 3)
    first.log.flushSync()
    disk.holdSyncs = 'then'
    addAll(first.log, 4, 6)
    await turns()
    drop(disk)
    disk.kill()

    const second = open(disk)
    expect(timestamps(second.recovered.commits), 'read from the cache').toEqual(between(1, 6))
    const { nextTs } = second.recovered
    const cut = disk.clone()
    cut.powerCut(keepNone)
    expect(timestamps(open(cut).recovered.commits), 'what was served is still there').toEqual(between(1, 6))

    addAll(second.log, nextTs, nextTs + 1)
    second.log.flushSync()
    disk.powerCut(keepNone)
    expect(timestamps(open(disk).recovered.commits)).toEqual([...between(1, 6), nextTs, nextTs + 1])
  })

  test('do not include names: a segment counts only when its name is durable', () => {
    const disk = new SimulatedFiles()
    for (let i = 0; i < 5; i++) {
      const { log, recovered } = open(disk)
      addAll(log, recovered.nextTs, recovered.nextTs + 60)
      log.flushSync()
      addAll(log, recovered.nextTs + 61, recovered.nextTs + 61)
      log.flushSync()
      disk.powerCut(keepNone)
      expect(recordsOf(disk).at(-1)?.lastTs).toBe(recovered.nextTs + 61)
    }
    expect(open(disk).recovered.commits).toHaveLength(5 * 62)
  })
})

describe('a write-back error', () => {
  test('that the asynchronous sync was told is told to the blocking one too (U4)', async () => {
    const disk = new SimulatedFiles()
    const { log, failures } = open(disk)
    disk.holdSyncs = 'before'
    disk.onCall = call => {
      if (call.name === 'fdatasync') disk.failWriteback(activePath(disk))
    }
    addAll(log, 1, 1)
    const first = codeOfPromise(log.whenDurable(asTs(1)))
    await turns()
    // The kernel has told the first descriptor, but nobody has heard it yet.
    addAll(log, 2, 2)
    expect(codeOf(() => log.flushSync())).toBe('COMMIT_UNKNOWN')
    expect(await first).toBe('COMMIT_UNKNOWN')
    expect([log.durableTs, failures.length]).toEqual([0, 1])
    disk.releaseSync()
    await log.close(true)
    expect(failures).toHaveLength(1)
  })

  test('that happened before anybody synced is told to whoever syncs first, either way', async () => {
    for (const way of ['async', 'blocking']) {
      const disk = new SimulatedFiles()
      const { log } = open(disk)
      addAll(log, 1, 1)
      disk.onCall = call => {
        if (call.name.startsWith('fdatasync')) disk.failWriteback(activePath(disk))
      }
      if (way === 'blocking') expect(codeOf(() => log.flushSync())).toBe('COMMIT_UNKNOWN')
      else expect(await codeOfPromise(log.whenDurable(asTs(1)))).toBe('COMMIT_UNKNOWN')
      disk.powerCut(keepAll)
      expect(open(disk).recovered.commits, 'and indeed it is lost').toEqual([])
    }
  })
})

describe('a crash during recovery', () => {
  /** Three segments, of which the first is applied, a tail that is only in the cache, and an unfinished segment. */
  async function interrupted(): Promise<{ disk: SimulatedFiles; applied: number; synced: number; last: number }> {
    const disk = new SimulatedFiles()
    const { log } = open(disk)
    for (let ts = 1; ts <= 90; ts++) {
      addAll(log, ts, ts)
      if (ts % 4 === 0) log.flushSync()
    }
    const synced = log.durableTs
    disk.holdSyncs = 'then'
    addAll(log, 91, 95)
    await turns()
    const applied = recordsIn(disk.read(segmentPaths(disk)[0]!)).at(-1)!.lastTs
    disk.kill()
    disk.overwrite('/store/log/0000000009.tmp', Buffer.alloc(100, 'x'))
    return { disk, applied, synced, last: 95 }
  }

  test('before any of its file operations loses nothing: not by the kill, not by a power cut after it', async () => {
    const { disk, applied, synced, last } = await interrupted()
    const random = seededRandom(11)
    let crashes = 0
    for (let n = 1; ; n++) {
      const crashed = disk.clone()
      crashed.crashBefore(n)
      let served: number[] | undefined
      try {
        served = timestamps(open(crashed, applied).recovered.commits)
      } catch (error) {
        expect(error).toHaveProperty('cause', expect.any(SimulatedCrash))
      }
      crashes++
      crashed.kill()
      const cuts = [keepNone, keepAll, ...between(1, 6).map(() => keepSome(random))]
      for (const keep of [undefined, ...cuts]) {
        const again = crashed.clone()
        if (keep) again.powerCut(keep)
        const found = timestamps(open(again, applied).recovered.commits)
        const atLeast = served || !keep ? last : synced
        expect(found).toEqual(between(applied + 1, Math.max(atLeast, found.at(-1) ?? 0)))
        expect(segmentPaths(again)).toHaveLength(1)
      }
      if (served) break
    }
    expect(crashes).toBeGreaterThan(20)
  })

  test('by an error of any of its file operations leaves a log that opens, and no descriptor', async () => {
    const { disk, applied, last } = await interrupted()
    for (let n = 1, opened = false; !opened; n++) {
      const failing = disk.clone()
      failing.onCall = call => {
        if (call.index === n) throw ioError('EIO')
      }
      const code = codeOf(() => open(failing, applied))
      expect(['none', 'POISONED', 'CORRUPT']).toContain(code)
      opened = code === 'none' && failing.calls.length < n
      failing.onCall = () => {}
      if (code !== 'none') expect(failing.openDescriptors).toBeLessThanOrEqual(failing.calls[n - 1]!.name === 'closeSync' ? 1 : 0)
      expect(timestamps(open(failing, applied).recovered.commits)).toEqual(between(applied + 1, last))
      failing.powerCut(keepNone)
      expect(timestamps(open(failing, applied).recovered.commits)).toEqual(between(applied + 1, last))
    }
  })
})

test('no log sequence number and no timestamp is used twice, whatever a crash forgets', async () => {
  const disk = new SimulatedFiles()
  const random = seededRandom(5)
  const seenSequences = new Set<number>()
  let seenTs = 0
  for (let i = 0; i < 60; i++) {
    const { log, recovered } = open(disk)
    expect(recovered.nextTs).toBeGreaterThan(seenTs)
    const count = Math.floor(random() * 6)
    for (let ts = recovered.nextTs; ts < recovered.nextTs + count; ts++) {
      addAll(log, ts, ts)
      seenTs = ts
      const next = random()
      if (next < 0.3) log.flushSync()
      else if (next < 0.5) await turns(1)
    }
    if (random() < 0.2) await log.close(true)
    // Every segment on the disk is of this opening.
    for (const { sequence } of recordsOf(disk)) {
      expect(seenSequences.has(sequence)).toBe(false)
      seenSequences.add(sequence)
    }
    if (random() < 0.7) disk.powerCut(keepSome(random, random() < 0.5 ? 0 : 0.5))
    else disk.kill()
  }
  expect(seenSequences.size).toBeGreaterThan(60)
})

test('nor when nothing but the header of a segment is left', async () => {
  const disk = new SimulatedFiles()
  const given: number[] = []
  for (let life = 0; life < 4; life++) {
    const { log, recovered } = open(disk)
    disk.holdSyncs = 'then'
    addAll(log, recovered.nextTs, recovered.nextTs + 1)
    await turns()
    given.push(recovered.nextTs, ...recordsOf(disk).map(record => 1e9 + record.sequence))
    disk.powerCut(keepNone)
    expect(recordsOf(disk)).toEqual([])
  }
  expect(given).toHaveLength(8)
  expect(new Set(given).size).toBe(8)
})

test('a timestamp is not given again though the segment that knew of it was trimmed', () => {
  const disk = new SimulatedFiles()
  const first = open(disk)
  addAll(first.log, 1, 60)
  first.log.flushSync()
  disk.kill()
  const second = open(disk)
  const { nextTs } = second.recovered
  const [copied] = segmentPaths(disk)
  second.log.trim(asTs(60))
  expect(segmentPaths(disk)).not.toContain(copied)
  addAll(second.log, nextTs, nextTs)
  disk.powerCut(keepNone)
  expect(open(disk, 60).recovered.nextTs).toBeGreaterThan(nextTs)
})

interface Story {
  readonly problems: string[]
  /** Commits that were never acknowledged and are gone. */
  lost: number
  acknowledged: number
  applied: number
  /** What every commit that may still be there wrote. */
  readonly committed: Map<number, unknown>
}

/** What goes wrong in a life, if anything: the process dies before some file operation, or one fails, a sync by losing its pages. */
function trouble(disk: SimulatedFiles, random: () => number, within: number): void {
  const index = disk.calls.length + Math.ceil(random() * within)
  if (random() < 0.6) return disk.crashBefore(index)
  disk.onCall = call => {
    if (call.index < index || (call.index > index && random() < 0.5)) return
    if (call.name.startsWith('fdatasync') && random() < 0.7) disk.failWriteback(`/store/log/${disk.list('/store/log').at(-1)}`)
    throw ioError('EIO')
  }
}

/** Opens the log and holds it against the story. */
function reopen(disk: SimulatedFiles, story: Story): ReturnType<typeof open> {
  const { problems, committed, applied } = story
  const opened = open(disk, applied)
  const { commits, lastTs, nextTs } = opened.recovered
  const expected = [...committed].filter(([ts]) => ts > applied && ts <= lastTs)
  if (JSON.stringify(plain(commits)) !== JSON.stringify(expected.map(([, content]) => content))) problems.push(`wrong: ${timestamps(commits).join(' ')}`)
  if (lastTs < story.acknowledged) problems.push(`commit ${story.acknowledged} was acknowledged, ${lastTs} is the last`)
  if (nextTs <= Math.max(0, ...committed.keys())) problems.push('a timestamp is given twice')
  for (const ts of [...committed.keys()].filter(gone => gone > lastTs)) {
    committed.delete(ts)
    story.lost++
  }
  story.acknowledged = Math.max(story.acknowledged, lastTs)
  return opened
}

/** Commits, waits, checkpoints, and perhaps closes. */
async function live({ log, recovered }: ReturnType<typeof open>, story: Story, random: () => number): Promise<void> {
  let ts = recovered.nextTs - 1
  for (let step = 0; step < 60; step++) {
    const commit = commitAt(++ts, Math.floor(random() * (random() < 0.05 ? 9_000 : 300)))
    story.committed.set(ts, plain([commit])[0])
    add(log, commit, random() < 0.3)
    const next = random()
    if (next < 0.15) log.flushSync()
    else if (next < 0.3) await turns(Math.ceil(random() * 3))
    if (random() > 0.05) continue
    story.applied = Math.max(story.applied, Math.floor(story.applied + random() * (log.durableTs - story.applied + 1)))
    log.trim(asTs(story.applied))
  }
  if (random() < 0.3) await log.close(random() < 0.7)
}

/** One life after another of a store that commits, checkpoints and dies. */
async function history(seed: number, syncsLie: boolean): Promise<Story> {
  const random = seededRandom(seed)
  const disk = new SimulatedFiles()
  disk.syncsLie = syncsLie
  const story: Story = { problems: [], lost: 0, acknowledged: 0, applied: 0, committed: new Map() }
  for (let life = 0; life < 6 && story.problems.length === 0; life++) {
    if (random() < 0.3) trouble(disk, random, 40)
    let opened: ReturnType<typeof open> | undefined
    try {
      opened = reopen(disk, story)
      if (random() < 0.8) trouble(disk, random, 120)
      await live(opened, story, random)
    } catch (error) {
      if (!isInjected(error)) story.problems.push(String(error))
    }
    story.acknowledged = Math.max(story.acknowledged, opened?.durable.at(-1) ?? 0)
    if (random() < 0.3) disk.kill()
    else disk.powerCut([keepAll, keepNone, keepSome(random), keepSome(random)][Math.floor(random() * 4)]!)
    await turns(1)
  }
  return story
}

/** Whether a test's own trouble is behind an error. */
const isInjected = (error: unknown): boolean =>
  error instanceof SimulatedCrash || (error instanceof Error && (error.message.endsWith(': simulated') || isInjected(error.cause)))

describe('random lives and deaths', () => {
  test('leave a prefix of the commit order that holds every acknowledged commit', async () => {
    let lost = 0
    for (let seed = 1; seed <= 400; seed++) {
      const outcome = await history(seed, false)
      expect(outcome.problems, `seed ${seed}`).toEqual([])
      lost += outcome.lost
    }
    expect(lost, 'power cuts that took nothing would prove nothing').toBeGreaterThan(500)
  })

  test('control: with a disk whose syncs lie they do not', async () => {
    let violations = 0
    for (let seed = 1; seed <= 40; seed++) violations += (await history(seed, true)).problems.length
    expect(violations).toBeGreaterThan(10)
  })
})

test('a commit whose key and value are as large as they may be survives', () => {
  const disk = new SimulatedFiles()
  const { log } = open(disk)
  add(log, { ts: asTs(1), writes: [{ key: asKey('\xff'.repeat(1_900)), value: Buffer.alloc(8 << 20, 'v') }] })
  log.flushSync()
  disk.powerCut(keepNone)
  const [commit] = open(disk).recovered.commits
  expect([commit?.writes[0]?.key.length, commit?.writes[0]?.value?.length]).toEqual([1_900, 8 << 20])
})
