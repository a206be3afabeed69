/**
 * What a user does who has nothing but the packages: from an empty folder outside of the repository, a package is scaffolded,
 * installed from packed tarballs, tested and verified. Other people's packages come from the npm cache or the registry.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Ended } from '../cli/pincushion';
import { REPOSITORY, temporaryFolder, twoAtATime } from '../cli/pincushion';

const KINDS = ['blank', 'rdma', 'gpu', 'nvme', 'dax'] as const;
/** The newest that runs on Node 20. */
const VITEST = 'vitest@4.1.12';
const DOWNLOAD = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];
const COMMAND_MS = 300_000;

const folder = temporaryFolder();
const tarballs = join(folder, 'tarballs');
/** The command as it is installed, outside of any package. */
const tool = join(folder, 'tool');
const command = join(tool, 'node_modules/.bin/pincushion');

/** The command as a package has it: what npx starts, without npx. */
const commandOf = (path: string): string => join(path, 'node_modules/.bin/pincushion');

const packageOf = (kind: string): string => join(folder, kind, `my-${kind}`);

function run(name: string, words: readonly string[], cwd: string): Promise<Ended> {
  // What npm and jest have set for this very process would reach those below it.
  const inherited = Object.entries(process.env).filter(([key]) => !/^npm_|^(NODE_\w+|JEST_\w+|FORCE_COLOR)$/.test(key));
  const env = { ...Object.fromEntries(inherited), NO_COLOR: '1', CI: 'true' };
  const child = spawn(name, words, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], timeout: COMMAND_MS });
  const said = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said.out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said.err += text));
  return new Promise((done, failed) => {
    child.on('error', failed);
    child.on('close', (code) => {
      done({ code, ...said });
    });
  });
}

/** The same, for what has to go well. */
async function must(name: string, words: readonly string[], cwd: string): Promise<Ended> {
  const ended = await run(name, words, cwd);
  if (ended.code === 0) return ended;
  throw new Error(`${name} ${words.join(' ')} in ${cwd} ended with ${String(ended.code)}:\n${ended.out}\n${ended.err}`);
}

/** Three tries: downloads fail sometimes. */
async function install(words: readonly string[], cwd: string): Promise<void> {
  for (let left = 2; ; left--) {
    const { code, out, err } = await run('npm', ['install', ...DOWNLOAD, ...words], cwd);
    if (code === 0) return;
    if (left === 0) throw new Error(`npm install ${words.join(' ')} in ${cwd} failed three times:\n${out}\n${err}`);
  }
}

