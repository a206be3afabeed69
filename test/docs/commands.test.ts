import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ExitCode, processTerminal, runCommandLine } from '@pincushion/cli';
import { REPOSITORY, documents, inlineCode, readDocument, section, tableRows } from './documents';

interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

const terminal = processTerminal();

async function pincushion(words: readonly string[]): Promise<Said> {
  const said = { out: '', err: '' };
  const code = await runCommandLine(words, {
    ...terminal,
    out: (text) => void (said.out += text),
    err: (text) => void (said.err += text),
    columns: 200,
  });
  return { code, ...said };
}

/** Lines of a help text below a heading such as `Options:`, up to the next empty line. */
async function helpPart(words: readonly string[], heading: string): Promise<readonly string[]> {
  const { out } = await pincushion([...words, '--help']);
  const lines = out.split('\n');
  const start = lines.indexOf(`${heading}:`) + 1;
  if (start === 0) return [];
  return lines.slice(start, lines.indexOf('', start)).map((line) => line.trim());
}

async function subcommands(words: readonly string[]): Promise<readonly string[]> {
  const lines = await helpPart(words, 'Commands');
  return lines.map((line) => line.split(' ')[0]).filter((name) => name !== 'help');
}

async function flags(words: readonly string[]): Promise<readonly string[]> {
  const lines = await helpPart(words, 'Options');
  return lines.map((line) => line.split(/ {2,}/)[0]);
}

/** Commands that do something, as they are typed. */
async function commands(): Promise<readonly (readonly string[])[]> {
  const names: string[][] = [];
  for (const name of await subcommands([])) {
    const below = await subcommands([name]);
    // A command with subcommands may do something by itself, on an argument of its own.
    if (below.length === 0 || (await helpPart([name], 'Arguments')).length > 0) names.push([name]);
    names.push(...below.map((child) => [name, child]));
  }
  return names;
}

