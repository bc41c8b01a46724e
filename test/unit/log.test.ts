import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { commitSizeBytes, decodeCommits, decodeRecordHeader, recordHeaderSizeBytes, RecordEncoder } from '../../engine/encoding/records.js'
import { systemEnvironment } from '../../engine/environment.js'
import { defaultLimits } from '../../engine/limits.js'
import { openLog } from '../../engine/log/open.js'
import { asKey, asTs, noTs } from '../../isolation/types.js'
import { ioError, seededRandom, SimulatedFiles } from '../crash/simulated-files.js'
import {
  activePath,
  add,
  addAll,
  between,
  codeOf,
  codeOfPromise,
  commitAt,
  nextIncarnation,
  open,
  plain,
  recordsIn,
  recordsOf,
  segmentPaths,
  smallLimits,
  timestamps,
  turns,
} from '../crash/log-harness.js'

/** Where nothing may rotate. */
const roomy = { ...smallLimits, segmentSizeBytes: 1 << 20, logReserveSizeBytes: 1 << 16 }

describe('on the real file system', () => {
  const directories: string[] = []
  const scratch = (): string => directories[directories.push(mkdtempSync(join(tmpdir(), 'premisedb-log-'))) - 1]!
  afterEach(() => directories.splice(0).forEach(path => rmSync(path, { recursive: true })))
  const openReal = (directory: string) =>
    openLog({
      directory,
      environment: systemEnvironment,
      limits: defaultLimits,
      appliedTs: noTs,
      incarnation: nextIncarnation(),
      onDurable: () => {},
      onFailure: () => {},
    })

  test('what was committed comes back: binary keys, empty, large and absent values, commits without writes', async () => {
    const directory = scratch()
    const commits = [
      { ts: asTs(1), writes: [] },
      { ts: asTs(2), writes: [{ key: asKey('\0\x80\xff'), value: Buffer.alloc(0) as Uint8Array }, { key: asKey(''), value: undefined }] },
      { ts: asTs(7), writes: between(0, 3).map(i => ({ key: asKey(`large${i}`), value: new Uint8Array(60_000 * (i + 1)).fill(i + 1) })) },
      { ts: asTs(8), writes: between(1, 20_000).map(i => ({ key: asKey(`many${i}`), value: Buffer.from(`value ${i}`) as Uint8Array })) },
    ]
    const first = openReal(directory)
    for (const commit of commits) add(first.log, commit)
    await first.log.whenDurable(asTs(8))
    await first.log.close(true)

    const second = openReal(directory)
    expect(plain(second.recovered.commits)).toEqual(plain(commits))
    expect(second.recovered).toMatchObject({ clean: true, lastTs: 8, nextTs: 9 })
    await second.log.close(true)
    const third = openReal(directory)
    expect(plain(third.recovered.commits), 'also after they were copied').toEqual(plain(commits))
    await third.log.close(true)
  })

  test('only the owner can read the files', async () => {
    const directory = scratch()
    await openReal(directory).log.close(true)
    const path = join(directory, 'log')
    expect(statSync(path).mode & 0o777).toBe(0o700)
    expect(readdirSync(path).map(name => statSync(join(path, name)).mode & 0o777)).toEqual([0o600])
  })
})

