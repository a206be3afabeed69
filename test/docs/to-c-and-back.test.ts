import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY, inlineCode, readDocument, section, tableRows } from './documents';

const page = readDocument('docs/to-c-and-back.md');

/** The rows of what a driver calls: method and C name. */
const rows = tableRows(section(page, 'What the driver calls')).flatMap(([, here, linux]) =>
  inlineCode(here).map((method) => ({ method, linux: inlineCode(linux)[0] })),
);

function read(path: string): string {
  return readFileSync(join(REPOSITORY, path), 'utf8');
}

/** What `verify --contract` calls the same methods. */
const table = read('packages/testing/src/verify/contract/kernel-calls.ts');

describe('docs/to-c-and-back.md', () => {
  it('has each method of a kernel service', () => {
    const folder = 'packages/driver/src/services';
    const sources = readdirSync(join(REPOSITORY, folder)).map((file) => read(join(folder, file)));
    const methods = sources.flatMap((text) =>
      [...text.matchAll(/^export abstract class (?!HostFiles)\w+ \{([^]*?)^\}/gm)].flatMap(([, body]) =>
        [...body.matchAll(/^ {2}abstract (\w+)\(/gm)].map(([, method]) => method),
      ),
    );
    expect(methods.length).toBeGreaterThan(30);
    const documented = rows.map(({ method }) => method);
    expect(methods.filter((method) => !documented.includes(method))).toEqual([]);
    expect(documented.filter((method) => !methods.includes(method))).toEqual([]);
  });

  it('calls them in C as the contract of verify does', () => {
    const other = rows.filter(({ method, linux }) => {
      const said = new RegExp(`\\b${method}: \\{\\s*linux: '([\\w.]+)`, 'g');
      const names = [...table.matchAll(said)].map(([, name]) => name);
      return names.length > 0 && !names.includes(linux);
    });
    expect(other).toEqual([]);
    expect(rows.filter(({ linux }) => !table.includes(`'${linux}`))).toEqual([]);
  });

  it('has every entry point, and what is called on a handle', () => {
    const names = [...table.matchAll(/^export const (?:HANDLE_CALLS|ENTRY_POINTS) = [^{]*\{([^]*?)^\}/gm)].flatMap(
      ([, body]) => [...body.matchAll(/: '([^']+)'/g)].map(([, name]) => name),
    );
    expect(names.length).toBeGreaterThan(15);
    expect(names.filter((name) => !inlineCode(page.prose).includes(name))).toEqual([]);
  });
});
