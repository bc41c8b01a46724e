/**
 * Writes a history down as a scenario of the anomaly matrix, whose steps then are played in every order in which they can meet. Sessions of a scenario are all
 * at one level, at once, on an empty window; what of a history that cannot say is told in comments.
 */
import { keyText, type Key, type Range, type TableName, type Value } from '../model.js'
import type { History, IndexRow, Operation, TransactionRecord } from '../records.js'

/** The text of a module that exports the scenario. */
export function scenarioText(history: History, name: string): string {
  const told = history.transactions.filter(({ attempts }) => (attempts.at(-1)?.operations.length ?? 0) > 0)
  const notes = new Set<string>()
  const sessions = told.map((transaction, i) => sessionText(transaction, i + 1, notes))
  if (new Set(told.map(({ level, oneShot }) => (oneShot ? 'any' : level)).filter(level => level !== 'any')).size > 1) notes.add('the levels were mixed; a scenario is played at one')
  if (history.interruption) notes.add(`the history was cut short (${history.interruption === 'close' ? 'the database was closed' : 'the disk failed'})`)
  const uses = (word: string): boolean => sessions.some(session => session.includes(word))
  const imported = ['abort', 'commit', 'constant', 'savepoint', 'undo'].filter(word => uses(`${word},`) || uses(`${word}(`) || uses(`${word}]`))
  return [
    `import { ${[...imported, 'type Scenario'].join(', ')} } from 'premisedb/anomaly'`,
    '',
    `/** Found by a random history (${name}).${notes.size > 0 ? ' Not said here:' : ''}`,
    ...[...notes].map(note => ` *  - ${note}`),
    ' */',
    'export const scenario: Scenario = {',
    `  id: ${literal(`found-${name}`)},`,
    `  title: 'Found by a random history',`,
    `  legend: 'no serial order explains what was seen',`,
    `  story: 'Shrunk by the fuzzer; what it means is for the reader to find out.',`,
    `  source: ${literal(`npm run fuzz, history ${name}`)},`,
    '  initial: [],',
    '  sessions: [',
    ...sessions,
    '  ],',
    // Where nothing may hold, whatever no serial order explains is a witness.
    `  witness: { kind: 'invariant', invariant: { sentence: 'some serial order explains it', holds: () => false } },`,
    `  allowedAt: ['read-committed', 'snapshot'],`,
    '}',
    '',
  ].join('\n')
}

function sessionText(transaction: TransactionRecord, number: number, notes: Set<string>): string {
  const who = `t${number}`
  const { attempts, outcome, oneShot, readOnly } = transaction
  if (attempts.length > 1) notes.add(`${who} ran ${attempts.length} times; this is its last attempt`)
  if (oneShot) notes.add(`${who} was a read outside any transaction`)
  const steps = new Steps(who, notes)
  steps.add(attempts.at(-1)!.operations)
  const given = ['Own', 'Abandoned', 'CANCELLED', 'TIMEOUT', 'CLOSED'].includes(outcome) || outcome.startsWith('ROW_')
  const lines = [...steps.lines, given ? 'abort' : 'commit'].map(line => `        ${line},`)
  return [`    {`, `      label: '${who}',`, ...(readOnly ? ['      readOnly: true,'] : []), '      steps: [', ...lines, '      ],', '    },'].join('\n')
}

class Steps {
  readonly lines: string[] = []
  readonly #who: string
  readonly #notes: Set<string>
  #reads = 0

  constructor(who: string, notes: Set<string>) {
    this.#who = who
    this.#notes = notes
  }

  add(operations: readonly Operation[]): void {
    const dropped = droppedSavepoints(operations)
    for (const [i, operation] of operations.entries()) {
      if (operation.op === 'savepoint' || operation.op === 'keep' || operation.op === 'undo') {
        if (dropped.nested.has(i)) this.#notes.add(`${this.#who} also undid a savepoint inside the one it undid`)
        if (dropped.outer.has(i)) this.lines.push(operation.op === 'savepoint' ? 'savepoint' : 'undo')
      } else if (operation.op === 'open') this.#iteration(operation, operations.slice(i + 1))
      else this.#operation(operation)
    }
  }

