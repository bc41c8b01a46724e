/** Has images judged, several at a time, and tells the round what was found. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Round } from '../family.js'
import { memoryFolder, newScratch } from '../scratch.js'
import { materialise, type Image } from './images.js'
import { Judge, type Answer } from './judges.js'
import type { Finding, Story } from './story.js'

const judgesMost = 2
const imagesPerJudge = 50
/** Images in which something was found that are kept; the others can be drawn again. */
const keptMost = 10

/** Where images lie while they are judged: in memory, where syncs cost nothing. Gone at the end of the process. */
let scratch: { readonly folder: string } | undefined

export interface Cut {
  readonly image: Image
  /** The moment, for people. */
  readonly moment: string
  readonly story: Story
  /** How much had been said. */
  readonly said: number
}

export class Judging {
  readonly #round: Round
  readonly #idle: Judge[]
  readonly #busy = new Map<Judge, Promise<void>>()
  #images = 0
  #kept = 0

  constructor(round: Round) {
    this.#round = round
    this.#idle = Array.from({ length: Math.min(judgesMost, Math.ceil(round.events / imagesPerJudge)) }, () => new Judge(round.built))
  }

  /** Resolves when the next one may be given. */
  async take(cut: Cut): Promise<void> {
    if (this.#idle.length === 0) await Promise.race(this.#busy.values())
    const judge = this.#idle.pop()!
    const name = `image-${++this.#images}`
    this.#busy.set(
      judge,
      this.#judge(judge, cut, name).finally(() => {
        this.#busy.delete(judge)
        this.#idle.push(judge)
      }),
    )
  }

  async idle(): Promise<void> {
    await Promise.all(this.#busy.values())
  }

  async end(): Promise<void> {
    await this.idle()
    for (const judge of this.#idle) judge.end()
  }

  async #judge(judge: Judge, cut: Cut, name: string): Promise<void> {
    scratch ??= newScratch(memoryFolder())
    const directory = join(scratch.folder, name)
    materialise(cut.image, directory)
    const answer = await judge.ask({ directory, checksFirst: this.#images % 8 === 0 })
    rmSync(directory, { recursive: true, force: true })
    this.#round.count('images judged')
    if (cut.image.isUncertain) this.#round.count('of them with something to lose')
    const findings = findingsOf(answer, cut)
    for (const { kind, sentence } of findings) this.#round.found(kind, `${name}, ${cut.moment}; kept ${cut.image.choice || 'what was synced, nothing else being there'}: ${sentence}`)
    if (findings.length > 0) this.#keep(cut, name, findings)
  }

  #keep({ image, moment, said }: Cut, name: string, findings: readonly Finding[]): void {
    if (++this.#kept > keptMost) return
    mkdirSync(this.#round.path(name))
    materialise(image, this.#round.path(name))
    writeFileSync(this.#round.path(`${name}.json`), JSON.stringify({ moment, choice: image.choice, linesSaid: said, findings }, null, 2))
  }
}

function findingsOf(answer: Answer, { story, said }: Cut): Finding[] {
  if (answer === 'silent') return [{ kind: 'hangs', sentence: 'it could not be judged in time' }]
  if ('died' in answer) return [{ kind: 'crashes', sentence: `the process that opened it died: ${answer.died}` }]
  const { state, trouble } = answer
  const findings: Finding[] = state === undefined ? [] : story.judge(state, said)
  if (trouble === undefined) return findings
  const kind = !trouble.isTyped ? 'crashes' : trouble.step === 'open it' ? 'lost' : 'wrong'
  return [...findings, { kind, sentence: `cannot ${trouble.step}: ${trouble.what}` }]
}
