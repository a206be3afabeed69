#!/usr/bin/env node
// Entry of the `pincushion` command. In a clone it runs the sources without a build, through the repository's
// TypeScript runner; in an installed package, which has no such runner beside it, it runs what the build left in dist/.
const { existsSync } = require('node:fs');
const { join } = require('node:path');
const { pathToFileURL } = require('node:url');

const source = join(__dirname, '..', 'src', 'main.ts');
const runner = join(__dirname, '..', '..', '..', 'scripts', 'run-ts.mjs');

if (existsSync(source) && existsSync(runner)) {
  process.argv.splice(2, 0, source);
  void import(pathToFileURL(runner).href);
} else {
  require('../dist/main.js');
}
