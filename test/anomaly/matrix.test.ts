import { beforeAll, describe, expect, test } from 'vitest'
import {
  differs,
  exitCode,
  type Matrix,
  matrixDocument,
  renderHtml,
  renderTable,
  renderTraces,
  runMatrix,
  scenarios,
  type Subject,
  turnScheduler,
} from '../../isolation/anomaly/index.js'
import { dirty, earlyClaims, mislabelled, phantomBlind, readCommitted, serial, serializable, snapshot } from './toy-subjects.js'

const options = { seed: 1, scheduler: () => turnScheduler(), maxSchedules: 500 }
const ids = scenarios.map(({ id }) => id)
const preventedByAll = ['G0', 'G1a', 'G1b', 'G1c', 'OTV', 'unique-claims', 'unique-ring', 'unique-swap', 'car-sale']
const preventedBySnapshot = [
  'P4', 'G-single', 'long-fork', 'G-single-range', 'PMP', 'PMP-write', 'G-single-index', 'unique-told', 'game-figure', 'counter-increments', 'unread-counter',
]
const possibleAtReadCommitted = ids.filter(id => !preventedByAll.includes(id))
const possibleAtSnapshot = possibleAtReadCommitted.filter(id => !preventedBySnapshot.includes(id))
const run = (...subjects: Subject[]): Promise<Matrix> => runMatrix(subjects, scenarios, options)
const possibleIn = (matrix: Matrix, subject: Subject): string[] =>
  matrix.cells.filter(cell => cell.subject === subject && cell.observed === 'possible').map(({ scenario }) => scenario.id)

describe('the scenarios', () => {
  test('have the names that the documents promise', () => {
    expect(ids).toEqual([
      'G0', 'G1a', 'G1b', 'G1c', 'OTV', 'P4', 'G-single', 'long-fork', 'G-single-range', 'PMP', 'PMP-write',
      'G2-item', 'G2-empty-range', 'G2-range', 'G2-limit', 'G2-count', 'G2-first-last', 'G2-absent-key', 'G2-three-way',
      'G-single-index', 'G2-index-empty', 'G2-index-range', 'G2-index-in', 'G2-index-out', 'G2-index-rows', 'G2-index-count', 'G2-unique', 'G2-index-blind',
      'unique-told', 'unique-claims', 'unique-ring', 'unique-swap',
      'read-only-anomaly', 'read-only-savepoint', 'receipts-report',
      'car-sale', 'game-figure', 'counter-increments', 'unread-counter', 'doctors-on-call', 'meeting-room', 'unique-user-name', 'double-spend',
    ])
  })

  test('are explained: a title, a line, a paragraph, a source', () => {
    for (const { title, legend, story, source } of scenarios) {
      for (const text of [title, legend, story, source]) expect(text).not.toBe('')
      expect(legend.length).toBeLessThanOrEqual(80)
      expect(source).toMatch(/\d{4}/)
    }
  })

  test('end every session with a commit or an abort, and nowhere else', () => {
    for (const { sessions } of scenarios) {
      for (const { steps } of sessions) {
        expect(steps.map(({ kind }) => kind === 'commit' || kind === 'abort')).toEqual(steps.map((_, i) => i === steps.length - 1))
      }
    }
  })
})

describe('the matrix tells engines apart', () => {
  let matrix: Matrix
  beforeAll(async () => {
    matrix = await run(dirty, readCommitted, snapshot, serializable, serial)
  })

  test('without isolation every anomaly is found', () => {
    // Where no key is unique nobody is refused one.
    expect(possibleIn(matrix, dirty)).toEqual(ids.filter(id => id !== 'unique-told'))
  })

  test('read-committed prevents what is dirty or half visible, and nothing else', () => {
    expect(possibleIn(matrix, readCommitted)).toEqual(possibleAtReadCommitted)
  })

  test('snapshot also prevents lost updates and all that comes of a view that moves', () => {
    expect(possibleIn(matrix, snapshot)).toEqual(possibleAtSnapshot)
  })

  test('serializable prevents everything, be it by validation or one at a time', () => {
    expect(possibleIn(matrix, serializable)).toEqual([])
    expect(possibleIn(matrix, serial)).toEqual([])
  })

  test('honest engines are as expected: exit code 0', () => {
    expect(exitCode({ ...matrix, cells: matrix.cells.filter(({ subject }) => subject !== dirty) })).toBe(0)
    expect(exitCode(matrix)).toBe(1)
  })

  test('where all schedules are played the numbers are exact, else the document says that they are a sample', () => {
    const { cells } = matrixDocument(matrix)
    const played = Object.fromEntries(cells.filter(({ subject }) => subject === 'toy/snapshot').map(cell => [cell.anomaly, [cell.schedules, cell.sampled]]))
    expect(played).toMatchObject({ 'G0': [20, false], 'G2-item': [70, false], 'read-only-anomaly': [500, true] })
  })

  test('the same seed gives the same document', async () => {
    const again = await run(snapshot, serial)
    expect(matrixDocument(again).cells).toEqual(matrixDocument(matrix).cells.filter(({ subject }) => subject === snapshot.name || subject === serial.name))
  })

  test('the document has the promised shape', () => {
    const document = matrixDocument(matrix)
    expect(document.subjects[3]).toEqual({ name: 'toy/serializable', level: 'serializable', control: 'optimistic' })
    expect(document.cells).toHaveLength(5 * ids.length)
    expect(document.cells.find(({ anomaly, subject }) => anomaly === 'P4' && subject === 'toy/read-committed')).toEqual({
      anomaly: 'P4', subject: 'toy/read-committed', expected: 'possible', observed: 'possible', schedules: 20, witnesses: 18, sampled: false, forbidden: [],
    })
    expect(JSON.parse(JSON.stringify(document))).toEqual(document)
  })
})

