/**
 * What a replay found, as a document for programs and as text for people. Pure: colours are handed in, nothing is printed.
 *
 * The text has a table of agreement by file and tier, then disagreements as stories: the steps of the scenario, at the
 * step that differs both sides beside each other, what became of the frame concerned on either side, and what the memory
 * manager said when it refused something.
 */
import { TIERS, TIER_NAMES, frameText } from './compare';
import type { Tier } from './compare';
import type { Recording } from './formats';
import { agreesUpTo, replayScenario } from './replay';
import type { Disagreement, ReplayedStep, ScenarioResult } from './replay';
import type { Snapshot } from './snapshot';
import { outcomeText, sentence } from './story';
import { transcriptAgrees } from './nvme/transcript-replay';
import type { TranscriptResult } from './nvme/transcript-replay';
import { renderTranscripts, transcriptReport } from './nvme/transcript-report';
import type { TranscriptReport } from './nvme/transcript-report';

type Paint = (text: string) => string;

/** How parts of the text are marked, for example by colours. */
export interface ConformanceStyle {
  readonly heading: Paint;
  readonly quiet: Paint;
  readonly good: Paint;
  readonly bad: Paint;
}

const plain: Paint = (text) => text;
export const PLAIN_CONFORMANCE_STYLE: ConformanceStyle = Object.freeze({
  heading: plain,
  quiet: plain,
  good: plain,
  bad: plain,
});

export interface FileResult {
  readonly recording: Recording;
  readonly results: readonly ScenarioResult[];
}

/** Replays all scenarios of a recording. */
export function replayRecording(recording: Recording, options: { readonly paranoid?: boolean } = {}): FileResult {
  return { recording, results: recording.scenarios.map((scenario) => replayScenario(scenario, options)) };
}

export interface ConformanceOptions {
  /** Tiers above do not count. */
  readonly tier: Tier;
  /** Disagreements to tell in full. */
  readonly show: number;
}

// ---- the document ------------------------------------------------------------------------------------------------------

/** The document of `conformance --json`. */
export interface ConformanceReport {
  readonly schemaVersion: 1;
  /** The highest tier that was compared. */
  readonly tier: number;
  readonly scenarios: number;
  readonly agree: number;
  /** Scenarios that agree in each tier, whatever the others say. */
  readonly tiers: Readonly<Record<string, number>>;
  readonly files: readonly FileReport[];
  /** What a reference NVMe controller answered; only where such files were given. Each counts as a scenario. */
  readonly transcripts?: readonly TranscriptReport[];
}

export interface FileReport {
  readonly file: string;
  readonly scenarios: number;
  readonly agree: number;
  readonly tiers: Readonly<Record<string, number>>;
  /** What a reader should know about the file. */
  readonly notes: readonly string[];
  readonly disagreements: readonly DisagreementReport[];
}

/** The first difference of a scenario in one tier. */
export interface DisagreementReport {
  readonly scenario: string;
  readonly line: number;
  readonly tier: number;
  /** Number of the step, from 1. */
  readonly step: number;
  readonly operation: string;
  readonly subject: string;
  readonly expected: string;
  readonly got: string;
}

export function conformanceReport(
  files: readonly FileResult[],
  tier: Tier,
  transcripts: readonly TranscriptResult[] = [],
): ConformanceReport {
  const reports = files.map((file) => fileReport(file, tier));
  const sum = (of: (report: FileReport) => number): number => reports.reduce((total, report) => total + of(report), 0);
  return {
    schemaVersion: 1,
    tier,
    scenarios: sum(({ scenarios }) => scenarios) + transcripts.length,
    agree: sum(({ agree }) => agree) + transcripts.filter(transcriptAgrees).length,
    tiers: Object.fromEntries(upTo(tier).map((each) => [each, sum(({ tiers }) => tiers[each])])),
    files: reports,
    ...(transcripts.length === 0 ? {} : { transcripts: transcripts.map(transcriptReport) }),
  };
}

function fileReport({ recording, results }: FileResult, tier: Tier): FileReport {
  const agreeing = (each: Tier): number => results.filter(({ disagreements }) => !disagreements.has(each)).length;
  return {
    file: recording.file,
    scenarios: results.length,
    agree: results.filter((result) => agreesUpTo(result, tier)).length,
    tiers: Object.fromEntries(upTo(tier).map((each) => [each, agreeing(each)])),
    notes: recording.notes ?? [],
    disagreements: results.flatMap((result) =>
      inOrder(result, tier).map((disagreement) => disagreementReport(result, disagreement)),
    ),
  };
}

