import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    root: fileURLToPath(new URL('..', import.meta.url)),
    include: ['test/**/*.test.ts'],
    // A process per file: native handles, signals and open directories of one file cannot reach another.
    pool: 'forks',
    // CommonJS packages are imported as Node imports them, not as bundlers do.
    deps: { interopDefault: false },
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // A test that checks nothing fails, also where the expectation sits in a branch that was never taken.
    expect: { requireAssertions: true },
  },
})
