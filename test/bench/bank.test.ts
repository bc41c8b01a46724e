import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { changesOf, Fingerprint, initialBalance, newAccount, newAccounts, readTransfer, transfersAmong, writeTransfer, type Account, type Transfers } from '../../bench/accounts.js'
import { startBank, type Bank } from '../../bench/bank.js'
import { batches } from '../../bench/batches.js'
import { peerVersions } from '../../bench/peers.js'
import type { Store, Subject, TransferStore } from '../../bench/store.js'
import { betterSqlite3 } from '../../bench/subjects/better-sqlite3.js'
import { classicLevel } from '../../bench/subjects/classic-level.js'
import { fdatasync, recordSizeBytes } from '../../bench/subjects/fdatasync.js'
import { premisedb, premisedbSync } from '../../bench/subjects/premisedb.js'

const accounts = 1_000
let directory: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'premise-bench-bank-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

/** A store of whole transfers, kept in memory, that leaves out those that `skips` names. */
function inMemory(skips: (index: number) => boolean): Subject<TransferStore> {
  const rows = new Map<number, Account>()
  return {
    name: 'memory',
    settings: '',
    open: async () => ({
      async load(loaded) {
        for (const [id, account] of loaded) rows.set(id, account)
      },
      async transfer(transfers, index) {
        if (!skips(index)) for (const [id, account] of changesOf(transfers, index, rows)) rows.set(id, account)
      },
      accounts: async () => [...rows.values()],
      close: async () => {},
    }),
  }
}

async function proofOf<S extends Store | TransferStore>(subject: Subject<S>, run: Bank<S>['run']): Promise<string> {
  const own = mkdtempSync(join(directory, 'store-'))
  const transfersOf = ({ number }: { readonly number: number }): Transfers => transfersAmong(accounts, 100, 2, 1, number)
  const contestant = await startBank({ subject, directory: own, accounts, transfersOf, run, timing: 'without close' })
  try {
    for (const number of [0, 1, 2]) await contestant.round({ number, isWarmUp: number === 0 })
    return await contestant.finish()
  } finally {
    await contestant.dispose()
  }
}

async function writeAll(store: Store, plan: Transfers): Promise<void> {
  for (let index = 0; index < plan.count; index++) await store.write(tx => writeTransfer(tx, plan, index, readTransfer(tx, plan, index)))
}

async function transferAll(store: TransferStore, plan: Transfers): Promise<void> {
  for (let index = 0; index < plan.count; index++) await store.transfer(plan, index)
}

test('stores that did the same transfers, each in its way, show the same fingerprint after they were opened anew', async () => {
  const proofs = [
    await proofOf(premisedb('serializable', 'durable'), writeAll),
    await proofOf(premisedbSync('serializable', 'relaxed'), writeAll),
    await proofOf(fdatasync, writeAll),
    await proofOf(inMemory(() => false), transferAll),
  ]
  expect(proofs[0]).toMatch(/^1000 accounts, 300 transfers, checksum [0-9a-f]{8}$/)
  expect(new Set(proofs).size).toBe(1)
})

test.runIf('better-sqlite3' in peerVersions() && 'classic-level' in peerVersions())('other stores, where they are installed, show that fingerprint too', async () => {
  const ours = await proofOf(premisedb('serializable', 'relaxed'), writeAll)
  for (const synchronous of ['FULL', 'NORMAL', 'OFF'] as const) expect(await proofOf(betterSqlite3(synchronous), writeAll)).toBe(ours)
  // All at once: the lock keeps them apart.
  expect(await proofOf(classicLevel, async (store, plan) => void (await Promise.all(Array.from({ length: plan.count }, (_, index) => store.transfer(plan, index)))))).toBe(ours)
})

test('a store that leaves out a transfer proves nothing', async () => {
  await expect(proofOf(inMemory(index => index === 7), transferAll)).rejects.toThrow('594 changes were made, not 600')
})

test('a round’s value is what the work measured, where it measured something', async () => {
  const measured = { value: 42, notes: { p99Us: 99 } }
  const contestant = await startBank({
    subject: inMemory(() => false),
    directory,
    accounts: 2,
    transfersOf: () => transfersAmong(2, 1, 2, 1),
    run: async (store, plan) => {
      await transferAll(store, plan)
      return measured
    },
    timing: 'with close',
  })
  expect(await contestant.round({ number: 1, isWarmUp: false })).toEqual(measured)
  expect(await contestant.finish()).toMatch(/^2 accounts, 1 transfers/)
})

test('a fingerprint tells accounts apart by every column, and refuses money that was made', () => {
  const printed = (change: Partial<Account>): string => {
    const fingerprint = new Fingerprint()
    fingerprint.add({ ...newAccount(0), ...change })
    return fingerprint.after(0)
  }
  expect(new Set([printed({}), printed({ owner: 'another' }), printed({ note: '' })]).size).toBe(3)
  expect(() => printed({ balance: initialBalance + 1 })).toThrow('1001')
  expect(() => printed({ changes: 2 })).toThrow('2 changes were made, not 0')
  expect(() => new Fingerprint().add(undefined)).toThrow('Account 0 is missing')
})

test('what is appended to the bare file for a transfer is as long as what PremiseDB appends to its log', async () => {
  const subject = premisedb('serializable', 'durable')
  const plan = transfersAmong(accounts, 50, 2, 1)
  const filled = await subject.open(directory)
  await filled.load(newAccounts(accounts))
  await filled.close()
  const store = await subject.open(directory)
  const before = logSizeBytes(directory)
  await writeAll(store, plan)
  const each = (logSizeBytes(directory) - before) / plan.count
  await store.close()
  // The ids, and with them the keys, are shorter here than among 100,000.
  expect(Math.abs(each - recordSizeBytes)).toBeLessThanOrEqual(8)
})

/** Up to the zeros that are reserved. */
function logSizeBytes(of: string): number {
  const log = join(of, 'log')
  return readdirSync(log)
    .map(name => readFileSync(join(log, name)).findLastIndex(byte => byte !== 0) + 1)
    .reduce((sum, size) => sum + size, 0)
}

test('batches hold every item once, in order, and are made when they are asked for', () => {
  let made = 0
  function* numbers(): Generator<number> {
    for (; made < 7; ) yield made++
  }
  const pieces = batches(numbers(), 3)
  expect(pieces.next().value).toEqual([0, 1, 2])
  expect(made).toBe(3)
  expect([...pieces]).toEqual([[3, 4, 5], [6]])
  expect([...batches([], 3)]).toEqual([])
})
