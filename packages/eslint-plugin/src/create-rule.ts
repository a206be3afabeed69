/** The rule factory of this package: it gives each rule its name and the place of its documentation. */
import { ESLintUtils } from '@typescript-eslint/utils';

export const createRule = ESLintUtils.RuleCreator((name) => `@pincushion/eslint-plugin/README.md#${name}`);
