/** What the tidiness tests read: the project's files, and the syntax of its TypeScript. Paths are relative to the root, with `/`. */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseAst } from 'vitest/node'

export const root: string = fileURLToPath(new URL('../..', import.meta.url))

export const read = (file: string): string => readFileSync(join(root, file), 'utf8')

/** The files below a folder that end in `ending`, sorted; none where the folder does not exist. Installed packages are left out. */
export function filesIn(folder: string, ending: string): string[] {
  if (!existsSync(join(root, folder))) return []
  const entries = readdirSync(join(root, folder), { withFileTypes: true }).filter(({ name }) => name !== 'node_modules')
  const found = entries.flatMap(entry => {
    const name = `${folder}/${entry.name}`
    if (entry.isDirectory()) return filesIn(name, ending)
    return entry.isFile() && name.endsWith(ending) ? [name] : []
  })
  return found.toSorted()
}

/** The files directly in the root. (In a worktree `.git` is a file; it is git's.) */
export const topLevelFiles = (): string[] =>
  readdirSync(root, { withFileTypes: true }).flatMap(entry => (entry.isFile() && entry.name !== '.git' ? [entry.name] : []))

/** The TypeScript sources that are published. */
export const publishedSources = (): string[] => [...filesIn('engine', '.ts'), ...filesIn('isolation', '.ts')]

/** A node of an ESTree syntax tree; only what every node has is typed. */
export interface SyntaxNode {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [property: string]: unknown
}

/** The statements of a TypeScript module. Offsets index into `source`. */
export function parse(source: string, file: string): SyntaxNode[] {
  const lang = file.endsWith('.d.ts') ? 'dts' : 'ts'
  return parseAst(source, { lang, sourceType: 'module' }, file).body as unknown as SyntaxNode[]
}

/** A node, its parent, and the parent's property that holds it. */
export interface Visit {
  readonly node: SyntaxNode
  readonly parent: SyntaxNode | undefined
  readonly property: string
}

/** Every node at and below `value`, in source order. */
export function* walk(value: unknown, parent?: SyntaxNode, property = ''): Generator<Visit> {
  if (Array.isArray(value)) {
    for (const element of value) yield* walk(element, parent, property)
  } else if (isNode(value)) {
    yield { node: value, parent, property }
    for (const [name, child] of Object.entries(value)) yield* walk(child, value, name)
  }
}

export const isNode = (value: unknown): value is SyntaxNode =>
  typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string'

export const lineAt = (source: string, offset: number): number => source.slice(0, offset).split('\n').length

/** The string of a literal node, undefined for anything else. */
export function literal(value: unknown): string | undefined {
  return isNode(value) && value.type === 'Literal' && typeof value['value'] === 'string' ? value['value'] : undefined
}

/** The name of an identifier node (or of a string used as one), undefined for anything else. */
export function nameOf(value: unknown): string | undefined {
  if (isNode(value) && value.type === 'Identifier') return String(value['name'])
  return literal(value)
}

/** Brings dist/ up to date, as `npm test` does, for who runs one test file alone. */
export function build(): void {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['test/build-if-changed.mjs'], { cwd: root, encoding: 'utf8' })
  if (status !== 0) throw new Error(`dist/ cannot be built:\n${stdout}${stderr}`)
}