describe('group commit', () => {
  test('commits that arrive in one turn share a record, those that arrive during its sync share the next', async () => {
    const disk = new SimulatedFiles()
    const { log, durable } = open(disk, 0, { limits: roomy })
    disk.holdSyncs = 'then'
    addAll(log, 1, 3)
    await turns()
    addAll(log, 4, 9)
    await turns()
    expect(disk.heldSyncs, 'one sync at a time').toBe(1)
    expect(durable).toEqual([])
    disk.releaseSync()
    expect(log.durableTs, 'a sync vouches only for what was written when it began').toBe(3)
    expect(disk.heldSyncs, 'the next flush starts when the sync ends').toBe(1)
    disk.releaseSync()
    expect(durable).toEqual([3, 9])
    expect(recordsOf(disk).map(record => [record.firstTs, record.lastTs])).toEqual([[1, 3], [4, 9]])
    await log.close(true)
  })

  test('waiters go on when their commit is durable, and not before', async () => {
    const disk = new SimulatedFiles()
    const { log } = open(disk, 0, { limits: roomy })
    disk.holdSyncs = 'then'
    const settled: number[] = []
    const wait = (ts: number) => log.whenDurable(asTs(ts)).then(() => settled.push(ts))
    addAll(log, 1, 2)
    await turns()
    addAll(log, 3, 4)
    const all = Promise.all([4, 2, 3, 1].map(wait))
    await turns()
    expect(settled).toEqual([])
    disk.releaseSync()
    await turns()
    expect(settled.toSorted((a, b) => a - b)).toEqual([1, 2])
    disk.releaseSync()
    await all
    expect(settled.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4])
    await log.close(true)
  })

  test('a blocking flush during an asynchronous sync keeps the order and makes both durable', async () => {
    const disk = new SimulatedFiles()
    const { log, durable } = open(disk, 0, { limits: roomy })
    disk.holdSyncs = 'then'
    addAll(log, 1, 2)
    const first = log.whenDurable(asTs(2))
    await turns()
    addAll(log, 3, 4)
    log.flushSync()
    expect(log.durableTs).toBe(4)
    await first
    addAll(log, 5, 5)
    await turns()
    disk.releaseSync()
    expect(log.durableTs, 'the older sync changes nothing').toBe(4)
    disk.releaseSync()
    expect(durable).toEqual([4, 5])
    expect(recordsOf(disk).map(record => record.firstTs)).toEqual([1, 3, 5])
    await log.close(true)
  })

  test('a blocking flush with nothing pending finishes the sync that runs', async () => {
    const disk = new SimulatedFiles()
    const { log, durable } = open(disk)
    disk.holdSyncs = 'then'
    addAll(log, 1, 2)
    await turns()
    log.flushSync()
    expect(durable).toEqual([2])
    log.flushSync()
    expect(disk.calls.filter(call => call.name === 'fdatasyncSync'), 'at birth and once').toHaveLength(2)
    disk.releaseSync()
    await log.close(true)
  })

  test('a commit that is alone is synced on the spot where syncs are quick, and so are its successors; several share an asynchronous sync', async () => {
    const disk = new SimulatedFiles()
    const { log, durable } = open(disk, 0, { limits: { ...roomy, loneSyncMs: Infinity } })
    const syncs = (name: string): number => disk.calls.filter(call => call.name === name).length
    const [atBirth, atBirthSync] = [syncs('fdatasync'), syncs('fdatasyncSync')]
    addAll(log, 1, 1)
    await expect.poll(() => durable).toEqual([1])
    expect([syncs('fdatasync') - atBirth, syncs('fdatasyncSync') - atBirthSync], 'nobody knows yet how long a sync takes').toEqual([1, 0])
    addAll(log, 2, 2)
    await turns()
    addAll(log, 3, 3)
    const third = log.whenDurable(asTs(3))
    await turns()
    await third
    expect(durable).toEqual([1, 2, 3])
    expect([syncs('fdatasync') - atBirth, syncs('fdatasyncSync') - atBirthSync]).toEqual([1, 2])
    addAll(log, 4, 5)
    await expect.poll(() => durable).toEqual([1, 2, 3, 5])
    expect([syncs('fdatasync') - atBirth, syncs('fdatasyncSync') - atBirthSync]).toEqual([2, 2])
    expect(recordsOf(disk).map(record => [record.firstTs, record.lastTs])).toEqual([[1, 1], [2, 2], [3, 3], [4, 5]])
    await log.close(true)
  })

  test('a commit that is alone is in doubt when its sync fails on the spot, and nothing is tried again', async () => {
    const disk = new SimulatedFiles()
    const { log, durable, failures } = open(disk, 0, { limits: { ...roomy, loneSyncMs: Infinity } })
    addAll(log, 1, 1)
    await expect.poll(() => durable).toEqual([1])
    disk.onCall = call => {
      if (call.name === 'fdatasyncSync') throw ioError('EIO')
    }
    addAll(log, 2, 2)
    await expect(log.whenDurable(asTs(2))).rejects.toMatchObject({ code: 'COMMIT_UNKNOWN' })
    expect([durable, failures.length]).toEqual([[1], 1])
    expect(() => addAll(log, 3, 3)).toThrow(expect.objectContaining({ code: 'POISONED' }))
    await log.close(true)
  })

  test('a relaxed commit is synced soon without being asked for, and at once when somebody waits', async () => {
    const disk = new SimulatedFiles()
    const { log } = open(disk, 0, { limits: { ...smallLimits, relaxedSyncMs: 30 } })
    add(log, commitAt(1), true)
    await turns()
    expect(recordsOf(disk)).toEqual([])
    await expect.poll(() => log.durableTs).toBe(1)
    add(log, commitAt(2), true)
    const before = performance.now()
    await log.whenDurable(asTs(2))
    expect(performance.now() - before).toBeLessThan(25)
    add(log, commitAt(3), true)
    addAll(log, 4, 4)
    await turns()
    expect(log.durableTs, 'a durable commit takes relaxed ones along').toBe(4)
    await log.close(true)
  })

  test('relaxed commits do not pile up in memory', async () => {
    const disk = new SimulatedFiles()
    const { log } = open(disk, 0, { limits: { ...smallLimits, relaxedSyncMs: 60_000 } })
    for (let ts = 1; ts <= 20; ts++) add(log, commitAt(ts), true)
    await turns()
    expect(log.durableTs).toBe(20)
    await log.close(true)
  })

  test('no more commits wait for a sync than recovery leaves room for', async () => {
    const disk = new SimulatedFiles()
    const { log } = open(disk, 0, { limits: { ...smallLimits, unsyncedCommits: 10 } })
    disk.holdSyncs = 'then'
    addAll(log, 1, 4)
    await turns()
    addAll(log, 5, 10)
    expect(log.durableTs).toBe(0)
    addAll(log, 11, 11)
    expect(log.durableTs).toBe(10)
    disk.holdSyncs = 'no'
    disk.releaseSync()
    await log.close(true)
  })
})

