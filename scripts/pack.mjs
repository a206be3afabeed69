// Makes the tarballs that npm would publish: `node scripts/pack.mjs FOLDER`. Builds first; older tarballs in FOLDER go.
// Prints the tarballs, one a line. `pincushion new driver NAME --pincushion FOLDER` makes packages that use them.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [, , asked] = process.argv;
if (asked === undefined || asked.startsWith('-')) {
  console.error('Usage: node scripts/pack.mjs FOLDER');
  process.exit(2);
}
const folder = resolve(asked);
const packages = readdirSync(join(root, 'packages')).filter((name) =>
  existsSync(join(root, 'packages', name, 'package.json')),
);

run(process.execPath, ['scripts/tsc.mjs', '-b', ...packages.map((name) => `packages/${name}`)]);
for (const name of packages) removeStale(join(root, 'packages', name));

mkdirSync(folder, { recursive: true });
for (const name of readdirSync(folder)) if (/^pincushion-.*\.tgz$/.test(name)) rmSync(join(folder, name));
const workspaces = packages.flatMap((name) => ['--workspace', `packages/${name}`]);
const packed = run('npm', ['pack', ...workspaces, '--pack-destination', folder, '--silent', '--ignore-scripts']);
for (const line of packed.trim().split('\n')) console.log(join(folder, line));

/** The compiler leaves what it made of a source that is no longer there; it must not be shipped. */
function removeStale(path) {
  const dist = join(path, 'dist');
  for (const file of readdirSync(dist, { recursive: true, encoding: 'utf8' })) {
    const source = /^(.*?)\.(?:d\.ts|js)(?:\.map)?$/.exec(file)?.[1];
    if (source !== undefined && !existsSync(join(path, 'src', `${source}.ts`))) rmSync(join(dist, file));
  }
}

function run(command, words) {
  const { status, stdout, error } = spawnSync(command, words, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    shell: process.platform === 'win32',
  });
  if (status === 0) return stdout;
  console.error(`${command} ${words.join(' ')} failed${error === undefined ? '' : `: ${error.message}`}\n${stdout}`);
  process.exit(1);
}
