/** Starts and stops the server of `jobs/postgres.ts`. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { PostgresServer, PostgresStart } from '../jobs/postgres.js'

export interface RunningPostgres extends PostgresServer {
  /** Resolves when everything is on disk and no process is left. */
  stop(): Promise<void>
}

const job = new URL('../jobs/postgres.js', import.meta.url)

/** On the files in `directory`, which are made where there are none. Rejects, and leaves nothing running, where it does not start. */
export async function startPostgres(directory: string): Promise<RunningPostgres> {
  // The server refuses to run as root and gets a user of its own then, who must be able to reach its files.
  if (process.getuid?.() === 0) chmodSync(directory, 0o711)
  const server: PostgresServer = { directory: join(directory, 'postgres'), port: 5_432, user: 'postgres', password: 'benchmark' }
  // Standard output is for the result.
  const child = fork(fileURLToPath(job), { execArgv: [], stdio: ['ignore', 2, 2, 'ipc'] })
  const ended = once(child, 'exit')
  const stop = async (): Promise<void> => {
    if (child.connected) child.disconnect()
    await ended
  }
  const answered = once(child, 'message') as Promise<[PostgresStart]>
  child.send(server)
  const [{ failure }] = await Promise.race([answered, ended.then((): [PostgresStart] => [{ failure: 'The process of PostgreSQL ended.' }])])
  if (failure === undefined) return { ...server, stop }
  await stop()
  throw new Error(failure)
}
