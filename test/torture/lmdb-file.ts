/** What an LMDB file says of itself, read without LMDB. */
import { closeSync, openSync, readSync } from 'node:fs'
import { pageSizeBytes } from './broken-bytes.js'

const lastPageAt = 144
const transactionAt = 152

export interface LmdbFile {
  /** Transactions that were ever committed to it. */
  readonly transactions: number
  /** Up to its last page. */
  readonly sizeBytes: number
}

/** As of the newer of its two meta pages. */
export function lmdbFile(path: string): LmdbFile {
  const fd = openSync(path, 'r')
  try {
    const metas = [0, 1].map(page => {
      const bytes = Buffer.alloc(pageSizeBytes)
      readSync(fd, bytes, 0, bytes.length, page * pageSizeBytes)
      return { transactions: Number(bytes.readBigUInt64LE(transactionAt)), sizeBytes: (Number(bytes.readBigUInt64LE(lastPageAt)) + 1) * pageSizeBytes }
    })
    return metas.toSorted((a, b) => b.transactions - a.transactions)[0]!
  } finally {
    closeSync(fd)
  }
}
