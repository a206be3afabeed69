/** `pincushion new driver`: what it writes, and what it refuses. That it works from the packed command is in packed.long.ts. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parsePackageField } from '@pincushion/driver';
import type { Ended } from '../cli/pincushion';
import { REPOSITORY, manyCommandLines, pincushion, temporaryFolder } from '../cli/pincushion';
import { readDocument } from '../docs/documents';

const KINDS = ['blank', 'rdma', 'gpu', 'nvme', 'dax'];
const folder = temporaryFolder();

interface Manifest {
  readonly name: string;
  readonly keywords: readonly string[];
  readonly pincushion: unknown;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly overrides: Readonly<Record<string, string>>;
}

function manifestOf(path: string): Manifest {
  return JSON.parse(readFileSync(join(path, 'package.json'), 'utf8')) as Manifest;
}

function filesOf(path: string): readonly string[] {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(path.length + 1));
}

/** What is refused, and what is said then. */
const REFUSED: readonly (readonly [readonly string[], RegExp])[] = [
  [['FastNic'], /ARGUMENT_INVALID: "FastNic" cannot be the name of a package.*Try fast-nic\./s],
  [['9p'], /ARGUMENT_INVALID.*a small letter, then/s],
  [['fast.nic'], /ARGUMENT_INVALID.*Try fast-nic\./s],
  [['.hidden'], /ARGUMENT_INVALID.*Try hidden\./s],
  [['a'.repeat(215)], /ARGUMENT_INVALID.*215 characters/s],
  [['@/nic'], /ARGUMENT_INVALID.*the scope is none/s],
  [['@ACME/nic'], /ARGUMENT_INVALID.*the scope is none/s],
  [['events'], /ARGUMENT_INVALID.*reserved.*Try events-driver\./s],
  [['node_modules'], /ARGUMENT_INVALID.*reserved/s],
  [['zod'], /ARGUMENT_INVALID.*depends on a package of that name/s],
  [['nic', '--kind', 'rmda'], /ARGUMENT_INVALID: there is no kind of driver "rmda".*blank, rdma.*Try rdma\./s],
  [['taken'], /FOLDER_NOT_EMPTY: taken is there already.*notes\.txt/s],
  [['nic', '--dir', 'file'], /FILE_UNWRITABLE: file: cannot be written/],
  [['nic', '--dir', 'file/below'], /FILE_UNWRITABLE: file\/below: cannot be written/],
  [['nic', '--pincushion', 'nowhere/at/all'], /ARGUMENT_INVALID: there is no Pincushion at "nowhere\/at\/all"/],
  [['nic', '--pincushion', 'nothing-packed'], /ARGUMENT_INVALID: nothing-packed has no tarballs/],
  [[], /missing required argument 'name'/],
];

const TARBALLS = ['cli', 'driver', 'eslint-plugin', 'testing', 'workloads', 'sim'];

