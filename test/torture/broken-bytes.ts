/** Ways to break a file. Positions and lengths are in bytes. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Chance } from '../simulation/chance.js'

export const pageSizeBytes = 4_096

export function randomBytes(chance: Chance, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at + 4 <= length; at += 4) bytes.writeUInt32LE(chance.below(2 ** 32), at)
  return bytes
}

/** Puts other bytes into a file, and makes it longer where they reach over its end. */
export function overwrite(path: string, at: number, bytes: Buffer): void {
  const old = readFileSync(path)
  const changed = Buffer.alloc(Math.max(old.length, at + bytes.length))
  old.copy(changed)
  bytes.copy(changed, at)
  writeFileSync(path, changed)
}

/** The segment that was written last. */
export function newestSegment(directory: string): string {
  const names = readdirSync(join(directory, 'log')).filter(name => name.endsWith('.log'))
  return join(directory, 'log', names.toSorted().at(-1)!)
}

/** The end of what was written in a segment: zeros follow. */
export function endOfRecords(bytes: Buffer): number {
  let end = bytes.length
  while (end > 0 && bytes[end - 1] === 0) end--
  return end
}
