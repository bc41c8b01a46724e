/**
 * The public surface as text: the names that an entry exports, and every declaration that a caller can reach from them. Comments, files and
 * declarations that no exported name leads to are left out, so the text changes when, and only when, callers can notice.
 */
import { posix } from 'node:path'
import { isNode, literal, nameOf, parse, walk, type SyntaxNode } from './project.js'

/** Where a name comes from: a name in another module, or (`*`) the whole of it. */
interface Origin {
  readonly specifier: string
  readonly name: string
}

interface Module {
  readonly file: string
  readonly source: string
  /** Several statements may share a name: overloads, an interface beside a constant. */
  readonly declarations: ReadonlyMap<string, readonly SyntaxNode[]>
  readonly imports: ReadonlyMap<string, Origin>
  /** Exported name to a local name, or to a name elsewhere. */
  readonly exports: ReadonlyMap<string, string | Origin>
  /** The exported names that exist for the type checker only. */
  readonly typesOnly: ReadonlySet<string>
}

/** `readModule` gives the text of a `.d.ts` file. */
export function surfaceOf(entry: string, readModule: (file: string) => string): string {
  const reach = new Reach(readModule)
  const { exports, typesOnly } = reach.module(entry)
  const names = [...exports.keys()].toSorted()
  for (const name of names) reach.follow(entry, name)
  const listed = names.map(name => `export ${typesOnly.has(name) ? 'type ' : ''}${name}`)
  return [...listed, '', ...[...reach.packages].toSorted(), '', ...[...reach.texts].toSorted().flatMap(text => [text, ''])].join('\n')
}

class Reach {
  readonly texts = new Set<string>()
  readonly packages = new Set<string>()
  readonly #seen = new Set<string>()
  readonly #modules = new Map<string, Module>()
  readonly #readModule: (file: string) => string

  constructor(readModule: (file: string) => string) {
    this.#readModule = readModule
  }

  module(file: string): Module {
    const known = this.#modules.get(file)
    if (known) return known
    const module = moduleOf(file, withoutComments(this.#readModule(file)))
    this.#modules.set(file, module)
    return module
  }

  /** Follows an exported name to its declaration, and from there to all that the declaration mentions. */
  follow(file: string, name: string): void {
    const { exports } = this.module(file)
    if (name === '*') {
      for (const each of exports.keys()) this.follow(file, each)
      return
    }
    const target = exports.get(name)
    if (target === undefined) throw new Error(`${file} exports no '${name}' that the surface test can see.`)
    if (typeof target === 'string') this.#followLocal(file, target)
    else this.#followOrigin(file, target)
  }

  #followOrigin(file: string, { specifier, name }: Origin): void {
    if (specifier.startsWith('.')) this.follow(declarationFile(file, specifier), name)
    else this.packages.add(`import ${name} from '${specifier}'`)
  }

  #followLocal(file: string, name: string): void {
    const id = `${file} ${name}`
    if (this.#seen.has(id)) return
    this.#seen.add(id)
    const { source, declarations, imports } = this.module(file)
    const origin = imports.get(name)
    if (origin) this.#followOrigin(file, origin)
    for (const node of declarations.get(name) ?? []) {
      this.texts.add(textOf(source, node))
      this.#followMentions(file, node)
    }
  }

  #followMentions(file: string, declaration: SyntaxNode): void {
    for (const { node, parent, property } of walk(declaration)) {
      if (node.type === 'TSImportType') {
        this.#followOrigin(file, { specifier: literal(node['source']) ?? '', name: firstName(node['qualifier']) ?? '*' })
      }
      const namesProperty = (property === 'key' && parent?.['computed'] !== true) || property === 'right' || property === 'qualifier'
      const name = namesProperty ? undefined : nameOf(node)
      if (name !== undefined) this.#followLocal(file, name)
    }
  }
}

function moduleOf(file: string, source: string): Module {
  const declarations = new Map<string, SyntaxNode[]>()
  const imports = new Map<string, Origin>()
  const exports = new Map<string, string | Origin>()
  const typesOnly = new Set<string>()
  for (const statement of parse(source, file)) {
    const specifier = literal(statement['source'])
    const specifiers = nodesOf(statement['specifiers'])
    if (statement.type === 'ImportDeclaration') {
      for (const each of specifiers) imports.set(nameOf(each['local']) ?? '', { specifier: specifier ?? '', name: importedName(each) })
    } else if (statement.type === 'ExportNamedDeclaration' && !isNode(statement['declaration'])) {
      for (const each of specifiers) {
        const local = nameOf(each['local']) ?? ''
        const exported = nameOf(each['exported']) ?? ''
        exports.set(exported, specifier === undefined ? local : { specifier, name: local })
        if (statement['exportKind'] === 'type' || each['exportKind'] === 'type') typesOnly.add(exported)
      }
    } else if (statement.type === 'ExportAllDeclaration') {
      throw new Error(`${file} says \`export *\`: the surface is a list of names.`)
    } else {
      const inner = statement['declaration']
      const node = isNode(inner) ? inner : statement
      for (const name of declaredNames(node)) {
        declarations.set(name, [...(declarations.get(name) ?? []), node])
        if (node !== statement) exports.set(statement.type === 'ExportDefaultDeclaration' ? 'default' : name, name)
      }
    }
  }
  return { file, source, declarations, imports, exports, typesOnly }
}

function importedName(specifier: SyntaxNode): string {
  if (specifier.type === 'ImportDefaultSpecifier') return 'default'
  return specifier.type === 'ImportNamespaceSpecifier' ? '*' : (nameOf(specifier['imported']) ?? '')
}

function declaredNames(declaration: SyntaxNode): string[] {
  const holders = declaration.type === 'VariableDeclaration' ? nodesOf(declaration['declarations']) : [declaration]
  return holders.flatMap(holder => nameOf(holder['id']) ?? [])
}

/** The leftmost name of `A.B.C`. */
function firstName(qualified: unknown): string | undefined {
  return isNode(qualified) && isNode(qualified['left']) ? firstName(qualified['left']) : nameOf(qualified)
}

const nodesOf = (value: unknown): SyntaxNode[] => (Array.isArray(value) ? value.filter(isNode) : [])

const declarationFile = (from: string, specifier: string): string =>
  posix.join(posix.dirname(from), specifier).replace(/\.js$/, '.d.ts')

const textOf = (source: string, { start, end }: SyntaxNode): string =>
  source
    .slice(start, end)
    .replace(/^declare /, '')
    .replaceAll(/[ \t]+$/gm, '')
    .replaceAll(/\n{2,}/g, '\n')

/** A declaration file holds no regular expressions, so strings are all that can hide something that looks like a comment. */
const withoutComments = (source: string): string =>
  source.replaceAll(/("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`(?:\\.|[^`\\])*`)|\/\*[\s\S]*?\*\/|\/\/.*/g, (_, text: string | undefined) => text ?? '')
