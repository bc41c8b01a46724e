/**
 * Operations of the public API: how each is called, how it is written in a script, and what it must do to a list of rows. A `Draft` is what fast-check draws
 * (small numbers, so that it shrinks well); an `Action` is a draft held against the tables of a run.
 */
import * as fc from 'fast-check'
import type { Table } from '../../engine/index.js'
import { beginsWith, changes, checked, compareKeys, idOf, normalKey, samples, type Shape } from './shapes.js'
import { isSharedBetween, listSource, source } from './source.js'

export type AnyTable = Table<unknown, unknown, unknown, unknown>

/** What a database and a transaction have in common. A database's writes return promises. */
export interface Target {
  get(table: AnyTable, key: unknown): unknown
  getMany(table: AnyTable, keys: Iterable<unknown>): unknown[]
  has(table: AnyTable, key: unknown): boolean
  range(table: AnyTable, options?: RangeText): Iterable<Found> & { toArray(): Found[] }
  count(table: AnyTable, options?: RangeText): number
  first(table: AnyTable, options?: RangeText): Found | undefined
  last(table: AnyTable, options?: RangeText): Found | undefined
  put(table: AnyTable, key: unknown, value: unknown, options?: object): unknown
  insert(table: AnyTable, key: unknown, value: unknown, options?: object): unknown
  update(table: AnyTable, key: unknown, change: (value: unknown) => unknown, options?: object): unknown
  delete(table: AnyTable, key: unknown, options?: object): unknown
  deleteRange(table: AnyTable, range?: RangeText, options?: object): unknown
  compareAndSet(table: AnyTable, key: unknown, expected: unknown, next: unknown, options?: object): unknown
}

export interface Found {
  readonly key: unknown
  readonly value: unknown
}

/** Range options, as they are passed. */
export interface RangeText {
  readonly gt?: unknown
  readonly gte?: unknown
  readonly lt?: unknown
  readonly lte?: unknown
  readonly prefix?: unknown
  readonly reverse?: boolean
  readonly limit?: number
}

export interface Row {
  readonly table: string
  readonly key: unknown
  readonly value: unknown
  /** The value's source, by which it is compared. */
  readonly text: string
}

export const reads = ['get', 'getMany', 'has', 'range', 'take', 'count', 'first', 'last'] as const
export const writes = ['put', 'insert', 'update', 'delete', 'deleteRange', 'compareAndSet'] as const
export type Name = (typeof reads)[number] | (typeof writes)[number]

export interface Action {
  readonly name: Name
  readonly shape: Shape
  readonly keys: readonly unknown[]
  readonly range: RangeText | undefined
  readonly sample: number
  /** Of `compareAndSet`: undefined expects absence. Of `take`: how many rows. */
  readonly expected: { readonly value: unknown } | undefined
  readonly change: number
  readonly count: number
}

export const isRead = ({ name }: Action): boolean => (reads as readonly string[]).includes(name)
export const isRange = ({ name }: Action): boolean => ['range', 'take', 'count', 'first', 'last', 'deleteRange'].includes(name)

/** What `compareAndSet` writes: the sample that is undefined deletes. */
export const next = (action: Action): unknown => samples[action.sample]!.make()

// -- calling

export function call(target: Target, table: AnyTable, action: Action, options?: object): unknown {
  const [key] = action.keys
  switch (action.name) {
    case 'get':
      return target.get(table, key)
    case 'getMany':
      return target.getMany(table, action.keys)
    case 'has':
      return target.has(table, key)
    case 'range': {
      const rows = target.range(table, action.range)
      const once = [...rows]
      const again = rows.toArray()
      return listSource(once) === listSource(again) ? once : { once, again }
    }
    case 'take': {
      const taken: Found[] = []
      for (const found of target.range(table, action.range)) if (taken.push(found) >= action.count) break
      return taken
    }
    case 'count':
    case 'first':
    case 'last':
      return target[action.name](table, action.range)
    case 'put':
    case 'insert':
      return target[action.name](table, key, next(action), options)
    case 'update':
      return target.update(table, key, changes[action.change]!.change, options)
    case 'delete':
      return target.delete(table, key, options)
    case 'deleteRange':
      return target.deleteRange(table, action.range, options)
    case 'compareAndSet':
      return target.compareAndSet(table, key, action.expected?.value, next(action), options)
  }
}

