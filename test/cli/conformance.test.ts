/** `pincushion conformance` as a user sees it: what it prints, and how it ends. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Ended } from './pincushion';
import { REPOSITORY, manyCommandLines, temporaryFolder } from './pincushion';

const folder = temporaryFolder();
const recorded = readFileSync(join(REPOSITORY, 'test/golden/linux-6.18/unmap.jsonl'), 'utf8').trimEnd().split('\n');
const scenario = recorded[0];
const { name } = JSON.parse(scenario) as { name: string };

function input(file: string, content: string | Buffer): string {
  writeFileSync(join(folder, file), content);
  return file;
}

/** Recordings, one of them altered: a reference count, in the last step that has one. */
const good = input('good.jsonl', `${recorded.slice(0, 3).join('\n')}\n`);
const packed = input('packed.jsonl.gz', gzipSync(recorded.slice(0, 2).join('\n')));
const wrongCount = scenario.replace(/^(.*"rc":)\d+/, '$1 7');
const wrong = input('wrong.jsonl', `${wrongCount}\n${recorded[1]}\n`);
const unknown = input('unknown.jsonl', scenario.replace('"op":"w"', '"op":"frobnicate"'));
const cut = input('cut.jsonl', `${recorded[0]}\n${recorded[1].slice(0, 500)}`);
const foreign = input('foreign.json', '{"format": "nvme", "transcript": []}');
const empty = input('empty.jsonl', '\n');
const nonsense = input('nonsense.jsonl', recorded[0].replace('"rc":', '"refs":'));
mkdirSync(join(folder, 'some'));
input('some/b.jsonl', recorded[1]);
input('some/a.jsonl', recorded[0]);
input('some/notes.txt', 'buy milk\n');
input('some/other.json', '{"jobs": []}');
mkdirSync(join(folder, 'none'));

const lines: Readonly<Record<string, readonly string[]>> = {
  good: [good],
  packed: [packed, '--json'],
  folder: ['some', '--json'],
  wrong: [wrong],
  'wrong up to tier 2': [wrong, '--tier', '2'],
  'wrong, not shown': [wrong, '--show', '0'],
  'wrong as document': [wrong, '--json'],
  unknown: [unknown],
  selected: ['some', '--scenario', name],
  'nothing selected': ['some', '--scenario', 'no such name'],
  cut: [cut],
  'gzip cut': [input('cut.jsonl.gz', gzipSync(recorded.join('\n')).subarray(0, 700))],
  foreign: [foreign],
  empty: [empty],
  nonsense: [nonsense],
  'empty folder': ['none'],
  missing: ['nowhere.jsonl'],
  'no path': [],
  'tier 6': [good, '--tier', '6'],
};
const ended = new Map<string, Ended>();

beforeAll(async () => {
  const results = await manyCommandLines(
    Object.values(lines).map((words) => ['conformance', ...words]),
    folder,
  );
  for (const [k, label] of Object.keys(lines).entries()) ended.set(label, results[k]);
}, 60_000);

function result(label: string): Ended {
  const found = ended.get(label);
  if (found === undefined) throw new Error(`no ${label}`);
  return found;
}

/** Before the lines that say how a finding is run again. */
const lastLine = (text: string): string | undefined =>
  text
    .trimEnd()
    .split('\n')
    .filter((line) => !line.startsWith('again: '))
    .at(-1);

