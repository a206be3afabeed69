/** What came of running a finding again, held against what the file expects. */
import { PLUGIN_API } from '@pincushion/driver';
import type { Divergence, ErrorCode } from '@pincushion/sim';
import { DecisionTrail, ERROR_CODES, PincushionError, UsageError } from '@pincushion/sim';
import { readVersion } from '../version';
import { unpack } from './packed';
import type { CodeIdentity, Expected, ReplayDocument } from './replay-file';

/** One run of a subject. */
export interface Replayed {
  readonly found: readonly Expected[];
  /** What is not as it was when the finding was made: sentences. */
  readonly differences: readonly string[];
  /** Text of the trail of decisions; null where none were recorded. */
  readonly trail: string | null;
}

/** The document of `replay --json`. */
export interface ReplayReport {
  readonly schemaVersion: 1;
  readonly file: string;
  readonly command: string;
  /** Every finding of the file shows again. */
  readonly reproduced: boolean;
  readonly expected: readonly Expected[];
  readonly found: readonly Expected[];
  readonly differences: readonly string[];
  /** The first decision that differs; null where none does, or none were recorded. */
  readonly diverged: Divergence | null;
  /** Nothing is known to differ, and yet the run went another way. */
  readonly unexplained: boolean;
}

export function replayReport(file: string, document: ReplayDocument, replayed: Replayed): ReplayReport {
  const { expected, subject } = document;
  const { found, differences } = replayed;
  const recorded = document.trail === null ? null : unpack(document.trail, `${file}: trail`).toString('utf8');
  const diverged =
    recorded === null || replayed.trail === null ? null : DecisionTrail.firstDivergence(recorded, replayed.trail);
  return {
    schemaVersion: 1,
    file,
    command: subject.command,
    reproduced: expected.every((each) => shows(each, found)),
    expected,
    found,
    differences,
    diverged,
    unexplained: diverged !== null && differences.length === 0,
  };
}

export function shows({ code, of }: Expected, found: readonly Expected[]): boolean {
  return found.some((each) => each.code === code && each.of === of);
}

/** Findings of one kind as one entry: by code, with the words of the first. */
export function gathered(
  findings: readonly { readonly code: string; readonly summary: string }[],
  of = '',
): Expected[] {
  const entries = new Map<ErrorCode, Expected>();
  for (const { code, summary } of findings) {
    if (!isCode(code)) continue;
    const known = entries.get(code);
    entries.set(code, known === undefined ? { code, of, summary, times: 1 } : { ...known, times: known.times + 1 });
  }
  return [...entries.values()];
}

/** The finding that an error of a run is; null for one that is none: bad input, or a fault of ours. */
export function findingOf(error: unknown): Expected | null {
  if (!(error instanceof PincushionError) || error instanceof UsageError || error.code === 'INTERNAL') return null;
  return { code: error.code, of: '', summary: error.message.slice(error.code.length + 2), times: 1 };
}

/** Sentences on how this Pincushion is not the one that made the file. The Node it runs on makes no difference. */
export function environmentDifferences({ made }: ReplayDocument): readonly string[] {
  const here = readVersion();
  if (made.pincushion !== here) return [`Pincushion ${made.pincushion} then, ${here} now`];
  return made.api === PLUGIN_API ? [] : [`version ${made.api} of the plugin contract then, ${PLUGIN_API} now`];
}

function isCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_CODES, code);
}

/** Sentences on how a module is not what it was. */
export function codeDifferences(then: CodeIdentity, now: CodeIdentity): readonly string[] {
  if (then.sha256 === now.sha256) return [];
  const versions = then.version === now.version ? '' : `: version ${then.version} then, ${now.version} now`;
  return [`${then.name} is not the same code${versions}`];
}
