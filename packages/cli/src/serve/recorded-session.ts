/** `pincushion run` on a recorded session: runs it again, says whether its clients would have seen the same, and cuts it down. */
import { basename, join } from 'node:path';
import { mkdirSync } from 'node:fs';
import { UsageError, formatNs } from '@pincushion/sim';
import { ExitCode } from '../exit-codes';
import type { Invocation } from '../invocation';
import { shows } from '../replay/replayed';
import type { Expected } from '../replay/replay-file';
import type { ReplayOptions } from '../replay/replay-folder';
import type { Stopping } from '../workload-session';
import { cutSession } from './session-cut';
import type { RecordedSession, SessionReply } from './session-file';
import { SessionWriter, readSession } from './session-file';
import type { SessionOutcome } from './session-replay';
import { replaySession } from './session-replay';

/** The document of `run --json` on a session. */
interface SessionReport {
  readonly schemaVersion: 1;
  readonly file: string;
  readonly requests: number;
  readonly endNs: number;
  /** The findings of the recording show again, and every reply is the recorded one. */
  readonly reproduced: boolean;
  readonly expected: readonly Expected[];
  readonly found: readonly Expected[];
  readonly differences: readonly string[];
  /** The first reply that differs. */
  readonly otherReply: { readonly recorded: SessionReply | null; readonly here: SessionReply } | null;
}

export async function runRecordedSession(
  file: string,
  options: ReplayOptions & { readonly json?: true },
  invocation: Invocation,
  stopping: Stopping,
): Promise<void> {
  const { terminal } = invocation;
  const session = readSession(file);
  const outcome = await replaySession(session, file, stopping);
  const report = reportOf(file, session, outcome);
  terminal.out(options.json ? JSON.stringify(report, null, 2) + '\n' : words(report));
  if (report.found.length > 0 || report.otherReply !== null) invocation.exitCode = ExitCode.findings;
  const canCut = report.reproduced && report.found.length > 0 && options.replay && session.head.images.length === 0;
  if (!canCut || session.asks.length < 2 || outcome.interrupted) return;
  const least = await cutSession(session, file, stopping);
  if (least.asks.length === session.asks.length) return;
  const path = await writeCut(least, file, options.replayDir, stopping);
  const line = `again, with ${least.asks.length} of ${session.asks.length} requests: npx pincushion run ${path}\n`;
  if (options.json) terminal.err(line);
  else terminal.out(line);
}

function reportOf(file: string, { end }: RecordedSession, outcome: SessionOutcome): SessionReport {
  const { requests, endNs, findings, otherReply, differences } = outcome;
  const isSame =
    end.findings.every((each) => shows(each, findings)) && findings.every((each) => shows(each, end.findings));
  return {
    schemaVersion: 1,
    file,
    requests,
    endNs,
    reproduced: isSame && otherReply === null && !outcome.interrupted,
    expected: end.findings,
    found: findings,
    differences,
    otherReply,
  };
}

function words({ requests, endNs, expected, found, differences, otherReply, reproduced }: SessionReport): string {
  const lines = [`${requests} requests in ${formatNs(endNs)} of virtual time`];
  for (const finding of found) {
    const isNew = !shows(finding, expected);
    lines.push(`${isNew ? '+' : '✗'} ${finding.code}  ${finding.summary}${isNew ? '  new' : ''}`);
  }
  for (const finding of expected.filter((each) => !shows(each, found))) {
    lines.push(`✓ ${finding.code}  ${finding.summary}  does not show`);
  }
  for (const difference of differences) lines.push(`differs: ${difference}`);
  if (otherReply !== null) {
    const { recorded, here } = otherReply;
    lines.push(`REPLAY_DIVERGED: request ${here.reply} is answered otherwise`);
    lines.push(
      `  recorded  ${recorded === null ? 'no reply' : replyWords(recorded)}`,
      `  here      ${replyWords(here)}`,
    );
  }
  if (reproduced) lines.push('every reply is the recorded one');
  return lines.join('\n') + '\n';
}

function replyWords({ at, status, sha256 }: SessionReply): string {
  return `status ${status} at ${formatNs(at)}${sha256 === undefined ? '' : `, content ${sha256.slice(0, 12)}`}`;
}

/** Writes what is left, as it runs: with replies and findings of its own. */
async function writeCut(least: RecordedSession, file: string, folder: string, stopping: Stopping): Promise<string> {
  const path = join(folder, `${basename(file).replace(/(\.session)?\.jsonl?$/, '')}-cut.session.jsonl`);
  try {
    mkdirSync(folder, { recursive: true });
  } catch (cause) {
    throw new UsageError('FILE_UNWRITABLE', `${folder}: the folder cannot be made`, { cause });
  }
  const writer = new SessionWriter(path);
  try {
    writer.begin(least.head);
    const { endNs, findings } = await replaySession(least, file, stopping, {
      arrived: (atNs, arrival) => {
        writer.arrived(atNs, arrival);
      },
      replied: (atNs, id, reply) => {
        writer.replied(atNs, id, reply);
      },
    });
    writer.finish({ end: endNs, findings: [...findings] });
  } finally {
    writer.discard();
  }
  return path;
}
