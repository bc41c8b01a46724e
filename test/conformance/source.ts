/**
 * Values as the JavaScript that makes them. Serves two ends: a failing run prints as a script, and two values are the same (as `compareAndSet` means it: same
 * things, same order, same shared references, 0 apart from -0) where their sources are.
 */

/** An expression. Where objects are shared or contain themselves it is a function that is called at once. */
export function source(value: unknown): string {
  const shared = sharedIn(value)
  if (shared.size === 0) return expression(value, new Map())
  const names = new Map([...shared].map((object, i) => [object, `o${i}`]))
  const made = [...names].map(([object, name]) => `${name} = ${emptied(object)}`)
  const filled = [...names].flatMap(([object, name]) => fillings(object, name, names))
  return `(() => { const ${made.join(', ')}; ${filled.map(statement => `${statement}; `).join('')}return ${expression(value, names)} })()`
}

/** A list of results. Each is made anew for whoever reads it: where two of them share an object the list says so. */
export function listSource(list: readonly unknown[]): string {
  const each = list.map(item => (isRow(item) ? `{ key: ${source(item.key)}, value: ${source(item.value)} }` : source(item)))
  return `[${each.join(', ')}]`
}

const isRow = (item: unknown): item is { key: unknown; value: unknown } => typeof item === 'object' && item !== null && Object.keys(item).join() === 'key,value'

/** Whether an object lies in two of the items. */
export function isSharedBetween(list: readonly unknown[]): boolean {
  const owner = new Map<object, unknown>()
  const visit = (part: unknown, item: unknown): boolean => {
    if (typeof part !== 'object' || part === null) return false
    if (owner.has(part)) return owner.get(part) !== item
    owner.set(part, item)
    return partsOf(part).some(child => visit(child, item))
  }
  return list.some((item, i) => visit(item, i))
}

/** Objects met more than once, in the order in which they are met. */
function sharedIn(value: unknown): Set<object> {
  const met = new Set<object>()
  const shared = new Set<object>()
  const visit = (part: unknown): void => {
    if (typeof part !== 'object' || part === null) return
    if (met.has(part)) return void shared.add(part)
    met.add(part)
    for (const child of partsOf(part)) visit(child)
  }
  visit(value)
  return shared
}

function partsOf(object: object): unknown[] {
  if (Array.isArray(object)) return object
  if (object instanceof Map) return [...object].flat()
  if (object instanceof Set) return [...object]
  if (object instanceof Error) return [object.cause]
  return isPlain(object) ? Object.values(object) : []
}

const isPlain = (object: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(object)
  return prototype === Object.prototype || prototype === null
}

function emptied(object: object): string {
  if (Array.isArray(object)) return '[]'
  if (object instanceof Map) return 'new Map()'
  if (object instanceof Set) return 'new Set()'
  return isPlain(object) ? '{}' : expression(object, new Map())
}

function fillings(object: object, name: string, names: ReadonlyMap<object, string>): string[] {
  if (Array.isArray(object)) return object.map(part => `${name}.push(${expression(part, names)})`)
  if (object instanceof Map) return [...object].map(([key, part]) => `${name}.set(${expression(key, names)}, ${expression(part, names)})`)
  if (object instanceof Set) return [...object].map(part => `${name}.add(${expression(part, names)})`)
  return isPlain(object) ? Object.entries(object).map(([key, part]) => `${name}[${JSON.stringify(key)}] = ${expression(part, names)}`) : []
}

function expression(value: unknown, names: ReadonlyMap<object, string>): string {
  switch (typeof value) {
    case 'string':
      return value.length > 60 && value === value[0]!.repeat(value.length) ? `${text(value[0]!)}.repeat(${value.length})` : text(value)
    case 'number':
      return Object.is(value, -0) ? '-0' : String(value)
    case 'bigint':
      return `${value}n`
    case 'symbol':
      return 'Symbol()'
    case 'function':
      return String(value)
    case 'object':
      return value === null ? 'null' : (names.get(value) ?? objectExpression(value, names))
    default:
      return String(value)
  }
}

/** A string with what cannot be seen escaped. */
const text = (value: string): string => {
  const escaped = JSON.stringify(value).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")
  return `'${escaped.replaceAll(/[^ -~]/gu, char => (char.codePointAt(0)! > 0xffff ? char : `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`))}'`
}

function objectExpression(value: object, names: ReadonlyMap<object, string>): string {
  const list = (parts: Iterable<unknown>): string => Array.from(parts, part => expression(part, names)).join(', ')
  if (Array.isArray(value)) return `[${list(value)}]`
  if (value instanceof Map) return `new Map([${Array.from(value, ([key, part]) => `[${list([key, part])}]`).join(', ')}])`
  if (value instanceof Set) return `new Set([${list(value)}])`
  if (value instanceof Date) return `new Date(${value.getTime()})`
  if (value instanceof RegExp) return String(value)
  if (value instanceof Error) return errorExpression(value, names)
  if (value instanceof ArrayBuffer) return `new Uint8Array([${list(new Uint8Array(value))}]).buffer`
  if (value instanceof DataView) return `new DataView(new Uint8Array([${list(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))}]).buffer)`
  // A Buffer comes back as what it is: bytes.
  if (value instanceof Uint8Array) return `new Uint8Array([${list(value)}])`
  if (ArrayBuffer.isView(value)) return `new ${value.constructor.name}([${list(value as unknown as Iterable<unknown>)}])`
  if (!isPlain(value)) return `new (class ${value.constructor.name} {})()`
  const properties = Object.entries(value).map(([key, part]) => `${propertyName(key)}: ${expression(part, names)}`)
  return properties.length === 0 ? '{}' : `{ ${properties.join(', ')} }`
}

const propertyName = (key: string): string => (key === '__proto__' ? "['__proto__']" : /^[a-z_]\w*$/i.test(key) ? key : text(key))

function errorExpression(error: Error, names: ReadonlyMap<object, string>): string {
  const cause = 'cause' in error ? `, { cause: ${expression(error.cause, names)} }` : ''
  return `Object.assign(new ${error.name}(${text(error.message)}${cause}), { stack: ${expression(error.stack, names)} })`
}
