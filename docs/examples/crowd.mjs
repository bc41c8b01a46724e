/** What the examples share: fifty clients at once, first at `snapshot`, then at `serializable`, and what came of it. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { open } from 'premisedb'

const clients = 50

/**
 * `start(db)` fills a database and returns what a client does, over and over, until the time is up: `act(run)`, where `run(label, body)`
 * runs a transaction, and `run.broken(what, size)` reports that the rule does not hold. It may also return `atEnd()`, which checks the
 * books and returns what is wrong with them, or undefined.
 */
export async function compareLevels({ title, rule, unit, start }) {
  const { values } = parseArgs({ options: { seconds: { type: 'string', default: '3' } } })
  const seconds = Number(values.seconds)
  if (!(seconds > 0)) throw new TypeError(`--seconds must be a number above 0, not "${values.seconds}".`)
  print(title, rule, `${clients} clients at once, ${seconds} s at each level.`, '')

  const weak = await runAt('snapshot', start, seconds)
  print(...report(weak, unit), '')
  const strong = await runAt('serializable', start, seconds)
  print(...report(strong, unit), ...explanation(strong))

  // A rule that nothing breaks proves nothing by holding, so `snapshot` has to break it.
  const asExpected = weak.breaches > 0 && strong.breaches === 0 && !weak.books && !strong.books
  if (!asExpected) print('', 'This is not what should have happened.')
  process.exitCode = asExpected ? 0 : 1
}

async function runAt(level, start, seconds) {
  const directory = await mkdtemp(join(tmpdir(), 'premisedb-example-'))
  try {
    const db = await open(directory, { guard: 'async' })
    try {
      const { act, atEnd } = await start(db)
      const tally = { level, commits: 0, retries: 0, gaveUp: 0, breaches: 0, worst: 0 }
      const begun = performance.now()
      const client = async (_, index) => {
        const run = runner(db, tally, begun, index === 0 ? 1 : 10)
        while (performance.now() - begun < seconds * 1000) await act(run)
      }
      await Promise.all(Array.from({ length: clients }, client))
      tally.books = await atEnd?.()
      return tally
    } finally {
      await db.close()
    }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** Runs transactions for one client and counts what becomes of them. Resolves to undefined where all attempts were in vain. */
function runner(db, tally, begun, maxAttempts) {
  const run = async (label, body) => {
    const counted = tx => {
      if (tx.attempt > 1) tally.retries++
      return body(tx)
    }
    try {
      const result = await db.transaction(counted, { level: tally.level, label, maxAttempts })
      tally.commits++
      return result
    } catch (error) {
      if (error.code !== 'RETRIES_EXHAUSTED') throw error
      if (maxAttempts === 1) tally.told ??= error.explain.sentence
      else tally.gaveUp++
      return undefined
    }
  }
  run.broken = (what, size) => {
    tally.breaches++
    tally.first ??= { what, ms: performance.now() - begun }
    tally.worst = Math.max(tally.worst, size)
  }
  return run
}

function report({ level, commits, retries, gaveUp, breaches, first, worst, books }, unit) {
  const lines = [`${level}: ${count(commits, 'commit')}, ${count(retries, 'retry', 'retries')}${gaveUp ? `, ${gaveUp} given up` : ''}`]
  if (breaches === 0) lines.push('  ✓ The rule always held.')
  else {
    lines.push(`  ✗ The rule was found broken ${count(breaches, 'time')}, first after ${Math.ceil(first.ms)} ms: ${first.what}.`)
    lines.push(`    At worst: ${unit(worst)}.`)
  }
  if (books) lines.push(`  ✗ ${books}`)
  return lines
}

/** Why the client that takes one attempt at a time was refused, when it was for the first time. */
function explanation({ told }) {
  if (!told) return []
  return ['  One of the clients does not retry, so it hears why it was refused:', ...wrap(told, 96).map(line => `    ${line}`)]
}

function wrap(text, width) {
  const lines = ['']
  for (const word of text.split(' ')) {
    if (lines.at(-1).length + 1 + word.length > width) lines.push(word)
    else lines.push(`${lines.pop()} ${word}`.trimStart())
  }
  return lines
}

const count = (number, one, many = `${one}s`) => `${new Intl.NumberFormat('en').format(number)} ${number === 1 ? one : many}`
const print = (...lines) => console.log(lines.join('\n'))
