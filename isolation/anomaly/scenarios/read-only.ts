/** The anomaly that needs a reader: two updates that are fine together become wrong because somebody looked. */
import { commit, constant, savepoint, type Scenario, stepsOver, undo } from '../scenario.js'

const { get, put, range, row } = stepsOver('accounts')

const readOnlyAnomaly: Scenario = {
  id: 'read-only-anomaly',
  title: 'Read-only transaction anomaly',
  legend: 'a mere report sees a state that no order of the two updates passes through',
  story:
    'Checking and savings both hold 0. One transaction deposits 20 into savings. Another withdraws 10 from checking and ' +
    'charges 1 more if the two accounts together do not cover it. A report reads both. If the report shows the deposit but ' +
    'not the withdrawal, then the deposit came first, and no penalty was due; yet the withdrawal, which did not see the ' +
    'deposit, charges it. Without the report the two updates are in order.',
  source: 'Fekete, O’Neil, O’Neil, "A Read-Only Transaction Anomaly Under Snapshot Isolation", SIGMOD Record 33(3), 2004',
  initial: [row('checking', 0), row('savings', 0)],
  sessions: [
    { label: 'deposits', steps: [get('savings'), put('savings', seen => seen.number('savings') + 20), commit] },
    {
      label: 'withdraws',
      steps: [
        get('checking'),
        get('savings'),
        put('checking', seen => {
          const penalty = seen.number('checking') + seen.number('savings') < 10 ? 1 : 0
          return seen.number('checking') - 10 - penalty
        }),
        commit,
      ],
    },
    { label: 'reports', readOnly: true, steps: [range('both'), commit] },
  ],
  witness: { kind: 'read-only', session: 'reports' },
  allowedAt: ['read-committed', 'snapshot'],
}

const withSavepoint: Scenario = {
  id: 'read-only-savepoint',
  title: 'Read-only transaction anomaly, with a savepoint',
  legend: 'the same where the withdrawal read in a savepoint that it rolled back',
  story:
    'As before, but the withdrawal is tried first: in a savepoint it reads the savings, takes 10 from checking, and undoes ' +
    'both. What it has learnt it keeps, and withdraws 11 where the savings did not cover it. An engine that forgets the ' +
    'reads of a savepoint with its writes no longer knows why there was a penalty.',
  source:
    'Fekete, O’Neil, O’Neil, SIGMOD Record 33(3), 2004; reads of rolled-back subtransactions: Ports, Grittner, PVLDB ' +
    '5(12), 2012, section 7.3',
  initial: [row('checking', 0), row('savings', 0)],
  sessions: [
    { label: 'deposits', steps: [put('savings', constant(20)), commit] },
    {
      label: 'withdraws',
      steps: [
        savepoint,
        get('savings'),
        put('checking', constant(-10)),
        undo,
        put('checking', seen => (seen.number('savings') < 10 ? -11 : -10)),
        commit,
      ],
    },
    { label: 'reports', readOnly: true, steps: [range('both'), commit] },
  ],
  witness: { kind: 'read-only', session: 'reports' },
  allowedAt: ['read-committed', 'snapshot'],
}

const shop = stepsOver('shop')

const receiptsReport: Scenario = {
  id: 'receipts-report',
  title: 'Report of a closed batch',
  legend: 'the report of a closed batch misses a receipt that is entered into it',
  story:
    'Receipts are entered into the batch that is open. At the end of the day batch 1 is closed and batch 2 opened, and a ' +
    'report is drawn of batch 1: it is closed, so nothing more can come. A receipt that was begun while batch 1 was open ' +
    'commits after the report, into batch 1. Without the report the receipt simply came before the closing.',
  source:
    'Ports, Grittner, PVLDB 5(12), 2012, section 2.1.2 (batch processing), PostgreSQL isolation test "receipt-report"; ' +
    'an instance of Fekete, O’Neil, O’Neil, SIGMOD Record 33(3), 2004',
  initial: [shop.row('batch', 1), shop.row('receipt/1', { batch: 1 })],
  sessions: [
    { label: 'enters', steps: [shop.get('batch'), shop.put('receipt/2', seen => ({ batch: seen.number('batch') })), commit] },
    { label: 'closes batch 1', steps: [shop.put('batch', constant(2)), commit] },
    {
      label: 'reports',
      readOnly: true,
      steps: [shop.get('batch'), shop.range('receipts', { gte: 'receipt/', lt: 'receipt0' }), commit],
    },
  ],
  witness: { kind: 'read-only', session: 'reports' },
  allowedAt: ['read-committed', 'snapshot'],
}

export const readOnly: readonly Scenario[] = [readOnlyAnomaly, withSavepoint, receiptsReport]
