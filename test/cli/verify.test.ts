/** `pincushion verify` from outside: reports and exit codes. */
import { REPOSITORY, manyCommandLines, pincushion } from './pincushion';

describe('pincushion verify', () => {
  it('finds nothing in the example driver, and says what was tried', async () => {
    const { code, out } = await pincushion(['verify', 'examples/echo-nic', '--limit', '4']);
    expect(out).toMatch(/✓ pulled out at each step +unplug +4 of \d+\n/);
    expect(out).toMatch(/\d+ trials: nothing found\n/);
    expect(code).toBe(0);
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
