/** The fenced code blocks of a Markdown page. */

export interface Example {
  readonly file: string
  /** Of the block's first line of code, counted from 1. */
  readonly line: number
  readonly language: string
  /** The words after the language on the opening fence. */
  readonly info: string
  readonly code: string
  /** The content of a `text output` block that follows the example: what it prints. */
  readonly output: string | undefined
}

export function examplesIn(file: string, markdown: string): Example[] {
  const blocks = blocksIn(file, markdown)
  return blocks.map(({ follows: _, ...block }, index) => {
    const next = blocks[index + 1]
    const isOutput = next?.language === 'text' && next.info === 'output' && next.follows
    return { ...block, output: isOutput ? next.code : undefined }
  })
}

interface Block extends Omit<Example, 'output'> {
  /** True where only blank lines separate it from the block before. */
  readonly follows: boolean
}

function blocksIn(file: string, markdown: string): Block[] {
  const blocks: Block[] = []
  const lines = markdown.split('\n')
  let follows = false
  for (let index = 0; index < lines.length; index++) {
    const fence = /^(?<indent> *)(?<ticks>```+)(?<language>[^\s`]*)(?<info>[^`]*)$/.exec(lines[index] ?? '')?.groups
    if (!fence) {
      follows &&= lines[index]?.trim() === ''
      continue
    }
    const { indent = '', ticks = '', language = '', info = '' } = fence
    const start = index + 1
    const end = lines.findIndex((line, at) => at >= start && line.trim() === ticks)
    if (end < 0) throw new Error(`${file}:${start} opens a code block that nothing closes.`)
    const code = lines.slice(start, end).map(line => (line.startsWith(indent) ? line.slice(indent.length) : line))
    blocks.push({ file, line: start + 1, language, info: info.trim(), code: `${code.join('\n')}\n`, follows })
    follows = true
    index = end
  }
  return blocks
}
