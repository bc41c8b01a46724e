/** The public names of the history checker and of the anomaly matrix. */
export { type Cell, VacuousCellError } from './cell.js'
export { checkHistory, type Doubt, type Finding, type Status, type Verdict } from './checker/check.js'
export type { Edge } from './checker/graph.js'
export type {
  History,
  ItemRead,
  Operation,
  RangeRead,
  RowVersion,
  TransactionRecord,
  VersionId,
  VersionOrder,
  Write,
} from './checker/history.js'
export { CheckerError, judgeTwice, type Opinions } from './checker/opinions.js'
export { allPhenomena, type Definition, forbiddenAt, phenomena, type Phenomenon } from './checker/phenomena.js'
export { HistoryError, parseHistory } from './checker/parse.js'
export { serialOrder } from './checker/serial.js'
export { type EventFile, type HistoryEvent, jsonLines, type LeftOut } from './events/events.js'
export { type ListOperation, toListAppendEvents } from './events/list-append.js'
export { type RegisterOperation, toRegisterEvents } from './events/register.js'
export { type JudgedSchedule } from './judge.js'
export { differs, exitCode, type Matrix, type MatrixDocument, matrixDocument, type MatrixOptions, runMatrix } from './matrix.js'
export { renderHtml } from './report/html.js'
export { renderTable, type TextOptions } from './report/table.js'
export { renderTraces } from './report/trace.js'
export {
  abort,
  begin,
  commit,
  type Condition,
  constant,
  type IndexDefinition,
  type IndexedValue,
  type IndexInterval,
  type IndexKey,
  type IndexRangeOptions,
  type Invariant,
  type KeyedValue,
  type KeyInterval,
  type RangeOptions,
  type Row,
  savepoint,
  type Scenario,
  type Seen,
  type Session,
  type Step,
  stepsOver,
  type StepsOverTable,
  type TableDefinition,
  type TableInterval,
  undo,
  type Witness,
} from './scenario.js'
export { scenarios } from './scenarios/index.js'
export { indexKeysOf } from './schedule/entries.js'
export type { Interleaving } from './schedule/interleavings.js'
export { type PlayedSchedule, ScheduleError, type TimelineEvent } from './schedule/play.js'
export type { Ending } from './schedule/player.js'
export { type Scheduler, timedScheduler, type TimedOptions, type Timers, turnScheduler } from './schedule/scheduler.js'
export {
  type Awaitable,
  type BeginOptions,
  type Subject,
  type SubjectSpace,
  type SubjectStore,
  type SubjectTransaction,
  UnsupportedError,
} from './subject.js'
