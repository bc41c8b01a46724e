/** What is known to be committed, kept outside the store; holds what an opening finds against it. */
import { existsSync, readFileSync } from 'node:fs'
import { accounts, startBalance, type State } from './workload.js'

/** What an opening has shown is as good as acknowledged: from then on it must stay. */
export class Oracle {
  /** Token to the token whose rows it deleted. */
  readonly #committed = new Map<string, string>()
  readonly #progress = new Map<number, number>()
  acknowledged = 0
  lost: string[] = []
  partial: string[] = []
  wrong: string[] = []

  acknowledge(token: string, deleted: string, number: number, client: number): void {
    this.acknowledged++
    this.#committed.set(token, deleted)
    this.#progress.set(client, number)
  }

  /** Judges the state that an opening found, and takes it as the new base. */
  judge(state: State): void {
    const present = new Map(state.left.map(([token, , deleted]) => [token, deleted]))
    for (const [token, deleted] of present) this.#committed.set(token, deleted)
    const deleted = new Set(this.#committed.values())
    for (const token of this.#committed.keys()) {
      if (present.has(token) === deleted.has(token)) this.lost.push(`${token} is ${present.has(token) ? 'there though its deletion was acknowledged' : 'gone'}`)
    }
    // What is lost is counted once.
    for (const token of this.#committed.keys()) if (!present.has(token)) this.#committed.delete(token)
    this.#judgeParts(state)
    for (const [client, number] of this.#progress) {
      const found = state.progress.find(([of]) => of === client)?.[1] ?? 0
      if (found < number) this.lost.push(`client ${client} is at ${found} and had reached ${number}`)
    }
    for (const [client, number] of state.progress) this.#progress.set(client, number)
    const sum = state.balances.reduce((total, balance) => total + balance, 0)
    if (state.balances.length > 0 && sum !== accounts * startBalance) this.wrong.push(`the accounts hold ${sum} instead of ${accounts * startBalance}`)
    for (const token of state.garbled) this.wrong.push(`the padding of ${token} is not what was written`)
  }

  /** All rows of a transaction or none. */
  #judgeParts({ left, right }: State): void {
    const parts = new Map<string, number[]>()
    for (const [token, i, value] of right) {
      if (value !== token) this.wrong.push(`a row of ${token} says ${value}`)
      const list = parts.get(token)
      if (list) list.push(i)
      else parts.set(token, [i])
    }
    for (const [token, rights] of left) {
      const found = parts.get(token) ?? []
      parts.delete(token)
      if (found.length !== rights || found.some((part, i) => part !== i)) this.partial.push(`${token} has ${found.length} of its ${rights} rows`)
    }
    for (const token of parts.keys()) this.partial.push(`${token} has rows but no head`)
  }

  /** Takes a report. Returns whether its writer came so far as to say what it found. */
  take(report: string): boolean {
    const lines = linesOf(report)
    for (const line of lines) {
      if (line.startsWith('F ')) this.judge(JSON.parse(line.slice(2)) as State)
      if (!line.startsWith('A ')) continue
      const [, token, deleted, number, client] = line.split(' ')
      this.acknowledge(token!, deleted!, Number(number), Number(client))
    }
    return lines.length > 0
  }
}

/** The complete lines of a report; none where there is no report yet. A process that was killed may leave part of one. */
export const linesOf = (report: string): string[] => (existsSync(report) ? readFileSync(report, 'utf8').split('\n').slice(0, -1) : [])
