/** Whether a Standard Schema validates asynchronously: the interface does not say, so it is asked. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { isPromise } from '../promises.js'

/** An asynchronous schema may refuse what is of a wrong type before it comes to its asynchronous part. */
const samples: readonly unknown[] = [undefined, null, {}, [], '', 0, 0n, true, new Date(0)]

/** Parts of a schema looked at. */
const partsMax = 10_000

/**
 * What of the schema is asynchronous, where that can be told before a row is there: validation that returns a promise for one of a few sample values, or, in a schema of Zod, an async
 * function in its definition. What is not found here is refused at the write.
 */
export function asynchronousPartOf(schema: StandardSchemaV1): string | undefined {
  for (const sample of samples) {
    let result: unknown
    try {
      result = schema['~standard'].validate(sample)
    } catch {
      continue // its own affair: a row that it is given will meet it again
    }
    if (!isPromise(result)) continue
    result.then(undefined, () => {}) // its outcome does not matter, and must not surface as an unhandled rejection
    return 'validation returns a promise'
  }
  const zod = zodPartOf(schema)
  return zod !== undefined && hasAsyncFunction(zod.def) ? 'it has an async function' : undefined
}

/** What Zod keeps of a schema or a check. */
interface ZodPart {
  readonly def?: unknown
  readonly check?: unknown
}

const zodPartOf = (part: object): ZodPart | undefined => (part as { readonly [name: string]: ZodPart | undefined })['_zod']

/** Walks a definition: its plain parts, and the schemas and checks in it, each of which has a definition of its own under `_zod`. */
function hasAsyncFunction(definition: unknown): boolean {
  const seen = new Set<unknown>()
  const waiting: unknown[] = [definition]
  while (waiting.length > 0 && seen.size < partsMax) {
    const part = waiting.pop()
    if (typeof part === 'function' && Object.prototype.toString.call(part) === '[object AsyncFunction]') return true
    if (typeof part !== 'object' || part === null || seen.has(part)) continue
    seen.add(part)
    const inner = zodPartOf(part)
    if (inner !== undefined) waiting.push(inner.def, inner.check)
    else waiting.push(...Object.values(part))
  }
  return false
}
