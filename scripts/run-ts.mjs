// Runs a TypeScript file of this repository without a build: `node scripts/run-ts.mjs FILE ARG…`.
// A second process is needed because `--conditions` (packages resolve to their sources) is read only at start.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';

const hook = fileURLToPath(new URL('ts-hook.cjs', import.meta.url));
const args = ['--enable-source-maps', '--conditions=pincushion-source', '--require', hook, ...process.argv.slice(2)];
const child = spawn(process.execPath, args, { stdio: 'inherit' });

// The child decides how a signal ends the run (a summary, exit code 130). Ctrl-C at a terminal reaches the child by
// itself, as it is in the same process group; every other signal is sent to this process alone and is passed on.
process.on('SIGINT', () => {
  if (!process.stdin.isTTY) child.kill('SIGINT');
});
for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));

child.on('exit', (code, signal) => {
  process.exitCode = signal ? 128 + constants.signals[signal] : (code ?? 1);
});
