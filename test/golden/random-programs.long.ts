/**
 * No random program finds a contradiction in memory: the full number; `npm test` runs a sample (test/cli/ask.test.ts). In a
 * process of its own, as the replays are.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { REPOSITORY } from '../cli/pincushion';

const COMMAND = join(REPOSITORY, 'packages/cli/bin/pincushion.cjs');
const HUNG_AFTER_MS = 1_500_000;

it(
  '10,000 random programs of 40 operations run clean',
  () => {
    const { stdout } = spawnSync(process.execPath, [COMMAND, 'fuzz', '--programs', '10000', '--seed', '20260120'], {
      cwd: REPOSITORY,
      encoding: 'utf8',
      timeout: HUNG_AFTER_MS,
      maxBuffer: 1 << 26,
    });
    expect(stdout).toBe(
      '10000 of 10000 random programs of 40 operations ran clean (seed 20260120, Linux 6.18)\n',
    );
  },
  HUNG_AFTER_MS + 10_000,
);
