/**
 * A golden recording: what a real kernel did in scripted situations, one scenario per line.
 *
 * A scenario is a list of steps; a step is one operation by one process, what it returned, and what changed in the
 * snapshot that the recorder took afterwards. The shape is checked here to the last field, so that the rest of the
 * package can trust it. Operations are not checked: one that is unknown is a disagreement, not a broken file.
 */
import { UsageError } from '@pincushion/sim';

/** Arguments of an operation: `r` region, `i` first page, `n` pages, and so on. */
export type OperationArguments = Readonly<Record<string, string | number>>;

/** State of a page frame, or of one part of a large folio (then only `f` and `c`). */
export interface FrameState {
  /** Reference count. */
  readonly rc?: number;
  /** Map count of a small page. */
  readonly mc?: number;
  /** Pins, huge mappings, all mappings and order of a large folio. */
  readonly pc?: number;
  readonly em?: number;
  readonly lm?: number;
  readonly o?: number;
  /** Flag letters. */
  readonly f: string;
  /** First byte of the page. */
  readonly c: number;
}

/** What a process is charged for. */
export interface ProcessAccounts {
  /** `mm->pinned_vm` in pages. */
  readonly pin: number;
  /** `mm->locked_vm` in pages. */
  readonly lck: number;
  /** MMF_HAS_PINNED. */
  readonly hp: number;
  /** Pages charged to the user; given only after the capability was dropped. */
  readonly ul?: number;
}

/** What changed in the snapshot; `null`: the frame is gone. */
export interface SnapshotDelta {
  readonly v: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly f: Readonly<Record<string, FrameState | null>>;
  readonly m: Readonly<Record<string, ProcessAccounts>>;
}

/** What an operation gave. */
export interface Outcome {
  /** `ok`, a number, the name of an errno, or the name of a signal. */
  readonly res: string | number;
  /** Page faults of a load or store. */
  readonly flt?: number;
  /** Extra result. */
  readonly x?: string;
}

export interface Step extends Outcome {
  readonly by: string;
  readonly op: string;
  readonly a: OperationArguments;
  /** Pages pinned and unpinned during the step. */
  readonly pa?: number;
  readonly pr?: number;
  readonly s: SnapshotDelta;
}

export interface Scenario {
  readonly name: string;
  readonly topic: string;
  /** Line of the file it stands in, from 1. */
  readonly line: number;
  readonly steps: readonly Step[];
}

/** Whether the first document of a file looks like a scenario. */
export function looksLikeScenario(value: unknown): boolean {
  return isRecord(value) && 'steps' in value && 'name' in value;
}

/** All scenarios of a file. Throws `UsageError` RECORDING_INVALID that names the line and the step. */
export function parseScenarios(text: string, file: string): readonly Scenario[] {
  const lines = text.split('\n');
  const scenarios: Scenario[] = [];
  for (const [index, line] of lines.entries()) {
    if (line.trim() === '') continue;
    const where = `${file}:${index + 1}`;
    const isLast = lines.slice(index + 1).every((rest) => rest.trim() === '');
    scenarios.push(parseScenario(parseJson(line, where, isLast), where, index + 1));
  }
  return scenarios;
}

/** A JSON document of a recording; `mayBeCut` when nothing follows it, so that its end may be missing. */
export function parseJson(text: string, where: string, mayBeCut: boolean): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const isCut = mayBeCut && isOpenAtEnd(text);
    throw invalid(where, isCut ? 'the document ends in the middle; the file is cut off' : `not JSON: ${reason}`);
  }
}

/** Whether text ends inside of a string, a list or an object. */
function isOpenAtEnd(text: string): boolean {
  const open = text.replace(/"(?:[^"\\]|\\.)*"/gs, '');
  if (open.includes('"')) return true;
  return open.replace(/[^[{]/g, '').length > open.replace(/[^\]}]/g, '').length;
}

function parseScenario(value: unknown, where: string, line: number): Scenario {
  if (!isRecord(value)) throw invalid(where, 'a scenario is an object', { actual: kindOf(value) });
  const name = textField(value, 'name', where);
  const topic = textField(value, 'topic', where);
  const steps = value['steps'];
  if (!Array.isArray(steps)) throw invalid(where, `scenario ${name}: "steps" is not a list`, { actual: kindOf(steps) });
  return { name, topic, line, steps: steps.map((step, k) => parseStep(step, `${where}: ${name}, step ${k + 1}`)) };
}

function parseStep(value: unknown, where: string): Step {
  if (!isRecord(value)) throw invalid(where, 'a step is an object', { actual: kindOf(value) });
  refuseOthers(value, ['by', 'op', 'a', 'res', 'flt', 'pa', 'pr', 'x', 's'], where);
  const res = value['res'];
  if (typeof res !== 'string' && typeof res !== 'number') {
    throw invalid(where, '"res" is the result: a word or a number', { actual: kindOf(res) });
  }
  return {
    by: textField(value, 'by', where),
    op: textField(value, 'op', where),
    a: argumentsOf(value['a'], where),
    res,
    ...optionalNumber(value, 'flt', where),
    ...optionalNumber(value, 'pa', where),
    ...optionalNumber(value, 'pr', where),
    ...(value['x'] === undefined ? {} : { x: textField(value, 'x', where) }),
    s: deltaOf(value['s'], where),
  };
}

