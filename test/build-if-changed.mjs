/**
 * Builds dist/ when the sources differ from those of the last build; says nothing when they do not. A hash of everything that
 * decides the output is kept in dist/, so a switched branch or a deleted source is noticed as well as an edit.
 *
 * Stale outputs go with the old dist/. One builder at a time: a second one waits and then finds nothing to do.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const dist = join(root, 'dist')
const stampFile = join(dist, '.sources')
const lockFile = join(root, 'node_modules/.cache/premisedb-build.lock')
const waitMs = 300_000

if (!isCurrent()) {
  await takeLock()
  try {
    if (!isCurrent()) process.exitCode = build()
  } finally {
    rmSync(lockFile, { force: true })
  }
}

function isCurrent() {
  return readOr(stampFile, '') === hashOfSources()
}

function build() {
  // Taken before tsc reads the files: an edit during the build leads to another build, never to a wrong stamp.
  const hash = hashOfSources()
  rmSync(dist, { recursive: true, force: true })
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const { status, error } = spawnSync(process.execPath, [tsc, '-p', root, '--outDir', dist, '--noEmit', 'false'], { stdio: 'inherit' })
  if (error) throw error
  if (status === 0) writeFileSync(stampFile, hash)
  return status ?? 1
}

function hashOfSources() {
  const hash = createHash('sha256')
  const files = ['tsconfig.json', 'package.json', 'package-lock.json', ...sourcesIn('bench'), ...sourcesIn('engine'), ...sourcesIn('isolation'), ...sourcesIn('test/mutants'), ...sourcesIn('test/simulation'), ...sourcesIn('test/torture')]
  for (const file of files) hash.update(`${file}\0`).update(readFileSync(join(root, file))).update('\0')
  return hash.digest('hex')
}

/** @param {string} folder */
function sourcesIn(folder) {
  const files = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
  return files
    .filter(file => file.endsWith('.ts') && !file.includes('node_modules'))
    .map(file => join(folder, file))
    .toSorted()
}

async function takeLock() {
  mkdirSync(dirname(lockFile), { recursive: true })
  const deadline = Date.now() + waitMs
  while (!tryLock()) {
    if (Date.now() > deadline) throw new Error(`Another build has held ${lockFile} for ${waitMs / 1000} s; delete the file if none is running.`)
    await new Promise(resolve => setTimeout(resolve, 100))
  }
}

function tryLock() {
  try {
    writeFileSync(lockFile, String(process.pid), { flag: 'wx' })
    return true
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
    if (ownerIsGone()) rmSync(lockFile, { force: true })
    return false
  }
}

function ownerIsGone() {
  const pid = Number(readOr(lockFile, ''))
  // Between its creation and its first write the file is empty; a killed builder can leave it so.
  if (pid === 0) return Date.now() - (statSync(lockFile, { throwIfNoEntry: false })?.mtimeMs ?? Date.now()) > 10_000
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return hasCode(error, 'ESRCH')
  }
}

/**
 * @param {string} file
 * @param {string} otherwise
 */
function readOr(file, otherwise) {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return otherwise
    throw error
  }
}

/**
 * @param {unknown} error
 * @param {string} code
 */
function hasCode(error, code) {
  return error instanceof Error && 'code' in error && error.code === code
}
