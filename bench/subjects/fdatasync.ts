/**
 * The least that a durable commit costs: accounts in memory, and a file to which each commit's changes are appended and synced. No isolation, no checkpoints, no checksums. A record is as long as the one
 * that PremiseDB writes to its log for a transfer.
 */
import { closeSync, fdatasyncSync, fsyncSync, openSync, readdirSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Account } from '../accounts.js'
import type { Store, Subject } from '../store.js'

/** Of the log record of a transaction that changes two accounts: 64 bytes of header and the two rows. A test compares it with PremiseDB's log. */
export const recordSizeBytes = 288
/** Zeros that a file begins with, so that no append changes its size. */
const reservedSizeBytes = 16 * 1024 * 1024
const loaded = 'loaded'

type Change = readonly [id: number, account: Account]

export const fdatasync: Subject = {
  name: 'fdatasync',
  settings: `accounts in memory; ${recordSizeBytes} bytes for each commit, written by \`fs.writeSync\` to a file whose space was written before, and \`fs.fdatasyncSync\`; no store, but what any store must do`,
  async open(directory) {
    const accounts = new Map<number, Account>()
    const files = readdirSync(directory).toSorted((a, b) => Number(a !== loaded) - Number(b !== loaded) || Number(a) - Number(b))
    for (const file of files) for (const changes of recordsIn(join(directory, file))) for (const [id, account] of changes) accounts.set(id, account)
    return new MemoryStore(directory, accounts, openReserved(join(directory, String(files.length))))
  },
}

class MemoryStore implements Store {
  readonly #directory: string
  readonly #accounts: Map<number, Account>
  readonly #fd: number
  #size = 0

  constructor(directory: string, accounts: Map<number, Account>, fd: number) {
    this.#directory = directory
    this.#accounts = accounts
    this.#fd = fd
  }

  async load(rows: Iterable<Change>): Promise<void> {
    writeFileSync(join(this.#directory, loaded), `${JSON.stringify([...rows])}\n`, { flush: true })
  }

  read<T>(body: (tx: { get(id: number): Account | undefined }) => T): T {
    return body({ get: id => this.#accounts.get(id) })
  }

  write(body: Parameters<Store['write']>[0]): void {
    const changes: Change[] = []
    body({ get: id => this.#accounts.get(id), put: (id, account) => void changes.push([id, account]) })
    const record = Buffer.alloc(recordSizeBytes, ' ')
    const text = JSON.stringify(changes)
    if (text.length >= recordSizeBytes || this.#size + recordSizeBytes > reservedSizeBytes) throw new Error('The record does not fit.')
    record.write(text, 'latin1')
    record.write('\n', recordSizeBytes - 1)
    writeSync(this.#fd, record, 0, recordSizeBytes, this.#size)
    fdatasyncSync(this.#fd)
    this.#size += recordSizeBytes
    for (const [id, account] of changes) this.#accounts.set(id, account)
  }

  async close(): Promise<void> {
    closeSync(this.#fd)
  }
}

function openReserved(file: string): number {
  const fd = openSync(file, 'wx', 0o600)
  writeSync(fd, Buffer.alloc(reservedSizeBytes))
  fsyncSync(fd)
  return fd
}

/** One to a line, zeros behind the last one. */
function recordsIn(file: string): Change[][] {
  const bytes = readFileSync(file)
  const end = bytes.indexOf(0)
  const lines = bytes.toString('latin1', 0, end === -1 ? bytes.length : end).trimEnd()
  return lines === '' ? [] : lines.split('\n').map(line => JSON.parse(line) as Change[])
}
