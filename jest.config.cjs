/** The tests of `npm test`, straight from the sources; `jest.long.config.cjs` has what does not fit into three minutes. */
/** @type {import('jest').Config} */
module.exports = {
  testMatch: [
    '<rootDir>/{packages,examples}/*/test/**/*.test.ts',
    '<rootDir>/packages/cli/templates/*/test/**/*.test.ts',
    '<rootDir>/test/**/*.test.ts',
  ],
  testEnvironmentOptions: {
    customExportConditions: ['pincushion-source', 'node', 'node-addons'],
  },
  setupFiles: ['reflect-metadata'],
  transform: {
    '^.+\\.ts$': ['@swc/jest', require('./scripts/swc-options.cjs')],
  },
  modulePathIgnorePatterns: ['/dist/', '/\\.nx/'],
  // Half the cores would leave one of two idle.
  maxWorkers: '100%',
  reporters: ['default', '<rootDir>/scripts/plain-summary-reporter.cjs'],
  collectCoverageFrom: ['{packages,examples}/*/src/**/*.ts', '!**/main.ts'],
  coverageProvider: 'v8',
};
