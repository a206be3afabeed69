/** `pincushion verify` and a driver that never gives control back: watchdog, baseline, JUnit. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pincushion, temporaryFolder } from './pincushion';

const folder = temporaryFolder();
const PLANTED = 'packages/testing/test/planted/plugin.ts';

interface Verified {
  readonly drivers: readonly {
    readonly problems: readonly { readonly code: string; readonly trial: string; readonly known: boolean }[];
  }[];
}

describe('pincushion verify', () => {
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
});
