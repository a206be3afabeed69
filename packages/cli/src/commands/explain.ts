/** `pincushion explain CODE`: the manual's paragraph on an error or finding; outside a clone, the catalogue's sentence. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { ErrorCode } from '@pincushion/sim';
import { ERROR_CODES } from '@pincushion/sim';
import type { Invocation } from '../invocation';
import { unknownWord } from '../unknown-word';

const MANUAL = resolve(__dirname, '../../../../docs/reference/errors.md');

export function explainCommand(program: Command, { terminal }: Invocation): void {
  program
    .command('explain')
    .summary('explain the code of an error or finding')
    .description('Prints what the manual says about the code of an error or finding.')
    .argument('<code>', 'such as PIN_LEAK')
    .addHelpText('after', '\nExample:\n  pincushion explain PIN_LEAK\n')
    .action((word: string) => {
      const code = word.toUpperCase();
      const known = Object.keys(ERROR_CODES).sort();
      if (!isErrorCode(code)) throw unknownWord(`there is no error or finding "${word}"`, code, known, false);
      terminal.out(`${terminal.colours.bold(code)}\n\n${manualParagraph(code) ?? ERROR_CODES[code]}\n`);
    });
}

function isErrorCode(word: string): word is ErrorCode {
  return Object.hasOwn(ERROR_CODES, word);
}

/** The text below the heading that names the code, up to the next heading. */
function manualParagraph(code: string): string | null {
  let text: string;
  try {
    text = readFileSync(MANUAL, 'utf8');
  } catch {
    // Not in a clone: the manual is not part of the installed package.
    return null;
  }
  const lines = text.split('\n');
  const heading = lines.findIndex((line) => /^#+ /.test(line) && line.replace(/[#`\s]/g, '') === code);
  if (heading < 0) return null;
  const length = lines.slice(heading + 1).findIndex((line) => line.startsWith('#'));
  const end = length < 0 ? lines.length : heading + 1 + length;
  return (
    lines
      .slice(heading + 1, end)
      .join('\n')
      .trim() || null
  );
}
