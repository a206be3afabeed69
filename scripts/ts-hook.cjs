// Loads .ts files of this repository without a build: swc strips the types and emits decorator metadata. What it made of a
// file is kept under the hash of the file's text: some 500 files take swc a second, and every command starts with them.
const { createHash } = require('node:crypto');
const { mkdirSync, readFileSync, renameSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');
const { version } = require('@swc/core/package.json');
const options = require('./swc-options.cjs');

const CACHE = join(__dirname, '../node_modules/.cache/pincushion-ts');
const SETTINGS = JSON.stringify([version, options]);

require.extensions['.ts'] = (module, filename) => {
  module._compile(javascriptOf(filename), filename);
  module.exports = settled(module.exports);
};

function javascriptOf(filename) {
  const source = readFileSync(filename, 'utf8');
  const key = createHash('sha256').update(SETTINGS).update(filename).update('\0').update(source).digest('hex');
  const cached = join(CACHE, `${key}.js`);
  try {
    return readFileSync(cached, 'utf8');
  } catch {
    // Loaded when it is needed only: it takes a tenth of a second.
    const { code } = require('@swc/core').transformSync(source, { ...options, filename });
    keep(cached, code);
    return code;
  }
}

/** Under another name first: several commands may start at once, and none may read half a file. */
function keep(path, code) {
  const half = `${path}.${process.pid}`;
  try {
    mkdirSync(CACHE, { recursive: true });
    writeFileSync(half, code);
    renameSync(half, path);
  } catch {
    // A clone that cannot be written to is slower to start, no more.
  }
}

/**
 * The exports of a module that has run, as plain properties. swc emits a getter for each, and an import is one more getter
 * in every index.ts on its way: 15 to 30 ns where V8 does not inline them, which is on the hottest paths. Nothing here
 * reassigns what it exports, and cycles of imports are forbidden, so a module that has run has settled.
 */
function settled(exports) {
  const plain = {};
  for (const [name, value] of Object.entries(exports)) plain[name] = value;
  Object.defineProperty(plain, '__esModule', { value: true });
  // An object that is a prototype is kept in V8's fast form, in which a constant property is a constant.
  Object.setPrototypeOf({}, plain);
  return plain;
}
