/** Every planted bug of memory through the real command: named by its code, and found again by the line that is printed. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { driverMeta } from '@pincushion/driver';
import { PLANTED } from '../../packages/testing/test/planted';
import * as memory from '../../packages/testing/test/planted/memory-bugs';
import { manyCommandLines, pincushion, temporaryFolder } from './pincushion';
import type { VerifyDocument } from './verify-package';
import { packageOfBugs } from './verify-package';

const folder = temporaryFolder();

describe('the line that pincushion verify prints', () => {
  it('reproduces each planted bug of memory in another folder', async () => {
    const bugs = PLANTED.filter(({ driver }) => (Object.values(memory) as unknown[]).includes(driver));
    expect(bugs.length).toBeGreaterThan(15);
    const field = { api: 1, drivers: [], hardware: [] };
    const path = packageOfBugs(
      folder,
      'memory-bugs.ts',
      bugs.map(({ driver }) => driver.name),
      field,
    );
    const elsewhere = join(folder, 'elsewhere');
    mkdirSync(elsewhere);
    for (const { driver, code, check } of bugs) {
      const name = driverMeta(driver)?.name ?? '';
      const words = ['verify', path, '--driver', name, '--only', check, '--limit', '20', '--json'];
      const { out } = await pincushion([...words, '--replay-dir', join(folder, 'replays')]);
      const [{ problems }] = (JSON.parse(out) as VerifyDocument).drivers;
      const found = problems.find((problem) => problem.code === code);
      expect([name, found?.code]).toEqual([name, code]);
      const [again] = await manyCommandLines([found?.repeat.split(' ').slice(2) ?? []], elsewhere);
      expect([name, /^reproduced: (.*)$/m.exec(again.out)?.[1].split(', ')]).toEqual([
        name,
        expect.arrayContaining([code]),
      ]);
      expect(again.code).toBe(1);
    }
  });
});
