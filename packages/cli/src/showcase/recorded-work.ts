/**
 * Act: three recorded block traces and a job file run through pinned user pages, every byte checked. The recorded
 * latencies are those of the machine on which the trace was taken; the emulated ones come from the model's parameters.
 */
import Table from 'cli-table3';
import { formatBytes, formatNs, PincushionError } from '@pincushion/sim';
import type { IoCountsReport, RunReport } from '@pincushion/workloads';
import { EXAMPLE_JOB, EXAMPLE_TRACES, exampleFile } from '../clone-examples';
import { describeMachine } from '../machine-file';
import { openWorkload } from '../open-workload';
import { PLAIN_TABLE } from '../table-style';
import type { Terminal } from '../terminal';
import { runSession } from '../workload-session';
import type { Act } from './act';

const WORKLOADS = [
  { what: 'SQLite, 900 transactions', path: EXAMPLE_TRACES.sqlite },
  { what: 'an archive unpacked', path: EXAMPLE_TRACES.untar },
  { what: 'PostgreSQL, pgbench', path: EXAMPLE_TRACES.postgres },
  { what: 'job file, mixed, verified', path: EXAMPLE_JOB },
] as const;

/** Where the text of a branch starts at most that is shown: machine, devices, and what belongs to a device. */
const OUTLINE_COLUMNS = 9;

export const recordedWork: Act = {
  name: 'recorded-work',
  title: 'Recorded programs run through pinned pages',
  async run(stage, interruption) {
    const machine = describeMachine(undefined);
    const rows: Row[] = [];
    for (const [i, { what, path }] of WORKLOADS.entries()) {
      const workload = openWorkload(exampleFile(path));
      const report = await runSession(workload, machine, { seed: 1, run: {} }, interruption, {
        booted: (booted) => {
          if (i === 0) stage.out(outline(booted.tree()) + '\n\n');
          if (stage.animated) stage.err(`\r\x1b[K  running ${what} ...`);
        },
      });
      if (stage.animated) stage.err('\r\x1b[K');
      if (interruption.requested) return;
      expectClean(report, path);
      rows.push({ what, report });
    }
    stage.out(renderRows(rows, stage));
  },
};

interface Row {
  readonly what: string;
  readonly report: RunReport;
}

function expectClean({ findings, pins }: RunReport, path: string): void {
  if (findings.length === 0 && pins.acquired === pins.released) return;
  const [first] = findings;
  throw new PincushionError('INTERNAL', `${path}: ${findings.length} findings`, {
    actual:
      (first as unknown) === undefined ? `${pins.acquired} pins taken, ${pins.released} given back` : first.summary,
  });
}

/** A line for each workload, and below it a line for its reads and its writes: emulated latency beside the recorded one. */
function renderRows(rows: readonly Row[], { colours }: Terminal): string {
  const { bold, dim, green } = colours;
  const table = new Table({
    ...PLAIN_TABLE,
    colAligns: ['left', 'right', 'right', 'right', 'right', 'right', 'right'],
  });
  table.push(['', 'I/Os', 'bytes', 'p50', 'p99', 'recorded p50', 'p99'].map((head) => dim(head)));
  for (const { what, report } of rows) {
    const { totals, workloads } = report;
    table.push([bold(what), count(totals.ios), formatBytes(totals.bytes), '', '', '', '']);
    const [{ jobs }] = workloads;
    for (const kind of ['read', 'write'] as const) {
      // Of a job file's sections the busiest one: percentiles of several cannot be added up.
      const busiest = jobs.reduce((a, b) => (b.io[kind].ios > a.io[kind].ios ? b : a));
      const counts = busiest.io[kind];
      if (counts.ios === 0) continue;
      const name = jobs.length > 1 ? `${kind}s of ${busiest.name}` : `${kind}s`;
      table.push([dim(`  ${name}`), count(counts.ios), formatBytes(counts.bytes), ...latencies(counts)]);
    }
  }
  const sum = (pick: (report: RunReport) => number): number => rows.reduce((n, { report }) => n + pick(report), 0);
  const taken = sum(({ pins }) => pins.acquired);
  const ios = sum(({ totals }) => totals.ios);
  const seconds = sum(({ wall }) => wall.elapsedMs) / 1000;
  const virtual = sum(({ totals }) => totals.virtualNs);
  return (
    `${table.toString().replaceAll(/ +$/gm, '')}\n` +
    dim('  recorded: on the machine where the trace was taken; job files have none\n\n') +
    `  ${green('✓')} ${count(taken)} pins taken, ${count(sum(({ pins }) => pins.released))} given back; ` +
    `${count(sum(({ mappings }) => mappings.made))} DMA mappings made and undone; ` +
    `${count(sum(({ interrupts }) => interrupts))} interrupts\n` +
    `  ${green('✓')} everything written was read back and is what was written; nothing lost, nothing leaked\n` +
    dim(`  ${formatNs(virtual)} of virtual time in ${seconds.toFixed(1)} s: ${count(ios / seconds)} I/Os a second\n`)
  );
}

function latencies({ latency, recorded }: IoCountsReport): readonly string[] {
  const emulated = [formatNs(latency.p50Ns), formatNs(latency.p99Ns)];
  return recorded === null ? [...emulated, '', ''] : [...emulated, formatNs(recorded.p50Ns), formatNs(recorded.p99Ns)];
}

function count(n: number): string {
  return Math.round(n).toLocaleString('en');
}

/** The tree of a machine down to what its devices are; their settings are for `machine show`. */
function outline(tree: string): string {
  const lines = tree.split('\n').filter((line) => line.search(/[^│├└─ ]/) <= OUTLINE_COLUMNS);
  return lines.map((line) => `  ${line}`).join('\n');
}
