import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { examplesIn, type Example } from './examples.js'
import { build, filesIn, read, root } from './project.js'

const pages = ['README.md', ...filesIn('docs', '.md')].filter(file => existsSync(join(root, file)))
const examples = pages.flatMap(file => examplesIn(file, read(file)))
const runnable = examples.filter(({ language }) => language === 'js')
const typed = examples.filter(({ language }) => language === 'ts')
const unchecked = typed.filter(({ info }) => info === 'no-check')

const place = ({ file, line }: Example): string => `${file}:${line}`

describe.runIf(existsSync(join(root, 'engine/index.ts')))('what the documents show works', () => {
  let folder = ''

  beforeAll(() => {
    build()
    folder = folderOfAUser()
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  test.each(runnable.map(example => [place(example), example] as const))('%s runs', (at, example) => {
    const own = mkdtempSync(join(folder, 'run-'))
    const { status, signal, stdout, stderr } = runExample(own, example)
    expect({ at, status, signal, stderr }).toEqual({ at, status: 0, signal: null, stderr: '' })
    if (example.output !== undefined) expect(stdout).toBe(example.output)
  })

  test(`all TypeScript examples compile (${unchecked.length} of ${typed.length} say no-check)`, () => {
    expect(compileExamples(folder, typed.filter(example => !unchecked.includes(example)))).toBe('')
  })
})

test('an opening fence says `js`, `ts` or `ts no-check`, and nothing else about an example', () => {
  const wrong = [...runnable.filter(({ info }) => info !== ''), ...typed.filter(({ info }) => info !== '' && info !== 'no-check')]
  expect(wrong.map(place)).toEqual([])
  expect(examples.filter(({ language }) => ['javascript', 'typescript', 'mjs', 'mts'].includes(language)).map(place)).toEqual([])
})

test('a code block is found with its line, its words and the output that follows it', () => {
  const shown = ['# Page', '```js', `console.log('a')`, '```', '', '```text output', 'a', '```', '']
  const listed = ['- item', '  ```ts no-check', '  x', '  ```', 'Then', '```text output', 'b', '```', '']
  const page = [...shown, ...listed].join('\n')
  expect(examplesIn('page.md', page)).toEqual([
    { file: 'page.md', line: 3, language: 'js', info: '', code: `console.log('a')\n`, output: 'a\n' },
    { file: 'page.md', line: 7, language: 'text', info: 'output', code: 'a\n', output: undefined },
    { file: 'page.md', line: 12, language: 'ts', info: 'no-check', code: 'x\n', output: undefined },
    { file: 'page.md', line: 16, language: 'text', info: 'output', code: 'b\n', output: undefined },
  ])
  expect(() => examplesIn('page.md', '```js\nx')).toThrow('page.md:1 opens a code block')
})

test('an example that fails is told from one that runs, and one that does not compile from one that does', () => {
  const folder = folderOfAUser()
  try {
    const example = { file: 'page.md', line: 3, language: 'js', info: '', output: undefined }
    expect(runExample(folder, { ...example, code: `console.log(process.version)` })).toMatchObject({ status: 0, stdout: `${process.version}\n` })
    const failed = runExample(folder, { ...example, code: `throw new Error('no')` })
    expect(failed).toMatchObject({ status: 1, stderr: expect.stringContaining('page.md-3.mjs:3') })
    expect(compileExamples(folder, [{ ...example, code: 'const a: number = 1\nconsole.log(await a)' }])).toBe('')
    expect(compileExamples(folder, [{ ...example, code: `const a: number = 'a'` }])).toContain('page.md-3.ts(3,7): error TS2322')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

/** A folder in which `premisedb` is installed, as in a user's project, and with it every package that an example may import beside it. */
function folderOfAUser(): string {
  // The real path: a compiler error names it, and tmpdir() may be a link.
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'premisedb-examples-')))
  const modules = join(folder, 'node_modules')
  const link = (name: string, target: string): void => {
    mkdirSync(dirname(join(modules, name)), { recursive: true })
    symlinkSync(target, join(modules, name), 'dir')
  }
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n')
  link('premisedb', root)
  const { dependencies, devDependencies } = JSON.parse(read('package.json')) as Record<'dependencies' | 'devDependencies', object>
  for (const name of Object.keys({ ...dependencies, ...devDependencies })) link(name, join(root, 'node_modules', name))
  return folder
}

/** Blank lines put the code on the line that it has on its page, so that errors name that line. */
function writeExample(folder: string, { file, line, code }: Example, ending: string): string {
  const name = `${file.replaceAll('/', '-')}-${line}${ending}`
  writeFileSync(join(folder, name), '\n'.repeat(line - 1) + code)
  return name
}

function runExample(folder: string, example: Example): { status: number | null; signal: string | null; stdout: string; stderr: string } {
  const name = writeExample(folder, example, '.mjs')
  return spawnSync(process.execPath, [name], { cwd: folder, encoding: 'utf8', timeout: 20_000, killSignal: 'SIGKILL' })
}

/** What tsc has to say about the examples; nothing is best. */
function compileExamples(folder: string, checked: readonly Example[]): string {
  const files = checked.map(example => writeExample(folder, example, '.ts'))
  const compilerOptions = {
    target: 'es2023',
    lib: ['es2023', 'esnext.disposable'],
    module: 'nodenext',
    moduleDetection: 'force',
    types: ['node'],
    strict: true,
    skipLibCheck: true,
    noEmit: true,
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }))
  if (files.length === 0) return ''
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const { status, stdout, stderr } = spawnSync(process.execPath, [tsc, '-p', folder, '--pretty', 'false'], { cwd: folder, encoding: 'utf8' })
  return status === 0 ? '' : `${stdout}${stderr}`
}