describe('a full disk', () => {
  test('is met before anything is installed, and the log works again when there is space', async () => {
    const disk = new SimulatedFiles()
    const { log, failures } = open(disk)
    addAll(log, 1, 2)
    log.flushSync()
    disk.capacitySizeBytes = disk.read(activePath(disk)).length + 100
    let ts = 2
    while (codeOf(() => log.reserve(commitSizeBytes(commitAt(ts + 1).writes))) === 'none') log.append(commitAt(++ts), false)
    expect(codeOf(() => add(log, commitAt(ts + 1)))).toBe('DISK_FULL')
    expect(ts, 'what was reserved at birth was usable').toBeGreaterThan(4)
    log.flushSync()
    expect([log.durableTs, failures]).toEqual([ts, []])
    disk.capacitySizeBytes = Number.POSITIVE_INFINITY
    addAll(log, ts + 1, ts + 3)
    await log.close(true)
    expect(timestamps(open(disk).recovered.commits)).toEqual(between(1, ts + 3))
  })

  test('is no reason to lose what was reserved: everything pending is still written, without a new segment', async () => {
    const disk = new SimulatedFiles()
    const { log } = open(disk)
    addAll(log, 1, 80)
    log.flushSync()
    expect(log.sizeBytes, 'a new segment is due').toBeGreaterThan(smallLimits.segmentSizeBytes)
    for (const spare of [0, 2_500]) {
      // Without any space, and with enough for a new segment but not for what is pending.
      const last = log.durableTs
      disk.capacitySizeBytes = Number.POSITIVE_INFINITY
      add(log, commitAt(last + 1, 3_000))
      disk.capacitySizeBytes = disk.read(activePath(disk)).length + spare
      log.flushSync()
      expect(disk.list('/store/log')).toEqual(['0000000001.log'])
    }
    await log.close(true)
    disk.capacitySizeBytes = Number.POSITIVE_INFINITY
    expect(timestamps(open(disk).recovered.commits)).toEqual(between(1, 82))
  })

  test.each([['ENOSPC'], ['EDQUOT'], ['EFBIG'], ['EIO without free space']])('is recognized by %s', code => {
    const disk = new SimulatedFiles()
    const { log } = open(disk)
    if (code.startsWith('EIO')) disk.capacitySizeBytes = 0
    disk.onCall = call => {
      if (call.name === 'writeSync') throw ioError(code.slice(0, code.indexOf(' ') + 1 || undefined).trim())
    }
    expect(codeOf(() => log.reserve(1_000_000))).toBe('DISK_FULL')
    disk.onCall = () => {}
    disk.capacitySizeBytes = Number.POSITIVE_INFINITY
    expect(codeOf(() => log.reserve(1_000_000))).toBe('none')
  })

  test('does not keep a clean log from being opened to read', async () => {
    const disk = new SimulatedFiles()
    const first = open(disk)
    addAll(first.log, 1, 3)
    await first.log.close(true)
    disk.capacitySizeBytes = disk.read(activePath(disk)).length + 1_000
    const second = open(disk)
    expect(timestamps(second.recovered.commits)).toEqual([1, 2, 3])
    expect(codeOf(() => second.log.reserve(100_000))).toBe('DISK_FULL')
    await second.log.close(true)
  })

  test('leaves the old log as it is when there is no space to copy it', async () => {
    const disk = new SimulatedFiles()
    const first = open(disk)
    addAll(first.log, 1, 8)
    await first.log.close(true)
    disk.capacitySizeBytes = disk.read(activePath(disk)).length + 100
    expect(codeOf(() => open(disk))).toBe('DISK_FULL')
    expect(disk.openDescriptors).toBe(0)
    disk.capacitySizeBytes = Number.POSITIVE_INFINITY
    expect(timestamps(open(disk).recovered.commits)).toEqual(between(1, 8))
  })
})

