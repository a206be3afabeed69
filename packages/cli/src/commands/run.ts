/**
 * `pincushion run`: runs workloads on an emulated machine and reports.
 * Several workloads run one after the other, each on a machine booted afresh with the same seed, so that what is reported
 * of one does not depend on which others were named. Sections of one fio file share a machine.
 */
import { basename } from 'node:path';
import { SingleBar } from 'cli-progress';
import type { Command } from 'commander';
import { Option } from 'commander';
import type { Machine } from '@pincushion/machine';
import type { LedgerMode } from '@pincushion/mm';
import { FaultPlan, formatBytes, formatNs, UsageError } from '@pincushion/sim';
import type { ReportStyle, RunProgress, RunReport, Through, Workload } from '@pincushion/workloads';
import { mergeReports, renderReport } from '@pincushion/workloads';
import { EXAMPLE_JOB, EXAMPLE_TRACES } from '../clone-examples';
import { ExitCode } from '../exit-codes';
import { Interruption } from '../interruption';
import type { Invocation } from '../invocation';
import type { DescribedMachine } from '../machine-file';
import { describeMachine } from '../machine-file';
import { openWorkload } from '../open-workload';
import { throughWay, wholeNumber } from '../option-values';
import type { NotedSession } from '../replay/cut-plan';
import { CUT_EVENTS_MOST, withNeededRules } from '../replay/cut-plan';
import type { ReplayOptions } from '../replay/replay-folder';
import { ReplayFolder, addReplayOptions, tellAgain } from '../replay/replay-folder';
import type { Expected } from '../replay/replay-file';
import { findingOf, gathered } from '../replay/replayed';
import { SessionNotes, runSubject } from '../replay/run-replay';
import type { Colours, Terminal } from '../terminal';
import { TraceRecording } from '../trace-recording';
import { runRecordedSession } from '../serve/recorded-session';
import { isSession } from '../serve/session-file';
import type { SessionListener, SessionOptions } from '../workload-session';
import { runSession } from '../workload-session';

interface RunOptions extends ReplayOptions {
  readonly machine?: string;
  readonly device?: string;
  readonly seed: number;
  readonly strict?: true;
  readonly closedLoop?: true;
  readonly iodepth?: number;
  readonly through: Through;
  readonly verify: boolean;
  readonly ledger?: LedgerMode;
  readonly fault?: string;
  readonly trace?: string;
  readonly paranoid?: true;
  readonly json?: true;
}

export function runWorkloadsCommand(program: Command, invocation: Invocation): void {
  const command = program
    .command('run')
    .summary('run workloads on an emulated machine')
    .description(
      'Runs fio job files (.fio), block traces (.blkparse.txt, .gz) and workload modules (.ts, .js) on an emulated ' +
        'machine, each on a machine booted afresh, and reports. Ends with 1 when something was lost or leaked. A session that ' +
        '`serve --record` wrote runs again without its clients.',
    )
    .argument('<workload...>', 'files; told by name, or by content where the name says nothing')
    .option('--machine <file>', 'machine file (default: 4 CPUs, 4 GiB, one NVMe device nvme0)')
    .option('--device <name>', 'device or disk to run on (default: the first)')
    .addOption(new Option('--seed <n>', 'seed of every choice').argParser(wholeNumber(0, 0xffffffff)).default(1))
    .option('--strict', 'unsupported options of a fio job file are errors')
    .option('--closed-loop', 'replay traces as fast as the device answers, not at the recorded times')
    .addOption(
      new Option('--iodepth <n>', 'I/Os in flight with --closed-loop (default: 32)').argParser(wholeNumber(1, 65_536)),
    )
    .addOption(
      new Option('--through <way>', 'what I/Os go through: raw, fs, fs:buffered, fs:direct')
        .argParser(throughWay)
        .default('raw'),
    )
    .option('--no-verify', 'do not write content that is checked when read')
    .addOption(
      new Option('--ledger <mode>', 'how closely pins and mappings are recorded').choices(['off', 'counts', 'full']),
    )
    .option('--fault <plan>', 'what goes wrong, and when: completion@4=lost,irq@9=late:1ms')
    .option('--paranoid', 'look now and then whether anything in memory contradicts itself')
    .option('--trace <file>', 'write a trace: .json opens in ui.perfetto.dev, .jsonl has an event a line')
    .option('--json', 'print one JSON document instead of the summary');
  addReplayOptions(command)
    .addHelpText(
      'after',
      '\nExamples:\n' +
        `  pincushion run ${EXAMPLE_JOB}\n` +
        `  pincushion run ${EXAMPLE_TRACES.sqlite} --closed-loop --iodepth 8 --trace run.json\n`,
    )
    .action(async (files: string[], options: RunOptions) => {
      const interruption = new Interruption();
      try {
        const session = files.find(isSession);
        if (session !== undefined) {
          if (files.length > 1) {
            throw new UsageError('ARGUMENT_INVALID', 'a recorded session runs alone', { actual: files.join(', ') });
          }
          await runRecordedSession(session, options, invocation, interruption);
          if (interruption.requested) invocation.exitCode = interruption.exitCode;
          return;
        }
        const reports = await runAll(files, options, invocation, interruption);
        const report = mergeReports(reports.map((each) => each.report));
        if (options.json) invocation.terminal.out(JSON.stringify(report, null, 2) + '\n');
        else invocation.terminal.out(renderReport(report, reportStyle(invocation.terminal.colours)));
        tellAgain(
          reports.map(({ again }) => again),
          invocation.terminal,
          options.json,
        );
        if (report.findings.length > 0) invocation.exitCode = ExitCode.findings;
        if (interruption.requested) invocation.exitCode = interruption.exitCode;
      } finally {
        interruption.dispose();
      }
    });
}

