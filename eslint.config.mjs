// Lint of the whole repository. The rules of packages/eslint-plugin are loaded from their sources, without a build.
import { createRequire } from 'node:module';
import tseslint from 'typescript-eslint';

const require = createRequire(import.meta.url);
require('./scripts/ts-hook.cjs');
const pincushion = require('./packages/eslint-plugin/src/index.ts');

/** What is inside the machine: rows 1 to 6 of the layers, and the example drivers. */
const insideMachine = [
  'packages/{sim,mm,dma,block,schemes,fs,driver,machine,nvme-p2p,rdma-nic,gpu-drm,dax-pmem}/src/**/*.ts',
  'examples/*/src/**/*.ts',
  'packages/cli/templates/*/src/**/*.ts',
];

export default tseslint.config(
  {
    ignores: ['**/dist/**', '**/coverage/**', '**/*.cjs', '**/*.mjs', '.nx/**'],
  },
  ...tseslint.configs.strictTypeChecked,
  pincushion.configs.recommended,
  {
    languageOptions: {
      parserOptions: {
        projectService: true,
        tsconfigRootDir: import.meta.dirname,
      },
    },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      eqeqeq: 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'separate-type-imports' }],
      '@typescript-eslint/no-extraneous-class': ['error', { allowWithDecorator: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', caughtErrors: 'all' }],
      '@typescript-eslint/prefer-literal-enum-member': ['error', { allowBitwiseExpressions: true }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
    },
  },
  {
    files: insideMachine,
    rules: {
      '@pincushion/no-host-nondeterminism': 'error',
      '@pincushion/no-module-state': 'error',
    },
  },
  {
    // The preemption point is one object for the process: a field read would cost on every hot path.
    files: ['packages/sim/src/**/*.ts'],
    rules: { '@pincushion/no-module-state': ['error', { allow: ['point'] }] },
  },
);