describe('after a failed write or sync', () => {
  type Failing = 'writeSync' | 'fdatasync' | 'fdatasyncSync'
  const failOnce = (disk: SimulatedFiles, name: Failing): void => {
    let failed = false
    disk.onCall = call => {
      if (call.name !== name || failed) return
      failed = true
      throw ioError('EIO')
    }
  }

  test.each<Failing>(['writeSync', 'fdatasync'])('commits behind a failed %s are in doubt, later ones are not committed, nothing is tried again', async name => {
    const disk = new SimulatedFiles()
    const { log, failures, pendingTimers } = open(disk)
    addAll(log, 1, 1)
    log.flushSync()
    disk.holdSyncs = 'then'
    failOnce(disk, name)
    addAll(log, 2, 3)
    const written = [1, 2, 3].map(ts => codeOfPromise(log.whenDurable(asTs(ts))))
    await turns()
    const pending: Promise<string>[] = []
    if (name === 'fdatasync') {
      addAll(log, 4, 5)
      pending.push(...[4, 5].map(ts => codeOfPromise(log.whenDurable(asTs(ts)))))
      disk.releaseSync()
    }
    const calls = disk.calls.length
    expect(await Promise.all(written)).toEqual(['none', 'COMMIT_UNKNOWN', 'COMMIT_UNKNOWN'])
    expect(await Promise.all(pending)).toEqual(pending.map(() => 'POISONED'))
    expect(failures.map(({ error, writtenTs }) => [error.code, (error.cause as { code: string }).code, writtenTs])).toEqual([['POISONED', 'EIO', 3]])

    expect(codeOf(() => log.reserve(10))).toBe('POISONED')
    expect(codeOf(() => log.append(commitAt(6), false))).toBe('POISONED')
    expect(codeOf(() => log.flushSync())).toBe('POISONED')
    expect(codeOf(() => log.trim(asTs(1)))).toBe('POISONED')
    expect(await codeOfPromise(log.whenDurable(asTs(1))), 'what was durable stays so').toBe('none')
    expect(await codeOfPromise(log.whenDurable(asTs(3)))).toBe('COMMIT_UNKNOWN')
    await log.close(true)
    const after = disk.calls.slice(calls).map(call => call.name)
    expect(after.filter(call => call !== 'closeSync'), 'no operation on the files but closing').toEqual([])
    expect([failures.length, disk.openDescriptors, pendingTimers.size]).toEqual([1, 0, 0])
    expect(open(disk).recovered.clean).toBe(false)
  })

  test.each<Failing>(['writeSync', 'fdatasyncSync'])('a blocking flush whose %s fails leaves its commits in doubt', async name => {
    const disk = new SimulatedFiles()
    const { log, failures } = open(disk)
    addAll(log, 1, 2)
    failOnce(disk, name)
    expect(codeOf(() => log.flushSync())).toBe('COMMIT_UNKNOWN')
    expect(codeOf(() => log.flushSync())).toBe('POISONED')
    expect([failures.length, log.durableTs, log.writtenTs]).toEqual([1, 0, 2])
    expect(disk.count('fdatasyncSync'), 'at birth, and the one that failed').toBe(name === 'writeSync' ? 1 : 2)
    await log.close(true)
  })

  test('a commit that was only reserved is not committed, and those before it are in doubt or not committed', async () => {
    const disk = new SimulatedFiles()
    const { log, failures } = open(disk)
    disk.holdSyncs = 'then'
    addAll(log, 1, 2)
    await turns()
    addAll(log, 3, 3)
    const outcomes = [2, 3].map(ts => codeOfPromise(log.whenDurable(asTs(ts))))
    failOnce(disk, 'writeSync')
    expect(codeOf(() => log.reserve(100_000))).toBe('POISONED')
    expect(await Promise.all(outcomes)).toEqual(['COMMIT_UNKNOWN', 'POISONED'])
    disk.releaseSync()
    expect([log.durableTs, failures.length]).toEqual([0, 1])
    await log.close(false)
  })

  test('closing says so when what was pending could not be made durable', async () => {
    const disk = new SimulatedFiles()
    const { log, failures } = open(disk)
    add(log, commitAt(1), true)
    failOnce(disk, 'fdatasyncSync')
    expect(await codeOfPromise(log.close(true))).toBe('COMMIT_UNKNOWN')
    expect(await codeOfPromise(log.close(true)), 'once').toBe('none')
    expect([failures.length, disk.openDescriptors]).toEqual([1, 0])
  })

  test('a rejection that nobody waits for is not an unhandled one', async () => {
    const unhandled: unknown[] = []
    const listen = (reason: unknown): void => void unhandled.push(reason)
    process.on('unhandledRejection', listen)
    const disk = new SimulatedFiles()
    const { log } = open(disk)
    addAll(log, 1, 1)
    void log.whenDurable(asTs(1))
    failOnce(disk, 'fdatasync')
    await turns(5)
    void log.whenDurable(asTs(1))
    await turns(5)
    process.off('unhandledRejection', listen)
    expect(unhandled).toEqual([])
  })
})

