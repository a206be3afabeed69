/** Problems as annotations of GitHub: the place in the file, and what a workflow command needs escaped. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '../../../test/cli/pincushion';
import { annotations } from '../src/verify/annotations';
import type { KnownProblem } from '../src/verify/result';

const root = temporaryFolder();

function file(path: string): string {
  const full = join(root, path);
  mkdirSync(join(full, '..'), { recursive: true });
  writeFileSync(full, '');
  return full;
}

const plugin = file('nic/src/index.ts');
file('nic/src/driver/nic, the driver.ts');
file('nic/src/twice.ts');
file('nic/test/twice.ts');
file('nic/dist/index.js');
file('nic/node_modules/other/elsewhere.ts');

function annotated(site: string, summary = 'a leak'): string {
  const sites = [{ what: 'pinned', site, atNs: 0 }];
  const problem: KnownProblem = {
    code: 'PIN_LEAK',
    summary,
    sites,
    details: [],
    check: 'example',
    trial: 'example@1',
    trials: 1,
    known: false,
    repeat: 'npx pincushion replay x.replay.json',
  };
  return annotations([problem], plugin, root);
}

describe('an annotation', () => {
  it('is beside the line that the finding names', () => {
    expect(annotated('index.ts:31:20 (Nic.register)')).toBe(
      '::error file=nic/src/index.ts,line=31,col=20,title=PIN_LEAK::' +
        'a leak%0Apinned index.ts:31:20 (Nic.register)%0Aagain: npx pincushion replay x.replay.json\n',
    );
  });

  it('escapes what ends a property or a line, and per cent', () => {
    expect(annotated('nic, the driver.ts:2:3', '100 %: a\r\nb')).toMatch(
      /^::error file=nic\/src\/driver\/nic%2C the driver\.ts,line=2,col=3,title=PIN_LEAK::100 %25: a%0D%0Ab%0A/,
    );
  });

  it.each(['twice.ts:5:1', 'elsewhere.ts:5:1', 'unknown call site'])(
    'is for the module of the plugin when the file is not known for certain: %s',
    (site) => {
      expect(annotated(site)).toMatch(/^::error file=nic\/src\/index\.ts,line=1,col=1,/);
    },
  );

  it('is one line each', () => {
    expect(annotated('index.ts:1:1').split('\n')).toHaveLength(2);
    expect(annotations([], plugin, root)).toBe('');
  });
});
