/** The long tests of `npm run test:long`: the full figures, planted violations, everything that takes minutes. */
/** @type {import('jest').Config} */
module.exports = {
  ...require('./jest.config.cjs'),
  testMatch: ['<rootDir>/{packages,examples}/*/test/**/*.long.ts', '<rootDir>/test/**/*.long.ts'],
  testTimeout: 600_000,
};
