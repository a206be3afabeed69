/** The report as text that a person likes to read. Pure: colours are handed in, nothing is printed here. */
import { formatBytes, formatNs } from '@pincushion/sim';
import { IO_KIND_NAMES } from './io-kind';
import type { IoCountsReport, JobReport, ReportedFinding, RunReport, WorkloadReport } from './report';

type Paint = (text: string) => string;

/** How parts of the text are marked, for example by colours. */
export interface ReportStyle {
  readonly heading: Paint;
  readonly quiet: Paint;
  readonly good: Paint;
  readonly bad: Paint;
}

const plain: Paint = (text) => text;
export const PLAIN_STYLE: ReportStyle = Object.freeze({ heading: plain, quiet: plain, good: plain, bad: plain });

const FINDINGS_SHOWN_MAX = 12;

/** The whole report; ends with a line break. */
export function renderReport(report: RunReport, style: ReportStyle = PLAIN_STYLE): string {
  const lines: string[] = [];
  for (const workload of report.workloads) lines.push(...workloadLines(workload, style), '');
  lines.push(...machineLines(report, style), '');
  lines.push(...findingLines(report.findings, style));
  return `${lines.join('\n')}\n`;
}

function workloadLines(workload: WorkloadReport, style: ReportStyle): string[] {
  const through = workload.through === 'raw' ? '' : ` through ${workload.through}`;
  const where = workload.disk === '' ? '' : ` on ${workload.disk}${through}`;
  const lines = [
    `${style.heading(workload.name)}  ${style.quiet(`${workload.kind}${where}, ${workload.mode}, ${formatNs(workload.virtualNs)} of virtual time`)}`,
  ];
  if (workload.interrupted) lines.push(style.bad('  interrupted: the figures are those so far, nothing was read back'));
  lines.push(...ioLines(workload.jobs, style));
  const { verified } = workload;
  if (verified.on) {
    const back = workload.interrupted ? '' : `; ${formatBytes(verified.readBackBytes)} written was read back`;
    lines.push(`  ${style.quiet('content')}   ${thousands(verified.sectorsChecked)} sectors checked${back}`);
  }
  for (const note of workload.notes) lines.push(`  ${style.quiet('note')}      ${note}`);
  return lines;
}

/** One table for all jobs; the first column names the job when there are several. */
function ioLines(jobs: readonly JobReport[], style: ReportStyle): string[] {
  const counts = jobs.flatMap((job) =>
    IO_KIND_NAMES.map((kind) => ({ job: job.name, kind, io: job.io[kind] })).filter(({ io }) => io.ios > 0),
  );
  if (counts.length === 0) return [`  ${style.quiet('no I/O')}`];
  const recorded = counts.some(({ io }) => io.recorded !== null);
  const rows = [
    ['', '', 'I/Os', 'bytes', 'p50', 'p99', 'max', ...(recorded ? ['recorded p50', 'p99', 'max'] : []), ''],
    ...counts.map(({ job, kind, io }, i) => {
      const first = i === 0 || counts[i - 1].job !== job;
      return [first && jobs.length > 1 ? job : '', kind, ...cells(io, recorded)];
    }),
  ];
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row, i) => {
    const text = row.map((cell, c) => (c < 2 ? cell.padEnd(widths[c]) : cell.padStart(widths[c]))).join('  ');
    const line = (jobs.length > 1 ? text : text.slice(2)).trimEnd();
    return `  ${i === 0 ? style.quiet(line) : line}`;
  });
}

function cells(io: IoCountsReport, recorded: boolean): string[] {
  const { latency } = io;
  const before = io.recorded;
  return [
    thousands(io.ios),
    io.bytes === 0 ? '' : formatBytes(io.bytes),
    formatNs(latency.p50Ns),
    formatNs(latency.p99Ns),
    formatNs(latency.maxNs),
    ...(recorded
      ? before === null
        ? ['', '', '']
        : [formatNs(before.p50Ns), formatNs(before.p99Ns), formatNs(before.maxNs)]
      : []),
    io.failed === 0 ? '' : `${thousands(io.failed)} failed`,
  ];
}

function machineLines(report: RunReport, style: ReportStyle): string[] {
  const { pins, mappings, totals, wall } = report;
  const lines: string[] = [];
  if (report.ledger !== 'off') {
    const even = pins.acquired === pins.released;
    const balance = `${thousands(pins.acquired)} pages taken, ${thousands(pins.released)} given back`;
    lines.push(
      `pins        ${even ? style.good(balance) : style.bad(balance)}, at most ${thousands(pins.most)} at once`,
      `mappings    ${thousands(mappings.made)} made, ${thousands(mappings.undone)} undone, at most ${thousands(mappings.mostPages)} pages at once`,
    );
  }
  lines.push(
    `interrupts  ${thousands(report.interrupts)} for ${thousands(totals.ios)} I/Os, ${formatBytes(totals.bytes)}`,
    `time        ${formatNs(totals.virtualNs)} of virtual time in ${formatNs(Math.round(wall.elapsedMs) * 1e6)}; ${thousands(wall.iosPerSecond)} I/Os per second`,
    style.quiet(`seed        ${report.seed}`),
  );
  return lines;
}

function findingLines(findings: readonly ReportedFinding[], style: ReportStyle): string[] {
  if (findings.length === 0) return [style.good('no findings: nothing lost, nothing leaked')];
  const lines = [style.bad(findings.length === 1 ? '1 finding' : `${thousands(findings.length)} findings`)];
  for (const finding of findings.slice(0, FINDINGS_SHOWN_MAX)) {
    lines.push(`  ${style.bad(finding.code)}  ${finding.summary}  ${style.quiet(`at ${formatNs(finding.atNs)}`)}`);
    for (const site of finding.sites)
      lines.push(`    ${site.what}: ${site.site}  ${style.quiet(`at ${formatNs(site.atNs)}`)}`);
    for (const detail of finding.details) lines.push(`    ${style.quiet(detail)}`);
  }
  if (findings.length > FINDINGS_SHOWN_MAX) {
    lines.push(style.quiet(`  and ${thousands(findings.length - FINDINGS_SHOWN_MAX)} more; --json lists them all`));
  }
  return lines;
}

function thousands(n: number): string {
  return String(n).replace(/\B(?=(\d{3})+(?!\d))/g, ',');
}
