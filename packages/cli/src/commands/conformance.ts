/**
 * `pincushion conformance`: replays recordings of a real kernel, each scenario on a fresh machine, and of a reference NVMe controller,
 * each on a bare controller, and compares.
 */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { Option } from 'commander';
import type { ConformanceStyle, Recording, Tier, Transcript } from '@pincushion/conformance';
import {
  conformanceReport,
  isRecording,
  isTranscript,
  readRecording,
  readTranscript,
  renderConformance,
  replayRecording,
  replayTranscript,
} from '@pincushion/conformance';
import { UsageError } from '@pincushion/sim';
import { ExitCode } from '../exit-codes';
import { fileProblem } from '../file-problem';
import type { Invocation } from '../invocation';
import { wholeNumber } from '../option-values';
import { readUserFile } from '../read-file';
import type { ReplayOptions } from '../replay/replay-folder';
import { ReplayFolder, addReplayOptions, tellAgain } from '../replay/replay-folder';
import { recordingReplay } from '../replay/scenario-replay';
import type { Colours } from '../terminal';

interface ConformanceCommandOptions extends ReplayOptions {
  readonly json?: true;
  readonly tier: Tier;
  readonly show: number;
  readonly scenario?: string;
  readonly paranoid?: true;
}

export function conformanceCommand(program: Command, invocation: Invocation): void {
  const command = program
    .command('conformance')
    .summary('compare with recordings of a real kernel, and of a reference NVMe controller')
    .description(
      'Replays recordings of a real kernel (.jsonl, .gz, folders of them), each scenario on a fresh machine, and ' +
        'compares every step in tiers: 1 results and contents, 2 which frame is where, 3 counts and exclusivity, ' +
        '4 page-table bits and faults, 5 the other flags. A transcript of a reference NVMe controller is replayed on a ' +
        'bare controller. Ends with 1 when a scenario disagrees.',
    )
    .argument('<path...>', 'recordings, or folders that have some')
    .option('--json', 'print one JSON document instead of the report')
    .addOption(new Option('--tier <n>', 'compare up to this tier').argParser(wholeNumber(1, 5)).default(5))
    .addOption(new Option('--show <n>', 'disagreements to tell in full').argParser(wholeNumber(0, 100_000)).default(3))
    .option('--scenario <text>', 'only scenarios with this text in their name')
    .option('--paranoid', 'look after each step whether anything in memory contradicts itself; slow');
  addReplayOptions(command)
    .addHelpText('after', '\nExample:\n  pincushion conformance test/golden/linux-6.18 --tier 3 --show 1\n')
    .action((paths: string[], options: ConformanceCommandOptions) => {
      const { terminal } = invocation;
      const opened = select(paths.map(open).reduce(both, NOTHING), options.scenario);
      const paranoid = options.paranoid ?? false;
      const files = opened.recordings.map((recording) => replayRecording(recording, { paranoid }));
      const transcripts = opened.transcripts.map(replayTranscript);
      const report = conformanceReport(files, options.tier, transcripts);
      if (options.json) terminal.out(JSON.stringify(report, null, 2) + '\n');
      else terminal.out(renderConformance(files, options, styleOf(terminal.colours), transcripts));
      if (report.agree === report.scenarios) return;
      const replays = new ReplayFolder(options, terminal);
      const orders = replays.wanted ? files.map((file) => recordingReplay(file, options.tier, paranoid)) : [];
      tellAgain(
        orders.map((order) => (order === null ? null : replays.write(order))),
        terminal,
        options.json,
      );
      invocation.exitCode = ExitCode.findings;
    });
}

/** What was opened: recordings of a kernel's memory, transcripts of a controller. */
interface Opened {
  readonly recordings: readonly Recording[];
  readonly transcripts: readonly Transcript[];
}

const NOTHING: Opened = { recordings: [], transcripts: [] };

function both(a: Opened, b: Opened): Opened {
  return {
    recordings: [...a.recordings, ...b.recordings],
    transcripts: [...a.transcripts, ...b.transcripts],
  };
}

/** A file, or all recordings of a folder in the order of their names. */
function open(path: string): Opened {
  if (!isFolder(path)) return read(path, readUserFile(path, 'recording'));
  const files = namesIn(path).map((name) => join(path, name));
  const contents = files.map((file) => ({ file, data: readUserFile(file, 'recording') }));
  const found = contents.filter(({ file, data }) => file.includes('.jsonl') || isRecording(data));
  if (found.length === 0) {
    throw new UsageError('RECORDING_INVALID', `${path}: no recording is in this folder`, {
      expected: 'files with scenarios (.jsonl, .jsonl.gz), or transcripts (.json)',
    });
  }
  return found.map(({ file, data }) => read(file, data)).reduce(both, NOTHING);
}

function read(file: string, data: Uint8Array): Opened {
  if (isTranscript(data)) return { recordings: [], transcripts: [readTranscript(file, data)] };
  return { recordings: [readRecording(file, data)], transcripts: [] };
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function namesIn(path: string): readonly string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.jsonl?(\.gz)?$/.test(entry.name))
      .map((entry) => entry.name)
      .sort();
  } catch (error) {
    throw new UsageError('FILE_UNREADABLE', `${path}: the folder cannot be read: ${fileProblem(error)}`, {
      cause: error,
    });
  }
}

function select(opened: Opened, text: string | undefined): Opened {
  if (text === undefined) return opened;
  const recordings = opened.recordings
    .map((recording) => ({
      ...recording,
      scenarios: recording.scenarios.filter(({ name }) => name.includes(text)),
    }))
    .filter(({ scenarios }) => scenarios.length > 0);
  const transcripts = opened.transcripts.filter(({ name }) => name.includes(text));
  if (recordings.length + transcripts.length > 0) return { recordings, transcripts };
  throw new UsageError('ARGUMENT_INVALID', `no scenario has "${text}" in its name`, {
    hint: 'a shorter part of a name',
  });
}

function styleOf({ bold, dim, green, red }: Colours): ConformanceStyle {
  return { heading: bold, quiet: dim, good: green, bad: red };
}
