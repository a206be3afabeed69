import { gzipSync } from 'node:zlib';
import { UsageError } from '@pincushion/sim';
import { isRecording, readRecording, replayScenario } from '../src/index';
import { bytes, line, quiet } from './recordings';

const STEP = quiet('P', 'mmap', { r: 'A', kind: 'anon', n: 4 });

function refusal(text: string | Uint8Array): string {
  try {
    readRecording('x.jsonl', typeof text === 'string' ? bytes(text) : text);
  } catch (error) {
    if (error instanceof UsageError && error.code === 'RECORDING_INVALID') return error.message;
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('a recording', () => {
  it('is read line by line, empty lines apart, and knows its lines', () => {
    const text = `\n${line([STEP], 'a/b')}\n\n${line([STEP, STEP], 'a/c')}\n`;
    const { scenarios } = readRecording('x.jsonl', bytes(text));
    expect(scenarios.map(({ name, line: at, steps }) => [name, at, steps.length])).toEqual([
      ['a/b', 2, 1],
      ['a/c', 4, 2],
    ]);
  });

  it('may be gzip', () => {
    expect(readRecording('x.gz', gzipSync(line([STEP]))).scenarios).toHaveLength(1);
  });

  it('that is cut off is refused with its line', () => {
    const whole = line([STEP]);
    expect(refusal(`${whole}\n${whole.slice(0, -20)}`)).toMatch(/x\.jsonl:2: .*cut off/);
    expect(refusal(whole.slice(0, 60))).toMatch(/x\.jsonl:1: .*cut off/);
  });

  it('with a damaged line in the middle is refused with its line', () => {
    const whole = line([STEP]);
    expect(refusal(`${whole}\n{"name": nonsense}\n${whole}`)).toMatch(/x\.jsonl:2: not JSON/);
  });

  it('whose gzip is cut off is refused', () => {
    expect(refusal(gzipSync(line([STEP])).subarray(0, 40))).toMatch(/x\.jsonl: the gzip is damaged or cut off/);
  });

  it.each([
    ['an empty file', '', /x\.jsonl: the file is empty/],
    ['something that is not JSON', 'P w A 0 1\nP r A 0\n', /no recording.*got something that is not JSON/i],
    ['another JSON document', '{"version": 1, "jobs": []}', /no recording.*a JSON document with version, jobs/i],
    ['a list', '[1, 2]', /no recording.*of another kind/i],
  ])('is not %s', (_what, text, message) => {
    expect(refusal(text)).toMatch(message);
    expect(isRecording(bytes(text))).toBe(false);
  });

  it.each([
    ['a step that is no object', [7], /step 1: a step is an object.*got a number/i],
    ['no operation', [STEP, { ...STEP, op: undefined }], /step 2: "op" is a text.*got nothing/i],
    ['a result of a wrong kind', [{ ...STEP, res: null }], /step 1: "res" is the result.*got null/i],
    ['an unknown field', [{ ...STEP, colour: 'red' }], /step 1: unknown field "colour"/],
    ['an argument of a wrong kind', [{ ...STEP, a: { n: [1] } }], /argument "n" is a number or a word.*a list/],
    ['no snapshot', [{ ...STEP, s: undefined }], /step 1: "s" is the snapshot/],
    ['a view of nonsense', [{ ...STEP, s: { v: { P: { A: 'p0:w q7' } }, f: {}, m: {} } }], /s\.v\.P\.A: .*"q7"/],
    ['a frame with a wrong name', [{ ...STEP, s: { v: {}, f: { x9: null }, m: {} } }], /"x9" is no name of a frame/],
    ['a frame without its byte', [{ ...STEP, s: { v: {}, f: { p0: { rc: 1, f: 'A' } }, m: {} } }], /s\.f\.p0: "c" is/],
    ['a count of a wrong kind', [{ ...STEP, s: { v: {}, f: { p0: { rc: 'x', f: '', c: 0 } }, m: {} } }], /"rc" is a/],
    ['accounts without a field', [{ ...STEP, s: { v: {}, f: {}, m: { P: { pin: 1, lck: 0 } } } }], /s\.m\.P: "hp" is/],
  ])('with %s is refused, with the place', (_what, steps, message) => {
    const text = refusal(`${line([STEP], 'fine')}\n${line(steps, 'bad/one')}`);
    expect(text).toMatch(/^RECORDING_INVALID: x\.jsonl:2: bad\/one/);
    expect(text).toMatch(message);
  });

  it('with an unknown operation is read: that is a disagreement, not a broken file', () => {
    expect(readRecording('x.jsonl', bytes(line([quiet('P', 'frobnicate', {})]))).scenarios).toHaveLength(1);
  });
});

describe('a table of pin cases', () => {
  const table = (kernel: string, ...cases: readonly object[]): Uint8Array =>
    bytes(JSON.stringify({ kernel, how: 'by hand', cases }, null, 1));
  const fork = { name: 'anonymous private', reg: 'ok', group: 'mm' };

  it('has a scenario for each case about memory, and says what it leaves out', () => {
    const { scenarios, notes } = readRecording(
      'x.json',
      table('6.1 (Debian)', fork, { name: 'x', errno: 22, group: 'drm' }),
    );
    expect(scenarios.map(({ name, line: at, steps }) => [name, at, steps[0].res])).toEqual([
      ['pin case: anonymous private', 6, 'reg ok'],
    ]);
    expect(notes).toEqual(['1 cases are about devices and left out: 1 of drm']);
  });

  it.each([
    ['of a kernel that nobody emulates', table('2.4', fork), /"kernel" is no kernel that can be emulated.*6\.18.*2\.4/],
    ['with a case without a name', table('6.1', { reg: 'ok', group: 'mm' }), /x\.json: case 1: "name" is not a text/],
    ['with a case that says nothing', table('6.1', { name: 'x', group: 'mm' }), /case 1: "x" says nothing/],
    ['that is cut off', table('6.1', fork).subarray(0, 70), /cut off|no recording/],
  ])('%s is refused', (_what, data, message) => {
    expect(() => readRecording('x.json', data)).toThrow(message);
  });

  it('with a case that nobody knows disagrees', () => {
    const { scenarios } = readRecording('x.json', table('6.1', { name: 'levitation', reg: 'ok', group: 'mm' }));
    expect(replayScenario(scenarios[0]).disagreements.get(1)).toMatchObject({
      expected: 'reg ok',
      got: 'unknown case',
    });
  });

  it('is compared with the kernel it says: 5.4 shares a pinned page with a child, 6.1 copies it', () => {
    const forks = { name: 'fork with a pinned anonymous page', child_has_copy_at_fork: true, group: 'mm' };
    const got = (kernel: string): string | undefined => {
      const { scenarios } = readRecording('x.json', table(kernel, forks));
      return replayScenario(scenarios[0]).disagreements.get(1)?.got;
    };
    expect(got('6.1')).toBe('child_has_copy_at_fork true, parent_keeps_pfn_after_write true');
    expect(got('5.4')).toBe('child_has_copy_at_fork false, parent_keeps_pfn_after_write false');
  });
});
