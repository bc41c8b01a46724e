/** Anomalies of a transaction whose view moves under it: `read-committed` allows them, `snapshot` prevents them. */
import { commit, constant, type Scenario, stepsOver } from '../scenario.js'

const { get, put, row } = stepsOver('items')

const lostUpdate: Scenario = {
  id: 'P4',
  title: 'Lost update',
  legend: 'two transactions read x and write x from it; one of the updates vanishes',
  story:
    'Two tills read the same counter, 10, and each writes back what it read plus its own sale. The second write replaces the ' +
    'first without knowing of it, so one sale is lost although both tills were told that it was saved.',
  source: 'Berenson et al. 1995, section 4.1 (P4); Hermitage "p4"',
  initial: [row('x', 10)],
  sessions: [
    { label: 'adds 1', steps: [get('x'), put('x', seen => seen.number('x') + 1), commit] },
    { label: 'adds 5', steps: [get('x'), put('x', seen => seen.number('x') + 5), commit] },
  ],
  witness: { kind: 'phenomenon', phenomenon: 'P4' },
  allowedAt: ['read-committed'],
}

const readSkew: Scenario = {
  id: 'G-single',
  title: 'Read skew',
  legend: 'one transaction sees x from before another transaction and y from after it',
  story:
    'x and y always add up to 100. One transaction moves 25 from x to y in one commit. Another reads x before that commit ' +
    'and y after it, and finds 125: it has seen half of a transfer.',
  source: 'A5A in Berenson et al. 1995, section 4.2; G-single in Adya 1999 (thesis), chapter 4; Hermitage "g-single"',
  initial: [row('x', 50), row('y', 50)],
  sessions: [
    { label: 'sums up', steps: [get('x'), get('y'), commit] },
    { label: 'transfers', steps: [put('x', constant(25)), put('y', constant(75)), commit] },
  ],
  witness: { kind: 'phenomenon', phenomenon: 'G-single' },
  allowedAt: ['read-committed'],
}

const posts = stepsOver('posts')

const longFork: Scenario = {
  id: 'long-fork',
  title: 'Long fork',
  legend: 'one reader sees the first of two writes alone, another the second alone',
  story:
    'Ada and Bob each publish a post. Cleo sees Ada’s and not Bob’s; Dan sees Bob’s and not Ada’s. To Cleo, Ada was first, to ' +
    'Dan, Bob was: the history has forked, and they will never agree on who answered whom.',
  source:
    'Sovran, Power, Aguilera, Li, "Transactional storage for geo-replicated systems", SOSP 2011 (what parallel snapshot ' +
    'isolation lets through)',
  initial: [posts.row('ada', 'draft'), posts.row('bob', 'draft')],
  sessions: [
    { label: 'ada posts', steps: [posts.put('ada', constant('hello')), commit] },
    { label: 'bob posts', steps: [posts.put('bob', constant('hi')), commit] },
    { label: 'cleo reads', readOnly: true, steps: [posts.get('ada'), posts.get('bob'), commit] },
    { label: 'dan reads', readOnly: true, steps: [posts.get('ada'), posts.get('bob'), commit] },
  ],
  witness: { kind: 'phenomenon', phenomenon: 'G2-item' },
  allowedAt: ['read-committed'],
}

export const stale: readonly Scenario[] = [lostUpdate, readSkew, longFork]