describe('closing', () => {
  test('flushes what is pending, marks the end, leaves no timer and no descriptor, and can be repeated', async () => {
    const disk = new SimulatedFiles()
    const { log, pendingTimers } = open(disk)
    add(log, commitAt(1), true)
    addAll(log, 2, 3)
    const waiting = log.whenDurable(asTs(3))
    await Promise.all([log.close(true), log.close(true)])
    await waiting
    await log.close(false)
    expect([pendingTimers.size, disk.openDescriptors]).toEqual([0, 0])
    expect(codeOf(() => log.append(commitAt(4), false))).toBe('CLOSED')
    expect(codeOf(() => log.reserve(4))).toBe('CLOSED')
    expect(codeOf(() => log.flushSync())).toBe('CLOSED')
    expect(open(disk).recovered).toMatchObject({ clean: true, lastTs: 3, nextTs: 4 })
  })

  test('waits for the sync that runs', async () => {
    const disk = new SimulatedFiles()
    const { log } = open(disk)
    disk.holdSyncs = 'then'
    addAll(log, 1, 2)
    await turns()
    let closed = false
    const closing = log.close(true).then(() => (closed = true))
    await turns()
    expect([closed, disk.openDescriptors]).toEqual([false, 2])
    disk.releaseSync()
    await closing
    expect(disk.openDescriptors).toBe(0)
  })

  test('without a mark the next opening leaves room for what it cannot know', async () => {
    const disk = new SimulatedFiles()
    const first = open(disk)
    addAll(first.log, 1, 3)
    await first.log.close(false)
    expect(open(disk).recovered).toMatchObject({ clean: false, lastTs: 3, nextTs: 3 + smallLimits.unsyncedCommits + 1 })
  })
})

