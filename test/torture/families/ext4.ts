/**
 * The power goes: an ext4 file system under a writer with 32 clients is cut off from its disk at a random moment, and mounted again. Cut after cut over one directory, which is never repaired or closed
 * between; some of them while it is being opened. Unlike a killed process this takes along what was written and not synced.
 *
 * Of what is acknowledged while the call that cuts the power goes on, nothing is asked: the system reports success to syncs that were under way when it began, and drops what they were to write. Where
 * the power really goes, nobody would be there to be told. A moment later acknowledgements count again.
 */
import { writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { checked } from '../checked.js'
import type { Outcome } from '../driver.js'
import type { DriverProcess, Ending } from '../driver-process.js'
import { canCutPower, Ext4Disk } from '../ext4-disk.js'
import { firstLine, patienceMs, type Family, type Round } from '../family.js'
import { Oracle } from '../oracle.js'
import { hasNamespace } from '../scratch.js'
import { clients, type State } from '../workload.js'

const lookMs = 10
/** How long an opening takes, until it has been seen. */
const openingMsAtFirst = 250
/** How long after the cut a sync that was under way may still be told that it succeeded. */
const graceMs = 500
/** What a transaction may be told when the disk is gone. */
const codesWithoutDisk: readonly string[] = ['POISONED', 'COMMIT_UNKNOWN']
/** And an opening. */
const codesOfOpening: readonly string[] = ['POISONED', 'CORRUPT']

export const ext4: Family = {
  name: 'ext4',
  about: 'the power of an ext4 file system is cut under a writer with 32 clients; counts cuts; needs root and loop devices',
  perRound: 5,
  mounts: true,
  control: {
    broken: 'the log is written and never synced',
    noticedAs: ['lost'],
    patch: { file: 'engine/environment', patch: ['files: fs,', 'files: { ...fs, fdatasync: (_, done) => setImmediate(done, null), fdatasyncSync() {} },'] },
  },
  async play(round) {
    if (!hasNamespace() || !canCutPower()) throw new Error('ext4 mounts file systems from files of its own and cuts their power: it takes root, loop devices, mkfs.ext4 and perl.')
    const { chance } = round
    const disk = new Ext4Disk(round.path('disk'), { sizeMB: chance.between(512, 768), data: chance.of(['ordered', 'writeback']) })
    try {
      await new Cuts(round, disk).play()
    } finally {
      disk.unmount()
    }
  },
}

class Cuts {
  readonly #round: Round
  readonly #disk: Ext4Disk
  readonly #directory: string
  readonly #oracle = new Oracle()
  /** Acknowledged while the power went. */
  #unasked: string[] = []
  #openingMs = openingMsAtFirst

  constructor(round: Round, disk: Ext4Disk) {
    this.#round = round
    this.#disk = disk
    this.#directory = `${disk.path}/data`
  }

  async play(): Promise<void> {
    const round = this.#round
    for (let i = 0; i < round.events; i++) await this.#cut()
    await this.#goesOn()
    await this.#check('after everything')
    round.close(this.#oracle)
  }

  async #cut(): Promise<void> {
    const round = this.#round
    const { chance } = round
    const bulk = chance.is(0.4)
    const startedMs = performance.now()
    const writer = this.#write(bulk)
    if (chance.is(0.25)) await sleep(this.#openingMs * (0.6 + 0.5 * chance.next()))
    else {
      if ((await writer.says('F ', patienceMs)) !== undefined) this.#openingMs = performance.now() - startedMs
      if ((await writer.says('A ', patienceMs)) === undefined && !writer.hasEnded) round.found('hangs', 'a writer came to no commit')
      await sleep(chance.next() * (bulk ? 2_500 : 1_000))
    }
    const endedBefore = writer.hasEnded
    const saidBefore = writer.lines.length
    this.#disk.cutPower(chance.is(0.3) ? 'journal written' : 'journal as it is')
    const saidMeanwhile = sleep(graceMs).then(() => writer.lines.length)
    if (endedBefore) round.found('crashes', `a writer ended before the power was cut: ${firstLine((await writer.kill()).complaint)}`)
    else await this.#withoutDisk(writer)
    this.#disk.unmount()
    this.#disk.mount()
    round.count(this.#take(writer, saidBefore, await saidMeanwhile) ? 'cuts while writing' : 'cuts while opening')
    await this.#check('after a cut')
  }

  /**
   * Takes what a writer said, but for the acknowledgements between two of its lines: those are taken when an opening has shown that they are there, for they may have deleted what was acknowledged before.
   * Returns whether it came so far as to say what it found.
   */
  #take({ lines }: DriverProcess, from: number, to: number): boolean {
    const isAsked = (line: string, i: number): boolean => i < from || i >= to || !line.startsWith('A ')
    const [first] = lines
    const shown: string[] = []
    if (first?.startsWith('F ')) {
      const { progress } = JSON.parse(first.slice(2)) as State
      const numbers = new Map(progress)
      shown.push(...this.#unasked.filter(line => hasCome(line, numbers)))
      this.#unasked = []
    }
    const unasked = lines.filter((line, i) => !isAsked(line, i))
    this.#unasked.push(...unasked)
    this.#round.count('acknowledged while the power went', unasked.length)
    const path = this.#round.newReport()
    writeFileSync(path, [...shown, ...lines.filter(isAsked)].map(line => `${line}\n`).join(''))
    this.#oracle.take(path)
    return first !== undefined
  }

  #write(bulk: boolean): DriverProcess {
    const round = this.#round
    return round.start({ command: 'write', directory: this.#directory, report: round.newReport(), seed: round.chance.below(2 ** 32), mode: 'honest', bulk })
  }

  /** The machine is still there: everybody must be told that it is over. Or it goes as well, after a moment. */
  async #withoutDisk(writer: DriverProcess): Promise<void> {
    const round = this.#round
    const { chance } = round
    const goes = chance.is(0.4)
    if (goes) await sleep(chance.next() * 100)
    else if (!(await everyoneIsTold(writer))) round.found('hangs', 'a writer without a disk neither ended nor told all clients')
    else if (chance.is(0.5)) {
      writer.send('close')
      if ((await writer.endsWithin(patienceMs)) === undefined) round.found('hangs', 'a database without a disk did not close')
    }
    judgeEnd(round, await writer.kill())
    const codes = writer.lines.filter(line => line.startsWith('X ')).map(line => JSON.parse(line.slice(2)) as Outcome)
    for (const { code, untyped } of codes) {
      if (code !== null && codesWithoutDisk.includes(code)) round.count(`transactions told ${code}`)
      else round.found('wrong', `without a disk a transaction was told ${untyped ?? code}`)
    }
  }

  /** A database that is not there may not have been acknowledged either. */
  async #check(when: string): Promise<void> {
    const round = this.#round
    const outcome = await checked(round, this.#directory, `a database ${when}`)
    if (outcome === undefined || !('code' in outcome)) return
    if (outcome.code === 'NOT_A_DATABASE' && this.#oracle.acknowledged === 0) round.count('no database yet')
    else round.found('lost', `a check of a database ${when} was told ${outcome.untyped ?? outcome.code}`)
  }

  /** It opens, holds everything, takes commits and closes. */
  async #goesOn(): Promise<void> {
    const round = this.#round
    const writer = this.#write(false)
    if ((await writer.says('A ', patienceMs)) === undefined) {
      return round.found(writer.hasEnded ? 'crashes' : 'hangs', `after the cuts nothing could be written: ${firstLine((await writer.kill()).complaint)}`)
    }
    writer.send('close')
    round.endedWell(await writer.endsWithin(patienceMs), 'the writer after the cuts, closing,')
    this.#take(writer, 0, 0)
    await round.judge(this.#directory, this.#oracle, 'the cuts')
  }
}

/** Whether the transaction of an acknowledgement is there, by how far its client has come. */
function hasCome(line: string, numbers: ReadonlyMap<number, number>): boolean {
  const [, , , number, client] = line.split(' ')
  return (numbers.get(Number(client)) ?? 0) >= Number(number)
}

async function everyoneIsTold(writer: DriverProcess): Promise<boolean> {
  const until = performance.now() + patienceMs
  for (;;) {
    if (writer.hasEnded || writer.lines.filter(line => line.startsWith('X ')).length >= clients) return true
    if (performance.now() > until) return false
    await sleep(lookMs)
  }
}

/**
 * By itself it may end where opening fails, with an error of the library; and where the native library could not write a page, which it reports over the end of a buffer, or read one that is mapped.
 */
function judgeEnd(round: Round, { code, signal, complaint }: Ending): void {
  if (signal === 'SIGKILL' || code === 0) return
  const told = /^ {2}code: '(\w+)'/m.exec(complaint)?.[1]
  if (signal === 'SIGBUS' || (signal !== null && complaint.includes('Write error: '))) round.count('writers ended by the native library without a disk')
  else if (signal === null && told !== undefined && codesOfOpening.includes(told)) round.count(`openings told ${told}`)
  else round.found('crashes', `without a disk a writer ended with ${signal ?? `exit code ${code}`}: ${told ?? firstLine(complaint)}`)
}
