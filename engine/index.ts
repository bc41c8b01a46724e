/** The public surface of `premisedb`: every name that a program may rely on. */
export { open } from './open.js'
export type { OpenOptions } from './open.js'
export type { Database, WriteOptions } from './database.js'
export { check } from './check.js'
export type { CheckFinding, CheckOptions, CheckReport } from './check.js'
export { compact } from './compact.js'
export type { CompactReport } from './store/compaction.js'
export { salvage } from './salvage.js'
export type { SalvageBound, SalvagedTable, SalvageFinding, SalvageOptions, SalvageReport } from './salvage.js'
export type { SalvagePart } from './store/salvage.js'
export type { AuditPart, AuditProgress } from './store/audit.js'
export type { BeginOptions, TransactionOptions } from './options.js'
export type { Transaction } from './transaction.js'
export type { ManualTransaction } from './run.js'
export type { Iterated, Row, Rows } from './rows.js'
export type { IndexEntry, IndexRow } from './index-rows.js'
export type { OldState, SnapshotHolder, Stats } from './stats.js'
export type { Durability } from './commit.js'
export type { GuardMode } from './guard.js'
export { row } from './table/definition.js'
export type { IndexDescription, TableDescription } from './table/catalog.js'
export type { Index, IndexesOf } from './table/index-handle.js'
export type { Table } from './table/table.js'
export type {
  BoundOf,
  IndexBoundOf,
  IndexDefinition,
  IndexDefinitions,
  IndexKeyOf,
  IndexRangeOptions,
  KeyElement,
  KeyElementOf,
  KeyElementType,
  KeyOf,
  RangeOptions,
  TableDefinition,
} from './table/definition.js'
export {
  CancelledError,
  ConflictError,
  ConstraintError,
  errorCodes,
  LimitError,
  PremiseError,
  StorageError,
  UsageError,
} from './errors.js'
export type { ConstraintPlace, ErrorCode, Explanation, RangeDescription, ReadDescription, SchemaIssue } from './errors.js'
export { levels } from '../isolation/types.js'
export type { CommitTs, Level, SnapshotTs, WriteKind } from '../isolation/types.js'
