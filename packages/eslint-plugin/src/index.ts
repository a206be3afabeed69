/**
 * ESLint rules for Pincushion and for drivers written for it.
 *
 * `configs.recommended` is for authors of drivers: it needs type information
 * (`languageOptions.parserOptions.projectService` of typescript-eslint). The other two rules keep the inside of the
 * machine deterministic; the repository applies them to its own packages.
 */
import type { FlatConfig } from '@typescript-eslint/utils/ts-eslint';
import { noDroppedTask } from './no-dropped-task';
import { noHostNondeterminism } from './no-host-nondeterminism';
import { noModuleState } from './no-module-state';

export const rules = Object.freeze({
  'no-dropped-task': noDroppedTask,
  'no-host-nondeterminism': noHostNondeterminism,
  'no-module-state': noModuleState,
});

const plugin: FlatConfig.Plugin = { meta: { name: '@pincushion/eslint-plugin' }, rules };

export const configs = Object.freeze({
  recommended: {
    name: '@pincushion/recommended',
    plugins: { '@pincushion': plugin },
    rules: { '@pincushion/no-dropped-task': 'error' },
  } satisfies FlatConfig.Config,
});