describe('recordings that agree', () => {
  it('end with 0, and the last line counts the scenarios', () => {
    expect(result('good')).toMatchObject({ code: 0, err: '' });
    expect(lastLine(result('good').out)).toBe('3 of 3 scenarios agree');
  });

  it('are read from gzip and from folders, in the order of their names, other files apart', () => {
    expect(JSON.parse(result('packed').out)).toMatchObject({ schemaVersion: 1, scenarios: 2, agree: 2 });
    expect(JSON.parse(result('folder').out)).toEqual({
      schemaVersion: 1,
      tier: 5,
      scenarios: 2,
      agree: 2,
      tiers: { 1: 2, 2: 2, 3: 2, 4: 2, 5: 2 },
      files: ['a', 'b'].map((file) => ({
        file: join('some', `${file}.jsonl`),
        scenarios: 1,
        agree: 1,
        tiers: { 1: 1, 2: 1, 3: 1, 4: 1, 5: 1 },
        notes: [],
        disagreements: [],
      })),
    });
  });

  it('may be selected by a part of their name', () => {
    expect(lastLine(result('selected').out)).toBe('1 of 1 scenarios agree');
  });
});

describe('a recording that disagrees', () => {
  it('ends with 1 and tells the story, both sides and the history of the frame', () => {
    const { code, out } = result('wrong');
    expect(code).toBe(1);
    expect(lastLine(out)).toBe('1 of 2 scenarios agree');
    expect(out).toMatch(/^ +\d+ +P maps A: 4 pages of private anonymous memory +ok$/m);
    expect(out).toMatch(/p\d+ rc +tier 3, counts, exclusivity\n +kernel +7\n +here +\d+$/m);
    expect(out).toMatch(/history of p\d+\n +1 +both +no such frame\n/);
  });

  it('agrees up to the tier below', () => {
    expect(result('wrong up to tier 2').code).toBe(0);
    expect(lastLine(result('wrong up to tier 2').out)).toBe('2 of 2 scenarios agree');
  });

  it('is counted by its first difference when it is not told', () => {
    const { code, out } = result('wrong, not shown');
    expect(code).toBe(1);
    expect(out).toMatch(new RegExp(`1 further scenario.*\\n +1 +tier 3 .*rc: 7 / \\d+ +${name}$`, 'm'));
    expect(out).not.toMatch(/history/);
  });

  it('is in the document, with its place', () => {
    const { code, out } = result('wrong as document');
    expect(code).toBe(1);
    const { files } = JSON.parse(out) as { files: { disagreements: { subject: string }[] }[] };
    expect(files[0].disagreements[0].subject).toMatch(/^p\d+ rc$/);
    expect(files[0].disagreements).toEqual([
      expect.objectContaining({
        scenario: name,
        line: 1,
        tier: 3,
        expected: '7',
      }),
    ]);
  });

  it('because of an operation nobody knows says so', () => {
    const { code, out } = result('unknown');
    expect(code).toBe(1);
    expect(out).toMatch(/result +tier 1.*\n +kernel +ok\n +here +unknown operation frobnicate/);
    expect(lastLine(out)).toBe('0 of 1 scenarios agree');
  });
});

describe('input that is no recording ends with 2, nothing on stdout, and the place:', () => {
  it.each<[string, RegExp]>([
    ['cut', /RECORDING_INVALID: cut\.jsonl:2: .*cut off/],
    ['gzip cut', /RECORDING_INVALID: cut\.jsonl\.gz: the gzip is damaged or cut off/],
    ['foreign', /RECORDING_INVALID: foreign\.json: .*memory scenarios.*a JSON document with format, transcript/],
    ['empty', /RECORDING_INVALID: empty\.jsonl: the file is empty/],
    ['nonsense', /RECORDING_INVALID: nonsense\.jsonl:1: \S+, step \d+: s\.f\.p0: unknown field "refs"/],
    ['empty folder', /RECORDING_INVALID: none: no recording is in this folder/],
    ['missing', /FILE_UNREADABLE: nowhere\.jsonl: .*no such file/],
    ['nothing selected', /ARGUMENT_INVALID: no scenario has "no such name" in its name/],
    ['no path', /missing required argument 'path/],
    ['tier 6', /--tier.*whole number from 1 to 5/],
  ])('%s', (label, message) => {
    const { code, out, err } = result(label);
    expect(err).toMatch(message);
    expect({ code, out }).toEqual({ code: 2, out: '' });
  });
});
