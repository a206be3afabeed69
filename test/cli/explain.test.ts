/** `explain errno`: which rule refused, and on what facts. `explain bind` is in discovery.test.ts. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { manyCommandLines, temporaryFolder } from './pincushion';

const folder = temporaryFolder();

const PROGRAM = `module.exports = function* (program) {
  const { address, flags } = CASE;
  const mapped = program.mmap(4096, 1, 0x22);
  const at = typeof mapped === 'number' ? mapped : yield* mapped;
  const r = program.machine.memory.gup.pinUserPages(program.mm, address ?? at, 1, flags, new Int32Array(1), 0, 0);
  return typeof r === 'number' ? r : yield* r;
};
`;

function programFile(name: string, call: object): string {
  writeFileSync(join(folder, name), PROGRAM.replace('CASE', JSON.stringify(call)));
  return name;
}

it('explain errno names the rule and the facts of each refused step, or says that nothing was refused', async () => {
  writeFileSync(join(folder, 'none.cjs'), 'exports.other = 1;\n');
  const [readOnly, twice, fine, program, hole, none, story] = await manyCommandLines(
    [
      ['explain', 'errno', 'mmap A anon 2; w A 0 7; mprotect A r; pin p A 0 1'],
      ['explain', 'errno', 'mmap A anon 1 prot=none; pin p A 0 1; r A 0'],
      ['explain', 'errno', 'mmap A anon 1; pin p A 0 1'],
      ['explain', 'errno', programFile('read-only.cjs', { flags: 1 })],
      ['explain', 'errno', programFile('hole.cjs', { flags: 0, address: 4096 })],
      ['explain', 'errno', './none.cjs'],
      ['explain', 'errno', 'mmap A anon 1; pine p A 0 1'],
    ],
    folder,
  );
  expect(readOnly).toMatchObject({ code: 0, err: '' });
  expect(readOnly.out.split('\n')).toEqual([
    'step 4: P pins A[0] as p (long-term, writable)  →  EFAULT',
    '  refused by V-07: the area is not writable',
    '    by step 1: P maps A: 2 pages of private anonymous memory',
    '    by step 3: P protects A: r',
    expect.stringMatching(/^ {4}before: P A\[0\]: p0, entry [a-z]+ · rc 1 mc 1 [A-Z]+ byte 7$/),
    '    before: P has 0 pages pinned, 0 locked',
    '',
  ]);
  expect(twice.out).toMatch(/^step 2: .*→ {2}EFAULT\n {2}refused by V-\d\d: [^]*^step 3: .*→ {2}SIGSEGV\n/m);
  expect(fine).toMatchObject({ code: 0, out: 'Nothing was refused.\n' });
  expect(program.out).toMatch(
    /^the program of read-only\.cjs {2}→ {2}EFAULT\n {2}refused by V-07: the area is not writable/,
  );
  expect(program.out).toMatch(/it has 0 pages pinned for long[^]*area [0-9a-f]+-[0-9a-f]+ r--p anonymous memory/);
  expect(hole.out).toMatch(/refused by E-03: nothing is mapped at the address/);
  expect(none).toMatchObject({ code: 2, out: '' });
  expect(none.err).toMatch(/WORKLOAD_INVALID: \.\/none\.cjs exports no program.*got exports other/);
  expect(story).toMatchObject({ code: 2, out: '' });
  expect(story.err).toMatch(/SCENARIO_INVALID/);
}, 60_000);
