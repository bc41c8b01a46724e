/** PremiseDB itself under scenarios that nobody thought of, with every kind of step there is. */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { premiseSubjects } from '../../engine/cli/subject.js'
import { runMatrix, type Subject, timedScheduler } from '../../isolation/anomaly/index.js'
import { randomScenario, scenarioSeed } from './random-scenarios.js'

const options = { seed: 1, scheduler: () => timedScheduler({ timers: globalThis }), maxSchedules: 30 }

test.each(premiseSubjects)('nothing that its level rules out is found at $name', async subject => {
  // One store for all of them: each schedule has a space of its own, and opening a store takes longer than playing one.
  const store = await subject.open()
  try {
    const kept: Subject = { ...subject, open: () => ({ ...store, close: () => undefined }) }
    await fc.assert(
      fc.asyncProperty(randomScenario, async scenario => {
        const { cells } = await runMatrix([kept], [scenario], options)
        expect(cells[0]?.observed).not.toBe('unsupported')
        expect(cells[0]?.forbidden).toEqual([])
      }),
      { numRuns: 60, ...scenarioSeed() },
    )
  } finally {
    await store.close()
  }
}, 60_000)
