// Loads .ts files of this repository without a build: swc strips the types and emits decorator metadata.
const { transformSync } = require('@swc/core');
const { readFileSync } = require('node:fs');
const options = require('./swc-options.cjs');

require.extensions['.ts'] = (module, filename) => {
  module._compile(transformSync(readFileSync(filename, 'utf8'), { ...options, filename }).code, filename);
  module.exports = settled(module.exports);
};

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
