import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ERROR_CODES } from '@pincushion/sim';
import { REPOSITORY, readDocument } from './documents';

const codes = Object.keys(ERROR_CODES);
const manual = readDocument('docs/reference/errors.md');

/** The text below each heading that is a code. */
function paragraphs(): ReadonlyMap<string, string> {
  const parts = manual.prose.split(/^### /m).slice(1);
  return new Map(
    parts.map((part) => {
      const end = part.indexOf('\n');
      const [text] = part.slice(end).split(/^## /m);
      return [part.slice(0, end).trim(), text.trim()];
    }),
  );
}

/** The TypeScript files below a folder of each package and example, by their paths. */
function sources(folders: readonly string[], pattern: RegExp): readonly string[] {
  return folders
    .flatMap((folder) =>
      readdirSync(join(REPOSITORY, folder), { recursive: true, encoding: 'utf8' }).map((path) => join(folder, path)),
    )
    .filter((path) => pattern.test(path) && !/(^|\/)(node_modules|dist)\//.test(path));
}

function withoutComments(path: string): string {
  return readFileSync(join(REPOSITORY, path), 'utf8')
    .replace(/\/\*[^]*?\*\//g, '')
    .replace(/^\s*\/\/.*$/gm, '');
}

function missingIn(files: readonly string[]): readonly string[] {
  const text = files.map(withoutComments).join('\n');
  return codes.filter((code) => !new RegExp(`\\b${code}\\b`).test(text));
}

describe('the manual of errors', () => {
  it('has a paragraph for each code of the catalogue, and none besides', () => {
    expect([...paragraphs().keys()].sort()).toEqual([...codes].sort());
  });

  it('says in one paragraph what each code is and what to do', () => {
    const odd = [...paragraphs()].filter(([, text]) => text.length < 80 || text.includes('\n\n'));
    expect(odd.map(([code]) => code)).toEqual([]);
  });

  it('says first whether a code is an error, a usage error or a finding', () => {
    const odd = [...paragraphs()].filter(([, text]) => !/^(Error|Finding|Usage error)\b/.test(text));
    expect(odd.map(([code]) => code)).toEqual([]);
  });
});

describe('the catalogue of codes', () => {
  it('has only codes that something reports', () => {
    const files = sources(['packages', 'examples'], /\/src\/.*\.ts$/);
    expect(missingIn(files.filter((path) => !path.endsWith('/error-codes.ts')))).toEqual([]);
  });

  it('has only codes that a test provokes', () => {
    expect(missingIn(sources(['packages', 'examples', 'test'], /(^|\/)test\/.*\.(test|long)\.ts$/))).toEqual([]);
  });
});
