/** Findings about scenarios as replay files, and back: of `fuzz`, of `ask`, and of `conformance`. */
import { basename } from 'node:path';
import type { FileResult, ProgramFailure, Script, Tier } from '@pincushion/conformance';
import {
  agreesUpTo,
  ask,
  parseScript,
  readRecording,
  replayRecording,
  runProgram,
  scriptText,
} from '@pincushion/conformance';
import { kernelProfiles } from '@pincushion/mm';
import type { KernelProfile } from '@pincushion/mm';
import { ERROR_CODES, UsageError } from '@pincushion/sim';
import type { ErrorCode } from '@pincushion/sim';
import { readUserFile } from '../read-file';
import { pack, unpack } from './packed';
import { Places } from './places';
import type { Expected, SubjectOf } from './replay-file';
import type { ReplayOrder } from './replay-folder';
import type { Replayed } from './replayed';

// ---- fuzz ----------------------------------------------------------------------------------------------------------------

/** A random program that failed, cut down. */
export function programReplay(
  seed: number,
  program: number,
  kernel: string,
  script: Script,
  what: string,
): ReplayOrder {
  return {
    subject: { command: 'fuzz', seed, program, kernel, scenario: scriptText(script) },
    expected: [failureFinding(what)],
    trail: null,
    title: `program-${program}`,
  };
}

export function replayProgram(subject: SubjectOf<'fuzz'>, file: string): Replayed {
  const script = parseScript(subject.scenario, `${file}: subject.scenario`);
  const failure: ProgramFailure | null = runProgram(script, { profile: profileOf(subject.kernel, file) });
  return { found: failure === null ? [] : [failureFinding(failure.what)], differences: [], trail: null };
}

/** The line that shows a scenario step by step. */
export function askLine(script: Script, kernel: string): string {
  const steps = scriptText(script).trimEnd().split('\n').slice(1, -1);
  const options = kernel === '6.18' ? '' : ` --kernel ${kernel}`;
  return `npx pincushion ask '${steps.join('; ')}' --paranoid${options}`;
}

/** What a program failed with begins with a code where a finding or an error has one. */
function failureFinding(what: string): Expected {
  const [, code] = /(?:^|: )([A-Z][A-Z_]+): /.exec(what) ?? [];
  return { code: isCode(code) ? code : 'MEMORY_INVALID', of: '', summary: what, times: 1 };
}

// ---- ask -----------------------------------------------------------------------------------------------------------------

/** A scenario in which memory contradicts itself. */
export function scenarioReplay(script: Script, kernel: string, contradictions: readonly string[]): ReplayOrder {
  return {
    subject: { command: 'ask', kernel, scenario: scriptText(script) },
    expected: contradictionFindings(contradictions),
    trail: null,
    title: script.name,
  };
}

export function replayScenarioByHand(subject: SubjectOf<'ask'>, file: string): Replayed {
  const script = parseScript(subject.scenario, `${file}: subject.scenario`);
  const steps = ask(script, { profile: profileOf(subject.kernel, file), paranoid: true });
  const contradictions = steps.flatMap((step) => step.contradictions);
  return { found: contradictionFindings(contradictions), differences: [], trail: null };
}

function contradictionFindings(contradictions: readonly string[]): Expected[] {
  if (contradictions.length === 0) return [];
  return [{ code: 'MEMORY_INVALID', of: '', summary: contradictions[0], times: contradictions.length }];
}

// ---- conformance ---------------------------------------------------------------------------------------------------------

/** The scenarios of one recording that disagree; null when all agree. */
export function recordingReplay(result: FileResult, tier: Tier, paranoid: boolean): ReplayOrder | null {
  const expected = disagreements(result, tier);
  if (expected.length === 0) return null;
  const { file } = result.recording;
  const content = pack(readUserFile(file, 'recording'));
  const scenarios = expected.map(({ of }) => of);
  return {
    subject: { command: 'conformance', recording: file, content, folder: process.cwd(), scenarios, tier, paranoid },
    expected,
    trail: null,
    title: basename(file).replace(/\.jsonl?(\.gz)?$/, ''),
  };
}

export function replayDisagreements(subject: SubjectOf<'conformance'>, file: string): Replayed {
  const { recording, content, folder, scenarios, tier, paranoid } = subject;
  const wanted = new Set(scenarios);
  const data =
    content === null
      ? readUserFile(new Places(file, folder).find(recording, 'recording'), 'recording')
      : unpack(content, `${file}: subject.content`);
  const whole = readRecording(recording, data);
  const part = { ...whole, scenarios: whole.scenarios.filter(({ name }) => wanted.has(name)) };
  return { found: disagreements(replayRecording(part, { paranoid }), tier), differences: [], trail: null };
}

function disagreements({ results }: FileResult, tier: Tier): Expected[] {
  return results
    .filter((result) => !agreesUpTo(result, tier))
    .map(({ scenario, disagreements: by }) => {
      const [first] = [...by.values()].filter((each) => each.tier <= tier).sort((a, b) => a.step - b.step);
      const { step, subject, expected, got } = first;
      const summary = `step ${step + 1}: ${subject}: the kernel ${expected}, here ${got}`;
      return { code: 'KERNEL_DISAGREEMENT', of: scenario.name, summary, times: 1 };
    });
}

function profileOf(kernel: string, file: string): KernelProfile {
  if (Object.hasOwn(kernelProfiles, kernel)) return kernelProfiles[kernel];
  throw new UsageError('REPLAY_INVALID', `${file}: subject.kernel has an unknown value`, {
    expected: `one of ${Object.keys(kernelProfiles).join(', ')}`,
    actual: kernel,
  });
}

function isCode(code: string | undefined): code is ErrorCode {
  return code !== undefined && Object.hasOwn(ERROR_CODES, code);
}
