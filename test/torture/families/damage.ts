/** Bits flipped, pages zeroed, torn, swapped and cut off, in the row file and in the synced records of the log: every read gives what was written, or an error. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Chance } from '../../simulation/chance.js'
import { endOfRecords, newestSegment, pageSizeBytes } from '../broken-bytes.js'
import type { Family } from '../family.js'
import { knownDatabase, readBroken, type Ended } from '../known-database.js'

/** Changes `bytes`, of which the first `end` are in use, and returns up to where: the rest of the file is as it was. A shorter file ends there. */
type Damage = (bytes: Buffer, end: number, chance: Chance) => { readonly to: number; readonly cut?: true }

const sectorSizeBytes = 512

const pageAt = (end: number, chance: Chance): number => pageSizeBytes * chance.below(Math.ceil(end / pageSizeBytes))

const damages: Readonly<Record<string, Damage>> = {
  'a flipped bit'(bytes, end, chance) {
    const at = chance.below(end)
    bytes[at]! ^= 1 << chance.below(8)
    return { to: at + 1 }
  },
  'a zeroed page'(bytes, end, chance) {
    const at = pageAt(end, chance)
    bytes.fill(0, at, at + pageSizeBytes)
    return { to: Math.min(end, at + pageSizeBytes) }
  },
  // Some of its sectors come from elsewhere in the file.
  'a torn page'(bytes, end, chance) {
    const [at, from] = [pageAt(end, chance), pageAt(end, chance)]
    for (let sector = 0; sector < pageSizeBytes; sector += sectorSizeBytes) if (chance.is(0.5)) bytes.copyWithin(at + sector, from + sector, from + sector + sectorSizeBytes)
    return { to: Math.min(end, at + pageSizeBytes) }
  },
  'two swapped pages'(bytes, end, chance) {
    const [one, two] = [pageAt(end, chance), pageAt(end, chance)]
    const kept = Buffer.from(bytes.subarray(one, one + pageSizeBytes))
    bytes.copyWithin(one, two, two + pageSizeBytes)
    kept.copy(bytes, two)
    return { to: Math.min(end, Math.max(one, two) + pageSizeBytes) }
  },
  'a cut end': (_, end, chance) => ({ to: chance.below(end), cut: true }),
}

/** In the control most rounds must hit a row, and no more than rows: what hits the pages themselves is found before a row is read. */
const someFlippedBits: Damage = (bytes, end, chance) => {
  for (let i = 0; i < 3; i++) bytes[chance.between(2 * pageSizeBytes, end - 1)]! ^= 1 << chance.below(8)
  return { to: end }
}

/** What the log's last record takes; one that comes whole behind other damage proves that more was there. */
const lastRecordSizeBytes = 136

export const damage: Family = {
  name: 'damage',
  about: 'flipped bits, zeroed, torn, swapped and cut off pages of the row file and the log; counts directories',
  perRound: 1,
  inMemory: true,
  control: {
    broken: 'checksums of rows are not compared',
    noticedAs: ['wrong'],
    patch: { file: 'engine/encoding/rows', patch: ['if (checksum(key, bytes, sizeBytes) !== readUint32(bytes, crcAt))', 'if (false)'] },
  },
  async play(round) {
    const { chance, isControl, seed } = round
    const names = Object.keys(damages)
    const name = names[seed % names.length]!
    const ended: Ended = chance.is(0.5) ? 'closed' : 'killed'
    const inLog = !isControl && chance.is(ended === 'killed' ? 0.5 : 0.1)
    const known = await knownDatabase(round, ended)
    const path = inLog ? newestSegment(known.directory) : join(known.directory, 'rows.lmdb')
    const bytes = readFileSync(path)
    const end = inLog ? endOfRecords(bytes) : bytes.length
    const { to, cut } = (isControl ? someFlippedBits : damages[name]!)(bytes, end, chance)
    writeFileSync(path, cut ? bytes.subarray(0, to) : bytes)
    const what = `${isControl ? 'some flipped bits' : name} in the ${inLog ? 'log' : 'row file'} of a ${ended} database`
    await readBroken(round, known, what, inLog && (cut === true || to > end - lastRecordSizeBytes))
  },
}
