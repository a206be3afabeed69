/** Where the replay files of a command go: a folder that is made with the first of them. */
import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { PLUGIN_API } from '@pincushion/driver';
import { UsageError } from '@pincushion/sim';
import { OutputFile } from '../output-file';
import type { Terminal } from '../terminal';
import { readVersion } from '../version';
import { pack } from './packed';
import type { Expected, ReplayDocument, ReplaySubject } from './replay-file';
import { REPLAY_SCHEMA_VERSION, REPLAY_SUFFIX } from './replay-file';

export interface ReplayOptions {
  readonly replay: boolean;
  readonly replayDir: string;
}

/** A finding, and what it depends on. */
export interface ReplayOrder {
  readonly subject: ReplaySubject;
  /** What was found; at least one. */
  readonly expected: readonly Expected[];
  /** Text of a `DecisionTrail`; null where no decisions were recorded. */
  readonly trail: string | null;
  /** What it is about, for the name of the file: a workload, a driver, a program. */
  readonly title: string;
}

/** Adds `--replay-dir` and `--no-replay`. */
export function addReplayOptions(command: Command): Command {
  return command
    .option('--replay-dir <dir>', 'folder for files that run a finding again', 'pincushion-replays')
    .option('--no-replay', 'write no file that runs a finding again');
}

export class ReplayFolder {
  constructor(
    private readonly options: ReplayOptions,
    private readonly terminal: Terminal,
  ) {}

  /** False with `--no-replay`: nothing need be recorded. */
  get wanted(): boolean {
    return this.options.replay;
  }

  /**
   * Writes the file and gives the line that runs it: `npx pincushion replay …`. The same finding has the same name. Null with
   * `--no-replay`, and when the file cannot be written; that is told on stderr, for the finding counts more.
   */
  write(order: ReplayOrder): string | null {
    if (!this.wanted) return null;
    const path = join(this.options.replayDir, nameOf(order));
    try {
      makeFolder(this.options.replayDir);
      const file = new OutputFile(path);
      try {
        file.write(JSON.stringify(documentOf(order), null, 2) + '\n');
        file.finish();
      } finally {
        file.discard();
      }
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      this.terminal.err(`${this.terminal.colours.red('no replay file:')} ${error.message}\n`);
      return null;
    }
    return `npx pincushion replay ${quoted(path)}`;
  }
}

/** The last lines of a command: how each finding is run again. On stderr beside a JSON document. */
export function tellAgain(lines: readonly (string | null)[], terminal: Terminal, json = false): void {
  for (const line of lines) {
    if (line === null) continue;
    if (json) terminal.err(`again: ${line}\n`);
    else terminal.out(`again: ${line}\n`);
  }
}

function documentOf({ subject, expected, trail }: ReplayOrder): ReplayDocument {
  return {
    schemaVersion: REPLAY_SCHEMA_VERSION,
    made: {
      pincushion: readVersion(),
      api: PLUGIN_API,
      node: process.version,
      platform: `${process.platform} ${process.arch}`,
    },
    expected: [...expected],
    subject,
    trail: trail === null ? null : pack(Buffer.from(trail)),
  };
}

/** `run-mixed-verify-1-PIN_LEAK-3fa9c1.replay.json`: command, title, seed, code, and what tells it from others of these. */
function nameOf({ subject, expected, title }: ReplayOrder): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([subject, title]))
    .digest('hex')
    .slice(0, 6);
  const plain = title.replace(/[^\w.@-]+/g, '-').replace(/^[-.]+|-+$/g, '');
  const seed = 'seed' in subject ? [subject.seed] : [];
  return [subject.command, plain.slice(-60), ...seed, expected[0].code, digest].join('-') + REPLAY_SUFFIX;
}

function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (cause) {
    throw new UsageError('FILE_UNWRITABLE', `${folder}: the folder cannot be made`, { cause });
  }
}

/** A path as a shell takes it for one word. */
function quoted(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
