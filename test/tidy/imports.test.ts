import { describe, expect, test } from 'vitest'
import { violations } from './layers.js'
import { filesIn, publishedSources, read } from './project.js'

test('imports flow down: no file of the engine, of isolation or of the benchmarks reaches past its layer', () => {
  const files = [...publishedSources(), ...filesIn('bench', '.ts')]
  expect(files.length).toBeGreaterThan(3)
  expect(files.flatMap(file => violations(file, read(file))).join('\n')).toBe('')
})

describe('the check bites', () => {
  const offending: readonly [file: string, source: string, part: string][] = [
    ['isolation/types.ts', `import type { Read } from './read-set.js'`, 'imports nothing'],
    ['isolation/read-set.ts', `import type { Scenario } from './anomaly/index.js'`, 'Concurrency control is pure'],
    ['isolation/read-set.ts', `import { join } from 'node:path'`, 'Concurrency control is pure'],
    ['isolation/read-set.ts', `import { PremiseError } from '../engine/errors.js'`, 'Concurrency control is pure'],
    ['isolation/read-set.ts', `const now = Date.now()`, 'uses Date.now'],
    ['isolation/read-set.ts', `if (process.env['DEBUG']) throw new Error()`, 'uses process'],
    ['isolation/anomaly/runner.ts', `import { open } from '../../engine/index.js'`, 'judges every store alike'],
    ['isolation/anomaly/runner.ts', `import { ReadSet } from '../read-set.js'`, 'judges every store alike'],
    ['isolation/anomaly/runner.ts', `const seed = Math.random()`, 'uses Math.random'],
    ['engine/errors.ts', `import { join } from 'node:path'`, 'are leaves'],
    ['engine/limits.ts', `import { encode } from './encoding/keys.js'`, 'are leaves'],
    ['engine/environment.ts', `import { Log } from './log/log.js'`, 'is a leaf'],
    ['engine/encoding/keys.ts', `import { RowFile } from '../lmdb/row-file.js'`, 'functions of their arguments'],
    ['engine/encoding/keys.ts', `import { readFileSync } from 'fs'`, 'File operations come through the Environment'],
    ['engine/lmdb/row-file.ts', `import { Log } from '../log/log.js'`, 'wraps the package'],
    ['engine/log/log.ts', `import * as fs from 'node:fs'`, 'File operations come through the Environment'],
    ['engine/log/log.ts', `import type { RowFile } from '../lmdb/row-file.js'`, 'neither LMDB nor'],
    ['engine/store/window.ts', `import { Transaction } from '../transaction.js'`, 'does not know transactions'],
    ['engine/store/window.ts', `import { ReadSet } from '../../isolation/read-set.js'`, 'does not know transactions'],
    ['engine/store/window.ts', `import { open } from 'lmdb'`, 'Only engine/lmdb'],
    ['engine/store/window.ts', `import { tryLock } from 'fs-native-extensions'`, 'One process owns a directory'],
    ['engine/store/owner-lock.ts', `import { RowFile } from '../lmdb/row-file.js'`, 'owner lock'],
    ['engine/store/window.ts', `setTimeout(() => {}, 10)`, 'uses setTimeout'],
    ['engine/database.ts', `import { Log } from './log/log.js'`, 'only engine/open.ts composes'],
    ['engine/database.ts', `export { main } from './cli/premise.js'`, 'only engine/open.ts composes'],
    ['engine/database.ts', `import { runMatrix } from '../isolation/anomaly/index.js'`, 'only engine/open.ts composes'],
    ['engine/database.ts', `import { z } from 'zod'`, 'only engine/open.ts composes'],
    ['engine/database.ts', `const helper = await import('../test/helper.js')`, 'import neither tests'],
    ['engine/database.ts', `type Row = import('../bench/rows.js').Row`, 'imports no benchmarks'],
    ['engine/database.ts', `const part = await import('./' + name)`, 'cannot be held against the layers'],
    ['engine/database.ts', `import { setTimeout } from 'node:timers/promises'`, 'Clock, timers and chance'],
    ['engine/database.ts', `globalThis.setTimeout(f, 1)`, 'uses setTimeout'],
    ['engine/database.ts', `const startedAt = new Date()`, 'uses Date()'],
    ['engine/database.ts', `const schedule = { setImmediate }`, 'uses setImmediate'],
    ['engine/table/table.ts', `import { RowFile } from '../lmdb/row-file.js'`, 'only engine/open.ts composes'],
    ['engine/open.ts', `import { main } from './cli/premise.js'`, 'composes the parts'],
    ['engine/cli/premise.ts', `import { Database } from '../database.js'`, 'user of the published library'],
    ['bench/subjects/premisedb.ts', `import { Store } from '../../engine/store/store.js'`, 'sees engine/index.ts only'],
    ['bench/subjects/better-sqlite3.ts', `import Database from 'better-sqlite3'`, 'through bench/peers.ts'],
    ['bench/workloads/point-read.ts', `import { open } from 'lmdb'`, 'Only engine/lmdb'],
    ['bench/main.ts', `import { read } from '../test/tidy/project.js'`, 'import neither tests'],
    ['engine/sync/sync.ts', `import { join } from 'node:path'`, 'not in the layer table'],
    ['engine/index.ts', `export * from './errors.js'`, 'says `export *`'],
  ]

  test.each(offending)('%s: %s', (file, source, part) => {
    const found = violations(file, `\n${source}\n`)
    expect(found).toHaveLength(1)
    expect(found[0]).toContain(`${file}:2 `)
    expect(found[0]).toContain(part)
  })

  const allowed: readonly [file: string, source: string][] = [
    ['isolation/read-set.ts', `import { successor } from './types.js'`],
    ['isolation/read-set.ts', `// Date.now() and process are words here\nconst weight = { process: 1 }.process`],
    ['engine/encoding/values.ts', `import { crc32 } from 'node:zlib'\nconst date = new Date(milliseconds)`],
    ['engine/log/log.ts', `import { crc32 } from 'node:zlib'\nimport type { Environment } from '../environment.js'`],
    ['engine/store/window.ts', `import BTree from 'sorted-btree'\nenvironment.setImmediate(run)`],
    ['engine/store/owner-lock.ts', `import { tryLock } from 'fs-native-extensions'`],
    ['engine/open.ts', `import { RowFile } from './lmdb/row-file.js'\nimport { Log } from './log/log.js'`],
    ['engine/table/table.ts', `import type { StandardSchemaV1 } from '@standard-schema/spec'\nimport { ReadSet } from '../../isolation/read-set.js'`],
    ['bench/runner.ts', `import { tmpdir } from 'node:os'\nimport { open } from '../engine/index.js'\nsetTimeout(stop, 10)`],
    ['engine/cli/premise.ts', `import { readFileSync } from 'node:fs'\nimport { open } from '../index.js'\nsetTimeout(stop, 10)`],
  ]

  test.each(allowed)('and leaves alone %s: %s', (file, source) => {
    expect(violations(file, source)).toEqual([])
  })
})