const givesList = ({ name }: Action): boolean => name === 'range' || name === 'take' || name === 'getMany'

/** How a call ended, in a form that can be compared: the source of what it returned, or the code of what it threw. */
export function outcomeOf(body: () => unknown, action?: Action): string {
  try {
    const value = body()
    if (action === undefined || !givesList(action) || !Array.isArray(value)) return source(value)
    return isSharedBetween(value) ? `results that share objects: ${source(value)}` : listSource(value)
  } catch (error) {
    return thrown(error)
  }
}

export const thrown = (error: unknown): string => `throws ${error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : (error as Error).message}`

// -- as text

export function actionText(target: string, action: Action, options?: object): string {
  const { name, shape, keys, range, expected } = action
  const rest = options === undefined ? '' : `, ${source(options)}`
  const inRange = range === undefined ? shape.name : `${shape.name}, ${source(range)}`
  const key = source(keys[0])
  switch (name) {
    case 'getMany':
      return `${target}.getMany(${shape.name}, ${source(keys)})`
    case 'range':
      return `${target}.range(${inRange}).toArray()`
    case 'take':
      return `take(${action.count}, ${target}.range(${inRange}))`
    case 'count':
    case 'first':
    case 'last':
      return `${target}.${name}(${inRange})`
    case 'deleteRange':
      return `${target}.deleteRange(${options === undefined ? inRange : `${shape.name}, ${source(range ?? {})}${rest}`})`
    case 'put':
    case 'insert':
      return `${target}.${name}(${shape.name}, ${key}, ${source(next(action))}${rest})`
    case 'update':
      return `${target}.update(${shape.name}, ${key}, ${String(changes[action.change]!.change).replaceAll(/\s+/g, ' ')}${rest})`
    case 'compareAndSet':
      return `${target}.compareAndSet(${shape.name}, ${key}, ${source(expected?.value)}, ${source(next(action))}${rest})`
    default:
      return `${target}.${name}(${shape.name}, ${key}${rest})`
  }
}

// -- what it must do

/** A row to be written, or removed where it has no text. */
export interface Write {
  readonly table: string
  readonly key: unknown
  readonly value?: unknown
  readonly text?: string
}

/** What a write found, which at `read-committed` has to hold again at the commit. */
export interface Condition {
  readonly id: string
  readonly holds: 'ROW_EXISTS' | 'ROW_ABSENT' | { readonly text: string | undefined }
}

export interface Effect {
  readonly outcome: string
  readonly writes: readonly Write[]
  readonly condition?: Condition
  readonly deletedRange?: (row: Row) => boolean
}

/** Rows of the range that an action names, in the order it asks for. `rows` are all rows of all tables in order. */
export function rowsIn(rows: readonly Row[], { shape, range = {}, name }: Action): Row[] {
  const found = rows.filter(row => row.table === shape.name && isIn(shape, row.key, range))
  if ((range.reverse ?? false) !== (name === 'last')) found.reverse()
  return found.slice(0, limitOf({ range, name }))
}

export const limitOf = ({ range, name }: Pick<Action, 'range' | 'name'>): number => Math.min(range?.limit ?? Infinity, name === 'first' || name === 'last' ? 1 : Infinity)

export const isIn = (shape: Shape, key: unknown, { gt, gte, lt, lte, prefix }: RangeText): boolean =>
  (gt === undefined || compareKeys(shape, key, gt) > 0) &&
  (gte === undefined || compareKeys(shape, key, gte) >= 0) &&
  (lt === undefined || compareKeys(shape, key, lt) < 0) &&
  (lte === undefined || compareKeys(shape, key, lte) <= 0) &&
  (prefix === undefined || beginsWith(shape, key, prefix))

export const foundOf = ({ key, value }: Row): Found => ({ key, value })
const valueOf = (rows: readonly Row[], id: string): Row | undefined => rows.find(row => idOf(row.table, row.key) === id)

