/** The world of an emulation: virtual time, events, contexts, tasks, locks, choices, preemption points, tracepoints, ports. */
export { World } from './world';
export type { RunLimit, RunResult, WorldOptions } from './world';
export { EventQueue } from './event-queue';

export { Context, ContextStack } from './context';
export { sleeping } from './task';
export type { Blocker, MaySleep, Task, UnstartedTask } from './task';
export { Thread } from './scheduler';
export type { ScheduleOrder, ThreadOptions, ThreadState } from './scheduler';
export { WaitQueue } from './wait-queue';
export { Mutex } from './mutex';
export { SpinLock } from './spin-lock';
export { WorkItem, WorkQueue } from './work-queue';
export { Timer } from './timer';

export { ChoiceSource, ChoiceStream } from './choices';
export type { ChoiceListener, ForcedChoice, TakenChoice } from './choices';
export { DecisionTrail } from './decision-trail';
export type { Divergence } from './decision-trail';
export { armPoint, disarmPoint, point } from './preemption';
export type { PointHandler, PreemptionPoint, PreemptionSite } from './preemption';
export { FaultSites } from './fault-sites';
export type { NthFault } from './fault-sites';
export { FaultPlan } from './fault-plan';
export { FAULT_SITES, fault } from './fault-rules';
export type {
  FaultDuration,
  FaultEffect,
  FaultKind,
  FaultRule,
  FaultSite,
  FaultSiteFacts,
  FaultWhen,
  IoSite,
  SectorRange,
} from './fault-rules';
export { Tracepoint, Tracepoints } from './tracepoints';
export type { Listening, TraceListener, TracepointName } from './tracepoints';
export { Port } from './port';
export type { RecordedInput } from './port';

export { Findings } from './findings';
export type { Finding, FindingSite } from './findings';
export { PincushionError, UsageError } from './errors';
export type { ErrorFacts } from './errors';
export { ERROR_CODES } from './error-codes';
export type { ErrorCode } from './error-codes';
export { CallTrace, callSite } from './call-site';
export { formatBytes, formatNs, parseDuration, parseSize } from './units';
export {
  EPERM,
  ENOENT,
  EINTR,
  EIO,
  ENXIO,
  E2BIG,
  EBADF,
  EAGAIN,
  ENOMEM,
  EACCES,
  EFAULT,
  EBUSY,
  EEXIST,
  EXDEV,
  ENODEV,
  ENOTDIR,
  EISDIR,
  EINVAL,
  EMFILE,
  ENOTTY,
  EFBIG,
  ENOSPC,
  EROFS,
  EMLINK,
  EPIPE,
  ERANGE,
  EDEADLK,
  ENAMETOOLONG,
  ENOSYS,
  ENOTEMPTY,
  EBADE,
  ENODATA,
  ETIME,
  ENOLINK,
  EPROTO,
  EOVERFLOW,
  EILSEQ,
  EOPNOTSUPP,
  ETIMEDOUT,
  EALREADY,
  EINPROGRESS,
  EUCLEAN,
  EREMOTEIO,
  ECANCELED,
  EHWPOISON,
  ERESTARTSYS,
  EPROBE_DEFER,
  EIOCBQUEUED,
  errnoName,
  errnoOf,
} from './errno';
