/** The documents of the repository as the tests read them: files, fenced blocks, inline code, links, tables. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

export const REPOSITORY = resolve(__dirname, '../..');

/** A fenced block of a document. */
export interface Block {
  /** `path:line` of its first line, for messages. */
  readonly where: string;
  /** What stands behind the fence, such as `sh`; empty for none. */
  readonly language: string;
  readonly text: string;
  /** The file that the last link before the block leads to, from the root of the repository; empty for none. */
  readonly source: string;
}

export interface Document {
  /** From the root of the repository, such as `docs/words.md`. */
  readonly path: string;
  /** The text without the content of fenced blocks. */
  readonly prose: string;
  readonly blocks: readonly Block[];
}

/** `README.md` (where there is one) and everything below `docs/`. */
export function documents(): readonly Document[] {
  const below = readdirSync(join(REPOSITORY, 'docs'), { recursive: true, encoding: 'utf8' });
  const paths = ['README.md', ...below.filter((path) => path.endsWith('.md')).map((path) => `docs/${path}`)];
  return paths.filter((path) => existsSync(join(REPOSITORY, path))).map((path) => readDocument(path));
}

export function readDocument(path: string): Document {
  const prose: string[] = [];
  const blocks: Block[] = [];
  let open: { where: string; language: string; lines: string[]; source: string } | null = null;
  let source = '';
  const lines = readFileSync(join(REPOSITORY, path), 'utf8').split('\n');
  for (const [index, line] of lines.entries()) {
    const fence = /^\s*```(\S*)/.exec(line);
    if (open === null && fence !== null) {
      open = { where: `${path}:${index + 2}`, language: fence[1], lines: [], source };
    } else if (open === null) {
      prose.push(line);
      const target = linkTargets(line).at(-1);
      if (target !== undefined) source = target.includes('://') ? '' : targetPath(path, target);
    } else if (fence === null) {
      open.lines.push(line);
    } else {
      blocks.push({ where: open.where, language: open.language, text: open.lines.join('\n'), source: open.source });
      open = null;
    }
  }
  if (open !== null) throw new Error(`${open.where}: the fenced block has no end`);
  return { path, prose: prose.join('\n'), blocks };
}

/** Targets of the links in a text, in their order. */
export function linkTargets(text: string): readonly string[] {
  return [...text.matchAll(/\]\(([^()\s]+)\)/g)].map((match) => match[1]);
}

/** The file a relative link leads to, from the root of the repository. */
export function targetPath(from: string, target: string): string {
  const file = target.split('#')[0];
  return file === '' ? from : join(from, '..', decodeURI(file));
}

/** Pieces of inline code in a text. */
export function inlineCode(text: string): readonly string[] {
  return [...text.matchAll(/`([^`\n]+)`/g)].map((match) => match[1]);
}

/** The rows of all tables in a text, without heads and rules; a cell keeps its backticks. */
export function tableRows(text: string): readonly (readonly string[])[] {
  const lines = text.split('\n');
  const isRule = (line: string | undefined): boolean => line !== undefined && /^\|[\s:|-]+\|$/.test(line);
  return lines
    .filter((line, i) => line.startsWith('|') && !isRule(line) && !isRule(lines[i + 1]))
    .map((line) =>
      line
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim()),
    );
}

/** The text below a heading of any level, up to the next heading of that level or above. */
export function section({ path, prose }: Document, heading: string): string {
  const lines = prose.split('\n');
  const start = lines.findIndex((line) => /^#+ /.test(line) && line.replace(/^#+ /, '') === heading);
  if (start < 0) throw new Error(`${path} has no heading "${heading}"`);
  const level = lines[start].indexOf(' ');
  const length = lines.slice(start + 1).findIndex((line) => /^#+ /.test(line) && line.indexOf(' ') <= level);
  return lines.slice(start + 1, length < 0 ? undefined : start + 1 + length).join('\n');
}

/** The anchor that a heading gets on GitHub. */
export function anchorOf(heading: string): string {
  return heading
    .replace(/^#+ /, '')
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');
}
