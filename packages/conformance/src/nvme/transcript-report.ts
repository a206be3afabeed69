/**
 * What a replay of transcripts found, as a document for programs and as text for people. Pure, as `report.ts`.
 */
import type { ConformanceStyle } from '../report';
import type { TranscriptDifference, TranscriptResult } from './transcript-replay';
import { transcriptAgrees } from './transcript-replay';

/** One transcript in the document of `conformance --json`. */
export interface TranscriptReport {
  readonly file: string;
  readonly name: string;
  readonly agrees: boolean;
  /** Steps compared, by how binding they are. */
  readonly steps: { readonly spec: number; readonly choice: number; readonly quirk: number };
  /** Documented choices that differ, by their name in the manual: in how many steps. */
  readonly choices: Readonly<Record<string, number>>;
  readonly disagreements: readonly StepReport[];
  /** Why the replay ended before the last step, or null. */
  readonly broke: string | null;
}

/** A step that differs, and no documented choice explains it. */
interface StepReport {
  /** Number of the step, from 1. */
  readonly step: number;
  readonly name: string;
  readonly basis: string;
  readonly expected: string;
  readonly got: string;
}

export function transcriptReport(result: TranscriptResult): TranscriptReport {
  const { transcript, compared, broke } = result;
  return {
    file: transcript.file,
    name: transcript.name,
    agrees: transcriptAgrees(result),
    steps: compared,
    choices: choicesIn(result),
    disagreements: unexplained(result).map(({ step, name, basis, expected, got }) => {
      return { step: step + 1, name, basis, expected, got };
    }),
    broke,
  };
}

/** A table of all, then those that disagree, told in full up to `show` of them. */
export function renderTranscripts(
  results: readonly TranscriptResult[],
  show: number,
  style: ConformanceStyle,
): readonly string[] {
  const rows = [['', 'steps', 'spec', 'choice', 'quirk', 'differ by choice', 'disagree'], ...results.map(rowOf)];
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const lines = rows.map((row, i) => {
    const text = row.map((cell, k) => (k === 0 ? cell.padEnd(widths[k]) : cell.padStart(widths[k]))).join('  ');
    if (i === 0) return style.quiet(text);
    return `${text.slice(0, -widths[6])}${(row[6] === '0' ? style.good : style.bad)(text.slice(-widths[6]))}`;
  });
  const differing = results.filter((result) => !transcriptAgrees(result));
  for (const result of differing.slice(0, show)) lines.push('', ...storyOf(result, style));
  if (differing.length > show) lines.push('', `${differing.length - show} further transcripts disagree`);
  return lines;
}

function rowOf(result: TranscriptResult): string[] {
  const { spec, choice, quirk } = result.compared;
  const byChoice = result.differences.length - unexplained(result).length;
  const disagree = unexplained(result).length + (result.broke === null ? 0 : 1);
  return [result.transcript.file, ...[spec + choice + quirk, spec, choice, quirk, byChoice, disagree].map(String)];
}

const STEPS_TOLD_MOST = 20;

function storyOf(result: TranscriptResult, style: ConformanceStyle): string[] {
  const { transcript, broke } = result;
  const lines = [`${style.heading(transcript.name)}  ${transcript.about}  ${style.quiet(transcript.reference)}`];
  const steps = unexplained(result);
  for (const { step, name, basis, expected, got } of steps.slice(0, STEPS_TOLD_MOST)) {
    lines.push(
      `${style.bad(`${String(step + 1).padStart(4)} ✗`)} ${name === '' ? transcript.steps[step].t : name}  ${style.quiet(basis)}`,
      `         reference  ${style.good(expected)}`,
      `         here       ${style.bad(got)}`,
    );
  }
  if (steps.length > STEPS_TOLD_MOST)
    lines.push(style.quiet(`       and ${steps.length - STEPS_TOLD_MOST} further steps`));
  if (broke !== null)
    lines.push(
      ...broke
        .split('\n')
        .slice(0, 8)
        .map((line) => style.bad(`       ${line}`)),
    );
  return lines;
}

function unexplained({ differences }: TranscriptResult): readonly TranscriptDifference[] {
  return differences.filter(({ choice }) => choice === null);
}

function choicesIn({ differences }: TranscriptResult): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { choice } of differences) if (choice !== null) counts[choice.id] = (counts[choice.id] ?? 0) + 1;
  return counts;
}
