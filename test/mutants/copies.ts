/** Copies of the project that may be broken: compiled, to be played, or as sources, to be tested. */
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Mutant } from './mutant.js'

/** This file runs as `dist/test/mutants/copies.js`. */
const root = fileURLToPath(new URL('../../..', import.meta.url))

export interface Copy extends Disposable {
  /** Where modules and test files are named from. */
  readonly folder: string
}

/** A copy of what was built. */
export function compiledCopy(mutant: Mutant | undefined): Copy {
  return patchedCopy(['dist/engine', 'dist/isolation', 'dist/test', 'package.json'], 'dist', '.js', mutant)
}

/** A copy of the sources and tests. */
export function sourceCopy(mutant: Mutant | undefined): Copy {
  return patchedCopy(['engine', 'isolation', 'test', 'package.json', 'tsconfig.json'], '.', '.ts', mutant)
}

function patchedCopy(parts: readonly string[], from: string, ending: string, mutant: Mutant | undefined): Copy {
  const top = mkdtempSync(join(tmpdir(), 'premisedb-mutant-'))
  const remove = (): void => rmSync(top, { recursive: true, force: true })
  try {
    for (const part of parts) cpSync(join(root, part), join(top, part), { recursive: true })
    symlinkSync(join(root, 'node_modules'), join(top, 'node_modules'))
    const folder = join(top, from)
    if (mutant) {
      const path = join(folder, mutant.file + ending)
      writeFileSync(path, patched(mutant, path))
    }
    return { folder, [Symbol.dispose]: remove }
  } catch (error) {
    remove()
    throw error
  }
}

/** Throws where a patch no longer fits, before anything is run. */
export function checkPatches(mutants: readonly Mutant[]): void {
  for (const mutant of mutants) {
    const isTested = 'test' in mutant.caughtBy
    if (isTested && !existsSync(join(root, mutant.caughtBy.test))) throw new Error(`Mutant ${mutant.name}: there is no ${mutant.caughtBy.test}.`)
    patched(mutant, join(root, isTested ? '.' : 'dist', mutant.file + (isTested ? '.ts' : '.js')))
  }
}

/** The text of a module with its patches. */
function patched({ name, file, patches }: Mutant, path: string): string {
  if (!existsSync(path)) throw new Error(`Mutant ${name}: there is no ${file}.`)
  let text = readFileSync(path, 'utf8')
  for (const [find, replace] of patches) {
    const pattern = new RegExp(find.trim().split(/\s+/).map(escaped).join('\\s+'), 'g')
    const places = [...text.matchAll(pattern)].length
    if (places !== 1) throw new Error(`Mutant ${name}: ${places} places of ${file} read "${find}"; there must be one. The rule has moved: write the patch anew.`)
    text = text.replace(pattern, () => replace)
  }
  return text
}

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)
