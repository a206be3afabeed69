import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY, anchorOf, documents, linkTargets, readDocument, targetPath } from './documents';

const all = documents();

describe('the documents', () => {
  it('link to files and headings that exist', () => {
    const broken: string[] = [];
    let links = 0;
    for (const { path, prose } of all) {
      for (const target of linkTargets(prose)) {
        if (/^[a-z]+:/.test(target)) continue;
        links++;
        const file = targetPath(path, target);
        if (!existsSync(join(REPOSITORY, file))) broken.push(`${path}: ${target}`);
        const anchor = target.split('#').at(1);
        if (anchor === undefined || !file.endsWith('.md')) continue;
        const headings = readDocument(file)
          .prose.split('\n')
          .filter((line) => /^#+ /.test(line));
        if (!headings.some((heading) => anchorOf(heading) === anchor)) broken.push(`${path}: ${target} (heading)`);
      }
    }
    expect(broken).toEqual([]);
    expect(links).toBeGreaterThan(20);
  });

  it('name no path of the machine they were written on', () => {
    const named = all.filter(({ prose, blocks }) =>
      [prose, ...blocks.map(({ text }) => text)].some((text) => /(^|[\s"'`(])\/(work|tmp|home|root)\//.test(text)),
    );
    expect(named.map(({ path }) => path)).toEqual([]);
  });
});
