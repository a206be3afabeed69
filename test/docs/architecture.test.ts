import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY, inlineCode, readDocument, section, tableRows } from './documents';

describe('docs/ARCHITECTURE.md', () => {
  it('names files of memory management that exist, each once', () => {
    const rows = tableRows(section(readDocument('docs/ARCHITECTURE.md'), 'Memory'));
    const names = rows.flatMap(([, files]) => inlineCode(files)).filter((name) => !name.endsWith('*'));
    expect(names.length).toBeGreaterThan(60);
    expect(names.filter((name) => !existsSync(join(REPOSITORY, `packages/mm/src/${name}.ts`)))).toEqual([]);
    expect(new Set(names).size).toBe(names.length);
  });
});
