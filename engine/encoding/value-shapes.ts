/**
 * Objects whose names have been met before, in the same order, are made in one step, which costs a fifth of adding one property after the other: the rows of a table are mostly alike.
 *
 *   H-1  What is made is what adding the properties one by one would have made. `__proto__`, which would name the prototype, is in no shape.
 *   H-2  A list of names gets a constructor when it has been met often, and only so many lists get one: a program whose rows all differ must not compile without end.
 *   H-3  Constructors are made when nothing is being decoded (`makeShapes`): where that fails an error is made, and `Error.prepareStackTrace` may read other rows into lent bytes.
 */

/** Names in their order. They are ASCII and short. */
export interface Shape {
  readonly names: readonly string[]
  /** Of the values in the order of the names. */
  readonly make: (values: readonly unknown[]) => object
}

/** What is known of the objects that have so many properties, and whose first name is this one. */
interface Candidate {
  readonly names: readonly string[]
  met: number
  shape: Shape | undefined
}

/** Objects with more properties are made one by one. */
export const shapeNamesMax = 15
const slots = 512
const metMin = 16
const shapesMax = 512

const candidates: (Candidate | undefined)[] = Array.from({ length: slots }, () => undefined)
let shapesLeft = shapesMax
/** Has been met often enough, and has no constructor yet. */
let due: Candidate | undefined

/** Where the shape of objects with `count` properties is kept whose first name is of `length` bytes, the first and the last of which these are. */
export const shapeSlot = (count: number, length: number, first: number, last: number): number => (count * 37 + length * 101 + first * 7 + last * 31) & (slots - 1)

/** The shape that the next object is likely to have. */
export const shapeAt = (slot: number): Shape | undefined => candidates[slot]?.shape

/** An object with these names was made one by one. */
export function noteNames(slot: number, names: readonly string[]): void {
  const candidate = candidates[slot]
  if (candidate === undefined || !isSame(candidate.names, names)) {
    if (shapesLeft > 0) candidates[slot] = { names, met: 1, shape: undefined }
  } else if (++candidate.met % metMin === 0) {
    due = candidate
  }
}

/** To be called when a value has been decoded. */
export function makeShapes(): void {
  if (due === undefined) return
  const candidate = due
  due = undefined
  if (shapesLeft === 0) return
  candidate.shape = shapeOf(candidate.names)
  if (candidate.shape === undefined) candidate.met = -Infinity // it will not be tried again
  else shapesLeft--
}

const isSame = (a: readonly string[], b: readonly string[]): boolean => a.length === b.length && a.every((name, i) => name === b[i])

/** Short, and of characters that are their own bytes. */
const shapeName = /^[\x20-\x7e]{1,31}$/

/** Undefined where a name is no name for a shape, and where the process forbids to make functions from text. */
function shapeOf(names: readonly string[]): Shape | undefined {
  if (!names.every(name => shapeName.test(name) && name !== '__proto__')) return undefined
  const properties = names.map((name, i) => `${JSON.stringify(name)}: values[${i}]`)
  try {
    // oxlint-disable-next-line typescript/no-implied-eval -- the text is made of names that were looked at, as JSON
    return { names, make: new Function('values', `return { ${properties.join(', ')} }`) as Shape['make'] }
  } catch {
    return undefined
  }
}
