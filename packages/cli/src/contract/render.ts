/** `verify --contract` for people: one table a path, a row a call, with the C function beside what the driver wrote. */
import type { CallRow, ContractPath, ContractRow, DriverContract, EntryStep } from '@pincushion/testing';
import type { Colours } from '../terminal';

/** The cells of one line: number, context, call, C function, what it gives and owes. */
type Cells = readonly [string, string, string, string, string];

interface Line {
  readonly cells: Cells;
  readonly isEntry: boolean;
}

const HEAD: Cells = ['#', 'context', 'the driver calls', 'in Linux', 'gives, owes'];

export function renderContract({ driver, paths, problems }: DriverContract, colours: Colours): string {
  const tables = paths.flatMap((path) => ['', colours.bold(titleOf(path)), ...table(path.rows, colours)]);
  const warning = problems.length === 0 ? [] : ['', colours.red(`this driver has problems: ${problems.join(', ')}`)];
  return [`${colours.bold(driver)}: what the kernel sees of it`, ...warning, ...tables, ''].join('\n');
}

function titleOf({ kind, after, rows }: ContractPath): string {
  if (kind === 'undisturbed') return 'undisturbed: probe, the example program, removal';
  const from = `as undisturbed up to row ${after.join(', ')}; then`;
  if (kind === 'unplugged') return `pulled out: ${from}`;
  const refused = callsOf(rows).find((row) => row.refused !== '');
  return `refused: ${from} ${refused === undefined ? 'another way' : `${refused.linux} fails`}`;
}

function callsOf(rows: readonly ContractRow[]): readonly CallRow[] {
  return rows.flatMap((row) => {
    if (row.kind === 'repeat') return callsOf(row.rows);
    return row.kind === 'call' ? [row] : [];
  });
}

function table(rows: readonly ContractRow[], colours: Colours): readonly string[] {
  const lines = rows.flatMap(linesOf);
  const all = [HEAD, ...lines.map(({ cells }) => cells)];
  const widths = HEAD.map((_, column) => Math.max(...all.map((cells) => cells[column].length)));
  const word = (cells: Cells): string =>
    `  ${cells.map((cell, i) => (i === 0 ? cell.padStart(widths[i]) : cell.padEnd(widths[i]))).join('  ')}`.trimEnd();
  return [
    colours.dim(word(HEAD)),
    ...lines.map(({ cells, isEntry }) => (isEntry ? colours.dim(word(cells)) : word(cells))),
  ];
}

function linesOf(row: ContractRow): readonly Line[] {
  if (row.kind === 'entry') return [entryLine(row)];
  if (row.kind === 'call') return [callLine(row)];
  const calls = row.rows.filter(({ kind }) => kind === 'call');
  if (row.rows.length === 1) {
    const [{ cells, isEntry }] = linesOf(row.rows[0]);
    const [n, context, call, linux, gives] = cells;
    return [{ cells: [n, context, `${call}  × ${row.times}`, linux, gives], isEntry }];
  }
  const numbers = calls.map((call) => (call as CallRow).n);
  const title = `${numbers[0]} to ${numbers[numbers.length - 1]}: ${row.times} times`;
  return [{ cells: ['', '', title, '', ''], isEntry: true }, ...row.rows.flatMap(linesOf)];
}

function entryLine({ context, name, linux, again }: EntryStep): Line {
  return { cells: ['', context, again ? `${name}, goes on` : `${name}:`, linux, ''], isEntry: true };
}

function callLine(row: CallRow): Line {
  const { n, context, call, linux, gives, refused } = row;
  const words =
    refused === '' ? [gives, owesWords(row)] : [refused === 'throws' ? 'fails, by an exception' : `fails: ${refused}`];
  const text = words.filter((part) => part !== '').join('; ');
  return { cells: [String(n), context, `  ${call}`, linux, text], isEntry: false };
}

function owesWords({ owes, returnedIn, returns }: CallRow): string {
  if (returns.length > 0) return `gives back ${returns.map((n) => `#${n}`).join(', ')}`;
  if (owes === '') return '';
  return returnedIn === null ? `owes ${owes}, never given back` : `owes ${owes}, #${returnedIn}`;
}
