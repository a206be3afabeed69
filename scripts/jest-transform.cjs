// What jest loads of this repository's .ts files: swc as everywhere, and at the end of each module its exports as plain
// properties, as in ts-hook.cjs and for the same reason: without it the tests take a tenth longer.
const { createHash } = require('node:crypto');
const swc = require('@swc/jest');

// `exports` is what swc wrote to.
const SETTLE = `
{
  const __plain = {};
  for (const __name of Object.keys(exports)) __plain[__name] = exports[__name];
  Object.defineProperty(__plain, '__esModule', { value: true });
  Object.setPrototypeOf({}, __plain);
  module.exports = __plain;
}`;

module.exports = {
  createTransformer(options) {
    const inner = swc.createTransformer(options);
    return {
      ...inner,
      getCacheKey: (...args) =>
        createHash('sha256')
          .update(inner.getCacheKey(...args))
          .update(SETTLE)
          .digest('hex'),
      process(...args) {
        const made = inner.process(...args);
        return { ...made, code: made.code + SETTLE };
      },
    };
  },
};
