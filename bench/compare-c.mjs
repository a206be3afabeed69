// Our figures against the compiled reference, alternating in one run: `node bench/compare-c.mjs BINARY [--rounds N] [--json]`.
// BINARY is bench/reference/c_reference.c compiled with `cc -O2`; without it, cc is called.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const command = fileURLToPath(new URL('../packages/cli/bin/pincushion.cjs', import.meta.url));
const [binary, ...options] = process.argv.slice(2);
const given = binary === undefined || binary.startsWith('-') ? [] : [binary];
const rest = given.length === 0 ? process.argv.slice(2) : options;
const words = ['bench', 'queue', 'nvme', 'flash', ...rest, '--against-c', ...given];
process.exitCode = spawnSync(process.execPath, [command, ...words], { stdio: 'inherit' }).status ?? 1;
