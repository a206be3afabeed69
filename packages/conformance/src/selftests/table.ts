/**
 * The tables of the kernel's own self-tests: every case on every kind of memory, with a sentence that says what is done and
 * what must hold. A row is replayed like a scenario of one step, whose operation is the sentence.
 *
 * What the recording machine had to skip is run here, too. The outcome comes from the sentence, never from the row's number;
 * a sentence that is not understood is a disagreement.
 */
import { invalid, isRecord } from '../recording';
import type { Scenario, Step } from '../recording';
import { expectedOf } from './run';

/** Whether a document is such a table. */
export function looksLikeSelftests(value: unknown): boolean {
  return isRecord(value) && 'suite' in value && 'tests' in value;
}

/** The rows as scenarios. Throws `UsageError` RECORDING_INVALID that says which row is wrong and why. */
export function parseSelftests(value: unknown, text: string, file: string): readonly Scenario[] {
  if (!isRecord(value) || !Array.isArray(value['tests'])) throw invalid(file, '"tests" is not a list');
  const suite = textOf(value, 'suite', file);
  const lines = lineNumbers(text);
  return value['tests'].map((row: unknown, i): Scenario => {
    const where = `${file}: test ${i + 1}`;
    if (!isRecord(row)) throw invalid(where, 'a test is an object');
    const number = row['n'];
    if (typeof number !== 'number') throw invalid(where, '"n" is not a number');
    const what = textOf(row, 'what', where);
    const name = `${suite} ${number}: ${textOf(row, 'case', where)}, with ${textOf(row, 'memory', where)}`;
    return { name, topic: suite, line: lines.get(number) ?? 1, steps: [stepOf(what)] };
  });
}

/** The machine of the scenario stays as it is: the row has its own. */
function stepOf(what: string): Step {
  const untouched = { v: { P: {} }, f: {}, m: { P: { pin: 0, lck: 0, hp: 0 } } };
  return { by: 'P', op: 'selftest', a: { what }, res: expectedOf(what), s: untouched };
}

function textOf(value: Readonly<Record<string, unknown>>, name: string, where: string): string {
  const text = value[name];
  if (typeof text !== 'string') throw invalid(where, `"${name}" is not a text`);
  return text;
}

/** The line on which each row stands, by its number. */
function lineNumbers(text: string): ReadonlyMap<number, number> {
  const lines = new Map<number, number>();
  for (const [index, line] of text.split('\n').entries()) {
    const row = /"n":\s*(\d+)/.exec(line);
    if (row !== null) lines.set(Number(row[1]), index + 1);
  }
  return lines;
}
