/**
 * The examples of the clone this command runs in: what the help texts name and the showcase runs. An installed package
 * has none, and the acts that need them say so.
 */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { UsageError } from '@pincushion/sim';

/** The job file that a newcomer runs first. */
export const EXAMPLE_JOB = 'examples/jobs/mixed-verify.fio';
export const EXAMPLE_TRACES = {
  sqlite: 'examples/traces/sqlite-wal.blkparse.txt.gz',
  untar: 'examples/traces/untar-python-tree.blkparse.txt.gz',
  postgres: 'examples/traces/postgres-pgbench.blkparse.txt.gz',
} as const;

const ROOT = resolve(__dirname, '../../..');

/** Path of an example, given from the root of the clone. */
export function exampleFile(path: string): string {
  const absolute = join(ROOT, path);
  if (existsSync(absolute)) return absolute;
  throw new UsageError('FILE_UNREADABLE', `${path} is not there`, {
    hint: 'running this in a clone of the repository, which has the examples',
  });
}
