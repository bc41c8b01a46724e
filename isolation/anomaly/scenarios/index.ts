/** Every scenario of the matrix, in the order it is shown. A new family is one file here and one line below. */
import type { Scenario } from '../scenario.js'
import { claims } from './claims.js'
import { dirty } from './dirty.js'
import { indexes } from './indexes.js'
import { predicates } from './predicates.js'
import { readOnly } from './read-only.js'
import { skew } from './skew.js'
import { stale } from './stale.js'
import { stories } from './stories.js'
import { updates } from './updates.js'

export const scenarios: readonly Scenario[] = [...dirty, ...stale, ...predicates, ...skew, ...indexes, ...claims, ...readOnly, ...updates, ...stories]
