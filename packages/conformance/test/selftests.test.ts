import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { linux54 } from '@pincushion/mm';
import { UsageError } from '@pincushion/sim';
import { agreesUpTo, readRecording, replayScenario } from '../src/index';
import type { Scenario } from '../src/index';
import { runSelftest } from '../src/selftests/run';
import { bytes } from './recordings';

const GOLDEN = join(__dirname, '../../../test/golden/linux-6.18');
const PIN_THEN_FORK =
  'On one private anonymous 4 KiB page (huge pages disabled for it), filled with one byte value: the range is registered ' +
  'as an io_uring fixed buffer, then a child is forked and kept alive; the parent overwrites the range with 0xff and writes ' +
  'it to a file through the fixed buffer; the file must contain 0xff (the pinned page must stay with the parent; the child ' +
  'gets a copy at fork).';
const REFUSED =
  'One page of an unlinked file on ext4, mapped shared and writable and written once: a writable long-term pin with ' +
  'pin_user_pages must fail with EFAULT (the file system needs to be told about writes).';

function tableOf(file: string): readonly Scenario[] {
  return readRecording(file, readFileSync(join(GOLDEN, file))).scenarios;
}

/** A table of one row. */
function row(what: string): Scenario {
  const test = { n: 1, case: 'a case', memory: 'some memory', result: 'ok', what };
  const [scenario] = readRecording('t.json', bytes(JSON.stringify({ suite: 'made', tests: [test] }))).scenarios;
  return scenario;
}

function refusal(table: unknown): string {
  try {
    readRecording('t.json', bytes(JSON.stringify(table)));
  } catch (error) {
    if (error instanceof UsageError && error.code === 'RECORDING_INVALID') return error.message;
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('the tables of the kernel self-tests', () => {
  const cow = tableOf('selftests-cow.json');
  const longterm = tableOf('selftests-gup-longterm.json');

  it('have 828 rows, and every sentence says what must come out', () => {
    expect([cow.length, longterm.length]).toEqual([778, 50]);
    const outcomes = new Set([...cow, ...longterm].map(({ steps }) => steps[0].res));
    expect([...outcomes].sort()).toEqual(['0xff', 'EFAULT', 'pinned', 'the old bytes']);
  });

  it('agree on every eleventh row, whatever the recording machine had to skip', () => {
    const sample = [...cow, ...longterm].filter((_, i) => i % 11 === 0);
    const differing = sample.map((scenario) => replayScenario(scenario)).filter((result) => !agreesUpTo(result, 5));
    expect(differing.map(({ scenario }) => scenario.name)).toEqual([]);
  });

  it('know on which line a row stands', () => {
    const text = readFileSync(join(GOLDEN, 'selftests-cow.json'), 'utf8').split('\n');
    const last = cow[cow.length - 1];
    expect(text[last.line - 1]).toContain(`"n": ${cow.length},`);
    expect(last.name).toMatch(/^cow 778: R\/O longterm GUP-fast pin, with /);
  });
});

describe('a row', () => {
  it('disagrees when the outcome is not the one of the sentence', () => {
    expect(agreesUpTo(replayScenario(row(REFUSED)), 5)).toBe(true);
    const { disagreements } = replayScenario(row(REFUSED.replace('an unlinked file on ext4', 'a memfd (tmpfs)')));
    expect(disagreements.get(1)).toMatchObject({ expected: 'EFAULT', got: 'pinned' });
  });

  it('disagrees when its memory cannot be made what the sentence says', () => {
    const what =
      'On a private anonymous 1024 KiB huge page mapped by one PMD: fork; the child copies the bytes; the parent overwrites ' +
      'all of it with 0xff; the child must still see the old bytes.';
    const { disagreements } = replayScenario(row(what));
    expect(disagreements.get(1)?.got).toBe(
      'the memory is not what the row is about: the huge page is not mapped by a PMD',
    );
  });

  it('disagrees when the sentence is not understood, instead of being left out', () => {
    const { disagreements } = replayScenario(row('On one page: the moon rises.'));
    expect(disagreements.get(1)?.got).toBe('the sentence is not understood: On one page: the moon rises.');
  });

  it('comes out as it did on 5.4 when the machine is told to be one: the child takes the pinned page along', () => {
    expect(runSelftest(PIN_THEN_FORK)).toBe('0xff');
    expect(runSelftest(PIN_THEN_FORK, linux54)).toBe('the old bytes');
  });
});

describe('a table that is damaged', () => {
  it('is refused with the place and the reason', () => {
    expect(refusal({ suite: 'made', tests: 3 })).toContain('t.json: "tests" is not a list');
    expect(refusal({ suite: 'made', tests: [4] })).toContain('t.json: test 1: a test is an object');
    expect(refusal({ suite: 'made', tests: [{ n: 1 }] })).toContain('t.json: test 1: "what" is not a text');
    expect(refusal({ suite: 1, tests: [] })).toContain('t.json: "suite" is not a text');
  });
});
