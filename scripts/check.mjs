// The checks that are not tests: `npm run check`, or some of them: `node scripts/check.mjs types lint`.
// All of those asked for run, also after one has failed; the exit code is 1 if any failed.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folders = ['packages', 'examples', 'test', 'bench'].filter((folder) => existsSync(join(root, folder)));

const CHECKS = {
  types: {
    heading: 'Types: every package and every test, with the compiler',
    command: ['scripts/tsc.mjs', '-b'],
    advice: 'Read the first error of the lowest package first; those above often follow from it.',
  },
  lint: {
    heading: 'Lint: typescript-eslint, dropped tasks, host time and randomness, state of modules',
    command: ['node_modules/eslint/bin/eslint.js', '.'],
    advice:
      'Each @pincushion rule is explained in packages/eslint-plugin/README.md. `npx eslint --fix PATH` repairs some of the others.',
  },
  format: {
    heading: 'Format: prettier',
    command: ['node_modules/prettier/bin/prettier.cjs', '--check', '.', '--log-level', 'warn'],
    advice: '`npm run format` formats the files named above.',
  },
  layers: {
    heading: 'Layers: who imports whom, cycles, deep imports, the host inside the machine',
    command: [
      'node_modules/dependency-cruiser/bin/dependency-cruise.mjs',
      ...folders,
      '--config',
      '.dependency-cruiser.cjs',
      '--output-type',
      'err-long',
    ],
    advice: 'The rows are in .dependency-cruiser.cjs.',
  },
  unused: {
    heading: 'Unused: files, exports and dependencies nobody uses, dependencies nobody lists',
    command: ['node_modules/knip/bin/knip.js', '--no-progress'],
    advice: 'Remove what is unused, or add the missing dependency to the package.json of the package that imports it.',
  },
};

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !Object.hasOwn(CHECKS, name));
if (unknown.length > 0) {
  console.error(`Unknown check: ${unknown.join(', ')}. There are: ${Object.keys(CHECKS).join(', ')}.`);
  process.exit(2);
}

const failed = [];
for (const [name, check] of Object.entries(CHECKS)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  console.log(`== ${check.heading}`);
  const { status } = spawnSync(process.execPath, check.command, { cwd: root, stdio: 'inherit' });
  if (status !== 0) {
    failed.push(name);
    console.log(`-- ${name} failed. ${check.advice}\n`);
  }
}
console.log(failed.length === 0 ? 'All checks passed.' : `Failed: ${failed.join(', ')}.`);
process.exitCode = failed.length === 0 ? 0 : 1;
