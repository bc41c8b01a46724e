/**
 * The disk fills up while 32 clients write, at varying moments: writing is refused with `DISK_FULL`, reads go on, writing resumes when there is space again, and nothing acknowledged is lost. The disk is
 * a small tmpfs; other files on it take the space and give it back. Or no file may grow beyond a size, which nobody can see coming: then the row file may be the first that cannot be written, and the store stops.
 */
import { spawnSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { DriverProcess } from '../driver-process.js'
import { patienceMs, type Family, type Round } from '../family.js'
import { Oracle } from '../oracle.js'
import { hasNamespace } from '../scratch.js'

const MB = 1_024 * 1_024
const refillMs = 10

export const diskFull: Family = {
  name: 'disk-full',
  about: 'a small file system fills up under a writer, and is freed, or files may not grow; counts writers; needs the right to mount',
  perRound: 1,
  mounts: true,
  control: { broken: 'acknowledgements said before the write', noticedAs: ['lost'] },
  async play(round) {
    if (!hasNamespace()) throw new Error('disk-full mounts a file system of its own, which this user may not: it takes root, or a user namespace (unshare -rm).')
    if (!round.isControl && round.chance.is(0.25)) return underSizeLimit(round)
    const disk = new Disk(round.path('disk'), round.chance.between(96, 192))
    try {
      await onDisk(round, disk)
    } finally {
      disk.unmount()
    }
  },
}

/** What a writer says where somebody took the space after it had looked and before the row file was written (LMDB calls that an I/O error): the store stops, as after every failed write of that file. */
const couldNotForesee = /^X \{"code":"POISONED","cause":"[^"]*(No space left on device|Input\/output error)/

async function onDisk(round: Round, disk: Disk): Promise<void> {
  const { chance, isControl } = round
  const directory = `${disk.path}/data`
  const oracle = new Oracle()
  disk.leave(chance.between(24, 64) * MB)
  const bulk = chance.is(0.7)
  const writer = round.start({ command: 'write', directory, report: round.newReport(), seed: chance.below(2 ** 32), mode: isControl ? 'early' : 'honest', bulk })
  if ((await writer.says('A ', patienceMs)) === undefined) round.found('hangs', 'a writer came to no commit')
  await sleep(chance.next() * 1_500)
  await fillUp(round, disk, writer)
  if (writer.lines.some(line => couldNotForesee.test(line))) {
    round.count('writers stopped, the space having gone while the row file was written')
    await writer.kill()
    disk.empty()
  } else if (chance.is(0.7)) {
    disk.empty()
    await resumes(round, writer)
    if (chance.is(0.5)) {
      writer.send('close')
      round.endedWell(await writer.endsWithin(patienceMs), 'a writer, closing,')
    }
    await writer.kill()
  } else {
    await writer.kill()
    const outcome = await round.look(directory, 'an opening on a full disk')
    round.count(`openings on a full disk: ${outcome?.code ?? 'open'}`)
    if (outcome?.untyped !== undefined || (outcome && outcome.code !== null && outcome.code !== 'DISK_FULL')) round.found('wrong', `an opening on a full disk came to ${JSON.stringify(outcome)}`)
    disk.empty()
  }
  oracle.take(writer.task.report)
  // What the writer left may need more space to be opened than there is beside it.
  disk.enlarge()
  await round.judge(directory, oracle, 'the full disk')
  judgeRefusals(round, writer)
  round.close(oracle)
}

async function underSizeLimit(round: Round): Promise<void> {
  const { chance } = round
  const directory = round.path('data')
  const limitMB = chance.between(4, 90)
  const writer = round.start({ command: 'write', directory, report: round.newReport(), seed: chance.below(2 ** 32), mode: 'honest', bulk: true }, ['prlimit', `--fsize=${limitMB * MB}`])
  const refusal = await writer.says('X ', patienceMs)
  if (refusal === undefined) unanswered(round, writer, `no transaction was refused where files end at ${limitMB} MB`)
  else if (refusal === 'X {"code":"DISK_FULL"}') await reads(round, writer)
  if (chance.is(0.5) && !writer.hasEnded) {
    writer.send('close')
    const ending = await writer.endsWithin(patienceMs)
    // What is in the log could not be brought into the row file, and whoever closes is told.
    if (ending?.code === 1 && ending.complaint.includes("code: 'POISONED'")) round.count('closed with POISONED')
    else round.endedWell(ending, 'a writer, closing where files may not grow,')
  } else await writer.kill()
  round.count('writers whose files could not grow')
  const others = writer.lines.filter(line => line.startsWith('X ') && !/"code":"(DISK_FULL|POISONED)"/.test(line))
  if (others.length > 0) round.found('wrong', `transactions where files end at ${limitMB} MB were refused with ${others[0]!.slice(2)}`)
  const oracle = new Oracle()
  oracle.take(writer.task.report)
  await round.judge(directory, oracle, 'a limit on the size of files')
  round.close(oracle)
}

/** Takes all space, also what the database gives back, until a transaction is refused; then everything is read. */
async function fillUp(round: Round, disk: Disk, writer: DriverProcess): Promise<void> {
  const until = performance.now() + patienceMs
  while (!writer.hasEnded && performance.now() < until && !writer.lines.some(line => line.startsWith('X '))) {
    disk.leave(0)
    await sleep(refillMs)
  }
  const refusal = writer.lines.find(line => line.startsWith('X '))
  if (refusal === undefined) unanswered(round, writer, 'no transaction was refused on a full disk')
  else if (!couldNotForesee.test(refusal)) await reads(round, writer)
}

async function reads(round: Round, writer: DriverProcess): Promise<void> {
  const before = writer.lines.length
  writer.send('read')
  if ((await writer.says('F ', patienceMs, before)) === undefined) unanswered(round, writer, 'nothing could be read on a full disk')
}

async function resumes(round: Round, writer: DriverProcess): Promise<void> {
  const before = writer.lines.length
  if ((await writer.says('A ', patienceMs, before)) === undefined) unanswered(round, writer, 'writing did not resume when there was space again')
  else round.count('resumed')
}

function unanswered(round: Round, writer: DriverProcess, what: string): void {
  round.found(writer.hasEnded ? 'crashes' : 'hangs', writer.hasEnded ? `${what}: the writer had ended` : what)
}

function judgeRefusals(round: Round, writer: DriverProcess): void {
  const refusals = writer.lines.filter(line => line.startsWith('X '))
  round.count('refused transactions', refusals.length)
  const others = refusals.filter(line => line !== 'X {"code":"DISK_FULL"}' && !couldNotForesee.test(line))
  if (others.length > 0) round.found('wrong', `transactions on a full disk were refused with ${others[0]!.slice(2)}`)
}

class Disk {
  readonly path: string
  readonly #unmount = (): void => mounted('umount', '--lazy', this.path)
  readonly #sizeMB: number
  #ballasts = 0

  constructor(path: string, sizeMB: number) {
    this.path = path
    this.#sizeMB = sizeMB
    mkdirSync(path)
    mounted('mount', '-t', 'tmpfs', '-o', `size=${sizeMB}m`, 'tmpfs', path)
    // Before the folder that it is in is removed.
    process.prependOnceListener('exit', this.#unmount)
    mkdirSync(`${path}/other`)
  }

  /** Takes space until so much is free. */
  leave(freeSizeBytes: number): void {
    const zeros = Buffer.alloc(MB)
    const fd = openSync(`${this.path}/other/${this.#ballasts++}`, 'w')
    try {
      for (;;) {
        const { bavail, bsize } = statfsSync(this.path)
        const excess = Math.min(zeros.length, bavail * bsize - freeSizeBytes)
        if (excess <= 0) return
        writeSync(fd, zeros, 0, excess)
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    } finally {
      closeSync(fd)
    }
  }

  enlarge(): void {
    mounted('mount', '-o', `remount,size=${3 * this.#sizeMB}m`, this.path)
  }

  empty(): void {
    rmSync(`${this.path}/other`, { recursive: true })
  }

  unmount(): void {
    process.removeListener('exit', this.#unmount)
    this.#unmount()
  }
}

function mounted(command: string, ...args: readonly string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} failed: ${stderr}`)
}
