/**
 * Each check of `npm run check` catches a violation planted for it, and says something useful about it.
 *
 * The violations are planted in a copy of the repository, so that a run that is interrupted leaves nothing behind in the
 * sources. The copy shares the installed packages; only the links to our own packages lead into the copy.
 */
import { spawnSync } from 'node:child_process';
import {
  cpSync,
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
const LEFT_OUT: ReadonlySet<string> = new Set(['.git', '.nx', 'coverage', 'dist', 'node_modules']);

let copy = '';

beforeAll(() => {
  copy = realpathSync(mkdtempSync(join(tmpdir(), 'pincushion-planted-')));
  cpSync(root, copy, { recursive: true, filter: (source) => source === root || !LEFT_OUT.has(basename(source)) });
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

describe('a tree without violations', () => {
  it.each(['types', 'lint', 'format', 'layers', 'unused'])('passes the check of %s', (name) => {
    const { status, output } = check(name, {});
    expect(output).toContain('All checks passed.');
    expect(status).toBe(0);
  });
});

describe('a planted violation is caught:', () => {
  it('a type error', () => {
    const { status, output } = check('types', {
      'packages/sim/src/planted.ts': "export const planted: number = 'seven';\n",
    });
    expect(output).toMatch(/planted\.ts.*TS2322: Type 'string' is not assignable to type 'number'/);
    expect(output).toContain('types failed.');
    expect(status).toBe(1);
  });

  it('a type error in a test', () => {
    const { status, output } = check('types', {
      'packages/sim/test/planted.test.ts': "it('counts', () => {\n  expect(1 + ({} as object)).toBe(1);\n});\n",
    });
    expect(output).toMatch(/planted\.test\.ts.*TS2365/);
    expect(status).toBe(1);
  });

  it('a file that is not formatted', () => {
    const { status, output } = check('format', { 'packages/sim/src/planted.ts': 'export const planted=1\n' });
    expect(output).toContain('packages/sim/src/planted.ts');
    expect(output).toContain('`npm run format` formats the files named above.');
    expect(status).toBe(1);
  });

  it('an import from a higher row', () => {
    const { status, output } = check('layers', { 'packages/sim/src/planted.ts': "import '@pincushion/mm';\n" });
    expect(output).toContain('layers-sim: packages/sim/src/planted.ts → packages/mm/src/index.ts');
    expect(output).toContain('sim is in row 1 and may use no other package.');
    expect(status).toBe(1);
  });

  it('an import from a neighbour in the same row', () => {
    const { output } = check('layers', { 'packages/block/src/planted.ts': "import '@pincushion/dma';\n" });
    expect(output).toContain('layers-block: packages/block/src/planted.ts → packages/dma/src/index.ts');
  });

  it('a driver that goes past the contract', () => {
    const { output } = check('layers', { 'packages/nvme-p2p/src/planted.ts': "import '@pincushion/machine';\n" });
    expect(output).toContain('layers-nvme-p2p: packages/nvme-p2p/src/planted.ts → packages/machine/src/index.ts');
  });

  it('a deep import, and a relative way into another package', () => {
    const { output } = check('layers', {
      'packages/mm/src/planted.ts': "import '../../sim/src/planted';\n",
      'packages/sim/src/planted.ts': 'export {};\n',
    });
    expect(output).toContain('no-deep-imports: packages/mm/src/planted.ts → packages/sim/src/planted.ts');
  });

  it('a file of the host inside the machine', () => {
    const { output } = check('layers', { 'packages/mm/src/planted.ts': "import 'node:fs';\n" });
    expect(output).toContain('the-host-stays-outside: packages/mm/src/planted.ts → fs');
  });

  it('a cycle', () => {
    const { status, output } = check('layers', {
      'packages/sim/src/planted.ts': "import { b } from './planted-too';\nexport const a = (): number => b();\n",
      'packages/sim/src/planted-too.ts': "import { a } from './planted';\nexport const b = (): number => a();\n",
    });
    expect(output).toContain('no-cycles: packages/sim/src/planted');
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
    const text = [...PREAMBLE, ...VIOLATIONS.map(([, line]) => line), ''].join('\n');
    output = check('lint', { 'packages/mm/src/planted.ts': text }).output;
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
