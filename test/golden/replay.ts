/**
 * Replays recordings with the real command. In a process of its own, because replaying makes garbage that is expensive to
 * collect beside all of jest.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY } from '../cli/pincushion';

const COMMAND = join(REPOSITORY, 'packages/cli/bin/pincushion.cjs');
const HUNG_AFTER_MS = 170_000;

/** More than a replay takes on a busy host. */
export const REPLAY_MS = HUNG_AFTER_MS + 10_000;

/** The recordings below `test/golden` whose name matches, as they are named on a command line. */
export function recordings(folder: string, names: RegExp): readonly string[] {
  const files = readdirSync(join(__dirname, folder)).filter((name) => names.test(name));
  return files.map((name) => join('test/golden', folder, name));
}

/** What the command tells about recordings that do not agree; empty when all `scenarios` scenarios do. */
export function disagreements(paths: readonly string[], scenarios: number): string {
  const { stdout, stderr } = spawnSync(process.execPath, [COMMAND, 'conformance', ...paths], {
    cwd: REPOSITORY,
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '1' },
    timeout: HUNG_AFTER_MS,
    maxBuffer: 1 << 26,
  });
  const last = stdout.trimEnd().split('\n').at(-1);
  return last === `${scenarios} of ${scenarios} scenarios agree` ? '' : `${stdout}\n${stderr}`;
}
