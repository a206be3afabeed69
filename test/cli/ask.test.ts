/** `pincushion ask` and `pincushion fuzz` as a user sees them: what they print, and how they end. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Ended } from './pincushion';
import { manyCommandLines, temporaryFolder } from './pincushion';

const folder = temporaryFolder();
const SCENARIO = 'mmap A anon 1; pin p A 0 1; fork C1; w A 0 7';
writeFileSync(join(folder, 'scenario.txt'), `scenario own/one own\n${SCENARIO.replaceAll('; ', '\n')}\nend\n`);
writeFileSync(join(folder, 'wrong.txt'), 'mmap A anon 1\npni p A 0 1\n');

const lines: Readonly<Record<string, readonly string[]>> = {
  words: ['ask', SCENARIO],
  path: ['ask', 'scenario.txt'],
  file: ['ask', '--file', 'scenario.txt', '--json', '--paranoid'],
  record: ['ask', 'scenario.txt', '--record'],
  old: ['ask', '--kernel', '5.4', `${SCENARIO}; devr p 0`, '--json'],
  misspelt: ['ask', '--file', 'wrong.txt'],
  'no kernel': ['ask', '--kernel', '4.4', SCENARIO],
  nothing: ['ask'],
  twice: ['ask', SCENARIO, '--file', 'scenario.txt'],
  missing: ['ask', '--file', 'nowhere.txt'],
  help: ['ask', '--help'],
  clean: ['fuzz', '--programs', '100', '--seed', '3'],
  failing: ['fuzz', '--programs', '30', '--kernel', '5.4', '--json'],
};
const ended = new Map<string, Ended>();

beforeAll(async () => {
  const results = await manyCommandLines(Object.values(lines), folder);
  Object.keys(lines).forEach((name, k) => ended.set(name, results[k]));
}, 60_000);

function of(name: string): Ended {
  const found = ended.get(name);
  if (found === undefined) throw new Error(`no command line "${name}"`);
  return found;
}

describe('pincushion ask', () => {
  it('shows what acted, the page tables and the counts after each step', () => {
    const { code, out } = of('words');
    expect(code).toBe(0);
    expect(out).toMatch(
      /3 {2}P forks C1 {2}→ {2}ok\n.*fork copied p0 at once.*\n.*p1 instead of p0.*copy_present_page/,
    );
    expect(out).toContain('▸ C1  A[0] → p1, writable, dirty');
    expect(of('path').out).toBe(out);
  });

  it('gives a document, too', () => {
    const { code, out } = of('file');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ schemaVersion: 1, name: 'own/one', kernel: '6.18', contradictions: 0 });
  });

  it('asks the kernel that is named', () => {
    const { steps, basis } = JSON.parse(of('old').out) as { steps: { res: unknown }[]; basis: string };
    expect(basis).toBe('from sources');
    expect(steps.at(-1)?.res).toBe(0);
  });

  it('prints the script that asks a real kernel, and how to use it beside it', () => {
    const { code, out, err } = of('record');
    expect(code).toBe(0);
    expect(out).toBe(
      'scenario own/one own\nP mmap r=A kind=anon n=1\nP pin id=p r=A i=0 n=1\nP fork c=C1\nP w r=A i=0 v=7\nend\n',
    );
    expect(err).toMatch(/script for the recorder/);
  });

  it.each([
    ['misspelt', /SCENARIO_INVALID: wrong\.txt:2:1: step 2: there is no operation "pni".*pin/],
    ['no kernel', /Expected one of 6\.18, 6\.1, 5\.4/],
    ['nothing', /ARGUMENT_INVALID: there is nothing to ask/],
    ['twice', /ARGUMENT_INVALID: a scenario is given twice/],
    ['missing', /FILE_UNREADABLE: nowhere\.txt/],
  ])('refuses input with its place and ends with 2: %s', (name, message) => {
    const { code, out, err } = of(name);
    expect(code).toBe(2);
    expect(out).toBe('');
    expect(err).toMatch(message);
  });

  it('lists every operation with its arguments', () => {
    expect(of('help').out).toMatch(/pin id r \[i\] \[n\] \[bytes= boff=\] +registers pages/);
  });
});

describe('pincushion fuzz', () => {
  it('finds nothing in a sample of programs, and says how many ran clean', () => {
    expect(of('clean')).toMatchObject({
      code: 0,
      out: '100 of 100 random programs of 40 operations ran clean (seed 3, Linux 6.18)\n',
    });
  });

  it('ends with 1 and a scenario when one is not', () => {
    const { code, out } = of('failing');
    const { failures } = JSON.parse(out) as { failures: { what: string; script: string }[] };
    expect(code).toBe(1);
    expect(failures).toHaveLength(1);
    expect(failures[0].script).toMatch(/^scenario random\/1-\d+ random\n(P|C\d) /);
  });
});