describe('docs/reference/commands.md', () => {
  const manual = readDocument('docs/reference/commands.md');
  const firstCells = (text: string): readonly string[] =>
    tableRows(text)
      .map(([cell]) => cell.replaceAll('`', ''))
      .filter((cell) => cell.startsWith('-'));

  it('has each command with exactly its options', async () => {
    const all = await commands();
    expect(all.length).toBeGreaterThan(5);
    for (const words of all) {
      const documented = firstCells(section(manual, ['pincushion', ...words].join(' ')));
      expect([words, [...documented].sort()]).toEqual([words, [...(await flags(words))].sort()]);
    }
    const [globals] = manual.prose.split(/^## /m);
    expect([...firstCells(globals)].sort()).toEqual([...(await flags([]))].sort());
  });

  it('has no command besides', async () => {
    const headings = manual.prose.split('\n').filter((line) => line.startsWith('## pincushion '));
    expect(headings).toEqual((await commands()).map((words) => `## pincushion ${words.join(' ')}`));
  });

  it('has the defaults that the help has', async () => {
    for (const words of await commands()) {
      const rows = tableRows(section(manual, ['pincushion', ...words].join(' ')));
      for (const line of await helpPart(words, 'Options')) {
        const value = /\(default: (\d+)\)/.exec(line)?.[1];
        if (value === undefined) continue;
        const row = rows.find(([cell]) => cell.replaceAll('`', '') === line.split(/ {2,}/)[0]);
        expect([line, row?.[1]]).toEqual([line, value]);
      }
    }
  });

  it('has every exit code', () => {
    const documented = tableRows(section(manual, 'How a command ends')).map(([cell]) => Number(cell));
    expect(documented).toEqual(Object.values(ExitCode));
  });
});

interface CommandLine {
  readonly where: string;
  readonly text: string;
}

/** What a reader may type: lines of `sh` blocks, lines with a prompt in `console` blocks, and inline code. */
function commandLines(): readonly CommandLine[] {
  const found: CommandLine[] = [];
  for (const { path, prose, blocks } of documents()) {
    for (const { where, language, text } of blocks) {
      const lines = text.split('\n').map((line) => line.trim());
      const typed =
        language === 'console'
          ? lines.filter((line) => line.startsWith('$ ')).map((line) => line.slice(2))
          : ['sh', 'bash', 'shell'].includes(language)
            ? lines
            : [];
      found.push(...typed.map((line) => ({ where, text: line })));
    }
    found.push(...inlineCode(prose).map((text) => ({ where: path, text })));
  }
  return found.map(({ where, text }) => ({ where, text: text.replace(/\s#.*$/, '').trim() }));
}

const typed = commandLines();
const starting = (beginning: string): readonly CommandLine[] => typed.filter(({ text }) => text.startsWith(beginning));

/** A file that is not there: with it a command line is parsed and ends before anything runs. */
const NOWHERE = 'nowhere-at-all.yaml';
/** Words that stand for a file of the reader. */
const PLACEHOLDER = /^(…|[A-Z]+|my-.*)$/;

/** The words as a shell would hand them over: what stands in single quotes is one. */
function wordsOf(command: string): readonly string[] {
  return (command.match(/'[^']*'|\S+/g) ?? []).map((word) => word.replace(/^'(.*)'$/, '$1'));
}

/** What is wrong with the words of a command line, or an empty text. Nothing of it is run that takes a while. */
async function complaint(words: readonly string[]): Promise<string> {
  const [name, ...rest] = words;
  if (rest.length === 0 && (await subcommands([])).includes(name)) return '';
  if (name === 'run') {
    const missing = rest.filter((word) => word.startsWith('examples/') && !existsSync(join(REPOSITORY, word)));
    if (missing.length > 0) return `there is no ${missing.join(', ')}`;
    const { code, err } = await pincushion([...words, '--machine', NOWHERE]);
    return code === ExitCode.usage && err.includes(`FILE_UNREADABLE: ${NOWHERE}`) ? '' : err;
  }
  if (name === 'serve') {
    const { code, err } = await pincushion([...words, '--machine', NOWHERE]);
    return code === ExitCode.usage && err.includes(`FILE_UNREADABLE: ${NOWHERE}`) ? '' : err;
  }
  if (name === 'bench') {
    const names = (await helpPart(['bench'], 'Benchmarks')).map((line) => line.split(' ')[0]);
    const nameless = 'no-such-benchmark';
    const { err } = await pincushion([...words, '--', nameless]);
    const unknown = /there is no benchmark "([^"]+)"/.exec(err)?.[1];
    return names.length > 0 && unknown === nameless ? '' : err;
  }
  if (name === 'conformance') {
    const missing = rest.filter((word) => word.startsWith('test/') && !existsSync(join(REPOSITORY, word)));
    if (missing.length > 0) return `there is no ${missing.join(', ')}`;
    const { code, err } = await pincushion([...words, '--scenario', NOWHERE]);
    return code === ExitCode.usage && err.includes(`no scenario has "${NOWHERE}" in its name`) ? '' : err;
  }
  if (name === 'demo') {
    const { out } = await pincushion(['demo']);
    return rest.every((word) => new RegExp(`^ +${word} `, 'm').test(out)) ? '' : `there is no demo ${rest.join(' ')}`;
  }
  if (name === 'fuzz') {
    const { err } = await pincushion([...words, '--programs', '1']);
    return err;
  }
  if (name === 'new') {
    // Everything on the line is read before the folder, which is not empty.
    const { code, err } = await pincushion([...words, '--dir', join(REPOSITORY, 'docs')]);
    return code === ExitCode.usage && err.includes('FOLDER_NOT_EMPTY') ? '' : err;
  }
  if (name === 'verify') {
    const here = words.map((word) => (word === '.' ? 'examples/echo-nic' : word));
    const { err } = await pincushion([...here, ...(rest.includes('--limit') ? [] : ['--limit', '1'])]);
    return err;
  }
  if (name === 'replay') {
    const { code, err } = await pincushion(words);
    return code === ExitCode.usage && /FILE_UNREADABLE|missing required argument/.test(err) ? '' : err;
  }
  if (name === 'showcase') return rest.length === 0 ? '' : `showcase takes no ${rest.join(' ')}`;
  if (words.includes('show')) {
    const { code, err } = await pincushion(words.filter((word) => !PLACEHOLDER.test(word)));
    return code === ExitCode.done ? '' : err;
  }
  const { code, err } = await pincushion(words.map((word) => (word === 'CODE' ? 'PIN_LEAK' : word)));
  return code === ExitCode.done ? '' : err;
}

describe('the command lines in the documents', () => {
  it('name commands, options, benchmarks and examples that exist', async () => {
    const lines = starting('npx pincushion').filter(({ text }) => !/^npx pincushion( …)?$/.test(text));
    expect(lines.length).toBeGreaterThan(20);
    const complaints: string[] = [];
    const seen = new Set<string>();
    for (const { where, text } of lines) {
      if (seen.has(text)) continue;
      seen.add(text);
      const [command] = text.replace(/^npx pincushion /, '').split(/ [>|] /);
      // The word that the document shows to be misspelt on purpose.
      if (command.includes('--sede')) continue;
      const said = await complaint(wordsOf(command));
      if (said !== '') complaints.push(`${where}: ${text}\n  ${said}`);
    }
    expect(complaints.join('\n')).toBe('');
  }, 60_000);

  it('name scripts of package.json that exist', () => {
    const { scripts } = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8')) as {
      scripts: Readonly<Record<string, string>>;
    };
    const names = typed.flatMap(({ where, text }) => {
      const name = /^npm (?:run )?([a-z][\w:-]*)/.exec(text)?.[1];
      return name === undefined || ['install', 'ci', 'ls', 'i'].includes(name) ? [] : [{ where, name }];
    });
    expect(names.length).toBeGreaterThan(3);
    expect(names.filter(({ name }) => !Object.hasOwn(scripts, name))).toEqual([]);
  });

  it('name files to run and folders to test that exist', () => {
    const paths = typed.flatMap(({ where, text }) => {
      const path = /^(?:node|bash|npx jest) ((?:scripts|\.ci|packages|examples|test)\/?[\w./-]*)/.exec(text)?.[1];
      return path === undefined ? [] : [{ where, path }];
    });
    expect(paths.length).toBeGreaterThan(1);
    expect(paths.filter(({ path }) => !path.includes('/my-') && !existsSync(join(REPOSITORY, path)))).toEqual([]);
  });
});
