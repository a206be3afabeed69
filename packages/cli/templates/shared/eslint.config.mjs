// A task that nobody drives does nothing and says nothing: @pincushion/no-dropped-task finds it.
import pincushion from '@pincushion/eslint-plugin';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['dist/', '**/*.cjs', '**/*.mjs'] },
  ...tseslint.configs.recommendedTypeChecked,
  pincushion.configs.recommended,
  { languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } } },
  {
    // What runs inside the machine: with the same seed it does the same.
    files: ['src/**/*.ts'],
    rules: {
      '@pincushion/no-host-nondeterminism': 'error',
      '@pincushion/no-module-state': 'error',
    },
  },
);
