/** Where a result comes from. Without it a number says nothing. */
import { closeSync, fdatasyncSync, openSync, statfsSync, writeSync } from 'node:fs'
import { arch, availableParallelism, cpus, loadavg, release, tmpdir, totalmem, type } from 'node:os'
import { join } from 'node:path'
import { peerVersions, projectVersion } from './peers.js'

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGb: number
  readonly system: string
  /** Of the directory for temporary files, where the stores are made. */
  readonly fileSystem: string
  /** 200 bytes appended to a file and synced (fdatasync), one after the other. */
  readonly syncsPerSecond: number
  /** Processes that wanted to run in the minute before the start. */
  readonly load: number
  readonly node: string
  readonly versions: Readonly<Record<string, string>>
  readonly date: string
}

const syncMs = 1_000
const syncSizeBytes = 200

const fileSystems: Readonly<Record<number, string>> = {
  0xef53: 'ext4',
  0x5846_5342: 'xfs',
  0x9123_683e: 'btrfs',
  0x0102_1994: 'tmpfs',
  0x794c_7630: 'overlayfs',
  0x6969: 'nfs',
}

/** `directory` is one where files may be made, on the disk that the stores will use. */
export function describeMachine(directory: string): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGb: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()} ${arch()}`,
    fileSystem: fileSystemOf(tmpdir()),
    syncsPerSecond: Math.round(measureSyncs(join(directory, 'syncs'))),
    load: Math.round(loadavg()[0]! * 100) / 100,
    node: process.version,
    versions: { premisedb: projectVersion() ?? 'unknown', ...peerVersions() },
    date: new Date().toISOString().slice(0, 10),
  }
}

function fileSystemOf(directory: string): string {
  const { type: magic } = statfsSync(directory)
  return fileSystems[magic] ?? `type 0x${magic.toString(16)}`
}

function measureSyncs(file: string): number {
  const fd = openSync(file, 'wx', 0o600)
  try {
    const bytes = Buffer.alloc(syncSizeBytes, 'sync')
    const startedMs = performance.now()
    let syncs = 0
    let elapsedMs = 0
    for (; elapsedMs < syncMs; elapsedMs = performance.now() - startedMs) {
      writeSync(fd, bytes)
      fdatasyncSync(fd)
      syncs++
    }
    return (syncs / elapsedMs) * 1_000
  } finally {
    closeSync(fd)
  }
}
