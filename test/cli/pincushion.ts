/**
 * Runs the real command in a process of its own, as a user would, and gives back what it said.
 * A command that does not end by itself is killed after a time and reported as hung.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

export const REPOSITORY = resolve(__dirname, '../..');
const COMMAND = join(REPOSITORY, 'packages/cli/bin/pincushion.cjs');
const HUNG_AFTER_MS = 60_000;

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface StartOptions {
  readonly cwd?: string;
  /** Called with everything that came on stderr so far; may send a signal. */
  readonly onErr?: (text: string, kill: (signal: NodeJS.Signals) => void) => void;
}

export function pincushion(words: readonly string[], options: StartOptions = {}): Promise<Ended> {
  return runToItsEnd([COMMAND, ...words], `pincushion ${words.join(' ')}`, options);
}

/** Runs many command lines one after the other in one process: for inputs that end before anything is booted. */
export async function manyCommandLines(lines: readonly (readonly string[])[], cwd: string): Promise<readonly Ended[]> {
  const runner = join(REPOSITORY, 'scripts/run-ts.mjs');
  const script = join(REPOSITORY, 'test/cli/many-command-lines.ts');
  const { code, out, err } = await runToItsEnd([runner, script, JSON.stringify(lines)], 'many command lines', { cwd });
  if (code !== 0) throw new Error(`${script} ended with ${String(code)}:\n${err}`);
  return JSON.parse(out) as Ended[];
}

function runToItsEnd(words: readonly string[], what: string, options: StartOptions): Promise<Ended> {
  const env: NodeJS.ProcessEnv = { ...process.env, NO_COLOR: '1' };
  delete env['FORCE_COLOR'];
  delete env['NODE_OPTIONS'];
  const child = spawn(process.execPath, words, {
    cwd: options.cwd ?? REPOSITORY,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said.out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said.err += text;
    options.onErr?.(said.err, (signal) => child.kill(signal));
  });
  return new Promise((done, failed) => {
    const hung = setTimeout(() => {
      child.kill('SIGKILL');
      failed(new Error(`${what} hung; it said:\n${said.out}\n${said.err}`));
    }, HUNG_AFTER_MS);
    child.on('close', (code) => {
      clearTimeout(hung);
      done({ code, ...said });
    });
  });
}

/** Runs the jobs two at a time: as many as the smallest machine we test on has cores. */
export async function twoAtATime<T, R>(items: readonly T[], job: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const at = next++;
      results[at] = await job(items[at]);
    }
  };
  await Promise.all([worker(), worker()]);
  return results;
}

/** A folder that is gone after the test file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'pincushion-test-'));
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}
