/** Recordings for tests: small ones written here, and real ones that tests alter. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readRecording } from '../src/index';
import type { Scenario } from '../src/index';

const GOLDEN = join(__dirname, '../../../test/golden/linux-6.18');

/** A scenario of the golden recordings that our machine agrees with. */
export function golden(topic: string, name: string): Scenario {
  const file = `${topic}.jsonl`;
  const { scenarios } = readRecording(file, readFileSync(join(GOLDEN, file)));
  const found = scenarios.find((scenario) => scenario.name === name);
  if (found === undefined) throw new Error(`no scenario ${name}`);
  return found;
}

/** The text of a recording of one scenario. */
export function line(steps: readonly unknown[], name = 'made/up', topic = 'made'): string {
  return JSON.stringify({ name, topic, steps });
}

/** A step that changed nothing. */
export function quiet(by: string, op: string, a: object, res: string | number = 'ok'): object {
  return { by, op, a, res, s: { v: {}, f: {}, m: {} } };
}

export function bytes(text: string): Uint8Array {
  return Buffer.from(text, 'utf8');
}

/** A copy that a test may change. */
export function altered(scenario: Scenario, change: (copy: Changeable) => void): Scenario {
  const copy = JSON.parse(JSON.stringify(scenario)) as Changeable;
  change(copy);
  return copy as unknown as Scenario;
}

export interface Changeable {
  steps: {
    op: string;
    a: Record<string, string | number>;
    res: string | number;
    flt?: number;
    pa?: number;
    pr?: number;
    x?: string;
    s: {
      v: Record<string, Record<string, string>>;
      f: Record<string, Record<string, string | number> | null>;
      m: Record<string, Record<string, number>>;
    };
  }[];
}
