/**
 * What another process does to a database, told by its first argument. Prints one line of JSON per step; `hold` then waits to be killed.
 *
 *     node open-close-child.mjs COMMAND DIRECTORY [N]
 */
import * as fs from 'node:fs'

/** @typedef {import('../../engine/environment.js').Environment} Environment */

const [command, directory = '', n = '0'] = process.argv.slice(2)
const built = new URL('../../dist/engine/', import.meta.url)
/** @type {typeof import('../../engine/open.js')} */
const { openEngine } = await import(new URL('open.js', built).href)
/** @type {typeof import('../../engine/database.js')} */
const { Database } = await import(new URL('database.js', built).href)
/** @type {{ systemEnvironment: Environment }} */
const { systemEnvironment } = await import(new URL('environment.js', built).href)

/** @param {unknown} value */
const say = value => console.log(JSON.stringify(value))

try {
  await run()
} catch (error) {
  const { code, message } = /** @type {{ code?: unknown, message: string }} */ (error)
  say({ code, message })
}

async function run() {
  const db = new Database(openEngine(directory, {}, { environment: command === 'die' ? dyingAt(Number(n)) : systemEnvironment }))
  const table = db.table('numbers', { key: ['number'] })
  if (command === 'hold') {
    await db.put(table, 1, 'held')
    say({ opened: process.pid })
    setInterval(() => {}, 1_000)
  }
  // Everything is read: damage anywhere is met.
  if (command === 'read') {
    let rows = 0
    for (const row of db.range(table)) if (row.value !== undefined) rows++
    say({ rows })
    await db.close()
  }
  if (command === 'write-and-close') {
    for (let i = 0; i < Number(n); i++) db.put(table, i, 'written').catch(error => say({ code: error.code }))
    await db.close()
    say({ closed: true })
  }
  // Closes while transactions run that never end by themselves.
  if (command === 'run-and-close') {
    const forgotten = db.begin({ timeoutMs: 1_000 })
    forgotten.put(table, -1, 'never committed')
    db.transaction(() => new Promise(() => {}), { timeoutMs: 1_000 }).catch(error => say({ unfinished: error.code }))
    await db.close()
    say({ closed: true })
  }
  if (command === 'write-and-return') {
    await Promise.all(Array.from({ length: Number(n) }, (_, i) => db.put(table, i, 'written')))
    say({ acknowledged: Number(n) })
  }
  if (command === 'write-and-exit' || command === 'write-and-throw') {
    await Promise.all(Array.from({ length: Number(n) }, (_, i) => db.put(table, i, 'written')))
    say({ acknowledged: Number(n) })
    void db.put(table, Number(n), 'not acknowledged')
    if (command === 'write-and-exit') process.exit(0)
    setImmediate(() => {
      throw new Error('on purpose')
    })
  }
  if (command === 'die') {
    say({ survived: true })
    await db.close()
  }
}

/**
 * A machine on which the process is killed before its `n`th file operation.
 * @param {number} last
 * @returns {Environment}
 */
function dyingAt(last) {
  let count = 0
  const files = new Proxy(fs, {
    get(target, name) {
      const operation = Reflect.get(target, name)
      if (typeof operation !== 'function') return operation
      /** @param {unknown[]} args */
      return (...args) => {
        if (++count === last) process.kill(process.pid, 'SIGKILL')
        return Reflect.apply(operation, target, args)
      }
    },
  })
  return { ...systemEnvironment, files }
}