describe('pincushion new driver', () => {
  let made: readonly Ended[] = [];
  let packed: Ended | null = null;
  let refused: readonly Ended[] = [];
  let empty = 0;

  // In one process: it takes longer to start than all of them take to run.
  beforeAll(async () => {
    for (const name of ['taken', 'nothing-packed', 'tarballs']) mkdirSync(join(folder, name));
    writeFileSync(join(folder, 'taken', 'notes.txt'), 'mine');
    mkdirSync(join(folder, 'blank/here'), { recursive: true });
    empty = statSync(join(folder, 'blank/here')).ino;
    writeFileSync(join(folder, 'file'), '');
    for (const name of TARBALLS) writeFileSync(join(folder, 'tarballs', `pincushion-${name}-0.1.0.tgz`), '');
    const kinds = KINDS.map((kind) => [`@acme/fast_${kind}-2`, '--kind', kind, '--dir', join(kind, 'here')]);
    const lines = [...kinds, ['my-nic'], ['packed', '--pincushion', 'tarballs'], ...REFUSED.map(([words]) => words)];
    const ended = await manyCommandLines(
      lines.map((words) => ['new', 'driver', ...words]),
      folder,
    );
    made = ended.slice(0, kinds.length);
    [, packed] = ended.slice(kinds.length);
    refused = ended.slice(kinds.length + 2);
  }, 60_000);

  it('says what it wrote, and what to do next', () => {
    expect(made.map(({ code, err }) => [code, err])).toEqual(KINDS.map(() => [0, '']));
    for (const { out } of made) expect(out).toMatch(/src\/plugin\.ts[^]*npm install[^]*npx pincushion verify \./);
  });

  it.each(KINDS)('writes a whole package of the kind %s, under its own name', (kind) => {
    const path = join(folder, kind, 'here');
    const files = filesOf(path);
    const base = `fast_${kind}-2`;
    const parts = ['driver', 'hardware', 'library'].map((part) => `src/${base}.${part}.ts`);
    const others = ['README.md', 'package.json', '.gitignore', 'src/example.ts', `test/${base}.test.ts`, 'workload.ts'];
    expect(files).toEqual(expect.arrayContaining([...parts, ...others]));
    const text = files.map((file) => file + readFileSync(join(path, file), 'utf8')).join('\n');
    expect(text).not.toMatch(/my-device|MyDevice/);
    expect(text).toContain(`class Fast${kind.charAt(0).toUpperCase()}${kind.slice(1)}2Driver extends Driver`);
    const manifest = manifestOf(path);
    expect(manifest.name).toBe(`@acme/${base}`);
    expect(manifest.keywords).toContain('pincushion-driver');
    expect(parsePackageField(manifest.pincushion, manifest.name, 'package.json').drivers[0]?.name).toBe(base);
  });

  it('writes into a folder that is there and empty, and does not replace it', () => {
    expect(statSync(join(folder, 'blank/here')).ino).toBe(empty);
  });

  it('asks for the tools that this repository is tested with', () => {
    const { devDependencies, overrides } = manifestOf(join(folder, 'blank', 'here'));
    const ours = manifestOf(REPOSITORY);
    for (const [name, version] of Object.entries(devDependencies)) {
      if (!name.startsWith('@pincushion/')) expect([name, version]).toEqual([name, ours.devDependencies[name]]);
    }
    expect(overrides).toEqual(ours.overrides);
  });

  it('takes Pincushion from a folder of tarballs, and names also what only others need', () => {
    expect(packed).toMatchObject({ code: 0, err: '' });
    const { devDependencies, overrides } = manifestOf(join(folder, 'packed'));
    expect(devDependencies['@pincushion/cli']).toBe('file:../tarballs/pincushion-cli-0.1.0.tgz');
    expect(overrides).toMatchObject({ '@pincushion/sim': 'file:../tarballs/pincushion-sim-0.1.0.tgz' });
    expect(Object.keys(overrides)).not.toContain('@pincushion/cli');
  });

  it.each(REFUSED.map(([words, said], i) => [words.join(' ').slice(0, 40), said, i] as const))(
    'refuses: %s',
    (_words, said, i) => {
      expect(refused[i].err).toMatch(said);
      expect([refused[i].code, refused[i].out]).toEqual([2, '']);
    },
  );

  it('writes nothing when it refuses', () => {
    expect(existsSync(join(folder, 'nic'))).toBe(false);
    expect(readdirSync(join(folder, 'taken'))).toEqual(['notes.txt']);
    expect(readdirSync(folder).filter((name) => name.endsWith('.part'))).toEqual([]);
  });

  describe('from the manual', () => {
    const path = join(folder, 'my-nic');
    const verify = ['verify', '.', '--limit', '2', '--no-replay'];

    beforeAll(() => {
      symlinkSync(join(REPOSITORY, 'node_modules'), join(path, 'node_modules'));
    });

    it('passes its own tests and the suite as it is', async () => {
      const fromSource = JSON.stringify({ customExportConditions: ['pincushion-source', 'node', 'node-addons'] });
      const jest = join(REPOSITORY, 'node_modules/jest/bin/jest.js');
      const { status, stderr } = spawnSync(process.execPath, [jest, '-i', `--testEnvironmentOptions=${fromSource}`], {
        cwd: path,
        encoding: 'utf8',
      });
      expect(stderr).toMatch(/Tests: +8 passed, 8 total/);
      expect(status).toBe(0);
      const { code, out } = await pincushion(verify, { cwd: path });
      expect(out).toContain('nothing found');
      expect(code).toBe(0);
    }, 60_000);

    it('is caught with two words swapped, as docs/first-driver.md says it', async () => {
      const file = join(path, 'src/my-nic.driver.ts');
      const swapped = readFileSync(file, 'utf8').replace('giveBack(mapped, pinned)', 'giveBack(pinned, mapped)');
      writeFileSync(file, swapped);
      const { code, out } = await pincushion(verify, { cwd: path });
      const said = readDocument('docs/first-driver.md').blocks.find(({ text }) => text.includes('my-nic.driver.ts'));
      expect(said?.text.split('\n').length).toBeGreaterThan(3);
      expect(out.split('\n')).toEqual(expect.arrayContaining(said?.text.split('\n') ?? []));
      expect(code).toBe(1);
    }, 60_000);
  });
});
