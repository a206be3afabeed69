/**
 * Each check of `npm run check` catches the violations planted for it, says something useful about each, and has nothing to
 * say about the rest of the tree.
 *
 * The violations are planted in a copy of the repository, so that a run that is interrupted leaves nothing behind in the
 * sources. The copy shares the installed packages; only the links to our own packages lead into the copy. What the compiler
 * remembers comes along, and all plants of a check are planted at once, in files of their own: a check of everything takes
 * half a minute.
 */
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';

const root = join(__dirname, '..', '..');
const LEFT_OUT: ReadonlySet<string> = new Set(['.git', '.nx', 'coverage', 'node_modules']);
/** What the compiler knows of the tests, if it has compiled them. */
const TEST_INFO = 'node_modules/.cache/test.tsbuildinfo';

let copy = '';

beforeAll(() => {
  copy = realpathSync(mkdtempSync(join(tmpdir(), 'pincushion-planted-')));
  const isWanted = (source: string): boolean => source === root || !LEFT_OUT.has(basename(source));
  cpSync(root, copy, { recursive: true, preserveTimestamps: true, filter: isWanted });
  if (existsSync(join(root, TEST_INFO)))
    cpSync(join(root, TEST_INFO), join(copy, TEST_INFO), { preserveTimestamps: true });
  const installed = join(root, 'node_modules');
  for (const name of readdirSync(installed)) {
    if (name === '@pincushion' || name === '.cache') continue;
    mkdirSync(join(copy, 'node_modules'), { recursive: true });
    symlinkSync(join(installed, name), join(copy, 'node_modules', name));
  }
  for (const name of readdirSync(join(installed, '@pincushion'))) {
    const target = realpathSync(join(installed, '@pincushion', name)).slice(realpathSync(root).length);
    mkdirSync(join(copy, 'node_modules', '@pincushion'), { recursive: true });
    symlinkSync(join(copy, target), join(copy, 'node_modules', '@pincushion', name));
  }
});

afterAll(() => {
  rmSync(copy, { recursive: true, force: true });
});

/** Runs one check over the copy with the given files written into it, and takes them out again. */
function check(name: string, planted: Readonly<Record<string, string>>): { status: number | null; output: string } {
  const before = new Map(Object.keys(planted).map((path) => [path, contentOf(path)]));
  try {
    for (const [path, text] of Object.entries(planted)) {
      mkdirSync(dirname(join(copy, path)), { recursive: true });
      writeFileSync(join(copy, path), text);
    }
    const { status, stdout, stderr } = spawnSync(process.execPath, ['scripts/check.mjs', name], {
      cwd: copy,
      encoding: 'utf8',
      env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: '0' },
    });
    return { status, output: stdout + stderr };
  } finally {
    for (const [path, text] of before) {
      if (text === undefined) rmSync(join(copy, path));
      else writeFileSync(join(copy, path), text);
    }
  }
}

function contentOf(path: string): string | undefined {
  try {
    return readFileSync(join(copy, path), 'utf8');
  } catch {
    return undefined;
  }
}

/** What a check says in its output about single places: the part of each line that a pattern captures. */
function saidOf(output: string, pattern: RegExp): string[] {
  return [...output.matchAll(pattern)].map(([, said]) => said);
}

it('a tree without violations passes', () => {
  const { status, output } = check('layers', {});
  expect(output).toContain('All checks passed.');
  expect(status).toBe(0);
});