/** Options that contradict each other, whatever the rows. */
const isContradictory = ({ gt, gte, lt, lte, prefix, limit }: RangeText): boolean =>
  (gt !== undefined && gte !== undefined) ||
  (lt !== undefined && lte !== undefined) ||
  (prefix !== undefined && [gt, gte, lt, lte].some(bound => bound !== undefined)) ||
  (limit !== undefined && limit < 0)

/** What an action returns, and does, where the rows are these. */
export function effectOf(action: Action, rows: readonly Row[]): Effect {
  const { shape, keys } = action
  const nothing = (outcome: string): Effect => ({ outcome, writes: [] })
  const returns = (value: unknown): Effect => nothing(source(value))
  const present = (key: unknown): Row | undefined => valueOf(rows, idOf(shape.name, key))
  const key = normalKey(keys[0])
  const row = present(key)
  if (isRange(action) && isContradictory(action.range ?? {})) return nothing('throws INVALID_ARGUMENT')
  switch (action.name) {
    case 'get':
      return returns(row?.value)
    case 'getMany':
      return nothing(listSource(keys.map(one => present(one)?.value)))
    case 'has':
      return returns(row !== undefined)
    case 'range':
      return nothing(listSource(rowsIn(rows, action).map(foundOf)))
    case 'take':
      return nothing(listSource(rowsIn(rows, action).slice(0, action.count).map(foundOf)))
    case 'count':
      return returns(rowsIn(rows, action).length)
    case 'first':
    case 'last':
      return returns(rowsIn(rows, action).map(foundOf)[0])
    case 'delete':
      return { outcome: 'undefined', writes: [{ table: shape.name, key }] }
    case 'deleteRange': {
      const found = rowsIn(rows, action)
      const effect = { outcome: String(found.length), writes: found.map(one => ({ table: shape.name, key: one.key })) }
      const range = action.range ?? {}
      return range.limit === undefined ? { ...effect, deletedRange: one => one.table === shape.name && isIn(shape, one.key, range) } : effect
    }
    case 'put':
    case 'insert': {
      const made = toWrite(shape, key, samples[action.sample]!)
      if (typeof made === 'string') return nothing(made)
      if (action.name === 'put') return { outcome: 'undefined', writes: [made] }
      if (row !== undefined) return nothing('throws ROW_EXISTS')
      return { outcome: 'undefined', writes: [made], condition: { id: idOf(shape.name, key), holds: 'ROW_EXISTS' } }
    }
    case 'update':
      return updateOf(action, row)
    case 'compareAndSet':
      return compareAndSetOf(action, row)
  }
}

function updateOf({ shape, keys, change }: Action, row: Row | undefined): Effect {
  if (row === undefined) return { outcome: 'throws ROW_ABSENT', writes: [] }
  const condition: Condition = { id: idOf(shape.name, keys[0]), holds: 'ROW_ABSENT' }
  const { change: make, code } = changes[change]!
  const made = code === undefined ? toWrite(shape, normalKey(keys[0]), { make: () => make(row.value) }) : `throws ${code}`
  if (typeof made === 'string') return { outcome: made, writes: [], condition }
  return { outcome: 'undefined', writes: [made], condition }
}

function compareAndSetOf(action: Action, row: Row | undefined): Effect {
  const { shape, keys, expected } = action
  const sample = samples[action.sample]!
  const removes = next(action) === undefined
  if (expected !== undefined && !isStorable(expected.value)) return { outcome: 'throws INVALID_VALUE', writes: [] }
  const key = normalKey(keys[0])
  const made = removes ? { table: shape.name, key } : toWrite(shape, key, sample)
  if (typeof made === 'string') return { outcome: made, writes: [] }
  const text = expected === undefined ? undefined : source(expected.value)
  if (row?.text !== text) return { outcome: 'false', writes: [] }
  return { outcome: 'true', writes: [made], condition: { id: idOf(shape.name, key), holds: { text } } }
}

const isStorable = (value: unknown): boolean => {
  const text = source(value)
  return !samples.some(({ make, code }) => code === 'INVALID_VALUE' && source(make()) === text)
}