describe('the matrix bites', () => {
  test('snapshot isolation that is called serializable differs in every cell that needs more: exit code 1', async () => {
    const matrix = await run(mislabelled)
    expect(possibleIn(matrix, mislabelled)).toEqual(possibleAtSnapshot)
    expect(exitCode(matrix)).toBe(1)
  })

  test('validation that forgets phantoms differs exactly where a row appears: exit code 1', async () => {
    const matrix = await run(phantomBlind)
    expect(possibleIn(matrix, phantomBlind)).toEqual([
      'G2-empty-range', 'G2-range', 'G2-limit', 'G2-count', 'G2-first-last',
      'G2-index-empty', 'G2-index-range', 'G2-index-in', 'G2-index-count', 'G2-unique', 'G2-index-blind', 'unique-told', 'unread-counter', 'meeting-room', 'unique-user-name',
    ])
    expect(exitCode(matrix)).toBe(1)
  })

  test('a unique index that is asked before the commit loses claims: exit code 1', async () => {
    const matrix = await run(earlyClaims)
    expect(matrix.cells.filter(differs).map(({ scenario }) => scenario.id)).toEqual(['unique-claims', 'unique-ring'])
    expect(exitCode(matrix)).toBe(1)
  })

  test('an engine that is stricter than it says differs too: its level does not describe it', async () => {
    expect(exitCode(await run({ ...serializable, level: 'snapshot' }))).toBe(1)
  })

  test('an engine of somebody else that differs is news, not a failure', async () => {
    expect(exitCode(await run({ ...mislabelled, ours: false }))).toBe(0)
  })
})

describe('reports', () => {
  let matrix: Matrix
  beforeAll(async () => {
    matrix = await run(readCommitted, snapshot, serializable, mislabelled)
  })

  test('the table fits 100 columns, explains each anomaly in a line and needs no colour', () => {
    const text = renderTable(matrix, { colour: false })
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(100)
    expect(text).not.toContain('\u001b')
    expect(text).toMatch(/^G2-item +✗ possible +✗ possible +✓ prevented +✗ possible !$/m)
    for (const { legend } of scenarios) expect(text).toContain(legend)
    expect(text).toContain('A sample of the schedules was played, not all: long-fork,')
    expect(text).toContain('toy/mislabelled, double-spend: should be prevented, was found possible; shows G2-item')
  })

  test('colour adds nothing but colour', () => {
    const coloured = renderTable(matrix, { colour: true })
    expect(coloured).toContain('\u001b[32m✓ prevented')
    // oxlint-disable-next-line no-control-regex
    expect(coloured.replaceAll(/\u001b\[\d+m/g, '')).toBe(renderTable(matrix, { colour: false }))
  })

  test('a table of many subjects goes on below', async () => {
    const many = await runMatrix(Array.from({ length: 8 }, (_, i) => ({ ...snapshot, name: `toy/copy-${i}` })), scenarios.slice(0, 2), options)
    const text = renderTable(many, { colour: false })
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(100)
    for (let i = 0; i < 8; i++) expect(text).toContain(`copy-${i}`)
  })

  test('the trace shows who did what when, what reads returned, the cycle and the broken rule', () => {
    const text = renderTraces(matrix, { colour: false })
    const story = text.slice(text.indexOf('double-spend:'))
    expect(story.slice(story.indexOf('toy/snapshot'), story.indexOf('toy/serializable'))).toBe(
      [
        'toy/snapshot: ✗ possible (68 of 70 schedules)',
        '    T1 80 from checking │ T2 80 from savings',
        '    ────────────────────┼───────────────────',
        '    get checking → 50   │',
        '    get savings → 50    │',
        '    put checking = -30  │',
        '                        │ get checking → 50',
        '                        │ get savings → 50',
        '                        │ put savings = -30',
        '                        │ commit',
        '    commit              │',
        '    • G2-item: T1 before T2, because T1 read savings as it was before T2 wrote it.',
        '    • T2 before T1, because T2 read checking as it was before T1 wrote it.',
        '    • The rule is broken: checking and savings together are not below zero. At the end: checking',
        '      -30; savings -30.',
        '',
        '  ',
      ].join('\n'),
    )
  })

  test('a prevented cell shows how the engine explained an abort', () => {
    const text = renderTraces(matrix, { colour: false })
    expect(text).toContain('✗ aborted by the engine')
    expect(text).toContain('was aborted by the engine, which says: A read would have another answer now.')
  })

  test('the page is complete in itself, without scripts, and escapes what it shows', () => {
    const hostile = { ...matrix, scenarios: matrix.scenarios.map(scenario => ({ ...scenario, title: '<script>alert(1)</script>' })) }
    const page = renderHtml(hostile)
    expect(page).not.toMatch(/<script|src=|https?:/)
    expect(page).toContain('&lt;script&gt;')
    expect(page).toContain('prefers-color-scheme: dark')
    for (const { id } of scenarios) expect(page).toContain(`<section id="${id}"`)
    for (const tag of ['table', 'details', 'section', 'ul', 'div', 'main']) {
      expect(page.split(`<${tag}`).length, tag).toBe(page.split(`</${tag}>`).length)
    }
  })
})
