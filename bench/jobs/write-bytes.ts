/** Updates random rows, 64 in flight, closes, and says what this process has written meanwhile, as the kernel counts it. */
import { readFileSync } from 'node:fs'
import { answer } from '../child.js'
import { closedLoop } from '../clients.js'
import { integersFrom } from '../random.js'
import { lmdbPerCommit } from '../subjects/lmdb-rows.js'
import { premisedbRows } from '../subjects/premisedb-rows.js'
import { changedText } from '../texts.js'

const updaters = { premisedb: premisedbRows<string>(), lmdb: lmdbPerCommit<string>() }

export interface WriteBytes {
  readonly updater: 'premisedb' | 'lmdb'
  readonly directory: string
  readonly rows: number
  readonly updates: number
  readonly clients: number
  readonly seed: number
}

export interface Written {
  /** Handed to writing system calls (`wchar`). */
  readonly callBytes: number
  /** Of pages that became dirty (`write_bytes`); some kernels count all pages of a folio when one of them does. */
  readonly dirtiedBytes: number
  readonly checkpoints: number
  readonly elapsedMs: number
}

async function writeBytes({ updater, directory, rows, updates, clients, seed }: WriteBytes): Promise<Written> {
  const integer = integersFrom(seed)
  const ids = Int32Array.from({ length: updates }, () => integer(rows))
  const before = counters()
  const startedMs = performance.now()
  const store = await updaters[updater].open(directory)
  await closedLoop(clients, updates, index => store.update(ids[index]!, text => changedText(ids[index]!, text)))
  const { checkpoints } = store
  await store.close()
  const elapsedMs = performance.now() - startedMs
  const after = counters()
  return { callBytes: after.calls - before.calls, dirtiedBytes: after.dirtied - before.dirtied, checkpoints, elapsedMs }
}

/** Of this process and all its threads. */
function counters(): { calls: number; dirtied: number } {
  const text = readFileSync('/proc/self/io', 'utf8')
  const counter = (name: string): number => Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(text)![1])
  return { calls: counter('wchar'), dirtied: counter('write_bytes') }
}

answer(writeBytes)
