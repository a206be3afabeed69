/**
 * Tables of pin cases: what became of memory registrations and direct I/O on another kernel than the recorded one.
 *
 * A row is replayed like a scenario of one step, on a machine that behaves like the kernel of the table. Rows of other
 * groups than `mm` are about devices that are not part of memory management; they are left out, and the report says so.
 */
import { kernelProfiles } from '@pincushion/mm';
import { invalid, isRecord } from '../recording';
import type { Scenario, Step } from '../recording';

/** Fields of a row that say what the case is, not what came of it. */
const DESCRIPTION = ['name', 'group'];
/** The name of an errno that stands beside its number. */
const SYNONYM = 'sym';

export function looksLikePinCases(value: unknown): boolean {
  return isRecord(value) && 'kernel' in value && 'cases' in value;
}

/** The rows about memory management as scenarios, and what was left out. Throws `UsageError` RECORDING_INVALID. */
export function parsePinCases(
  value: unknown,
  text: string,
  file: string,
): { scenarios: readonly Scenario[]; notes: readonly string[] } {
  if (!isRecord(value) || !Array.isArray(value['cases'])) throw invalid(file, '"cases" is not a list');
  const kernel = profileOf(value['kernel'], file);
  const lines = text.split('\n');
  const rows = value['cases'].map((row: unknown, i) => rowOf(row, `${file}: case ${i + 1}`));
  const others = rows.filter(({ group }) => group !== 'mm').map(({ group }) => group);
  const groups = [...new Set(others)].map((group) => `${others.filter((other) => other === group).length} of ${group}`);
  return {
    scenarios: rows
      .filter(({ group }) => group === 'mm')
      .map(({ name, outcome }) => ({
        name: `pin case: ${name}`,
        topic: 'pin-cases',
        line: lines.findIndex((line) => line.includes(JSON.stringify(name))) + 1,
        steps: [stepOf(name, outcome, kernel)],
      })),
    notes: others.length === 0 ? [] : [`${others.length} cases are about devices and left out: ${groups.join(', ')}`],
  };
}

/** `6.1 (Debian 6.1.0-56)` is the profile 6.1. */
function profileOf(kernel: unknown, file: string): string {
  const version = typeof kernel === 'string' ? kernel.split(' ')[0] : '';
  if (Object.hasOwn(kernelProfiles, version)) return version;
  throw invalid(file, '"kernel" is no kernel that can be emulated', {
    expected: Object.keys(kernelProfiles).join(', '),
    actual: String(kernel),
  });
}

interface Row {
  readonly name: string;
  readonly group: string;
  /** What came of it: `reg ok`, `errno 14`. */
  readonly outcome: string;
}

function rowOf(row: unknown, where: string): Row {
  if (!isRecord(row)) throw invalid(where, 'a case is an object');
  const { name, group } = row;
  if (typeof name !== 'string') throw invalid(where, '"name" is not a text');
  if (typeof group !== 'string') throw invalid(where, '"group" is not a text');
  const facts = Object.entries(row).filter(([key]) => !DESCRIPTION.includes(key) && key !== SYNONYM);
  if (facts.length === 0) throw invalid(where, `"${name}" says nothing of what came of it`);
  return { name, group, outcome: outcomeText(Object.fromEntries(facts)) };
}

/** What came of a case, in the order in which the table says it. */
export function outcomeText(facts: Readonly<Record<string, unknown>>): string {
  return Object.entries(facts)
    .map(([key, value]) => `${key} ${Array.isArray(value) ? value.join('+') : String(value)}`)
    .join(', ');
}

/** The machine of the scenario stays as it is: the case has its own. */
function stepOf(name: string, outcome: string, kernel: string): Step {
  const untouched = { v: { P: {} }, f: {}, m: { P: { pin: 0, lck: 0, hp: 0 } } };
  return { by: 'P', op: 'pincase', a: { name, kernel }, res: outcome, s: untouched };
}
