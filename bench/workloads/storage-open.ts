/** How long opening takes, and with it recovery. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { cpSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { runInChild } from '../child.js'
import type { LeaveLog } from '../jobs/leave-log.js'
import { inWords } from '../report/text.js'
import { premisedbRows } from '../subjects/premisedb-rows.js'
import { rowSizeBytes, TextCensus, textOf } from '../texts.js'
import type { Contestant, Context, Workload } from '../workload.js'
import { open } from '../../engine/index.js'

const subject = premisedbRows<string>()
const rows = { full: 1_000_000, quick: 50_000 }
const commits = { full: 100_000, quick: 10_000 }

export const opening: Workload = {
  name: 'open',
  summary:
    `Opening a database of ${inWords(rows.full)} rows of ${rowSizeBytes} bytes, of which ${inWords(commits.full)} commits have changed one each (quick: ${inWords(rows.quick)} and ${inWords(commits.quick)}): ` +
    'after it was closed, and after its process was killed with those commits in the log. Each round opens a fresh copy of the files; they are in the page cache. Inside the timing: `open` alone.',
  unit: 'ms',
  better: 'less',
  rounds: { full: 5, quick: 3 },
  entries: (['closed', 'killed'] as const).map(end => ({
    subject: `premisedb/${end}`,
    peer: undefined,
    settings: end === 'closed' ? 'the process closed the database' : 'the process was killed (SIGKILL) when its last commit was on disk',
    start: context => start(end, context),
  })),
  goals: [],
}

async function start(end: LeaveLog['end'], { quick, seed, directory }: Context): Promise<Contestant> {
  const length = quick ? 'quick' : 'full'
  const left = join(directory, 'left')
  const copy = join(directory, 'copy')
  mkdirSync(left)
  const loaded = await subject.open(left)
  await loaded.load(rows[length], id => textOf(id, 0))
  await loaded.close()
  const job: LeaveLog = { directory: left, rows: rows[length], commits: commits[length], seed, end }
  await runInChild<LeaveLog['end']>(new URL('../jobs/leave-log.js', import.meta.url), job)
  return {
    async round() {
      cpSync(left, copy, { recursive: true })
      const opened = await timedOpening(copy)
      rmSync(copy, { recursive: true })
      return { value: opened.elapsedMs, notes: { 'commits recovered': opened.recovered } }
    },
    async finish() {
      const census = new TextCensus()
      const store = await subject.open(left)
      await store.read(reader => reader.all((id, text) => census.add(id, text)))
      await store.close()
      return census.proof(rows[length], commits[length])
    },
    dispose: () => Promise.resolve(),
  }
}

async function timedOpening(directory: string): Promise<{ elapsedMs: number; recovered: number }> {
  let recovered = 0
  const hear = (message: unknown): void => void (recovered = (message as { readonly commits: number }).commits)
  subscribe('premisedb:recovery', hear)
  const startedMs = performance.now()
  const db = await open(directory)
  const elapsedMs = performance.now() - startedMs
  unsubscribe('premisedb:recovery', hear)
  await db.close()
  return { elapsedMs, recovered }
}