function disagreementReport({ scenario }: ScenarioResult, disagreement: Disagreement): DisagreementReport {
  const { tier, step, subject, expected, got } = disagreement;
  const operation = sentence(scenario.steps[step]);
  return { scenario: scenario.name, line: scenario.line, tier, step: step + 1, operation, subject, expected, got };
}

function upTo(tier: Tier): readonly Tier[] {
  return TIERS.filter((each) => each <= tier);
}

/** Disagreements up to a tier, in the order in which a reader meets them. */
function inOrder({ disagreements }: ScenarioResult, tier: Tier): readonly Disagreement[] {
  return [...disagreements.values()]
    .filter((disagreement) => disagreement.tier <= tier)
    .sort((a, b) => a.step - b.step || a.tier - b.tier);
}

// ---- the text ----------------------------------------------------------------------------------------------------------

/** The whole report; its last line is `N of M scenarios agree`. */
export function renderConformance(
  files: readonly FileResult[],
  { tier, show }: ConformanceOptions,
  style: ConformanceStyle = PLAIN_CONFORMANCE_STYLE,
  transcripts: readonly TranscriptResult[] = [],
): string {
  const report = conformanceReport(files, tier, transcripts);
  const lines = files.length === 0 ? [] : tableLines(conformanceReport(files, tier), tier, style);
  const differing = files.flatMap(({ recording, results }) =>
    results.filter((result) => !agreesUpTo(result, tier)).map((result) => ({ recording, result })),
  );
  for (const { recording, result } of differing.slice(0, show))
    lines.push('', ...storyOf(recording, result, tier, style));
  const untold = differing.slice(show);
  if (untold.length > 0) lines.push('', ...restLines(untold, tier, style));
  if (transcripts.length > 0) {
    if (lines.length > 0) lines.push('');
    lines.push(...renderTranscripts(transcripts, show, style));
  }
  const paint = report.agree === report.scenarios ? style.good : style.bad;
  lines.push('', paint(`${report.agree} of ${report.scenarios} scenarios agree`));
  return `${lines.join('\n')}\n`;
}

function tableLines(report: ConformanceReport, tier: Tier, style: ConformanceStyle): string[] {
  const tiers = upTo(tier);
  const rows = [
    ['', 'scenarios', ...tiers.map((each) => `tier ${each}`), 'agree'],
    ...report.files.map((file) => rowOf(file.file, file, tiers)),
    ...(report.files.length > 1 ? [rowOf('all', report, tiers)] : []),
  ];
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const lines = rows.map((row, i) => {
    const text = row.map((cell, k) => (k === 0 ? cell.padEnd(widths[k]) : cell.padStart(widths[k]))).join('  ');
    if (i === 0) return style.quiet(text);
    const isWhole = row[row.length - 1] === row[1];
    return `${text.slice(0, -widths[widths.length - 1])}${(isWhole ? style.good : style.bad)(text.slice(-widths[widths.length - 1]))}`;
  });
  const names = tiers.map((each) => `${each} ${TIER_NAMES[each]}`).join(' · ');
  return [...lines, style.quiet(`tiers: ${names}`), ...report.files.flatMap(notesOf).map(style.quiet)];
}

function notesOf({ file, notes }: FileReport): readonly string[] {
  return notes.map((note) => `${file}: ${note}`);
}

function rowOf(name: string, counts: FileReport | ConformanceReport, tiers: readonly Tier[]): string[] {
  return [name, String(counts.scenarios), ...tiers.map((each) => String(counts.tiers[each])), String(counts.agree)];
}

/** Steps that are told before and after the ones that differ. */
const STEPS_TOLD_MOST = 40;
/** Frames whose history is told. */
const HISTORIES_TOLD_MOST = 2;

