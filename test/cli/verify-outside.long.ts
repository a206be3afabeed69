/** What `pincushion verify` finds in a package from elsewhere, and the line that finds it again in another folder. */
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { manyCommandLines, pincushion, temporaryFolder } from './pincushion';
import type { VerifyDocument } from './verify-package';
import { packageOfBugs } from './verify-package';

const folder = temporaryFolder();
const IDS = { vendor: '0x1234', device: '0x0100' };

describe('pincushion verify', () => {
  const path = packageOfBugs(folder, 'lock-bugs.ts', ['TakesLocksBothWays', 'SleepsWithASpinLock'], {
    api: 1,
    drivers: [{ name: 'takes-locks-both-ways', match: [{ ...IDS, device: '0x0200' }] }],
    hardware: [{ name: 'port', ...IDS }],
  });

  it('ends a problem with a line that reproduces it elsewhere, and annotates it', async () => {
    const replays = join(folder, 'replays');
    const words = ['verify', path, '--driver', 'takes-locks-both-ways', '--only', 'example'];
    const { code, out, err } = await pincushion([...words, '--replay-dir', replays, '--json', '--github']);
    expect(code).toBe(1);
    const [{ problems }] = (JSON.parse(out) as VerifyDocument).drivers;
    expect(problems).toMatchObject([{ code: 'LOCK_ORDER', trial: 'example@1' }]);
    expect(readdirSync(replays)).toHaveLength(1);
    expect(err).toMatch(/^::error file=.+,line=\d+,col=\d+,title=LOCK_ORDER::mutex 'buffers' is taken under mutex /);

    const [npx, command, ...line] = problems[0].repeat.split(' ');
    expect([npx, command, line[0]]).toEqual(['npx', 'pincushion', 'replay']);
    const elsewhere = join(folder, 'elsewhere');
    mkdirSync(elsewhere);
    const [again] = await manyCommandLines([line], elsewhere);
    expect(again.out).toContain('reproduced: LOCK_ORDER');
    expect(again.code).toBe(1);
    expect(readdirSync(elsewhere)).toEqual([]);
  }, 60_000);

  it('names what package.json and decorators do not say alike, and writes no replay of that', async () => {
    const [{ code, out }] = await manyCommandLines([['verify', path, '--only', 'package']], folder);
    expect(out).toContain('✗ package.json and decorators say the same  package            1, 1 failed');
    expect(out).toMatch(
      /PACKAGE_FIELD_INVALID {2}planted-bugs: driver takes-locks-both-ways has 1234:0200 in the field, 1234:0100 in /,
    );
    expect(out).toContain('PACKAGE_FIELD_INVALID  planted-bugs: driver sleeps-with-a-spin-lock is not in the field');
    expect(out).toMatch(/again: npx pincushion verify .* --only package@1 /);
    expect(code).toBe(1);
    expect(readdirSync(folder)).not.toContain('pincushion-replays');
  }, 60_000);
});
