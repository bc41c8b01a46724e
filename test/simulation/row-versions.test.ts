import { expect, test } from 'vitest'
import { bare, given, migrate, told } from './row-versions.js'

test('a row says which version it is of', () => {
  for (const version of [1, 2, 5]) expect(told(given(103, version), version)).toBe(103)
  expect(bare(given(7, 3))).toBe(7)
  expect(() => told(given(7, 1), 2)).toThrow('a row of version 1 was handed out as one of version 2')
  expect(() => told(given(7, 3), 1, 2)).toThrow('a row of version 3 was handed out as one of version 1')
  expect(told(given(7, 2), 1, 2)).toBe(7)
})

test('a migration makes the same value of another version, and refuses a row that is of another than is said', () => {
  expect(migrate(given(7, 1), 1, 3)).toBe(given(7, 3))
  expect(() => migrate(given(7, 2), 1, 3)).toThrow('a row of version 2')
})
