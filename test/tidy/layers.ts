/** The layer table of the design as data, and the functions that hold a source file against it. */
import { isBuiltin } from 'node:module'
import { posix } from 'node:path'
import { isNode, lineAt, literal, nameOf, parse, walk, type SyntaxNode, type Visit } from './project.js'

interface Layer {
  /** Files of this layer; the first layer that holds a file decides. */
  readonly holds: readonly Pattern[]
  readonly mayImport: readonly Pattern[]
  readonly why: string
}

/** A file or a package by name, everything below a folder (`engine/log/`), or the files directly in one (`engine/*.ts`). */
type Pattern = string

interface Rule {
  readonly targets: readonly Pattern[]
  readonly onlyFrom: readonly Pattern[]
  readonly why: string
}

const leaves = ['engine/errors.ts', 'engine/limits.ts', 'engine/environment.ts', 'isolation/types.ts']
const database = ['engine/*.ts', 'engine/table/', 'engine/store/', 'engine/encoding/', 'isolation/*.ts', '@standard-schema/spec', 'node:*']

export const layers: readonly Layer[] = [
  {
    holds: ['isolation/types.ts'],
    mayImport: [],
    why: 'isolation/types.ts holds the words that every layer shares, so it imports nothing.',
  },
  {
    holds: ['isolation/anomaly/'],
    mayImport: ['isolation/anomaly/', 'isolation/types.ts'],
    why: 'The anomaly suite judges every store alike, so it knows none: a store reaches it as a Subject.',
  },
  {
    holds: ['isolation/'],
    mayImport: ['isolation/*.ts'],
    why: 'Concurrency control is pure: it imports only its own files, so that it can be proved and simulated without a store.',
  },
  {
    holds: ['engine/environment.ts'],
    mayImport: [...leaves, 'node:*'],
    why: 'engine/environment.ts is a leaf: every layer imports it, so it imports only shared words and Node itself.',
  },
  {
    holds: ['engine/errors.ts', 'engine/limits.ts'],
    mayImport: leaves,
    why: 'engine/errors.ts and engine/limits.ts are leaves: every layer imports them, so they import only shared words.',
  },
  {
    holds: ['engine/encoding/'],
    mayImport: ['engine/encoding/', ...leaves, 'node:*'],
    why: 'Encodings are functions of their arguments: they know shared words, and no layer above.',
  },
  {
    holds: ['engine/lmdb/'],
    mayImport: ['engine/lmdb/', 'engine/encoding/', ...leaves, 'lmdb', 'node:*'],
    why: 'engine/lmdb wraps the package `lmdb` and nothing else: it knows encodings, and neither the log nor the window.',
  },
  {
    holds: ['engine/log/'],
    mayImport: ['engine/log/', 'engine/encoding/', ...leaves, 'node:*'],
    why: 'The commit log knows encodings and the Environment, and neither LMDB nor what the records mean to a transaction.',
  },
  {
    holds: ['engine/store/owner-lock.ts'],
    mayImport: ['engine/store/', 'engine/encoding/', ...leaves, 'fs-native-extensions', 'node:*'],
    why: 'The owner lock is taken before LMDB or the log open anything, so it knows neither.',
  },
  {
    holds: ['engine/store/'],
    mayImport: ['engine/store/', 'engine/lmdb/', 'engine/log/', 'engine/encoding/', ...leaves, 'sorted-btree', 'node:*'],
    why: 'The store keeps versions and does not know transactions: it imports lmdb, log, encoding and shared words, nothing above.',
  },
  {
    holds: ['engine/cli/'],
    mayImport: ['engine/cli/', 'engine/index.ts', 'isolation/anomaly/index.ts', 'node:*'],
    why: 'The command is a user of the published library: it sees engine/index.ts and isolation/anomaly/index.ts only.',
  },
  {
    holds: ['bench/lagging.ts'],
    mayImport: ['bench/', 'isolation/*.ts'],
    why: 'bench/lagging.ts times validation itself, which is pure and can be had without a store.',
  },
  {
    holds: ['bench/'],
    mayImport: ['bench/', 'engine/index.ts', 'lmdb', 'tinybench', 'node:*'],
    why: 'A benchmark is a user of the published library: it sees engine/index.ts only, and other stores through bench/peers.ts (`lmdb` is there anyway).',
  },
  {
    holds: ['engine/open.ts', 'engine/check.ts'],
    mayImport: [...database, 'engine/lmdb/', 'engine/log/'],
    why: 'engine/open.ts composes the parts (engine/check.ts those of a closed database): they may see every layer below, and neither the command nor the anomaly suite.',
  },
  {
    holds: ['engine/*.ts', 'engine/table/'],
    mayImport: database,
    why: 'Database, transactions and tables reach LMDB and the log through engine/store; only engine/open.ts composes the parts, and engine/check.ts those of a closed database.',
  },
]

