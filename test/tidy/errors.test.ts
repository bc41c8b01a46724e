import { expect, test } from 'vitest'
import { errorCodes } from '../../engine/errors.js'
import { read } from './project.js'

interface Section {
  readonly errorClass: string
  readonly code: string
  readonly text: string
}

/** The sections of the page: `## Class`, below it `### CODE`. */
function sectionsOf(markdown: string): Section[] {
  return markdown.split(/^## /m).flatMap(part => {
    const [head = '', ...codes] = part.split(/^### /m)
    const errorClass = head.split('\n', 1)[0] ?? ''
    return codes.map(section => ({ errorClass, code: section.split('\n', 1)[0] ?? '', text: section }))
  })
}

const sections = sectionsOf(read('docs/errors.md'))
const table = Object.entries(errorCodes).flatMap(([errorClass, codes]) =>
  Object.entries(codes).map(([code, retryable]) => ({ errorClass, code, retryable })),
)

test('docs/errors.md has a section for every error code under its class, in the order of engine/errors.ts, and for no other', () => {
  const names = ({ errorClass, code }: { errorClass: string; code: string }): string => `${errorClass} ${code}`
  expect(sections.map(names)).toEqual(table.map(names))
})

test.each(table)('$code is documented with meaning, cause, remedy and whether a retry can help', ({ code, retryable }) => {
  const text = sections.find(section => section.code === code)?.text ?? ''
  for (const part of ['Meaning', 'Cause', 'Remedy']) expect(text).toMatch(new RegExp(`^- \\*\\*${part}\\.\\*\\* \\S.{10}`, 'm'))
  expect(text).toMatch(new RegExp(`^- \\*\\*Retryable:\\*\\* ${retryable ? 'yes' : 'no'}$`, 'm'))
})

test('every code has one class', () => {
  expect(new Set(table.map(({ code }) => code)).size).toBe(table.length)
})
