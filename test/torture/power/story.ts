/** What writers said, one after the other, and whether a state that an opening found is one that may follow. */
import type { Kind } from '../family.js'
import { Oracle } from '../oracle.js'
import type { State } from '../workload.js'

interface Commit {
  readonly token: string
  readonly deletes: string
  readonly number: number
  readonly client: number
  readonly isRelaxed: boolean
}

type Said = { readonly state: State } | { readonly commit: Commit } | { readonly line: string }

export interface Finding {
  readonly kind: Kind
  readonly sentence: string
}

export class Story {
  #said: Said[] = []
  #rest = ''

  /** How much was said until now. */
  get length(): number {
    return this.#said.length
  }

  get acknowledged(): number {
    return this.#said.filter(said => 'commit' in said && !said.commit.isRelaxed).length
  }

  /** Lines that are neither states nor commits. */
  othersFrom(from: number): string[] {
    return this.#said.slice(from).flatMap(said => ('line' in said ? [said.line] : []))
  }

  take(text: string): void {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop()!
    for (const line of lines) this.#said.push(parsed(line))
  }

  /** Nothing of what came later was ever said. */
  cut(length: number): void {
    this.#said = this.#said.slice(0, length)
    this.#rest = ''
  }

  /** What is wrong with a state that is found when so much had been said. */
  judge(found: State, length: number): Finding[] {
    const oracle = new Oracle()
    const relaxed = new Map<number, Commit[]>()
    for (const said of this.#said.slice(0, length)) {
      if ('state' in said) judgeWith(oracle, relaxed, said.state)
      else if ('commit' in said) acknowledge(oracle, relaxed, said.commit)
    }
    // What the states between were is not this one's fault.
    oracle.lost = []
    oracle.partial = []
    oracle.wrong = []
    judgeWith(oracle, relaxed, found)
    const findings = (['lost', 'partial', 'wrong'] as const).flatMap(kind => {
      const sentences = oracle[kind]
      return sentences.length === 0 ? [] : [{ kind, sentence: sentences.length === 1 ? sentences[0]! : `${sentences[0]}, and ${sentences.length - 1} more` }]
    })
    const part = this.#partIn(found, length)
    return part === undefined ? findings : [...findings, { kind: 'partial', sentence: part }]
  }

  /** The states that writers found at their openings, each held against what was said before. */
  judgeOpenings(from: number): Finding[] {
    return this.#said.flatMap((said, i) => (i >= from && 'state' in said ? this.judge(said.state, i) : []))
  }

  /** Each client's rows are those of its first transactions, up to the one that its progress says. Undefined also where transactions count that nobody could speak of any more. */
  #partIn(found: State, length: number): string | undefined {
    const from = this.#said.findLastIndex((said, i) => i < length && 'state' in said)
    const until = this.#said.findIndex((said, i) => i > Math.max(from, length - 1) && 'state' in said)
    const base = this.#said[from]
    const known = new Map<string, Commit>()
    for (const said of this.#said.slice(from + 1, until < 0 ? undefined : until)) if ('commit' in said) known.set(`${said.commit.client} ${said.commit.number}`, said.commit)
    const before = base !== undefined && 'state' in base ? base.state : undefined
    const expected = new Set(before?.left.map(([token]) => token))
    for (const [client, number] of found.progress) {
      const since = before?.progress.find(([of]) => of === client)?.[1] ?? 0
      for (let i = since + 1; i <= number; i++) {
        const commit = known.get(`${client} ${i}`)
        if (commit === undefined) return undefined
        expected.add(commit.token)
        expected.delete(commit.deletes)
      }
    }
    const there = new Set(found.left.map(([token]) => token))
    const odd = [...expected].find(token => !there.has(token)) ?? [...there].find(token => !expected.has(token))
    return odd && `${odd} is ${there.has(odd) ? '' : 'not '}there, though its client's progress says otherwise`
  }
}

/** A durable commit makes the relaxed ones durable that came before it. */
function acknowledge(oracle: Oracle, relaxed: Map<number, Commit[]>, commit: Commit): void {
  const waiting = relaxed.get(commit.client) ?? []
  if (commit.isRelaxed) {
    relaxed.set(commit.client, [...waiting, commit])
    return
  }
  relaxed.delete(commit.client)
  for (const { token, deletes, number, client } of [...waiting, commit]) oracle.acknowledge(token, deletes, number, client)
}

/** Relaxed commits count where the state has them: what they have deleted is not lost. */
function judgeWith(oracle: Oracle, relaxed: Map<number, Commit[]>, state: State): void {
  for (const [client, reached] of state.progress) {
    for (const { token, deletes, number } of relaxed.get(client) ?? []) if (number <= reached) oracle.acknowledge(token, deletes, number, client)
  }
  relaxed.clear()
  oracle.judge(state)
}

function parsed(line: string): Said {
  if (line.startsWith('F ')) return { state: JSON.parse(line.slice(2)) as State }
  if (!line.startsWith('A ') && !line.startsWith('R ')) return { line }
  const [how, token, deletes, number, client] = line.split(' ')
  return { commit: { token: token!, deletes: deletes!, number: Number(number), client: Number(client), isRelaxed: how === 'R' } }
}