function argumentsOf(value: unknown, where: string): OperationArguments {
  if (!isRecord(value)) throw invalid(where, '"a" holds the arguments', { actual: kindOf(value) });
  for (const [name, argument] of Object.entries(value)) {
    if (typeof argument !== 'string' && typeof argument !== 'number') {
      throw invalid(where, `argument "${name}" is a number or a word`, { actual: kindOf(argument) });
    }
  }
  return value as OperationArguments;
}

function deltaOf(value: unknown, where: string): SnapshotDelta {
  if (!isRecord(value)) throw invalid(where, '"s" is the snapshot', { actual: kindOf(value) });
  refuseOthers(value, ['v', 'f', 'm'], `${where}: s`);
  const { v, f, m } = value;
  if (!isRecord(v) || !isRecord(f) || !isRecord(m)) throw invalid(where, 'a snapshot has "v", "f" and "m"');
  for (const [process, regions] of Object.entries(v)) {
    if (!isRecord(regions)) throw invalid(where, `s.v.${process} is an object`, { actual: kindOf(regions) });
    for (const [region, view] of Object.entries(regions)) {
      if (typeof view !== 'string')
        throw invalid(where, `s.v.${process}.${region} is a text`, { actual: kindOf(view) });
      checkView(view, `${where}: s.v.${process}.${region}`);
    }
  }
  for (const [frame, state] of Object.entries(f)) checkFrame(frame, state, where);
  for (const [process, accounts] of Object.entries(m)) checkAccounts(process, accounts, where);
  return { v, f, m } as unknown as SnapshotDelta;
}

/** One entry of a view: nothing, swap, guard, zero page, a frame, a part; ranges, repetitions and flags. */
const ENTRY = /^(?:(?:\.|S|S:u|G|Z(?::[wdnuxH]+)?)(?:\*\d+)?|Z(?:\*\d+)?|p\d+(?:\.\d+)?(?:\.\.\d+)?(?::[wdnuxH]+)?)$/;

function checkView(view: string, where: string): void {
  if (view === '?') return;
  for (const entry of view.split(' ')) {
    if (!ENTRY.test(entry) && entry !== '...') throw invalid(where, 'not an entry of a view', { actual: `"${entry}"` });
  }
}

const FRAME_NAME = /^p\d+(\.\d+)?(\.\.\d+)?$/;
const FRAME_COUNTS = ['rc', 'mc', 'pc', 'em', 'lm', 'o'];

function checkFrame(frame: string, state: unknown, where: string): void {
  if (!FRAME_NAME.test(frame)) throw invalid(where, `s.f: "${frame}" is no name of a frame`);
  if (state === null) return;
  const here = `${where}: s.f.${frame}`;
  if (!isRecord(state)) throw invalid(here, 'the state of a frame is an object or null', { actual: kindOf(state) });
  refuseOthers(state, [...FRAME_COUNTS, 'f', 'c'], here);
  textField(state, 'f', here);
  if (typeof state['c'] !== 'number')
    throw invalid(here, '"c" is the first byte of the page', { actual: kindOf(state['c']) });
  for (const count of FRAME_COUNTS) optionalNumber(state, count, here);
}

function checkAccounts(process: string, accounts: unknown, where: string): void {
  const here = `${where}: s.m.${process}`;
  if (!isRecord(accounts)) throw invalid(here, 'the accounts of a process are an object', { actual: kindOf(accounts) });
  refuseOthers(accounts, ['pin', 'lck', 'hp', 'ul'], here);
  for (const name of ['pin', 'lck', 'hp']) {
    if (typeof accounts[name] !== 'number')
      throw invalid(here, `"${name}" is a number`, { actual: kindOf(accounts[name]) });
  }
  optionalNumber(accounts, 'ul', here);
}

function refuseOthers(value: Readonly<Record<string, unknown>>, known: readonly string[], where: string): void {
  const other = Object.keys(value).find((name) => !known.includes(name));
  if (other !== undefined) throw invalid(where, `unknown field "${other}"`, { expected: known.join(', ') });
}

function textField(value: Readonly<Record<string, unknown>>, name: string, where: string): string {
  const text = value[name];
  if (typeof text !== 'string') throw invalid(where, `"${name}" is a text`, { actual: kindOf(text) });
  return text;
}

function optionalNumber(value: Readonly<Record<string, unknown>>, name: string, where: string): Record<string, number> {
  const number = value[name];
  if (number === undefined) return {};
  if (typeof number !== 'number') throw invalid(where, `"${name}" is a number`, { actual: kindOf(number) });
  return { [name]: number };
}

/** The error for input that is no recording. */
export function invalid(where: string, what: string, facts: { expected?: string; actual?: string } = {}): UsageError {
  return new UsageError('RECORDING_INVALID', `${where}: ${what}`, facts);
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  return Array.isArray(value) ? 'a list' : `a ${typeof value}`;
}
