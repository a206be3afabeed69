import { MECHANISMS, kernelProfiles, linux54, linux618 } from '@pincushion/mm';
import { OPERATIONS, ask, askReport, parseScript, renderAsk, scriptText, signature } from '../src/index';
import { operations } from '../src/operations';

const asked = (text: string, options: Parameters<typeof ask>[1] = {}) => ask(parseScript(text, 'test'), options);

/** The mechanisms that acted in the last step, with place and frames. */
const actedLast = (text: string, options: Parameters<typeof ask>[1] = {}) =>
  (asked(text, options).at(-1)?.acted ?? []).map(({ mechanism, where, frame, other }) => [
    mechanism,
    where,
    frame,
    other,
  ]);

const told = (text: string): string => renderAsk(linux618, asked(text));

const A = 'mmap A anon 2; w A 0 1; ';

describe('ask says what acted', () => {
  it.each<[string, string, string[][]]>([
    ['a first write', 'mmap A anon 1; w A 0 1', [['newPage', 'P A[0]', 'p0', '']]],
    ['a first read', 'mmap A anon 1; r A 0', [['zeroPage', 'P A[0]', 'Z', '']]],
    ['a write to the zero page', 'mmap A anon 1; r A 0; w A 0 1', [['fromZero', 'P A[0]', 'p0', 'Z']]],
    ['fork', `${A} fork C1`, [['forkShare', 'P A[0]', '', '']]],
    ['fork with a pin (P-04)', `${A} pin p A 0 1; fork C1`, [['forkCopy', 'C1 A[0]', 'p1', 'p0']]],
    ['a write after fork (X-04)', `${A} fork C1; w A 0 2`, [['cow', 'P A[0]', 'p1', 'p0']]],
    ['a write when the child is gone (X-04)', `${A} fork C1; C1: exit; w A 0 2`, [['takeOver', 'P A[0]', 'p0', '']]],
    [
      'a write to an exclusive page (X-03)',
      `${A} uffdwp A 0 1; w A 0 2`,
      [
        ['uffdResolved', 'P A[0]', 'p0', ''],
        ['keepOwn', 'P A[0]', 'p0', ''],
      ],
    ],
    ['a read-only pin of a shared page (X-06)', `${A} fork C1; dmaout d A 0 1`, [['unshare', 'P A[0]', 'p1', 'p0']]],
    ['page out', `${A} madvise A PAGEOUT`, [['swapOut', 'P A[0]', 'p0', '']]],
    ['page out of a pinned page (section 14)', `${A} pin p A 0 1; madvise A PAGEOUT`, [['reclaimKeeps', '', 'p0', '']]],
    ['a read from swap', `${A} madvise A PAGEOUT; r A 0`, [['swapIn', 'P A[0]', 'p1', '']]],
    ['a private write to a file', 'file F ext4 1 9; mmap B fpriv F 1; w B 0 1', [['fileCopy', 'P B[0]', 'p1', 'p0']]],
    [
      'a shared write to a file (W-01)',
      'file F ext4 1 9; mmap B fshared F 1; w B 0 1',
      [['fileWrite', 'P B[0]', 'p0', '']],
    ],
    ['fsync', 'file F ext4 1 9; mmap B fshared F 1; w B 0 1; fsync F', [['cleaned', '', 'p0', '']]],
    ['nothing', `${A} w A 0 2`, []],
  ])('%s', (_what, text, acted) => {
    const found = actedLast(text);
    // A page of a private file mapping is copied before anybody has seen the one of the file.
    const comparable = found.map(([mechanism, where, frame, other]) =>
      mechanism === 'fileCopy' ? [mechanism, where, 'p1', 'p0'] : [mechanism, where, frame, other],
    );
    expect(comparable).toEqual(acted);
  });

  it('in huge pages', () => {
    const huge = 'mmap A anon 512; madvise A HUGEPAGE; w A 0 1; ';
    expect(actedLast(huge)).toEqual([['newHuge', 'P A[0]', 'p0', '']]);
    expect(actedLast(`${huge} pin p A 3 1; fork C1`).map(([mechanism, where]) => [mechanism, where])).toEqual([
      ['splitPmd', 'P A[0]'],
      ['forkCopy', 'C1 A[0..511]'],
    ]);
    expect(actedLast(`${huge} fork C1; w A 5 1`).map(([mechanism]) => mechanism)).toEqual(['splitPmd', 'cow']);
  });

  it('names a rule or a function of the kernel for each mechanism, and has all of them', () => {
    for (const { rule, sentence } of MECHANISMS) {
      expect(rule).toMatch(/[A-Z]+-\d\d|section \d|[a-z_]{6,}/);
      expect(sentence).not.toMatch(/[.]$/);
    }
    expect(new Set(MECHANISMS.map(({ name }) => name)).size).toBe(MECHANISMS.length);
  });

  it('tells the rule of a refusal', () => {
    const [, , refused] = asked('file F ext4 1; mmap B fshared F 1; pin p B 0 1');
    expect(refused.outcome.res).toBe('EFAULT');
    expect(refused.why).toMatch(/^V-06: /);
  });

  it('gives another answer for another kernel: 5.4 does not copy at fork, and the device loses its page', () => {
    const text = `${A} pin p A 0 1; fork C1; w A 0 7; devr p 0`;
    expect(asked(text).at(-1)?.outcome.res).toBe(7);
    expect(asked(text, { profile: linux54 }).at(-1)?.outcome.res).toBe(1);
  });
});

