/** `pincushion verify` from outside: reports, exit codes, baseline, JUnit, and the watchdog. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY, manyCommandLines, pincushion, temporaryFolder } from './pincushion';

const folder = temporaryFolder();
const PLANTED = 'packages/testing/test/planted/plugin.ts';

interface Verified {
  readonly drivers: readonly {
    readonly problems: readonly { readonly code: string; readonly trial: string; readonly known: boolean }[];
  }[];
}

describe('pincushion verify', () => {
  it('finds nothing in the example driver, and says what was tried', async () => {
    const { code, out } = await pincushion(['verify', 'examples/echo-nic', '--limit', '4']);
    expect(out).toMatch(/✓ pulled out at each step +unplug +4 of \d+\n/);
    expect(out).toMatch(/\d+ trials: nothing found\n/);
    expect(code).toBe(0);
  }, 60_000);

  it('names a driver that never gives control back, and knows it again in a baseline', async () => {
    const words = ['verify', PLANTED, '--driver', 'spins-for-ever', '--only', 'fail-dma@1', '--watchdog', '1'];
    words.push('--replay-dir', join(folder, 'replays'));
    const junit = join(folder, 'junit.xml');
    const first = await pincushion([...words, '--json', '--junit', junit]);
    expect(first.code).toBe(1);
    const [{ problems }] = (JSON.parse(first.out) as Verified).drivers;
    expect(problems).toMatchObject([{ code: 'DRIVER_ENDLESS_LOOP', trial: 'fail-dma@1', known: false }]);
    expect(readFileSync(junit, 'utf8')).toContain('<failure type="DRIVER_ENDLESS_LOOP"');

    const baseline = join(folder, 'baseline.json');
    writeFileSync(baseline, first.out);
    const second = await pincushion([...words, '--baseline', baseline]);
    expect(second.out).toContain('DRIVER_ENDLESS_LOOP (baseline)');
    expect(second.out).toContain(`npx pincushion verify ${PLANTED} --driver spins-for-ever --only fail-dma@1 --seed 1`);
    expect(second.code).toBe(0);
  }, 60_000);

  it('refuses what it cannot verify', async () => {
    const lines = [
      ['verify', 'examples/echo-nic', '--only', 'unplugg'],
      ['verify', 'examples/echo-nic', '--driver', 'echo'],
      ['verify', 'docs'],
      ['verify', 'packages/testing/src/index.ts'],
    ];
    const [trial, driver, folderOnly, noPlugin] = await manyCommandLines(lines, REPOSITORY);
    expect(trial.err).toMatch(/there is no trial "unplugg".*Try unplug\./);
    expect(driver.err).toMatch(/has no driver "echo".*echo-nic/);
    expect(folderOnly.err).toContain('PLUGIN_UNKNOWN: docs is a folder without a package');
    expect(noPlugin.err).toContain('PLUGIN_INVALID');
    expect([trial, driver, folderOnly, noPlugin].map(({ code }) => code)).toEqual([2, 2, 2, 2]);
  }, 60_000);
});