/** The row to write, or what writing it throws. */
function toWrite({ name, checked: isChecked }: Shape, key: unknown, { make, code }: { make: () => unknown; code?: string }): Write | string {
  const result = isChecked ? checked(make()) : { value: make() }
  if ('issues' in result) return 'throws SCHEMA'
  if (code !== undefined) return `throws ${code}`
  return { table: name, key, value: result.value, text: source(result.value) }
}

// -- drawing

export interface Draft {
  readonly name: Name
  readonly table: number
  readonly keys: readonly number[]
  readonly range: DraftRange | undefined
  readonly sample: number
  /** 0: absent; 1: what is there; from 2 on: a sample. */
  readonly expected: number
  readonly change: number
  readonly count: number
}

interface DraftRange {
  readonly lower: DraftBound | undefined
  readonly upper: DraftBound | undefined
  readonly prefix: number | undefined
  readonly reverse: boolean | undefined
  readonly limit: number | undefined
}

interface DraftBound {
  readonly open: boolean
  readonly at: number
  readonly length: number
}

/** Undefined in so many of ten draws. */
export const absentIn = <T>(ofTen: number, arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof({ withCrossShrink: true }, { weight: ofTen, arbitrary: fc.constant(undefined) }, { weight: 10 - ofTen, arbitrary })
const bound = absentIn(4, fc.record({ open: fc.boolean(), at: fc.nat(19), length: fc.nat(3) }))
const draftRange: fc.Arbitrary<DraftRange | undefined> = absentIn(
  3,
  fc.record({ lower: bound, upper: bound, prefix: absentIn(7, fc.nat(9)), reverse: absentIn(4, fc.boolean()), limit: absentIn(5, fc.integer({ min: -1, max: 4 })) }),
)

export const drafts = (names: readonly Name[]): fc.Arbitrary<Draft> =>
  fc.record({
    name: fc.constantFrom(...names),
    table: fc.nat(2),
    // A few keys are drawn more often, so that transactions meet.
    keys: fc.oneof({ weight: 6, arbitrary: fc.tuple(fc.nat(2)) }, { weight: 3, arbitrary: fc.tuple(fc.nat(7)) }, { weight: 2, arbitrary: fc.array(fc.nat(7), { minLength: 1, maxLength: 4 }) }),
    range: draftRange,
    sample: fc.oneof(fc.nat(6), fc.nat(samples.length - 1)),
    expected: fc.oneof(fc.nat(1), fc.nat(samples.length + 1)),
    change: fc.nat(changes.length - 1),
    count: fc.integer({ min: 1, max: 4 }),
  })

/** `present` is the value that a row holds now. */
export function resolve(draft: Draft, tables: readonly Shape[], present: (shape: Shape, key: unknown) => { readonly value: unknown } | undefined): Action {
  const shape = tables[draft.table % tables.length]!
  const keys = draft.keys.map(at => shape.keys[at % shape.keys.length])
  const { name, sample, change, count } = draft
  const sampled = draft.expected < 2 ? undefined : { value: samples[draft.expected - 2]!.make() }
  const expected = draft.expected === 1 ? present(shape, keys[0]) : sampled?.value === undefined ? undefined : sampled
  return { name, shape, keys, range: draft.range && rangeOf(draft.range, shape), sample, change, count, expected }
}

function rangeOf({ lower, upper, prefix, reverse, limit }: DraftRange, shape: Shape): RangeText {
  const named = [...shape.keys, ...shape.bounds]
  const at = (drawn: DraftBound): unknown => {
    const key = named[drawn.at % named.length]
    return shape.bare ? key : (key as unknown[]).slice(0, 1 + (drawn.length % shape.types.length))
  }
  const bounds = {
    ...(lower && { [lower.open ? 'gt' : 'gte']: at(lower) }),
    ...(upper && { [upper.open ? 'lt' : 'lte']: at(upper) }),
  }
  // Together they are refused; that is tried where limit is negative too.
  const begins = prefix === undefined ? undefined : { prefix: shape.prefixes[prefix % shape.prefixes.length] }
  return {
    ...(begins === undefined || limit === 4 ? bounds : {}),
    ...begins,
    ...(reverse !== undefined && { reverse }),
    ...(limit !== undefined && { limit }),
  }
}
