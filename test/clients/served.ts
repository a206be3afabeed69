/** A server of the real command in a process of its own, and real clients of this host that come to it. */
import type { ChildProcess } from 'node:child_process';
import { spawn, spawnSync } from 'node:child_process';
import { connect } from 'node:net';
import { join } from 'node:path';
import { REPOSITORY } from '../cli/pincushion';
import type { Ended } from '../cli/pincushion';

const COMMAND = join(REPOSITORY, 'packages/cli/bin/pincushion.cjs');
const STARTS_WITHIN_MS = 60_000;
const ENDS_WITHIN_MS = 120_000;

export interface Server {
  /** What it has said on stdout. */
  readonly out: () => string;
  /** Ctrl-C, and what came of it. */
  stop(): Promise<Ended>;
}

/** Servers that a test has not stopped: it failed. */
const running = new Set<ChildProcess>();

/** Starts `pincushion serve …` and waits until clients can come. */
export async function serve(words: readonly string[]): Promise<Server> {
  const child = spawn(process.execPath, [COMMAND, 'serve', ...words], {
    cwd: REPOSITORY,
    env: { ...process.env, NO_COLOR: '1', NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  const said = { out: '', err: '' };
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said.err += text));
  const ended = new Promise<Ended>((done) => {
    child.on('close', (code) => {
      running.delete(child);
      done({ code, ...said });
    });
  });
  await new Promise<void>((ready, failed) => {
    const late = setTimeout(() => {
      child.kill('SIGKILL');
      failed(new Error(`the server has not begun to serve: ${said.err}`));
    }, STARTS_WITHIN_MS);
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said.out += text;
      if (!/^serving .*\n/m.test(said.out)) return;
      clearTimeout(late);
      ready();
    });
    void ended.then(({ code, err }) => {
      clearTimeout(late);
      failed(new Error(`the server ended with ${String(code)}: ${err}`));
    });
  });
  return {
    out: () => said.out,
    stop: async () => {
      child.kill('SIGINT');
      const hung = setTimeout(() => child.kill('SIGKILL'), ENDS_WITHIN_MS);
      const end = await ended;
      clearTimeout(hung);
      return end;
    },
  };
}

/** Runs a program of the host to its end; the server works meanwhile. */
export function run(
  program: string,
  words: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; withinMs?: number } = {},
): Promise<Ended> {
  const child = spawn(program, words, {
    cwd: options.cwd ?? REPOSITORY,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said.out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said.err += text));
  return new Promise((done, failed) => {
    const hung = setTimeout(() => {
      child.kill('SIGKILL');
      failed(new Error(`${program} ${words.join(' ')} hung; it said:\n${said.out}\n${said.err}`));
    }, options.withinMs ?? 60_000);
    child.on('error', failed);
    child.on('close', (code) => {
      clearTimeout(hung);
      done({ code, ...said });
    });
  });
}

/** `pincushion run` on a recorded session, which may take as long as the session did. */
export function runAgain(session: string): Promise<Ended> {
  return run(process.execPath, [COMMAND, 'run', session, '--no-replay'], { env: { NO_COLOR: '1' }, withinMs: 600_000 });
}

/** Sends lines to a control socket: as many answers. */
export function control(path: string, lines: readonly string[]): Promise<readonly string[]> {
  return new Promise((done, failed) => {
    const socket = connect(path);
    let text = '';
    socket.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
      const answers = text.split('\n').slice(0, -1);
      if (answers.length < lines.length) return;
      socket.destroy();
      done(answers);
    });
    socket.once('error', failed);
    socket.write(lines.map((line) => `${line}\n`).join(''));
  });
}

/** Those of the programs that this host lacks. */
function missing(programs: readonly string[]): readonly string[] {
  return programs.filter((program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0);
}

/**
 * Tests that need programs of the host. Where one is missing they do not run, and say so; where the environment has
 * PINCUSHION_CLIENTS=required, as in `.ci/run` once it has installed them, they fail.
 */
export function describeClients(what: string, programs: readonly string[], tests: () => void): void {
  const lacking = missing(programs);
  if (lacking.length === 0) {
    describe(what, () => {
      // Registered after those of the tests, so it runs before the folder of the servers is removed.
      tests();
      afterAll(async () => {
        for (const child of running) {
          const closed = new Promise((done) => child.once('close', done));
          child.kill('SIGINT'); // What it has started ends with it, which SIGKILL would leave behind.
          await closed;
        }
      });
    });
    return;
  }
  const words = `${what}: DID NOT RUN, for this host has no ${lacking.join(', ')}`;
  if (process.env['PINCUSHION_CLIENTS'] === 'required') {
    it(what, () => {
      throw new Error(words);
    });
    return;
  }
  process.stderr.write(`\n!!! ${words}\n`);
  it.skip(words, () => undefined);
}