/** Bans that have a sentence of their own, looked at before the layers. */
export const rules: readonly Rule[] = [
  {
    targets: ['bench/'],
    onlyFrom: ['bench/'],
    why: 'Published code imports no benchmarks: they are not published with it.',
  },
  {
    targets: ['test/', 'dist/'],
    onlyFrom: [],
    why: 'Published code and benchmarks import neither tests nor built output: they are not published with it.',
  },
  {
    targets: ['lmdb'],
    onlyFrom: ['engine/lmdb/', 'bench/subjects/lmdb.ts', 'bench/subjects/lmdb-rows.ts'],
    why: 'Only engine/lmdb imports `lmdb` (and the benchmarks that race it): several defaults of that package lose data, and one wrapper keeps to the safe profile.',
  },
  {
    targets: ['fs-native-extensions'],
    onlyFrom: ['engine/store/owner-lock.ts'],
    why: 'One process owns a directory, and one file (engine/store/owner-lock.ts) decides which.',
  },
  {
    targets: ['node:fs', 'node:fs/promises'],
    onlyFrom: ['engine/environment.ts', 'engine/cli/', 'bench/'],
    why: 'File operations come through the Environment, so that a test can make each of them fail.',
  },
  {
    targets: ['node:timers', 'node:timers/promises', 'node:perf_hooks', 'node:crypto'],
    onlyFrom: ['engine/environment.ts', 'engine/cli/', 'bench/'],
    why: 'Clock, timers and chance come through the Environment, so that a seed reproduces a run.',
  },
]

const chance = ['Date.now', 'Date()', 'performance', 'setTimeout', 'setInterval', 'setImmediate', 'Math.random', 'crypto', 'AbortSignal.timeout']

/** Globals that a layer may not touch; the first entry that holds a file decides. */
const globals: readonly { readonly holds: readonly Pattern[]; readonly banned: readonly string[]; readonly why: string }[] = [
  { holds: ['engine/environment.ts', 'engine/cli/'], banned: [], why: '' },
  {
    holds: ['engine/'],
    banned: chance,
    why: 'Clock, timers and chance come through the Environment, so that a test can steer them and a seed reproduces a run.',
  },
  {
    holds: ['isolation/'],
    banned: [...chance, 'process'],
    why: 'isolation/ is pure: no clock, timers, chance or process, so that the same calls always give the same answer.',
  },
]

/** Everything in a source file that the layers forbid, one sentence each. */
export function violations(file: string, source: string): string[] {
  const program = parse(source, file)
  const found: { at: number; sentence: string }[] = []
  for (const { specifier, at } of importsOf(program)) {
    const why = banOfImport(file, specifier)
    if (why) found.push({ at, sentence: `imports '${specifier}'. ${why}` })
  }
  const layer = globals.find(({ holds }) => matchesAny(holds, file))
  for (const { name, at } of globalsUsedIn(program)) {
    if (layer?.banned.includes(name)) found.push({ at, sentence: `uses ${name}. ${layer.why}` })
  }
  for (const { node } of walk(program)) {
    if (node.type !== 'ExportAllDeclaration') continue
    found.push({ at: node.start, sentence: 'says `export *`. Every exported name is listed, so that each change to the list is seen.' })
  }
  return found.map(({ at, sentence }) => `${file}:${lineAt(source, at)} ${sentence}`)
}

