/**
 * Problems as annotations of GitHub: `::error file=nic.ts,line=31,col=20,title=PIN_LEAK::…`, shown beside the line.
 *
 * A call site names a file without its folder. The file is looked for in the package that is verified; where there is none of
 * that name, or several, the annotation is for the module of the plugin.
 * Source followed: the workflow commands of GitHub Actions, and how they are escaped (`@actions/core`, command.ts).
 */
import { readdirSync } from 'node:fs';
import { basename, dirname, join, relative, sep } from 'node:path';
import type { KnownProblem } from './result';

/** Folders of a package that hold no sources of its own. */
const NOT_SOURCES: ReadonlySet<string> = new Set(['node_modules', 'dist', 'coverage', '.git']);
/** Folders looked into at most: a package, not a whole disk. */
const FOLDERS_MAX = 500;

interface Place {
  readonly file: string;
  readonly line: string;
  readonly col: string;
}

/** One line a problem. `module`: the file of the plugin; `root`: the folder that paths in annotations are relative to. */
export function annotations(problems: readonly KnownProblem[], module: string, root: string): string {
  const sources = sourcesAround(module);
  return problems.map((problem) => annotation(problem, sources, module, root) + '\n').join('');
}

function annotation(
  { code, summary, sites, repeat }: KnownProblem,
  sources: ReadonlyMap<string, string | null>,
  module: string,
  root: string,
): string {
  const places = sites.map(({ site }) => placeOf(site, sources)).filter((place) => place !== null);
  const { file, line, col } = places.at(-1) ?? { file: module, line: '1', col: '1' };
  const properties = { file: relative(root, file).split(sep).join('/'), line, col, title: code };
  const words = Object.entries(properties).map(([name, value]) => `${name}=${escapedProperty(value)}`);
  const text = [summary, ...sites.map(({ what, site }) => `${what} ${site}`), `again: ${repeat}`].join('\n');
  return `::error ${words.join(',')}::${escapedText(text)}`;
}

/** `nic.ts:31:20 (EchoNic.register)` in the package. */
function placeOf(site: string, sources: ReadonlyMap<string, string | null>): Place | null {
  const [, name = '', line = '', col = ''] = /^(.+?):(\d+):(\d+)/.exec(site) ?? [];
  const file = sources.get(name);
  return file === undefined || file === null ? null : { file, line, col };
}

/** Files of the package by their name alone; null for a name that several have. */
function sourcesAround(module: string): ReadonlyMap<string, string | null> {
  const found = new Map<string, string | null>();
  const folder = dirname(module);
  const waiting = [basename(folder) === 'src' || basename(folder) === 'dist' ? dirname(folder) : folder];
  let folders = 0;
  for (let at = waiting.shift(); at !== undefined && folders < FOLDERS_MAX; at = waiting.shift()) {
    folders++;
    for (const entry of readdirSync(at, { withFileTypes: true })) {
      if (entry.isDirectory() && !NOT_SOURCES.has(entry.name)) waiting.push(join(at, entry.name));
      if (entry.isFile()) found.set(entry.name, found.has(entry.name) ? null : join(at, entry.name));
    }
  }
  return found;
}

function escapedText(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

function escapedProperty(text: string): string {
  return escapedText(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}
