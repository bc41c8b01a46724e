/** Every workload, in the order of the reports. */
import { durable } from './durable.js'
import { indexes } from './indexes.js'
import { levels } from './levels.js'
import { pointRead } from './point-read.js'
import type { Workload } from '../workload.js'

export const workloads: readonly Workload[] = [...pointRead, ...durable, levels, ...indexes]
