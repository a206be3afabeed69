/**
 * Where an issuer gets its I/Os: one at a time, through fields, so that nothing is allocated for an I/O.
 *
 * The issuer asks `dueNs` when the next I/O may start; when that time has come it calls `take`, which moves the I/O into
 * the fields, and reads them. Sources are a recorded trace (trace-source.ts), a fio job (fio-source.ts) and the
 * read-back at the end (read-back-source.ts).
 */
import type { IoKind } from './io-kind';

/** From `dueNs`: there is no further I/O. */
export const NO_MORE = -1;
/** From `dueNs`: not before one of the I/Os in flight has completed. */
export const AFTER_COMPLETION = Infinity;

export abstract class IoSource {
  // The I/O taken last.
  kind: IoKind = 0;
  sector = 0;
  sectors = 0;
  /** TRACE_PREFLUSH, TRACE_FUA. */
  flags = 0;
  cpu = 0;

  /** I/Os in all, as far as known; 0 when time decides. For progress only. */
  abstract readonly expected: number;

  /** The source starts at this virtual time. */
  abstract start(nowNs: number): void;

  /** Virtual time from which the next I/O may be issued (the past means now), AFTER_COMPLETION, or NO_MORE. */
  abstract dueNs(nowNs: number, inFlight: number): number;

  /** Moves the next I/O into the fields. Only after `dueNs` allowed it. */
  abstract take(): void;

  /** An I/O of this source completed; `inFlight` without it. */
  abstract completed(nowNs: number, inFlight: number): void;
}