describe('what is told', () => {
  it('has counts in words, changes marked, and a page that outlives its mapping', () => {
    const text = told(`${A} pin p A 0 1; madvise A DONTNEED`);
    expect(text).toContain(
      '▸ p0   byte 1, refcount 1 → 1025 (1 pin and 1 reference), mapped once, exclusive, anonymous',
    );
    expect(text).toContain('p0 is mapped nowhere any more and lives on, because it is pinned');
    expect(text).toContain('▸ P   A[0..1] → nothing');
    expect(text).toContain('P   accounts: pinned_vm 1 page');
  });

  it('puts alike frames together and says when nothing changed', () => {
    const text = told('mmap A anon 20; madvise A POPULATE_WRITE; r A 3');
    expect(text).toMatch(/▸ p0\.\.19 byte 0, refcount 1, mapped once/);
    expect(text).toMatch(/P reads A\[3\].*\n {5}nothing changed/);
  });

  it('is a document, too, in the terms of the recordings', () => {
    const script = parseScript('mmap A anon 1; w A 0 5', 'test');
    const report = askReport(script, kernelProfiles['6.1'], ask(script, { paranoid: true }));
    expect(report).toMatchObject({ schemaVersion: 1, name: 'asked', kernel: '6.1', contradictions: 0 });
    expect(report.steps[1]).toMatchObject({
      words: 'P writes 5 to A[0]',
      res: 'ok',
      flt: 1,
      views: { P: { A: 'p0:wdx' } },
      frames: { p0: { rc: 1, mc: 1, f: 'AXULB', c: 5 } },
    });
  });
});

describe('the table of operations', () => {
  it('has every operation that scenarios have, and none besides', () => {
    const wholeRows = ['selftest', 'pincase'];
    expect(Object.keys(OPERATIONS).sort()).toEqual(
      Object.keys(operations)
        .filter((name) => !wholeRows.includes(name))
        .sort(),
    );
  });

  it('writes each operation so that it is read again', () => {
    for (const name of Object.keys(OPERATIONS)) expect(signature(name)).toMatch(new RegExp(`^${name}\\b`));
    const script = parseScript(`${A} fork C1; C1: mprotect A 0 1 none; pvw C1 A 0 3`, 'test');
    expect(parseScript(scriptText(script), 'again').steps).toEqual(script.steps);
  });
});
