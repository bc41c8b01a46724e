/** Random bytes in the place of a database's files, or of parts of them: refused with a typed error, or harmless. */
import { mkdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { newestSegment, overwrite, pageSizeBytes, randomBytes } from '../broken-bytes.js'
import type { Family, Round } from '../family.js'
import { knownDatabase, readBroken, type Ended } from '../known-database.js'

interface Place {
  readonly where: string
  /** Whether the end of the log goes with it. */
  readonly takesEndOfLog?: true
  /** Whether nothing is left that was ever acknowledged. */
  readonly takesAll?: true
  readonly fill: (directory: string, round: Round) => void
}

const metaSizeBytes = 2 * pageSizeBytes
/** Page header, magic, version. */
const metaHeadSizeBytes = 32
const segmentHeaderSizeBytes = 80

const rowFile = (directory: string): string => join(directory, 'rows.lmdb')
const sizeOf = (path: string): number => statSync(path).size
const put = (path: string, { chance }: Round, length: number): void => writeFileSync(path, randomBytes(chance, length))
const putAt = (path: string, { chance }: Round, at: number, length: number): void => overwrite(path, at, randomBytes(chance, length))

const metaBodies = (directory: string, round: Round): void => {
  for (const page of [0, 1]) putAt(rowFile(directory), round, page * pageSizeBytes + metaHeadSizeBytes, 160)
}

const places: readonly Place[] = [
  { where: 'the row file', fill: (directory, round) => put(rowFile(directory), round, round.chance.below(300_000)) },
  { where: 'the row file, as long as it was', fill: (directory, round) => put(rowFile(directory), round, sizeOf(rowFile(directory))) },
  { where: 'the row file behind sound meta pages', fill: (directory, round) => putAt(rowFile(directory), round, metaSizeBytes, sizeOf(rowFile(directory)) - metaSizeBytes) },
  { where: 'one page of the row file', fill: (directory, round) => putAt(rowFile(directory), round, pageSizeBytes * round.chance.between(2, sizeOf(rowFile(directory)) / pageSizeBytes - 1), pageSizeBytes) },
  { where: 'both meta pages', fill: (directory, round) => putAt(rowFile(directory), round, 0, metaSizeBytes) },
  { where: 'one meta page', fill: (directory, round) => putAt(rowFile(directory), round, pageSizeBytes * round.chance.below(2), pageSizeBytes) },
  { where: 'both meta pages behind magic and version', fill: metaBodies },
  {
    where: 'a row file of zeros',
    fill(directory) {
      const size = sizeOf(rowFile(directory))
      truncateSync(rowFile(directory), 0)
      truncateSync(rowFile(directory), size)
    },
  },
  { where: 'the marker', fill: (directory, round) => put(join(directory, 'premisedb'), round, round.chance.below(100)) },
  { where: 'the newest segment', takesEndOfLog: true, fill: (directory, round) => put(newestSegment(directory), round, round.chance.below(100_000)) },
  {
    where: 'the newest segment behind its header',
    takesEndOfLog: true,
    fill: (directory, round) => putAt(newestSegment(directory), round, segmentHeaderSizeBytes, sizeOf(newestSegment(directory)) - segmentHeaderSizeBytes),
  },
  { where: 'a segment with a higher number', fill: (directory, round) => put(join(directory, 'log/0000009999.log'), round, round.chance.below(100_000)) },
  { where: 'a segment that was never finished', fill: (directory, round) => put(join(directory, 'log/0000009999.log.tmp'), round, round.chance.below(100_000)) },
  { where: 'the owner file', fill: (directory, round) => put(join(directory, 'owner'), round, round.chance.below(10_000)) },
  { where: "LMDB's lock file", fill: (directory, round) => put(join(directory, 'rows.lmdb-lock'), round, sizeOf(join(directory, 'rows.lmdb-lock'))) },
  {
    where: 'every file',
    takesEndOfLog: true,
    fill(directory, round) {
      for (const path of [rowFile(directory), newestSegment(directory), ...['owner', 'rows.lmdb-lock', 'premisedb'].map(name => join(directory, name))]) put(path, round, sizeOf(path))
    },
  },
  {
    where: 'the row file of an empty directory',
    takesAll: true,
    fill(directory, round) {
      rmSync(directory, { recursive: true })
      mkdirSync(directory)
      put(rowFile(directory), round, round.chance.below(300_000))
    },
  },
  {
    where: 'the row file beside a marker',
    fill(directory, round) {
      const marker = readFileSync(join(directory, 'premisedb'))
      rmSync(directory, { recursive: true })
      mkdirSync(directory)
      writeFileSync(join(directory, 'premisedb'), marker)
      put(rowFile(directory), round, round.chance.below(300_000))
    },
  },
]

export const garbage: Family = {
  name: 'garbage',
  about: 'random bytes as the row file, its pages, the marker, log segments, lock files; counts directories',
  perRound: 1,
  inMemory: true,
  control: {
    broken: 'the row file is not looked at before native code opens it',
    noticedAs: ['crashes'],
    patch: {
      file: 'engine/lmdb/row-file-check',
patch: ['export function checkRowFile(', "export function checkRowFile(path, files) { return files.lstatSync(path, { throwIfNoEntry: false }) ? 'sound' : 'absent' } function check("],
    },
  },
  async play(round) {
    const place = round.isControl ? places.find(({ fill }) => fill === metaBodies)! : places[round.seed % places.length]!
    const ended: Ended = round.chance.is(0.5) ? 'closed' : 'killed'
    const known = await knownDatabase(round, ended)
    place.fill(known.directory, round)
    const expected = place.takesAll ? new Map<string, string | null>() : known.expected
    await readBroken(round, { ...known, expected }, `garbage in ${place.where} of a ${ended} database`, place.takesEndOfLog === true)
  },
}
