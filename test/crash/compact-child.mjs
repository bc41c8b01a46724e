/**
 * Another process that compacts a closed database, under limits so small that it takes many steps. With N it is killed before its Nth file operation.
 *
 *     node compact-child.mjs DIRECTORY [N]
 */
import * as fs from 'node:fs'

const [directory = '', n] = process.argv.slice(2)
const built = new URL('../../dist/engine/', import.meta.url)
/** @type {typeof import('../../engine/compact.js')} */
const { compactDirectory } = await import(new URL('compact.js', built).href)
/** @type {typeof import('../../engine/environment.js')} */
const { systemEnvironment } = await import(new URL('environment.js', built).href)
/** @type {typeof import('../../engine/limits.js')} */
const { defaultLimits } = await import(new URL('limits.js', built).href)

let count = 0
const files = new Proxy(fs, {
  get(target, name) {
    const operation = Reflect.get(target, name)
    if (typeof operation !== 'function') return operation
    /** @param {unknown[]} args */
    return (...args) => {
      if (++count === Number(n)) process.kill(process.pid, 'SIGKILL')
      return Reflect.apply(operation, target, args)
    }
  },
})

console.log('began')
const report = await compactDirectory(directory, { ...systemEnvironment, files }, { ...defaultLimits, stepSizeBytes: 20_000 })
console.log(JSON.stringify(report))
