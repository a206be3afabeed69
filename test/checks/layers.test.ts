import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '..', '..');

interface Manifest {
  readonly name: string;
  readonly private?: boolean;
  readonly license?: string;
  readonly description?: string;
  readonly type?: string;
  readonly exports?: Readonly<Record<string, unknown>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

const packages = ['packages', 'examples'].flatMap((folder) =>
  readdirSync(join(root, folder))
    .map((name) => join(folder, name))
    .filter((path) => existsSync(join(root, path, 'package.json'))),
);

function manifestOf(path: string): Manifest {
  return JSON.parse(readFileSync(join(root, path, 'package.json'), 'utf8')) as Manifest;
}

function referencesOf(file: string): string[] {
  const { references } = JSON.parse(readFileSync(join(root, file), 'utf8')) as { references: { path: string }[] };
  return references.map(({ path }) => join(file, '..', path)).sort();
}

const pathByName = new Map(packages.map((path) => [manifestOf(path).name, path]));

describe('the layers', () => {
  it('hold, without cycles, deep imports, or the host inside the machine', () => {
    const { status, stdout } = spawnSync(process.execPath, ['scripts/check.mjs', 'layers'], {
      cwd: root,
      encoding: 'utf8',
    });
    expect(stdout).toContain('All checks passed.');
    expect(status).toBe(0);
  });
});

describe.each(packages)('%s', (path) => {
  const manifest = manifestOf(path);

  it('says what it is, under which licence, and what may be imported', () => {
    expect(manifest.name).toMatch(/^@pincushion\/[a-z0-9-]+$/);
    expect(manifest.description).toMatch(/^.{20,}$/);
    expect(manifest.license).toBe('MIT');
    expect(manifest.type).toBe('commonjs');
    expect(manifest.exports).toMatchObject({
      '.': { 'pincushion-source': './src/index.ts', types: './dist/index.d.ts', default: './dist/index.js' },
    });
  });

  it('refers the compiler to exactly the packages it depends on', () => {
    const names = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies });
    const ours = names.flatMap((name) => pathByName.get(name) ?? []).sort();
    expect(referencesOf(join(path, 'tsconfig.json'))).toEqual(ours);
  });
});

it('every package is type-checked, and its tests too', () => {
  expect(referencesOf('tsconfig.json')).toEqual([...packages, 'tsconfig.test.json'].sort());
  expect(referencesOf('tsconfig.test.json')).toEqual([...packages].sort());
});