function banOfImport(file: string, specifier: string): string | undefined {
  const target = targetOf(file, specifier)
  if (target === undefined) return 'An import whose target is computed cannot be held against the layers.'
  const rule = rules.find(({ targets }) => matchesAny(targets, target))
  if (rule && !matchesAny(rule.onlyFrom, file)) return rule.why
  const layer = layers.find(({ holds }) => matchesAny(holds, file))
  if (!layer) return 'This folder is not in the layer table (test/tidy/layers.ts); add it with what it may import, and why.'
  return matchesAny(layer.mayImport, target) ? undefined : layer.why
}

/** What an import names: a file of the project, a builtin as `node:…`, or a package. */
function targetOf(file: string, specifier: string): string | undefined {
  if (specifier === computed) return undefined
  if (specifier.startsWith('.')) return posix.join(posix.dirname(file), specifier).replace(/\.js$/, '.ts')
  if (isBuiltin(specifier)) return `node:${specifier.replace(/^node:/, '')}`
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
}

const matchesAny = (patterns: readonly Pattern[], target: string): boolean => patterns.some(pattern => matches(pattern, target))

function matches(pattern: Pattern, target: string): boolean {
  if (pattern === 'node:*') return target.startsWith('node:')
  if (pattern.endsWith('/*.ts')) return posix.dirname(target) === posix.dirname(pattern) && target.endsWith('.ts')
  return pattern.endsWith('/') ? target.startsWith(pattern) : target === pattern
}

const computed = '(computed)'

/** Every module that a file names: static, dynamic, type-only, re-exported, inside a type. */
function importsOf(program: readonly SyntaxNode[]): { specifier: string; at: number }[] {
  const found: { specifier: string; at: number }[] = []
  for (const { node } of walk(program)) {
    const source = node.type === 'TSExternalModuleReference' ? node['expression'] : node['source']
    if (importing.has(node.type) && isNode(source)) found.push({ specifier: literal(source) ?? computed, at: node.start })
    if (node.type === 'CallExpression' && nameOf(node['callee']) === 'require') found.push({ specifier: computed, at: node.start })
  }
  return found
}

const importing = new Set([
  'ImportDeclaration',
  'ExportNamedDeclaration',
  'ExportAllDeclaration',
  'ImportExpression',
  'TSImportType',
  'TSExternalModuleReference',
])

/** Globals as `name` or `object.name`; `Date()` is a Date made of the present. */
function globalsUsedIn(program: readonly SyntaxNode[]): { name: string; at: number }[] {
  const found: { name: string; at: number }[] = []
  for (const visit of walk(program)) {
    const { node } = visit
    const name = node.type === 'MemberExpression' ? memberName(node) : isReference(visit) ? nameOf(node) : undefined
    if (name !== undefined) found.push({ name: name.replace(/^globalThis\./, ''), at: node.start })
    const isCall = node.type === 'CallExpression' || node.type === 'NewExpression'
    const ofThePresent = node.type === 'CallExpression' || (Array.isArray(node['arguments']) && node['arguments'].length === 0)
    if (isCall && ofThePresent && nameOf(node['callee']) === 'Date') found.push({ name: 'Date()', at: node.start })
  }
  return found
}

function memberName(node: SyntaxNode): string | undefined {
  const object = isNode(node['object']) && node['object'].type === 'MemberExpression' ? memberName(node['object']) : nameOf(node['object'])
  const property = node['computed'] === true ? literal(node['property']) : nameOf(node['property'])
  return object !== undefined && property !== undefined ? `${object}.${property}`.replace(/^globalThis\./, '') : undefined
}

/** True for an identifier that stands for a value, false where it only names a property, a member or a type. */
function isReference({ node, parent, property }: Visit): boolean {
  if (node.type !== 'Identifier' || !parent) return false
  if (parent.type === 'MemberExpression') return property === 'object' || parent['computed'] === true
  if (property === 'key') return parent['computed'] === true
  return !/^(TS|Import|Export)/.test(parent.type)
}
