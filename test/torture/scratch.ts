/** Where a run keeps what it needs: gone when the run is, however that ends but by kill -9. */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const namespaceVariable = 'TORTURE_NAMESPACE'
/** As root, or as root of a user namespace. */
const namespaces = [['unshare', '-m'], ['unshare', '-rm']] as const
const processNamespaces = [['unshare', '-p', '-f', '--kill-child'], ['unshare', '-rp', '-f', '--kill-child']] as const
const usable = new Map<unknown, readonly string[]>()

/** Removed at the end of the process too. */
export function newScratch(parent: string = tmpdir()): { readonly folder: string; readonly remove: () => void } {
  const folder = mkdtempSync(join(parent, 'premisedb-torture-'))
  // Again where a process that was just killed still writes.
  const remove = (): void => rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
  process.once('exit', remove)
  return { folder, remove }
}

/** Where files are kept in memory, on a system that has a place for that. */
export const memoryFolder = (): string => (existsSync('/dev/shm') ? '/dev/shm' : tmpdir())

/** A command that runs another in a mount namespace of its own; empty where this user may have none. */
export const namespaceWrapper = (): readonly string[] => firstUsable(namespaces)

/** The same for a process-id namespace. */
export const processNamespaceWrapper = (): readonly string[] => firstUsable(processNamespaces)

function firstUsable(wrappers: readonly (readonly string[])[]): readonly string[] {
  const known = usable.get(wrappers) ?? wrappers.find(([command, ...args]) => spawnSync(command!, [...args, 'true'], { stdio: 'ignore' }).status === 0) ?? []
  usable.set(wrappers, known)
  return known
}

export const canMount = (): boolean => namespaceWrapper().length > 0

/** Runs this command again in a mount namespace of its own, so that nothing stays mounted however it ends. Gives its exit code, or undefined where we are in one already or may have none. */
export async function rerunInNamespace(): Promise<number | undefined> {
  if (hasNamespace() || !canMount()) return undefined
  const env = { ...process.env, [namespaceVariable]: 'own' }
  const [command, ...args] = namespaceWrapper()
  const child = spawn(command!, [...args, process.execPath, ...process.argv.slice(1)], { stdio: 'inherit', env })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => child.kill(signal))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', code => resolve(code ?? 130))
  })
}

/** Whether mounts of this process are nobody else's. */
export const hasNamespace = (): boolean => process.env[namespaceVariable] !== undefined
