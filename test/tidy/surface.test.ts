import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { build, read, root } from './project.js'
import { surfaceOf } from './surface.js'

const accept = `The public surface has changed. If callers shall see this change, accept it and say so in CHANGELOG.md:
  npx vitest run --config test/vitest.config.ts test/tidy/surface.test.ts --update\n`

describe.runIf(existsSync(join(root, 'engine/index.ts')))('the public surface changes only on purpose', () => {
  beforeAll(build)

  test.each([
    ['premisedb', 'dist/engine/index.d.ts'],
    ['premisedb/anomaly', 'dist/isolation/anomaly/index.d.ts'],
  ])('%s', async (entry, file) => {
    await expect(surfaceOf(file, read), accept).toMatchFileSnapshot(`surface/${entry.replace('/', '-')}.txt`)
  })
})

describe('the surface is what an exported name leads to', () => {
  const tree: Record<string, string> = {
    'index.d.ts': `
      export { open, type Options as OpenOptions } from './open.js';
      export type { Row } from './rows.js';`,
    'open.d.ts': `
      import { Database } from './database.js';
      import type { StandardSchemaV1 } from '@standard-schema/spec';
      /** Says 'it's // open'. */
      export interface Options { readonly path: '// kept'; }
      export declare function open(options: Options): Promise<Database>;
      export declare function unlisted(schema: StandardSchemaV1): void;`,
    'database.d.ts': `
      declare const brand: unique symbol;
      type Id = string & { [brand]: 'Id' };
      type Internal = number;
      export declare class Database { #private; table(id: Id): import('./rows.js').Table; }`,
    'rows.d.ts': `
      import { StandardSchemaV1 as Schema } from '@standard-schema/spec';
      export interface Row { readonly Unrelated: string }
      export interface Table { readonly schema: Schema }
      interface Unrelated {}`,
  }
  const surface = (changed: Record<string, string> = {}): string => surfaceOf('index.d.ts', file => changed[file] ?? tree[file] ?? '')

  test('exported names, what they mention and packages are in it', () => {
    expect(surface().split('\n')).toEqual([
      'export type OpenOptions',
      'export type Row',
      'export open',
      '',
      `import StandardSchemaV1 from '@standard-schema/spec'`,
      '',
      'class Database { #private; table(id: Id): import(\'./rows.js\').Table; }',
      '',
      'const brand: unique symbol;',
      '',
      'function open(options: Options): Promise<Database>;',
      '',
      `interface Options { readonly path: '// kept'; }`,
      '',
      'interface Row { readonly Unrelated: string }',
      '',
      'interface Table { readonly schema: Schema }',
      '',
      `type Id = string & { [brand]: 'Id' };`,
      '',
    ])
  })

  test('a change that callers can see changes it, a change that they cannot does not', () => {
    expect(surface({ 'database.d.ts': tree['database.d.ts']!.replace('Internal = number', 'Internal = bigint') })).toBe(surface())
    expect(surface({ 'open.d.ts': tree['open.d.ts']!.replace('Says', 'Tells') })).toBe(surface())
    expect(surface({ 'database.d.ts': tree['database.d.ts']!.replace('id: Id', 'id?: Id') })).not.toBe(surface())
    expect(surface({ 'rows.d.ts': tree['rows.d.ts']!.replace('schema: Schema', 'schema?: Schema') })).not.toBe(surface())
  })

  test('`export *` is refused', () => {
    expect(() => surface({ 'index.d.ts': `export * from './open.js'` })).toThrow('the surface is a list of names')
  })
})
