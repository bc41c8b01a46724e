/**
 * The other stores. They are installed from `bench/package.json` when a benchmark needs them, so that neither the installation of the project nor its type check does.
 * (`lmdb` is a dependency of the engine, and there already.)
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Peer } from './workload.js'

const root = projectAbove(dirname(fileURLToPath(import.meta.url)))
const directory = join(root, 'bench')
const requirePeer = createRequire(join(directory, 'package.json'))

interface Manifest {
  readonly name?: string
  readonly version?: string
  readonly dependencies?: Readonly<Record<string, string>>
}

/** What the package exports. Call `installPeers` first. */
export function loadPeer(peer: Peer): unknown {
  return requirePeer(peer)
}

/** The version that is installed, undefined where none is. */
export function peerVersion(peer: Peer): string | undefined {
  const home = peer === 'lmdb' ? root : directory
  return readManifest(join(home, 'node_modules', peer, 'package.json'))?.version
}

export function projectVersion(): string | undefined {
  return readManifest(join(root, 'package.json'))?.version
}

/** Installs what `bench/package.json` lists, unless the wanted ones are there in the versions it names. Some compile for minutes. */
export function installPeers(wanted: readonly Peer[], tell: (text: string) => void): void {
  const listed = readManifest(join(directory, 'package.json'))?.dependencies ?? {}
  const missing = wanted.filter(peer => listed[peer] !== undefined && peerVersion(peer) !== listed[peer])
  if (missing.length === 0) return
  tell(`Installing ${Object.keys(listed).join(', ')} into bench/node_modules; compiling may take minutes.`)
  // Its output goes where progress goes: standard output is for the result.
  const { status, error } = spawnSync('npm', ['ci', '--prefix', directory], { cwd: directory, stdio: ['ignore', 2, 2] })
  if (error) throw error
  if (status !== 0) throw new Error(`The peers could not be installed (npm ci --prefix bench ended with ${status}); --peers leaves out those you name not.`)
}

/** By the project's name, because the compiled files lie elsewhere than the sources. */
function projectAbove(folder: string): string {
  if (readManifest(join(folder, 'package.json'))?.name === 'premisedb') return folder
  const above = dirname(folder)
  if (above === folder) throw new Error('The benchmarks must run inside the project.')
  return projectAbove(above)
}

function readManifest(file: string): Manifest | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Manifest
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}
