/**
 * Opens the files that the native library is about to open, and gives them back. Where its own opening fails for whatever reason it uses memory that it has freed, and the process ends; what stands in
 * the way of an opening (no descriptors left, a file that may not be written, a disk that answers no more) has to be met here, where it is an error that can be caught.
 */
import { openFlags, type Files } from '../environment.js'

/** Those that the native library holds at once, and some for whatever else the process opens meanwhile. */
const descriptors = 8

/** Throws what the system says. Under the owner lock, and before the native open only: closing a lock file would release the locks that the native library has on it. */
export function rehearseOpening(path: string, files: Files): void {
  const flags = openFlags.O_RDWR | openFlags.O_CREAT | openFlags.O_NOFOLLOW
  const fds: number[] = []
  try {
    for (let i = 0; i < descriptors; i++) fds.push(files.openSync(i === 0 ? `${path}-lock` : path, flags, 0o600))
  } finally {
    for (const fd of fds) closeUnused(fd, files)
  }
}

/** Nothing was done with it, so nothing can be lost. */
function closeUnused(fd: number, files: Files): void {
  try {
    files.closeSync(fd)
  } catch {
    // As said above.
  }
}
