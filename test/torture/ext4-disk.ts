/** An ext4 file system in a file of its own whose power can be cut: what has not reached the file by then never will. */
import { spawnSync } from 'node:child_process'
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** What still becomes of the journal: it ends as it is on the disk, or with what was under way. The contents of files are dropped either way. */
export type Cut = 'journal as it is' | 'journal written'

export interface Ext4Options {
  readonly sizeMB: number
  /** Whether the contents of a file must be on the disk before the journal says that the file is that long. */
  readonly data: 'ordered' | 'writeback'
}

const cutFlags: Readonly<Record<Cut, number>> = { 'journal written': 1, 'journal as it is': 2 }
/** FS_IOC_SHUTDOWN, which Node has no call for. */
const cutScript = 'open my $root, "<", $ARGV[0] or die "$!"; ioctl($root, 0x8004587d, pack("L", $ARGV[1])) or die "$!"'
const MB = 1_024 * 1_024
/** For a process that was just killed to leave the file system. */
const unmountTries = 100
let canCut: boolean | undefined

export class Ext4Disk {
  readonly path: string
  readonly #image: string
  readonly #data: Ext4Options['data']
  readonly #atExit = (): void => void spawnSync('umount', ['--lazy', this.path])
  #isMounted = false

  /** `path` is where it will be mounted, beside the file that holds it. */
  constructor(path: string, { sizeMB, data }: Ext4Options) {
    this.path = path
    this.#image = `${path}.image`
    this.#data = data
    mkdirSync(path)
    closeSync(openSync(this.#image, 'w'))
    truncateSync(this.#image, sizeMB * MB)
    ran('mkfs.ext4', '-q', '-F', this.#image)
    this.mount()
  }

  /** Plays the journal again, as after a power cut. */
  mount(): void {
    ran('mount', '-t', 'ext4', '-o', `loop,data=${this.#data}`, this.#image, this.path)
    this.#isMounted = true
    // Before the folder that it is in is removed.
    process.prependOnceListener('exit', this.#atExit)
  }

  /** From now on nothing is written any more, and every operation fails with EIO. */
  cutPower(cut: Cut): void {
    ran('perl', '-e', cutScript, this.path, `${cutFlags[cut]}`)
  }

  /** Nobody may have a file on it open. Does nothing where it is not mounted. */
  unmount(): void {
    if (!this.#isMounted) return
    // Not lazily: mounted again, the file would be written by two.
    for (let i = 1; spawnSync('umount', [this.path]).status !== 0; i++) {
      if (i < unmountTries) spawnSync('sleep', ['0.02'])
      else return ran('umount', this.path)
    }
    this.#isMounted = false
    process.removeListener('exit', this.#atExit)
  }
}

/** Whether this user may mount such a file system, and this machine has what it takes. */
export function canCutPower(): boolean {
  return (canCut ??= tried())
}

function tried(): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'premisedb-power-'))
  const steps = ['truncate -s 16M image', 'mkdir disk', 'mkfs.ext4 -q -F image', 'mount -t ext4 -o loop image disk', `perl -e '${cutScript}' disk 2`, 'umount disk']
  try {
    return spawnSync('unshare', ['-m', 'sh', '-c', steps.join(' && ')], { cwd: folder, stdio: 'ignore' }).status === 0
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function ran(command: string, ...args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} failed: ${stderr || String(error)}`)
}
