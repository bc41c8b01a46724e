/** What counts of damaged files. Nothing is damaged in a history. */
import type { Mutant } from './mutant.js'

const tested = (name: string, broken: string, file: string, find: string, replace: string): Mutant => {
  return { name, broken, file, patches: [[find, replace]], caughtBy: { test: 'test/unit/salvage-random.test.ts', because: 'nothing is damaged in a history' } }
}

export const files: readonly Mutant[] = [
  tested('D-1-row-unverified', 'a row counts though its checksum fails', 'engine/encoding/rows', 'if (checksum(key, bytes, sizeBytes) !== readUint32(bytes, crcAt))', 'if (false)'),
  tested('A-2-unsaid', 'commits that are missing from the log are not named', 'engine/log/salvage', 'this.#lost.push({ from: first, to })', ''),
]
