/** The anomaly that needs a reader: two updates that are fine together become wrong because somebody looked. */
import { commit, type Scenario, stepsOver } from '../scenario.js'

const { get, put, row } = stepsOver('accounts')

const readOnlyAnomaly: Scenario = {
  id: 'read-only-anomaly',
  title: 'Read-only transaction anomaly',
  legend: 'a mere report sees a state that no order of the two updates passes through',
  story:
    'Checking and savings both hold 0. One transaction deposits 20 into savings. Another withdraws 10 from checking and charges 1 ' +
    'more if the two accounts together do not cover it. A report reads both. If the report shows the deposit but not the ' +
    'withdrawal, then the deposit came first, and no penalty was due; yet the withdrawal, which did not see the deposit, ' +
    'charges it. Without the report the two updates are in order.',
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
    { label: 'reports', readOnly: true, steps: [get('checking'), get('savings'), commit] },
  ],
  witness: { kind: 'read-only', session: 'reports' },
  allowedAt: ['read-committed', 'snapshot'],
}

export const readOnly: readonly Scenario[] = [readOnlyAnomaly]