describe('trimming', () => {
  test('bounds the files and the size of a store that is checkpointed', async () => {
    const disk = new SimulatedFiles()
    const { log } = open(disk)
    let most = 0
    for (let ts = 1; ts <= 2_000; ts++) {
      add(log, commitAt(ts))
      if (ts % 7 === 0) log.flushSync()
      if (ts % 50 === 0) log.trim(asTs(Math.max(0, log.durableTs - 20)))
      most = Math.max(most, log.sizeBytes)
      expect(segmentPaths(disk).length).toBeLessThanOrEqual(4)
    }
    expect(most).toBeLessThan(4 * smallLimits.segmentSizeBytes)
    log.flushSync()
    log.trim(asTs(2_000))
    expect(segmentPaths(disk), 'nothing is left of what is applied').toHaveLength(1)
    expect(log.sizeBytes).toBeLessThan(100)
    await log.close(true)
    expect(open(disk, 2_000).recovered).toMatchObject({ commits: [], lastTs: 2_000, nextTs: 2_001, clean: true })
  })

  test('keeps every commit that is not applied', async () => {
    const disk = new SimulatedFiles()
    const { log } = open(disk)
    for (let ts = 1; ts <= 300; ts++) {
      add(log, commitAt(ts))
      if (ts % 10 === 0) log.flushSync()
      if (ts === 200) log.trim(asTs(155))
    }
    await log.close(true)
    expect(segmentPaths(disk).length).toBeGreaterThan(2)
    expect(plain(open(disk, 155).recovered.commits)).toEqual(plain(between(156, 300).map(ts => commitAt(ts))))
  })
})

describe('records', () => {
  const encode = (commits: ReturnType<typeof commitAt>[]): Buffer => {
    const bytes = Buffer.alloc(1 << 20)
    let size = 0
    new RecordEncoder().encode({ sequence: 1, incarnation: 2, syncedEnd: 3, previousChecksum: 4 }, commits, noTs, 5, (piece, at) => {
      bytes.set(piece, at)
      size = Math.max(size, at + piece.length)
    })
    return bytes.subarray(0, size)
  }

  test('R-5: a commit never takes more than commitSizeBytes says, alone or with others', () => {
    const random = seededRandom(7)
    for (let i = 0; i < 100; i++) {
      const commits = between(1, 1 + Math.floor(random() * 5)).map(n => ({
        ts: asTs(n * Math.ceil(random() * 2 ** 44)),
        writes: between(1, Math.floor(random() * 90)).map(() => ({
          key: asKey('k'.repeat(random() * 300)),
          value: random() < 0.2 ? undefined : new Uint8Array(random() * 300),
        })),
      }))
      const sorted = commits.toSorted((a, b) => a.ts - b.ts)
      const most = sorted.reduce((sum, commit) => sum + commitSizeBytes(commit.writes), 0)
      const bytes = encode(sorted)
      expect(bytes.length).toBeLessThanOrEqual(most)
      const header = decodeRecordHeader(bytes, 0, 5)!
      expect(plain(decodeCommits(header, bytes.subarray(recordHeaderSizeBytes), noTs)!)).toEqual(plain(sorted))
    }
  })

  test('a body that was not made by the encoder is refused, whatever it says', () => {
    const bytes = encode([commitAt(3), commitAt(5)])
    const header = decodeRecordHeader(bytes, 0, 5)!
    const body = bytes.subarray(recordHeaderSizeBytes)
    for (let at = 0; at < body.length; at++) {
      expect(decodeCommits(header, body.subarray(0, at), noTs)).toBeUndefined()
      const hostile = Buffer.from(body).fill(0xff, at, Math.min(at + 10, body.length))
      expect(() => decodeCommits(header, hostile, noTs)).not.toThrow()
    }
  })

  test('R-1: a value that holds the bytes of a record is not taken for one', () => {
    const disk = new SimulatedFiles()
    const { log } = open(disk)
    while (segmentPaths(disk).length < 2) {
      addAll(log, log.durableTs + 1, log.durableTs + 1)
      log.flushSync()
    }
    const before = disk.read(segmentPaths(disk)[0]!)
    const record = recordsIn(before).at(-1)!
    expect(record.syncedEnd).toBeGreaterThan(3_000)
    // The copy lies in a torn record, where the scan looks for later records, and speaks of a position that is not reached here.
    const value = Buffer.concat(between(0, 7).flatMap(pad => [Buffer.alloc(pad), before.subarray(record.start, record.end)]))
    add(log, { ts: asTs(log.durableTs + 1), writes: [{ key: asKey('copy'), value }] })
    log.flushSync()
    disk.kill()
    const content = disk.read(activePath(disk))
    const torn = recordsIn(content).at(-1)!
    content[torn.start] = 0
    disk.overwrite(activePath(disk), content)
    expect(open(disk).recovered).toMatchObject({ lastTs: torn.firstTs - 1, droppedTail: { offset: torn.start } })
  })
})