function storyOf(recording: Recording, result: ScenarioResult, tier: Tier, style: ConformanceStyle): string[] {
  const { scenario, profile, broke } = result;
  const differences = inOrder(result, tier);
  const replayed: ReplayedStep[] = [];
  replayScenario(scenario, { profile, onStep: (step) => void replayed.push(step) });
  const last = differences[differences.length - 1].step;
  const first = Math.max(0, last - STEPS_TOLD_MOST + 1);
  const lines = [`${style.heading(scenario.name)}  ${style.quiet(`${recording.file}:${scenario.line}`)}`];
  if (first > 0) lines.push(style.quiet(`  … ${first} steps before`));
  for (let k = first; k <= last; k++) {
    const step = scenario.steps[k];
    const here = differences.filter((difference) => difference.step === k);
    const number = String(k + 1).padStart(4);
    const said = `${sentence(step).padEnd(64)} ${style.quiet(outcomeText(step))}`;
    lines.push(here.length > 0 ? `${style.bad(`${number} ✗`)} ${said}` : `${number}   ${said}`);
    const own = replayed[k] as ReplayedStep | undefined;
    if (own !== undefined && own.why !== '') lines.push(style.quiet(`         because ${own.why}`));
    for (const difference of here) lines.push(...differenceLines(difference, style));
    if (here.length > 0 && own !== undefined) lines.push(...sceneLines(own, style));
  }
  const frames = new Set(differences.flatMap(({ frame }) => (frame === null ? [] : [frame])));
  for (const frame of [...frames].slice(0, HISTORIES_TOLD_MOST)) {
    lines.push(...historyLines(frame, replayed.slice(0, last + 1), style));
  }
  if (broke !== null)
    lines.push(
      ...broke
        .split('\n')
        .slice(0, 8)
        .map((line) => style.bad(`       ${line}`)),
    );
  return lines;
}

function differenceLines({ tier, subject, expected, got }: Disagreement, style: ConformanceStyle): string[] {
  return [
    `       ${style.heading(subject)}  ${style.quiet(`tier ${tier}, ${TIER_NAMES[tier]}`)}`,
    `         kernel    ${style.good(expected === '' ? 'nothing' : expected)}`,
    `         here      ${style.bad(got === '' ? 'nothing' : got)}`,
  ];
}

/** Views that differ, on both sides. */
function sceneLines({ expected, own }: ReplayedStep, style: ConformanceStyle): string[] {
  const lines: string[] = [];
  for (const [process, regions] of expected.views) {
    for (const [region, view] of regions) {
      const ours = own.snapshot.views.get(process)?.get(region) ?? '';
      if (ours === view) continue;
      lines.push(`       ${process} ${region}`, `         kernel    ${view}`, `         here      ${ours}`);
    }
  }
  return lines.map((line) => style.quiet(line));
}

/** What became of a frame, step by step, where it changed on either side. */
function historyLines(frame: string, replayed: readonly ReplayedStep[], style: ConformanceStyle): string[] {
  const lines = [`       history of ${style.heading(frame)}`];
  let [lastExpected, lastGot] = ['', ''];
  for (const [k, { expected, own }] of replayed.entries()) {
    const want = stateText(frame, expected);
    const have = stateText(frame, own.snapshot);
    if (want === lastExpected && have === lastGot) continue;
    [lastExpected, lastGot] = [want, have];
    const number = String(k + 1).padStart(4);
    if (want === have) lines.push(style.quiet(`       ${number}  both      ${want}`));
    else lines.push(`       ${number}  kernel    ${style.good(want)}`, `             here      ${style.bad(have)}`);
  }
  return lines;
}

function stateText(frame: string, snapshot: Snapshot): string {
  const state = snapshot.frames.get(frame);
  if (state === undefined) return 'no such frame';
  const shown: string[] = [];
  for (const [process, regions] of snapshot.views) {
    for (const [region, view] of regions) if (view.split(/[ :]/).includes(frame)) shown.push(`${process} ${region}`);
  }
  return `${frameText(state)}${shown.length === 0 ? '' : ` · mapped by ${shown.join(', ')}`}`;
}

const REST_SHOWN_MOST = 20;

/** The other disagreements, by what they have in common. */
function restLines(
  untold: readonly { readonly result: ScenarioResult }[],
  tier: Tier,
  style: ConformanceStyle,
): string[] {
  const groups = new Map<string, string[]>();
  for (const { result } of untold) {
    const [first] = inOrder(result, tier);
    const key = `tier ${first.tier}  ${result.scenario.steps[first.step].op.padEnd(9)} ${first.subject.replace(/\d+/g, 'n')}: ${first.expected} / ${first.got}`;
    const names = groups.get(key) ?? [];
    names.push(result.scenario.name);
    groups.set(key, names);
  }
  const sorted = [...groups].sort((a, b) => b[1].length - a[1].length);
  const lines = [
    style.heading(`${untold.length} further scenarios disagree, by their first difference (kernel / here)`),
  ];
  for (const [key, names] of sorted.slice(0, REST_SHOWN_MOST)) {
    lines.push(`${String(names.length).padStart(5)}  ${key}  ${style.quiet(names.slice(0, 3).join(', '))}`);
  }
  if (sorted.length > REST_SHOWN_MOST)
    lines.push(style.quiet(`       and ${sorted.length - REST_SHOWN_MOST} other kinds`));
  return lines;
}