/** What came of one workload, and the line that runs its findings again. */
interface Ran {
  readonly report: RunReport;
  readonly again: string | null;
}

/** Reads everything first, so that a mistake in the last file is told before the first has run. */
async function runAll(
  files: readonly string[],
  options: RunOptions,
  invocation: Invocation,
  interruption: Interruption,
): Promise<Ran[]> {
  if (options.iodepth !== undefined && !options.closedLoop) {
    throw new UsageError('ARGUMENT_INVALID', '--iodepth is the depth of the closed loop', { hint: '--closed-loop' });
  }
  if (options.trace !== undefined && files.length > 1) {
    throw new UsageError('ARGUMENT_INVALID', '--trace writes the trace of one workload', { actual: files.join(', ') });
  }
  const machine = describeMachine(options.machine);
  const session = sessionOptions(options);
  const workloads = files.map((file) => openWorkload(file, options));
  const ran: Ran[] = [];
  for (const workload of workloads) {
    ran.push(await runOne(workload, machine, session, options, invocation, interruption));
    if (interruption.requested) break;
  }
  return ran;
}

function sessionOptions(options: RunOptions): SessionOptions {
  return {
    seed: options.seed,
    ...(options.ledger === undefined ? {} : { ledger: options.ledger }),
    ...(options.fault === undefined ? {} : { faults: FaultPlan.parse(options.fault) }),
    paranoid: options.paranoid ?? false,
    run: {
      verify: options.verify,
      closedLoop: options.closedLoop ?? false,
      through: options.through,
      ...(options.device === undefined ? {} : { disk: options.device }),
      ...(options.iodepth === undefined ? {} : { ioDepth: options.iodepth }),
    },
  };
}

async function runOne(
  workload: Workload,
  machine: DescribedMachine,
  session: SessionOptions,
  options: RunOptions,
  invocation: Invocation,
  interruption: Interruption,
): Promise<Ran> {
  const { terminal } = invocation;
  const trace = options.trace === undefined ? null : new TraceRecording(options.trace);
  const progress = new ProgressLine(workload.source, terminal, options.json === true);
  const replays = new ReplayFolder(options, terminal);
  const notes = new SessionNotes();
  const again = async (expected: readonly Expected[]): Promise<string | null> => {
    if (expected.length === 0 || !replays.wanted) return null;
    const { source } = workload;
    const whole: NotedSession = { options: session, expected, notes };
    const isCheap = notes.events <= CUT_EVENTS_MOST && !notes.usesHostFiles && !interruption.requested;
    const least = isCheap ? await withNeededRules(whole, workload, machine, interruption) : whole;
    const strict = options.strict ?? false;
    const subject = runSubject(source, strict, machine, least.options, least.notes, interruption.requested);
    return replays.write({
      subject,
      expected: least.expected,
      trail: least.notes.trailText,
      title: workloadTitle(source),
    });
  };
  try {
    const listener: SessionListener = {
      begun: (world, hostFiles) => {
        if (replays.wanted) notes.begun(world, hostFiles);
      },
      booted: (booted) => {
        trace?.attach(booted);
        progress.begin(booted, options);
      },
      progressed: (now) => {
        notes.slices++;
        progress.show(now);
      },
    };
    const report = await runSession(workload, machine, session, interruption, listener);
    trace?.finish();
    return { report, again: await again(gathered(report.findings)) };
  } catch (error) {
    const finding = findingOf(error);
    if (finding !== null) invocation.again = await again([finding]);
    throw error;
  } finally {
    progress.end();
    trace?.discard();
  }
}

/** The name of a workload's file without folders and endings. */
function workloadTitle(source: string): string {
  return basename(source).replace(/(\.blkparse)?(\.txt)?(\.gz)?$|\.\w+$/, '');
}

/** What is shown while a workload runs: a bar on a terminal, else one line at the beginning; nothing at all with --json. */
class ProgressLine {
  private bar: SingleBar | null = null;

  constructor(
    private readonly source: string,
    private readonly terminal: Terminal,
    private readonly quiet: boolean,
  ) {}

  begin(machine: Machine, { seed }: RunOptions): void {
    const { cpus, memory } = machine.description;
    if (this.terminal.animated) {
      const format = `${this.source} {bar} {percentage} % | {value} of {total} I/Os | {virtual}`;
      this.bar = new SingleBar({
        format,
        hideCursor: true,
        clearOnComplete: true,
        stream: process.stderr,
        barsize: 24,
      });
      this.bar.start(1, 0, { virtual: '' });
    } else if (!this.quiet) {
      const facts = `${cpus} CPUs, ${formatBytes(memory.ram)}, disks: ${machine.diskNames.join(', ') || 'none'}`;
      this.terminal.err(`running ${this.source} (${facts}, seed ${seed})\n`);
    }
  }

  show({ done, total, nowNs, phase }: RunProgress): void {
    this.bar?.setTotal(Math.max(total, done, 1));
    this.bar?.update(done, { virtual: phase === 'reading back' ? 'reading back' : formatNs(nowNs) });
  }

  end(): void {
    this.bar?.stop();
  }
}

function reportStyle({ bold, dim, green, red }: Colours): ReportStyle {
  return { heading: bold, quiet: dim, good: green, bad: red };
}
