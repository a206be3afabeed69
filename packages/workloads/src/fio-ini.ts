/**
 * The INI form of fio job files: sections, `option=value` lines, each with its line number.
 *
 * A section begins with `[name]`; `;` and `#` begin comments at the start of a line; an option without `=` is a switch.
 * Left out on purpose: `include` files and environment variables in values.
 */
import { UsageError } from '@pincushion/sim';

export interface IniOption {
  /** Lower case. */
  readonly name: string;
  /** Null for a switch without `=`. */
  readonly value: string | null;
  readonly line: number;
}

export interface IniSection {
  readonly name: string;
  readonly line: number;
  readonly options: readonly IniOption[];
}

/** Splits a job file. Throws `UsageError` JOB_INVALID with `source:line` for what is neither section, option nor comment. */
export function parseIni(text: string, source: string): IniSection[] {
  const sections: { name: string; line: number; options: IniOption[] }[] = [];
  const zero = text.indexOf('\0');
  if (zero >= 0) {
    throw new UsageError('JOB_INVALID', `${source}: this is a binary file`, {
      expected: 'a fio job file, which is text',
      actual: `a zero byte at offset ${zero}`,
    });
  }
  const lines = text.replace(/^\uFEFF/, '').split('\n');
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i].trim();
    const where = `${source}:${i + 1}`;
    if (line === '' || line.startsWith('#') || line.startsWith(';')) continue;
    if (line.startsWith('[')) {
      const end = line.indexOf(']');
      const name = end < 0 ? '' : line.slice(1, end).trim();
      if (name === '') {
        throw new UsageError('JOB_INVALID', `${where}: a section without a name`, {
          expected: '[name]',
          actual: quoted(line),
        });
      }
      sections.push({ name, line: i + 1, options: [] });
      continue;
    }
    const equals = line.indexOf('=');
    const name = (equals < 0 ? line : line.slice(0, equals)).trim().toLowerCase();
    if (!/^[a-z][a-z0-9_]*$/.test(name)) {
      throw new UsageError('JOB_INVALID', `${where}: not a line of a job file`, {
        expected: '[section], option=value, or a comment with # or ;',
        actual: quoted(line),
      });
    }
    const section = sections.at(-1);
    if (section === undefined) {
      throw new UsageError('JOB_INVALID', `${where}: the option ${name} stands before the first section`, {
        expected: '[global] or [job name] first',
      });
    }
    section.options.push({ name, value: equals < 0 ? null : withoutComment(line.slice(equals + 1)), line: i + 1 });
  }
  return sections;
}

function withoutComment(value: string): string {
  return value.replace(/\s[;#].*$/, '').trim();
}

function quoted(text: string): string {
  return `"${text.length > 80 ? `${text.slice(0, 80)}…` : text}"`;
}
