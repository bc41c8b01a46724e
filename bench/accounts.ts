/**
 * The data and the work that all subjects share: a bank of accounts of about 100 bytes, transfers between them, and the fingerprint that shows whether two stores hold the same.
 * Transfers add up, so the final state does not depend on the order in which concurrent ones commit.
 */
import { integersFrom } from './random.js'
import type { Reader, Tx } from './store.js'

export interface Account {
  readonly owner: string
  readonly balance: number
  /** How many transfers changed it. */
  readonly changes: number
  readonly note: string
}

/** How many there are where a workload does not say. */
export const accountCount = 100_000
export const initialBalance = 1_000

const noteLength = 48

/** The account `id` before the first transfer. Its text is as long for every account, and differs. */
export function newAccount(id: number): Account {
  const integer = integersFrom(id)
  let note = ''
  while (note.length < noteLength) note += integer(2 ** 30).toString(36)
  return { owner: `owner ${String(id).padStart(9, '0')}`, balance: initialBalance, changes: 0, note: note.slice(0, noteLength) }
}

export function* newAccounts(count: number = accountCount): Generator<[id: number, Account]> {
  for (let id = 0; id < count; id++) yield [id, newAccount(id)]
}

/** Transfers as columns, made before the clock starts. Accounts `[i * reads]` and the one after it are the two that transfer `i` writes. */
export interface Transfers {
  readonly count: number
  /** Accounts that each transfer reads; at least 2. */
  readonly reads: number
  readonly accounts: Int32Array
  readonly amounts: Int32Array
}

export function randomTransfers(count: number, reads: number, ...seeds: readonly number[]): Transfers {
  return transfersAmong(accountCount, count, reads, ...seeds)
}

/** Among the accounts 0 to `among - 1`. */
export function transfersAmong(among: number, count: number, reads: number, ...seeds: readonly number[]): Transfers {
  const integer = integersFrom(...seeds)
  const accounts = new Int32Array(count * reads)
  const amounts = new Int32Array(count)
  for (let i = 0; i < count; i++) {
    const chosen = new Set<number>()
    while (chosen.size < reads) chosen.add(integer(among))
    accounts.set([...chosen], i * reads)
    amounts[i] = 1 + integer(100)
  }
  return { count, reads, accounts, amounts }
}

/** The two accounts that a transfer changes, after all that it looks at has been read. */
export interface Found {
  readonly from: Account
  readonly to: Account
}

export function readTransfer(tx: Reader, { reads, accounts }: Transfers, index: number): Found {
  const first = index * reads
  const from = tx.get(accounts[first]!)
  const to = tx.get(accounts[first + 1]!)
  for (let i = first + 2; i < first + reads; i++) {
    if (tx.get(accounts[i]!) === undefined) throw new Error(`Account ${accounts[i]!} is missing.`)
  }
  if (from === undefined || to === undefined) throw new Error(`Account ${accounts[first]!} or ${accounts[first + 1]!} is missing.`)
  return { from, to }
}

export function writeTransfer(tx: Tx, { reads, accounts, amounts }: Transfers, index: number, { from, to }: Found): void {
  const amount = amounts[index]!
  tx.put(accounts[index * reads]!, { ...from, balance: from.balance - amount, changes: from.changes + 1 })
  tx.put(accounts[index * reads + 1]!, { ...to, balance: to.balance + amount, changes: to.changes + 1 })
}

/** The same transfer for a store that reads and writes by itself: what it puts, given what it has read. */
export function changesOf(transfers: Transfers, index: number, read: ReadonlyMap<number, Account>): [id: number, account: Account][] {
  const changes: [number, Account][] = []
  const tx: Tx = { get: id => read.get(id), put: (id, account) => void changes.push([id, account]) }
  writeTransfer(tx, transfers, index, readTransfer(tx, transfers, index))
  return changes
}

/** What a store holds, in short: equal texts, equal accounts. Accounts are added in the order of their ids, from 0 on. */
export class Fingerprint {
  #count = 0
  #balance = 0
  #changes = 0
  #hash = 0x811c_9dc5

  add(account: Account | undefined): void {
    const id = this.#count++
    if (account === undefined) throw new Error(`Account ${id} is missing.`)
    const { balance, changes, owner, note } = account
    this.#balance += balance
    this.#changes += changes
    for (const part of [id, balance, changes]) this.#hash = Math.imul(this.#hash ^ part, 0x0100_0193)
    for (const text of [owner, note]) for (let i = 0; i < text.length; i++) this.#hash = Math.imul(this.#hash ^ text.charCodeAt(i), 0x0100_0193)
  }

  /** Throws where money was made or lost, or a transfer is missing. */
  after(transfers: number): string {
    const expected = this.#count * initialBalance
    if (this.#balance !== expected) throw new Error(`The bank holds ${this.#balance} after the transfers, not ${expected}.`)
    if (this.#changes !== 2 * transfers) throw new Error(`${this.#changes} changes were made, not ${2 * transfers}.`)
    return `${this.#count} accounts, ${transfers} transfers, checksum ${(this.#hash >>> 0).toString(16).padStart(8, '0')}`
  }
}
