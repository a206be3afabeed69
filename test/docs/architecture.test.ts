import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY, inlineCode, readDocument, section, tableRows } from './documents';

describe('docs/ARCHITECTURE.md', () => {
  it('names every folder of memory management, with files that are there', () => {
    const rows = tableRows(section(readDocument('docs/ARCHITECTURE.md'), 'Memory'));
    const source = join(REPOSITORY, 'packages/mm/src');
    const folders = readdirSync(source, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(rows.map(([folder]) => inlineCode(folder)[0]).sort()).toEqual(folders.map(({ name }) => `${name}/`).sort());
    const files = rows.flatMap(([folder, , named]) =>
      inlineCode(named)
        .filter((name) => !name.endsWith('*'))
        .map((name) => inlineCode(folder)[0] + name),
    );
    expect(files.length).toBeGreaterThan(60);
    expect(files.filter((file) => !existsSync(join(source, `${file}.ts`)))).toEqual([]);
    expect(new Set(files).size).toBe(files.length);
  });
});
