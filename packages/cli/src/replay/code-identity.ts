/**
 * What a module is, so that a replay can tell whether it is still the same: its package, the version, and a checksum of
 * its own sources, which are the file and all it imports by relative paths. Other packages are not looked into.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import type { CodeIdentity } from './replay-file';

const RELATIVE_IMPORT = /\b(?:from|import|require)\s*\(?\s*['"](\.{1,2}\/[^'"\n]+)['"]/g;
const ENDINGS = ['', '.ts', '.mts', '.cts', '.js', '.mjs', '.cjs', '.json', '/index.ts', '/index.js'];

/** `name`: what a description or command line calls the module; `file`: where it is. Never throws for what is inside. */
export function codeIdentity(name: string, file: string): CodeIdentity {
  const absolute = resolve(file);
  const manifest = manifestAbove(absolute);
  const { name: packageName = '', version = '' } = manifest === null ? {} : readManifest(manifest);
  return { name, package: packageName, version, sha256: checksumOf(sourceOf(absolute, manifest)) };
}

/** The sources of a compiled module, where the package brings them: an installed copy is then the same as a clone. */
function sourceOf(file: string, manifest: string | null): string {
  if (manifest === null) return file;
  const [folder, ...below] = relative(dirname(manifest), file).split(sep);
  const source = join(dirname(manifest), 'src', ...below).replace(/\.([cm]?)js$/, '.$1ts');
  return folder === 'dist' && isFile(source) ? source : file;
}

function checksumOf(entry: string): string {
  const files = new Set<string>();
  const waiting = [entry];
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (files.has(file)) continue;
    files.add(file);
    for (const [, path] of textOf(file).matchAll(RELATIVE_IMPORT)) {
      const found = resolveImport(join(dirname(file), path));
      if (found !== null) waiting.push(found);
    }
  }
  const hash = createHash('sha256');
  const nameOf = (file: string): string => relative(dirname(entry), file).split(sep).join('/');
  for (const file of [...files].sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))) {
    hash.update(`${nameOf(file)}\0${textOf(file)}\0`);
  }
  return hash.digest('hex');
}

function resolveImport(path: string): string | null {
  const candidates = [...ENDINGS.map((ending) => path + ending), path.replace(/\.([cm]?)js$/, '.$1ts')];
  return candidates.find(isFile) ?? null;
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

/** With the line ends of Unix: a checkout on Windows has the others. */
function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8').replaceAll('\r\n', '\n');
  } catch {
    return '';
  }
}

/** The nearest package.json above a file, given by its absolute path. */
function manifestAbove(file: string): string | null {
  let folder = dirname(file);
  for (let above = dirname(folder); above !== folder; above = dirname(folder)) {
    const manifest = join(folder, 'package.json');
    if (existsSync(manifest)) return manifest;
    folder = above;
  }
  return null;
}

function readManifest(path: string): { readonly name?: string; readonly version?: string } {
  try {
    const { name, version } = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    return {
      ...(typeof name === 'string' ? { name } : {}),
      ...(typeof version === 'string' ? { version } : {}),
    };
  } catch {
    return {};
  }
}
