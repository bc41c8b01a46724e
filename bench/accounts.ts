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

export function* newAccounts(): Generator<[id: number, Account]> {
  for (let id = 0; id < accountCount; id++) yield [id, newAccount(id)]
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
  const integer = integersFrom(...seeds)
  const accounts = new Int32Array(count * reads)
  const amounts = new Int32Array(count)
  for (let i = 0; i < count; i++) {
    const chosen = new Set<number>()
    while (chosen.size < reads) chosen.add(integer(accountCount))
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

/** What a store holds, in short: equal texts, equal accounts. Throws where money was made or lost, or a transfer is missing. */
export function fingerprint(tx: Reader, transfers: number): string {
  let balance = 0
  let changes = 0
  let hash = 0x811c_9dc5
  for (let id = 0; id < accountCount; id++) {
    const account = tx.get(id)
    if (account === undefined) throw new Error(`Account ${id} is missing.`)
    balance += account.balance
    changes += account.changes
    for (const part of [id, account.balance, account.changes]) hash = Math.imul(hash ^ part, 0x0100_0193)
    for (const text of [account.owner, account.note]) for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x0100_0193)
  }
  if (balance !== accountCount * initialBalance) throw new Error(`The bank holds ${balance} after the transfers, not ${accountCount * initialBalance}.`)
  if (changes !== 2 * transfers) throw new Error(`${changes} changes were made, not ${2 * transfers}.`)
  return `${accountCount} accounts, ${transfers} transfers, checksum ${(hash >>> 0).toString(16).padStart(8, '0')}`
}
