/**
 * The report of a run: one JSON document, its schema, and how it is put together.
 *
 * Everything outside of `wall` follows from the inputs and the seed alone: the same run gives the same bytes. Field
 * order is fixed by the functions here. Units are in the names: `…Ns` virtual nanoseconds, `…Ms` wall milliseconds.
 */
import { z } from 'zod';
import type { Finding } from '@pincushion/sim';
import { IO_KIND_NAMES } from './io-kind';
import type { IoKindName } from './io-kind';
import type { IoStatistics } from './io-statistics';

export const REPORT_SCHEMA_VERSION = 1;

const count = z.number().int().nonnegative();

const Latency = z.strictObject({
  count: count.describe('I/Os the figures are taken from'),
  minNs: count,
  meanNs: count,
  p50Ns: count,
  p99Ns: count,
  p999Ns: count,
  maxNs: count,
});

const IoCounts = z.strictObject({
  ios: count.describe('I/Os that ended, failed ones included'),
  bytes: count.describe('bytes of those that succeeded'),
  failed: count,
  latency: Latency.describe('from issue to completion, in virtual time'),
  recorded: Latency.nullable().describe('the same of the recording that was replayed, null where there is none'),
});

const Ios = z.strictObject({ read: IoCounts, write: IoCounts, flush: IoCounts, discard: IoCounts });

const Job = z.strictObject({
  name: z.string(),
  inFlightMost: count.describe('most I/Os in flight at once'),
  io: Ios,
});

const ReportedWorkload = z.strictObject({
  name: z.string().describe('the file as it was named on the command line'),
  kind: z.enum(['trace', 'fio', 'module']),
  disk: z.string().describe('the disk it ran on, empty for a module on a machine without disks'),
  mode: z
    .string()
    .describe('how I/Os were paced: recorded times, closed loop, as the job file says, as the program says'),
  through: z
    .string()
    .describe('what its I/Os went through: raw, fs (direct), fs (buffered), or fs (direct and buffered)'),
  virtualNs: count.describe('virtual time from the first I/O to the end, without reading back'),
  interrupted: z.boolean(),
  jobs: z.array(Job),
  verified: z.strictObject({
    on: z.boolean().describe('whether content was written and checked'),
    sectorsChecked: count.describe('sectors compared with the model, reading back included'),
    readBackBytes: count.describe('bytes read back at the end: everything that was written'),
    readBackNs: count,
  }),
  notes: z.array(z.string()),
});

const ReportedFinding = z.strictObject({
  code: z.string(),
  summary: z.string(),
  atNs: count,
  device: z.string().nullable(),
  sites: z.array(z.strictObject({ what: z.string(), site: z.string(), atNs: count })),
  details: z.array(z.string()),
});

/** Schema of the document that `pincushion run --json` prints. */
export const RunReport = z.strictObject({
  schemaVersion: z.literal(REPORT_SCHEMA_VERSION),
  seed: count,
  workloads: z.array(ReportedWorkload),
  totals: z.strictObject({ ios: count, bytes: count, failed: count, virtualNs: count, events: count }),
  interrupts: count,
  ledger: z.enum(['off', 'counts', 'full']).describe('with off, pins and mappings are not counted'),
  pins: z.strictObject({
    acquired: count.describe('pages'),
    released: count.describe('pages'),
    most: count.describe('most pages pinned at once while the workload ran, reading back left out'),
  }),
  mappings: z.strictObject({
    made: count.describe('mapping calls'),
    undone: count.describe('mapping calls undone'),
    mostPages: count.describe('most pages mapped for devices at once, reading back left out'),
  }),
  findings: z.array(ReportedFinding),
  wall: z
    .strictObject({ elapsedMs: z.number(), iosPerSecond: z.number(), eventsPerSecond: z.number() })
    .describe('the only figures that depend on the host'),
});

export type RunReport = z.infer<typeof RunReport>;
export type WorkloadReport = z.infer<typeof ReportedWorkload>;
export type JobReport = z.infer<typeof Job>;
export type IoCountsReport = z.infer<typeof IoCounts>;
export type ReportedFinding = z.infer<typeof ReportedFinding>;

/** The schema as JSON Schema, for documents and editors. */
export function reportJsonSchema(): object {
  return z.toJSONSchema(RunReport);
}

export function jobReport(name: string, statistics: IoStatistics): JobReport {
  const io = {} as Record<IoKindName, IoCountsReport>;
  IO_KIND_NAMES.forEach((kindName, kind) => {
    const recorded = statistics.recorded[kind];
    io[kindName] = {
      ios: statistics.ios[kind],
      bytes: statistics.bytes[kind],
      failed: statistics.failed[kind],
      latency: statistics.latency[kind].summary(),
      recorded: recorded.count === 0 ? null : recorded.summary(),
    };
  });
  return { name, inFlightMost: statistics.inFlightMost, io };
}

export function findingReport(finding: Finding): ReportedFinding {
  return {
    code: finding.code,
    summary: finding.summary,
    atNs: finding.atNs,
    device: finding.device ?? null,
    sites: finding.sites.map(({ what, site, atNs }) => ({ what, site, atNs })),
    details: [...finding.details],
  };
}

/**
 * One document for several runs, each on a machine of its own: counts are added, the most of the mosts is kept.
 * Needs at least one report; the seed is the first one's.
 */
export function mergeReports(reports: readonly RunReport[]): RunReport {
  const [first, ...rest] = reports;
  return rest.reduce(mergeTwo, first);
}

function mergeTwo(a: RunReport, b: RunReport): RunReport {
  const elapsedMs = a.wall.elapsedMs + b.wall.elapsedMs;
  const ios = a.totals.ios + b.totals.ios;
  const events = a.totals.events + b.totals.events;
  return {
    schemaVersion: REPORT_SCHEMA_VERSION,
    seed: a.seed,
    workloads: [...a.workloads, ...b.workloads],
    totals: {
      ios,
      bytes: a.totals.bytes + b.totals.bytes,
      failed: a.totals.failed + b.totals.failed,
      virtualNs: a.totals.virtualNs + b.totals.virtualNs,
      events,
    },
    interrupts: a.interrupts + b.interrupts,
    ledger: a.ledger,
    pins: {
      acquired: a.pins.acquired + b.pins.acquired,
      released: a.pins.released + b.pins.released,
      most: Math.max(a.pins.most, b.pins.most),
    },
    mappings: {
      made: a.mappings.made + b.mappings.made,
      undone: a.mappings.undone + b.mappings.undone,
      mostPages: Math.max(a.mappings.mostPages, b.mappings.mostPages),
    },
    findings: [...a.findings, ...b.findings],
    wall: { elapsedMs, iosPerSecond: perSecond(ios, elapsedMs), eventsPerSecond: perSecond(events, elapsedMs) },
  };
}

/** A rate, whole; 0 when no time has passed. */
export function perSecond(n: number, elapsedMs: number): number {
  return elapsedMs > 0 ? Math.round((n * 1000) / elapsedMs) : 0;
}
