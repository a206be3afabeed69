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
    '^.+\\.ts$': ['<rootDir>/scripts/jest-transform.cjs', require('./scripts/swc-options.cjs')],
  },
  // Tests run in a context of their own, where a global costs some 100 ns each time, unless it is handed in by name.
  sandboxInjectedGlobals: [
    'Array',
    'ArrayBuffer',
    'BigInt',
    'BigInt64Array',
    'BigUint64Array',
    'Boolean',
    'Buffer',
    'DataView',
    'Error',
    'Float64Array',
    'Infinity',
    'Int32Array',
    'JSON',
    'Map',
    'Math',
    'Number',
    'Object',
    'Promise',
    'RangeError',
    'Set',
    'String',
    'Symbol',
    'TypeError',
    'Uint16Array',
    'Uint32Array',
    'Uint8Array',
    'WeakMap',
  ],
  modulePathIgnorePatterns: ['/dist/', '/\\.nx/'],
  // Half the cores would leave one of two idle.
  maxWorkers: '100%',
  reporters: ['default', '<rootDir>/scripts/plain-summary-reporter.cjs'],
  collectCoverageFrom: ['{packages,examples}/*/src/**/*.ts', '!**/main.ts'],
  coverageProvider: 'v8',
};
