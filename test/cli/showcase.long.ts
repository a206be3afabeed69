/** `pincushion showcase`, which is what `npm start` shows: every act, by its words. */
import { pincushion } from './pincushion';

describe('pincushion showcase', () => {
  it('runs all acts, shows both call sites of the planted bug, and says where to go next', async () => {
    const { code, out, err } = await pincushion(['showcase']);
    expect(err).toBe('');
    expect(code).toBe(0);
    expect(out).toMatch(/([\d,]+) pins taken, \1 given back/);
    expect(out).toMatch(/DMA_AFTER_UNPIN[^]*pinned +echo-nic\.driver\.ts[^]*unpinned +buggy-echo-nic\.driver\.ts/);
    expect(out).toMatch(/Linux 5\.4 \(from sources\)[^]*✗[^]*Linux 6\.18 \(recorded\)[^]*✓/);
    expect(out).toMatch(/Where to go next/);
    expect(out).not.toMatch(/\x1b|undefined|NaN|\[object/);
  }, 60_000);
});