describe('the packed command', () => {
  beforeAll(async () => {
    await must(process.execPath, [join(REPOSITORY, 'scripts/pack.mjs'), tarballs], REPOSITORY);
    mkdirSync(tool);
    writeFileSync(join(tool, 'package.json'), '{ "private": true }\n');
    await install(
      readdirSync(tarballs).map((file) => join(tarballs, file)),
      tool,
    );
  });

  it('makes packages that pass their tests and the suite as they are: four commands from an empty folder', async () => {
    const told = await twoAtATime(KINDS, async (kind) => {
      const empty = join(folder, kind);
      mkdirSync(empty);
      await must(command, ['new', 'driver', `my-${kind}`, '--kind', kind, '--pincushion', tarballs], empty);
      const path = packageOf(kind);
      await install([], path);
      const tests = await must('npm', ['test'], path);
      const verified = await must('npx', ['pincushion', 'verify', '.'], path);
      return { tests: tests.err, verified: verified.out };
    });
    for (const { tests, verified } of told) {
      expect(tests).toMatch(/Tests: +\d+ passed, \d+ total/);
      expect(verified).toMatch(/trials: nothing found/);
    }
  });

  it.each(KINDS)('runs a workload and a driver in TypeScript: %s', async (kind) => {
    const path = packageOf(kind);
    const { out } = await must(commandOf(path), ['run', 'workload.ts', '--machine', 'machine.yaml'], path);
    expect(out).toContain('no findings: nothing lost, nothing leaked');
    const shown = await must(commandOf(path), ['machine', 'show', 'machine.yaml'], path);
    expect(shown.out).toContain(`driver my-${kind}`);
  });

  it('runs a job file on the disk of the kind nvme', async () => {
    const words = ['run', 'mixed.fio', '--machine', 'machine.yaml'];
    const { out } = await must(commandOf(packageOf('nvme')), words, packageOf('nvme'));
    expect(out).toMatch(/sectors checked/);
    const lost = await run(
      commandOf(packageOf('nvme')),
      [...words, '--fault', 'completion@40=lost'],
      packageOf('nvme'),
    );
    expect(lost.out).toContain('IO_FAILED');
    expect(lost.code).toBe(1);
  });

  it.each(KINDS)('makes packages that plain tsc compiles, and that work when they are compiled: %s', async (kind) => {
    const path = packageOf(kind);
    await must('npm', ['run', 'build'], path);
    const { out } = await must(commandOf(path), ['verify', join('dist', 'plugin.js'), '--limit', '3'], path);
    expect(out).toMatch(/trials: nothing found/);
  });

  it('makes packages whose tests pass under Vitest, which writes no decorator metadata', async () => {
    const home = packageOf('blank');
    await install(['--save-dev', VITEST], home);
    const vitest = join(home, 'node_modules/vitest/vitest.mjs');
    for (const kind of KINDS) {
      const { out } = await must(process.execPath, [vitest, 'run', '--globals', '--root', packageOf(kind)], home);
      expect(out).toMatch(/Tests +\d+ passed/);
    }
  });

  it('makes packages whose lint finds a dropped task', async () => {
    const path = packageOf('rdma');
    await must('npm', ['run', 'check'], path);
    const file = join(path, 'src/my-rdma.driver.ts');
    const written = readFileSync(file, 'utf8');
    const dropped = written.replace('yield* this.idle();', 'this.idle();');
    expect(dropped).not.toBe(written);
    writeFileSync(file, dropped);
    const linted = await run(join(path, 'node_modules/.bin/eslint'), ['.'], path);
    expect(linted.out).toContain('@pincushion/no-dropped-task');
    expect(linted.code).toBe(1);
    const verified = await run(commandOf(path), ['verify', '.', '--limit', '1'], path);
    expect(verified.out).toMatch(/TASK_NEVER_STARTED[^]*my-rdma\.driver\.ts:175:10/);
    expect(verified.code).toBe(1);
    writeFileSync(file, written);
  });

  it('loads TypeScript that names its imports as JavaScript, in a package of ES modules', async () => {
    const path = join(folder, 'modules');
    mkdirSync(path);
    writeFileSync(join(path, 'package.json'), '{ "type": "module" }\n');
    writeFileSync(join(path, 'count.ts'), 'export const rounds: number = 3;\n');
    writeFileSync(
      join(path, 'workload.ts'),
      "import { rounds } from './count.js';\n" +
        'export default function* (world: { note(line: string): void; sleep(ns: number): Generator<never, void> }) {\n' +
        '  for (let i = 1; i <= rounds; i++) {\n    world.note(`round ${i}`);\n    yield* world.sleep(10);\n  }\n}\n',
    );
    const { out } = await must(command, ['run', 'workload.ts'], path);
    expect(out).toContain('round 3');
  });

  it('names the line of a mistake in TypeScript', async () => {
    const path = join(folder, 'mistaken');
    mkdirSync(path);
    writeFileSync(join(path, 'broken.ts'), 'export default function* (): {\n');
    writeFileSync(
      join(path, 'throws.ts'),
      '\n\ninterface Nothing {}\nexport default function* (_: Nothing) {\n  throw new Error("x");\n}\n',
    );
    const broken = await run(command, ['run', 'broken.ts'], path);
    expect(broken.err).toMatch(/WORKLOAD_INVALID: broken\.ts: .*broken\.ts:/s);
    expect(broken.code).toBe(2);
    const throws = await run(command, ['run', 'throws.ts'], path);
    expect(throws.err).toMatch(/TASK_FAILED.*throws\.ts:5:/);
    expect(throws.code).toBe(1);
  });
});
