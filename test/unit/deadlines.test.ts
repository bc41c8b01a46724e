/** One timer for all who wait, and each is told at its time. */
import { expect, test } from 'vitest'
import { Bound } from '../../engine/bound.js'
import { Deadlines, type Deadline } from '../../engine/deadlines.js'
import { testEnvironment } from '../support/test-environment.js'

function setUp() {
  const environment = testEnvironment()
  const { awaited } = new Deadlines(environment)
  const told: string[] = []
  const at = (name: string, untilMs: number): Deadline => {
    const expire = (): void => {
      told.push(name)
      awaited.leave(deadline)
    }
    const deadline: Deadline = { untilMs: environment.nowMs() + untilMs, previousArmed: undefined, nextArmed: undefined, expire }
    return deadline
  }
  return { environment, awaited, told, at }
}

test('whoever waits is told when its time is up, in whatever order they came, and one timer serves all', () => {
  const { environment, awaited, told, at } = setUp()
  for (const deadline of [at('b', 20), at('d', 40), at('a', 10), at('c', 20)]) awaited.enter(deadline)
  expect(environment.timers).toBe(1)
  environment.advance(9)
  expect(told).toEqual([])
  environment.advance(1)
  expect(told).toEqual(['a'])
  environment.advance(10)
  expect(told.toSorted()).toEqual(['a', 'b', 'c'])
  environment.advance(100)
  expect(told.toSorted()).toEqual(['a', 'b', 'c', 'd'])
})

test('who has left is not told, and the last one takes the timer along', () => {
  const { environment, awaited, told, at } = setUp()
  const [second, third] = [at('second', 10), at('third', 30)]
  for (const deadline of [at('first', 10), second, third]) awaited.enter(deadline)
  awaited.leave(second)
  environment.advance(15)
  expect(told).toEqual(['first'])
  awaited.leave(third)
  expect(environment.timers).toBe(0)
  awaited.enter(at('again', 5))
  environment.advance(5)
  expect(told).toEqual(['first', 'again'])
})

test('who is told may leave, and others with it', () => {
  const { environment, awaited, told, at } = setUp()
  const others = [at('x', 50), at('y', 60)]
  const last: Deadline = { ...at('last', 10), expire: () => [last, ...others].forEach(deadline => awaited.leave(deadline)) }
  for (const deadline of [...others, last]) awaited.enter(deadline)
  environment.advance(100)
  expect(told).toEqual([])
  expect(environment.timers).toBe(0)
})

test('a transaction whose time is up is let go, though nobody ends it', () => {
  const environment = testEnvironment()
  const deadlines = new Deadlines(environment)
  const bound = (timeoutMs: number): Bound => {
    const made = new Bound({ environment, deadlines }, timeoutMs, undefined)
    made.arm('background')
    return made
  }
  const forgotten = bound(10)
  const later = bound(50)
  expect(later.previousArmed).toBe(forgotten)
  environment.advance(20)
  expect(later.previousArmed).toBeUndefined()
  forgotten.release()
  expect(environment.timers, 'the other is still watched').toBe(1)
  later.release()
  expect(environment.timers).toBe(0)
})
