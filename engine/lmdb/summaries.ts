/**
 * What the row file should hold, in short: for each table the number of its rows and the sum of their checksums, in a row of its own that every native transaction brings up to
 * date. A row that vanishes, or comes back as it was before, leaves no trace in itself; here it does.
 *
 *   M-1  In every state of the file the summaries are those of the rows in that state: rows and summaries change in the same native transactions.
 */
import { tablePrefixOf } from '../encoding/keys.js'
import { asKey, type Key, type KeyRange } from '../../isolation/types.js'

/** Sums are kept below this, which leaves room to add a checksum. */
const modulus = 2 ** 48
const numberSizeBytes = 6
/** No table id begins with 0xFF. */
const keyPrefix = '\xffsummary '

export interface Summary {
  readonly rows: number
  /** Sum of the rows' checksums, modulo 2^48. */
  readonly checksums: number
}

export const emptySummary: Summary = { rows: 0, checksums: 0 }

export const summaryRange: KeyRange = { lo: asKey(keyPrefix), hi: asKey(`${keyPrefix}\xff`) }

/** The table's prefix that a summary is about. */
export const prefixOfSummary = (key: Key): string => key.slice(keyPrefix.length)

export function decodeSummary(value: Uint8Array): Summary {
  const bytes = Buffer.from(value)
  return { rows: bytes.readUIntBE(0, numberSizeBytes), checksums: bytes.readUIntBE(numberSizeBytes, numberSizeBytes) }
}

export const withRow = ({ rows, checksums }: Summary, checksum: number): Summary => ({ rows: rows + 1, checksums: (checksums + checksum) % modulus })
export const withoutRow = ({ rows, checksums }: Summary, checksum: number): Summary => ({ rows: rows - 1, checksums: (checksums - checksum + modulus) % modulus })

/** The summaries of the newest state, while a native transaction changes it. */
export class Summaries {
  readonly #of: Map<string, Summary>
  readonly #changed = new Set<string>()

  constructor(stored: ReadonlyMap<string, Summary>) {
    this.#of = new Map(stored)
  }

  /** Rows of all tables, the catalog's included. */
  get rows(): number {
    let rows = 0
    for (const summary of this.#of.values()) rows += summary.rows
    return rows
  }

  /** A row was put (`after`) or removed (undefined) where another (`before`) or none was. Both are checksums. */
  replace(key: Key, before: number | undefined, after: number | undefined): void {
    const prefix = tablePrefixOf(key)
    let summary = this.#of.get(prefix) ?? emptySummary
    if (before !== undefined) summary = withoutRow(summary, before)
    if (after !== undefined) summary = withRow(summary, after)
    this.#of.set(prefix, summary)
    this.#changed.add(prefix)
  }

  /** Hands out what changed since the last call, as rows to be put. */
  *takeChanged(): Generator<{ readonly key: Key; readonly value: Uint8Array }> {
    for (const prefix of this.#changed) {
      const { rows, checksums } = this.#of.get(prefix)!
      const value = Buffer.alloc(2 * numberSizeBytes)
      value.writeUIntBE(rows, 0, numberSizeBytes)
      value.writeUIntBE(checksums, numberSizeBytes, numberSizeBytes)
      yield { key: asKey(keyPrefix + prefix), value }
    }
    this.#changed.clear()
  }
}
