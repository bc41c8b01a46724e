/**
 * Opens a database while this process can open only so many files more: for each number up to that at which it succeeds, a line of JSON with what it came to.
 *
 *     sh -c 'ulimit -n 64; node few-descriptors-child.mjs DIRECTORY'
 */
import * as fs from 'node:fs'

const directory = process.argv[2] ?? ''
/** @type {typeof import('../../engine/index.js')} */
const { open } = await import(new URL('../../dist/engine/index.js', import.meta.url).href)

/** @type {number[]} */
const taken = []
console.log(JSON.stringify({ free: -1 })) // what printing takes it has then

for (let free = 0; free < 40; free++) {
  takeAll()
  for (let i = 0; i < free; i++) fs.closeSync(/** @type {number} */ (taken.pop()))
  /** @type {import('../../engine/database.js').Database | undefined} */
  let db
  let outcome
  try {
    db = await open(directory)
    outcome = { free, code: null }
  } catch (error) {
    const { code, name } = /** @type {{ code?: unknown, name: string }} */ (error)
    outcome = { free, code, name }
  }
  for (const fd of taken.splice(0)) fs.closeSync(fd)
  console.log(JSON.stringify(outcome))
  await db?.close()
  if (db !== undefined) break
}

function takeAll() {
  for (;;) {
    try {
      taken.push(fs.openSync('/dev/null', 'r'))
    } catch {
      return
    }
  }
}