  #operation(operation: Operation): void {
    switch (operation.op) {
      case 'get':
      case 'has':
        return void this.#get(operation.table, operation.key)
      case 'getMany':
        return operation.keys.forEach(key => this.#get(operation.table, key))
      case 'range':
      case 'count':
        return this.#range(operation.table, operation.range)
      case 'first':
      case 'last': {
        const { reverse, limit } = operation.range
        const isFirst = (operation.op === 'first') !== (reverse === true)
        return limit === 0 ? undefined : this.#push(isFirst ? 'first' : 'last', `range: { ${boundsText(operation.table, operation.range)} }, as: ${this.#name()}`)
      }
      case 'put':
        return this.#put(operation.table, operation.key, operation.value)
      case 'delete':
        return this.#put(operation.table, operation.key, undefined)
      case 'insert': {
        const read = this.#get(operation.table, operation.key)
        return operation.result === 'done' ? this.#put(operation.table, operation.key, operation.value, `seen.value(${read}) === undefined`) : undefined
      }
      case 'update': {
        const read = this.#get(operation.table, operation.key)
        return operation.result === 'ROW_ABSENT' ? undefined : this.#put(operation.table, operation.key, operation.value, `seen.value(${read}) !== undefined`)
      }
      case 'compareAndSet': {
        const read = this.#get(operation.table, operation.key)
        return operation.result ? this.#put(operation.table, operation.key, operation.value, `seen.value(${read}) === ${operation.expected}`) : undefined
      }
      case 'deleteRange': {
        const { limit } = operation.range
        if (limit !== undefined) this.#notes.add(`${this.#who} deleted at most ${limit} rows of its range; a scenario deletes all`)
        return limit === 0 ? undefined : this.#push('deleteRange', `range: { ${boundsText(operation.table, operation.range)} }`)
      }
      case 'index get':
      case 'index first':
      case 'index last':
        return this.#indexed(operation.table, operation.index, operation.result === undefined ? [] : [operation.result])
      case 'index range':
        return this.#indexed(operation.table, operation.index, operation.result)
      case 'index count':
      case 'index open':
        return this.#indexed(operation.table, operation.index, [])
      case 'index refused':
        return void this.#notes.add(`${this.#who} was refused by the index ${operation.index} (${operation.result})`)
      default:
        return
    }
  }

  /** Of a read through an index a scenario has the rows that it returned. */
  #indexed(table: TableName, index: string, rows: readonly IndexRow[]): void {
    this.#notes.add(`${this.#who} read through the index ${index}; a scenario reads the rows that came of it`)
    for (const [, key, value] of rows) if (value !== undefined) this.#get(table, key)
  }

  /** The rows that an iterator was asked for, read at once where it was opened. */
  #iteration({ table, range, iterator }: Extract<Operation, { op: 'open' }>, later: readonly Operation[]): void {
    const steps = later.flatMap(operation => (operation.op === 'next' && operation.iterator === iterator ? [operation] : []))
    if (steps.length === 0) return
    this.#notes.add(`${this.#who} took the rows of an iterator one by one, with other steps in between`)
    const isExhausted = steps.some(({ result }) => result === undefined)
    this.#range(table, isExhausted ? range : { ...range, limit: Math.min(range.limit ?? Infinity, steps.length) })
  }

  #get(table: TableName, key: Key): string {
    const name = this.#name()
    this.#push('get', `table: '${table}', key: ${literal(keyText(key))}, as: ${name}`)
    return name
  }

  #range(table: TableName, range: Range): void {
    const how = (range.limit === undefined ? '' : `, limit: ${range.limit}`) + (range.reverse ? ', reverse: true' : '')
    if (range.limit !== 0) this.#push('range', `range: { ${boundsText(table, range)}${how} }, as: ${this.#name()}`)
  }

  #put(table: TableName, key: Key, value: Value | undefined, condition?: string): void {
    const where = `table: '${table}', key: ${literal(keyText(key))}`
    const onlyIf = condition === undefined ? '' : `, onlyIf: { holds: seen => ${condition}, otherwise: 'its condition fails' }`
    if (value === undefined) this.#push('delete', where + onlyIf)
    else this.#push('put', `${where}, value: constant(${value})${onlyIf}`)
  }

  #push(kind: string, rest: string): void {
    this.lines.push(`{ kind: '${kind}', ${rest} }`)
  }

  #name(): string {
    return `'read ${++this.#reads}'`
  }
}

/** Positions of savepoints that were undone and of their ends: the outermost ones, and where one inside such a one was undone by itself. */
function droppedSavepoints(operations: readonly Operation[]): { readonly outer: ReadonlySet<number>; readonly nested: ReadonlySet<number> } {
  const open: number[] = []
  const spans: { readonly from: number; readonly to: number }[] = []
  for (const [i, { op }] of operations.entries()) {
    if (op === 'savepoint') open.push(i)
    if (op !== 'keep' && op !== 'undo') continue
    const from = open.pop()!
    if (op === 'undo') spans.push({ from, to: i })
  }
  const isInner = ({ from, to }: (typeof spans)[number]): boolean => spans.some(other => other.from < from && to < other.to)
  const ends = (inner: boolean): ReadonlySet<number> => new Set(spans.filter(span => isInner(span) === inner).flatMap(({ from, to }) => [from, to]))
  return { outer: ends(false), nested: ends(true) }
}

function boundsText(table: TableName, { gt, gte, lt, lte, prefix }: Range): string {
  const parts = [`table: '${table}'`]
  const bound = (name: string, key: Key | undefined): unknown => key !== undefined && parts.push(`${name}: ${literal(keyText(key))}`)
  bound('gt', gt)
  bound('gte', gte ?? prefix)
  bound('lt', lt)
  if (prefix !== undefined) parts.push(`lt: ${literal(afterAll(keyText(prefix)))}`)
  bound('lte', lte)
  return parts.join(', ')
}

/** The least string after all that begin with `prefix`. */
const afterAll = (prefix: string): string => prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1)

const literal = (text: string): string => `'${text}'`
