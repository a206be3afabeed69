/** A rule tester whose snippets have types: each is checked as if it were the file of the fixture project. */
import { join } from 'node:path';
import * as parser from '@typescript-eslint/parser';
import { RuleTester } from 'eslint';
import type { Rule } from 'eslint';

const fixture = join(__dirname, 'fixture');

export interface Snippets {
  readonly valid: readonly (string | { code: string; options: readonly unknown[] })[];
  /** Code with the identifiers of the messages expected, in the order of the code. */
  readonly invalid: readonly (readonly [code: string, ...messageIds: string[]])[];
}

export function testRule(name: string, rule: object, snippets: Snippets, preamble = ''): void {
  const tester = new RuleTester({
    languageOptions: { parser, parserOptions: { projectService: true, tsconfigRootDir: fixture } },
  });
  const filename = join(fixture, 'file.ts');
  tester.run(name, rule as Rule.RuleModule, {
    valid: snippets.valid.map((snippet) =>
      typeof snippet === 'string'
        ? { code: preamble + snippet, filename, name: snippet }
        : { code: preamble + snippet.code, filename, name: snippet.code, options: [...snippet.options] },
    ),
    invalid: snippets.invalid.map(([code, ...messageIds]) => ({
      code: preamble + code,
      filename,
      name: code,
      errors: messageIds.map((messageId) => ({ messageId })),
    })),
  });
}