describe('a planted violation is caught:', () => {
  it('a type error, and one in a test', () => {
    const { status, output } = check('types', {
      'packages/sim/src/planted.ts': "export const planted: number = 'seven';\n",
      'packages/sim/test/planted.test.ts': "it('counts', () => {\n  expect(1 + ({} as object)).toBe(1);\n});\n",
    });
    expect(output).toMatch(/planted\.ts.*TS2322: Type 'string' is not assignable to type 'number'/);
    expect(saidOf(output, /^(.*\.ts).*error TS\d+/gm).map((path) => path.replace(/[(:].*/, ''))).toEqual([
      'packages/sim/src/planted.ts',
      'packages/sim/test/planted.test.ts',
    ]);
    expect(output).toMatch(/planted\.test\.ts.*TS2365/);
    expect(output).toContain('types failed.');
    expect(status).toBe(1);
  });

  it('a file that is not formatted', () => {
    const { status, output } = check('format', { 'packages/sim/src/planted.ts': 'export const planted=1\n' });
    expect(saidOf(output, /^\[warn\] (\S+\.\w+)$/gm)).toEqual(['packages/sim/src/planted.ts']);
    expect(output).toContain('`npm run format` formats the files named above.');
    expect(status).toBe(1);
  });

  it('each import that goes where it must not', () => {
    const { status, output } = check('layers', {
      'packages/sim/src/planted-above.ts': "import '@pincushion/mm';\n",
      'packages/block/src/planted-beside.ts': "import '@pincushion/dma';\n",
      'packages/nvme-p2p/src/planted-past.ts': "import '@pincushion/machine';\n",
      'packages/mm/src/planted-deep.ts': "import '../../sim/src/planted';\n",
      'packages/sim/src/planted.ts': 'export {};\n',
      'packages/mm/src/planted-host.ts': "import 'node:fs';\n",
      'packages/sim/src/planted-a.ts': "import { b } from './planted-b';\nexport const a = (): number => b();\n",
      'packages/sim/src/planted-b.ts': "import { a } from './planted-a';\nexport const b = (): number => a();\n",
    });
    expect(output).toContain('sim is in row 1 and may use no other package.');
    // A cycle is told from the one or the other of its files, over several lines.
    const said = saidOf(output, /error (\S+: \S+ →(?: \S+)?)/g).map((text) =>
      text.replace(/(planted)-[ab]\.ts →.*/, '$1'),
    );
    expect([...new Set(said)].sort()).toEqual([
      'layers-block: packages/block/src/planted-beside.ts → packages/dma/src/index.ts',
      'layers-nvme-p2p: packages/nvme-p2p/src/planted-past.ts → packages/machine/src/index.ts',
      'layers-sim: packages/sim/src/planted-above.ts → packages/mm/src/index.ts',
      'no-cycles: packages/sim/src/planted',
      'no-deep-imports: packages/mm/src/planted-deep.ts → packages/sim/src/planted.ts',
      'no-relative-way-into-another-package: packages/mm/src/planted-deep.ts → packages/sim/src/planted.ts',
      'the-host-stays-outside: packages/mm/src/planted-host.ts → fs',
    ]);
    expect(status).toBe(1);
  });

  it('an unused file, an unused export, an unused dependency and one that is not listed', () => {
    const manifest = JSON.parse(contentOf('packages/dma/package.json') ?? '') as { dependencies: object };
    const { status, output } = check('unused', {
      'packages/sim/src/planted.ts': 'export const planted = 1;\n',
      'packages/mm/src/planted.ts': 'export const used = 1;\nexport const unusedExport = 2;\n',
      'packages/mm/test/planted.test.ts': "import { used } from '../src/planted';\nexpect(used).toBe(1);\n",
      'packages/dma/package.json': JSON.stringify({
        ...manifest,
        dependencies: { ...manifest.dependencies, picocolors: '^1.1.1' },
      }),
      'packages/dma/test/planted.test.ts': "import 'commander';\n",
    });
    expect(saidOf(output, /^(Un\w+ \w+ \(\d+\))$/gm)).toEqual([
      'Unused files (1)',
      'Unused dependencies (1)',
      'Unlisted dependencies (1)',
      'Unused exports (1)',
    ]);
    expect(output).toMatch(/Unused files[^]*packages\/sim\/src\/planted\.ts/);
    expect(output).toMatch(/Unused exports[^]*unusedExport\s+packages\/mm\/src\/planted\.ts/);
    expect(output).toMatch(/Unused dependencies[^]*picocolors\s+packages\/dma\/package\.json/);
    expect(output).toMatch(/Unlisted dependencies[^]*commander\s+packages\/dma\/test\/planted\.test\.ts/);
    expect(output).toContain('unused failed.');
    expect(status).toBe(1);
  });
});

describe('a planted call is caught inside the machine:', () => {
  const VIOLATIONS: readonly (readonly [what: string, line: string, rule: string])[] = [
    ['a dropped task', 'export function drop(): void { task(); }', '@pincushion/no-dropped-task'],
    ['the clock of the host', 'export const clock = (): number => Date.now();', '@pincushion/no-host-nondeterminism'],
    [
      'a timer of the host',
      'export const timer = (run: () => void): unknown => setTimeout(run, 1);',
      '@pincushion/no-host-nondeterminism',
    ],
    ['Math.random', 'export const random = (): number => Math.random();', '@pincushion/no-host-nondeterminism'],
    ['Math.log', 'export const log = (n: number): number => Math.log(n);', '@pincushion/no-host-nondeterminism'],
    ['a promise', 'export const promise = (): unknown => Promise.resolve(1);', '@pincushion/no-host-nondeterminism'],
    ['a Map of the module', 'export const map = new Map<string, number>();', '@pincushion/no-module-state'],
    ['a variable of the module', 'export let counter = 0; counter += 1;', '@pincushion/no-module-state'],
  ];
  const PREAMBLE = [
    'function* task(): Generator<number, void> {',
    '  yield 1;',
    '}',
    'export const tasks = (): unknown => task();',
  ];
  let output = '';

  beforeAll(() => {
    // With types, lint takes minutes for the whole tree; that it has nothing to say there, `npm run check` shows.
    for (const folder of readdirSync(join(copy, 'packages'))) {
      if (!['sim', 'mm', 'eslint-plugin'].includes(folder)) rmSync(join(copy, 'packages', folder), { recursive: true });
    }
    for (const folder of ['examples', 'test', 'bench']) rmSync(join(copy, folder), { recursive: true });
    rmSync(join(copy, 'packages/mm/test'), { recursive: true });
    const text = [...PREAMBLE, ...VIOLATIONS.map(([, line]) => line), ''].join('\n');
    output = check('lint', { 'packages/mm/src/planted.ts': text }).output;
  });

  it('and nothing else', () => {
    expect(saidOf(output, /^(\/\S+\.ts)$/gm)).toEqual([join(copy, 'packages/mm/src/planted.ts')]);
    expect(saidOf(output, /^ +\d+:\d+ +error .* (@pincushion\S+)$/gm)).toEqual(VIOLATIONS.map(([, , rule]) => rule));
  });

  it.each(VIOLATIONS.map(([what, , rule], index) => [what, rule, PREAMBLE.length + index + 1] as const))(
    '%s, by %s',
    (_what, rule, line) => {
      expect(output).toContain('packages/mm/src/planted.ts');
      expect(output).toMatch(new RegExp(`^ +${line}:\\d+ +error .* ${rule}$`, 'm'));
      expect(output).toContain('lint failed.');
    },
  );
});
