import { EBUSY, EIO } from '@pincushion/sim';
import type { Setting } from '../src/index';
import { writeWhileDeviceWrites } from '../src/index';

/** Which frame each of the eight parts of a block belongs to. */
function frames(block: Uint8Array | null): string {
  if (block === null) return 'none';
  return Array.from({ length: 8 }, (_, part) => String.fromCharCode(block[part * 512 + 7])).join('');
}

function run(setting: Partial<Setting>) {
  const outcome = writeWhileDeviceWrites({ pinned: 'linux', by: 'fsync', ...setting });
  return { ...outcome, blocks: [frames(outcome.expected), frames(outcome.found)] };
}

describe('a page that is written to disk while a device fills it (objective O1)', () => {
  it.each(['fsync', 'flusher'] as const)(
    'is torn on the disk of a Linux, and its checksum is wrong (W-02, by %s)',
    (by) => {
      const { blocks, isIntact, readBack, fsync, isWholeFrame } = run({ by });
      expect(blocks).toEqual(['22211111', '22222111']); // the disk took the page two parts later
      expect([isIntact, readBack, isWholeFrame]).toEqual([false, -EIO, false]);
      if (by === 'fsync') expect(fsync?.result).toBe(0); // and nobody is told
    },
  );

  it.each(['fsync', 'flusher'] as const)(
    'is what was given to the disk under bounce, for an extra page and copy (by %s)',
    (by) => {
      const { blocks, isIntact, readBack, isWholeFrame, counts } = run({ pinned: 'bounce', by });
      expect(blocks).toEqual(['22211111', '22211111']);
      expect([isIntact, readBack, counts.bounced]).toEqual([true, 0, 1]);
      expect(isWholeFrame).toBe(false); // a copy of half a frame is still half a frame
    },
  );

  it('is left out by the flusher under skip and wait; fsync waits under wait, and cannot under skip (W-06)', () => {
    for (const pinned of ['skip', 'wait'] as const) {
      const { blocks, isIntact, counts } = run({ pinned, by: 'flusher' });
      expect([blocks, isIntact, counts.deferred]).toEqual([['none', '11111111'], true, 1]);
    }
    expect(run({ pinned: 'skip' }).isIntact).toBe(false);
    const { blocks, isIntact, isWholeFrame, counts } = run({ pinned: 'wait' });
    expect([blocks, isIntact, isWholeFrame, counts.waits]).toEqual([['22222222', '22222222'], true, true, 1]);
    expect(counts.waitedNsMax).toBe(22_500);
  });

  it.each(['5.4', '6.1', '6.18'])('is torn on every kernel (%s)', (kernel) => {
    expect(run({ kernel }).isIntact).toBe(false);
  });
});

describe('a pin that comes while the page is on its way (Glisse 2018)', () => {
  it('waits under bounce until the page is written, so the block is what was given to the disk', () => {
    const { blocks, isIntact, grab, counts } = run({ pinned: 'bounce', first: 'write' });
    expect([blocks, isIntact, grab.result, counts.gupWaits]).toEqual([['11111111', '11111111'], true, 4096, 1]);
  });

  it('tears the block where GUP does not look: the page was not pinned when bounce looked at it', () => {
    const { blocks, isIntact } = run({ pinned: 'bounce', gup: 'ignore', first: 'write' });
    expect([blocks, isIntact]).toEqual([['11111111', '22111111'], false]);
  });

  it.each([
    ['busy', -EBUSY],
    ['wait', 4096],
  ] as const)('does no harm where GUP looks at PG_writeback (%s)', (gup, result) => {
    const { isIntact, grab, counts } = run({ pinned: 'bounce', gup, first: 'write' });
    expect([isIntact, grab.result, counts.gupBusy + counts.gupWaits]).toEqual([true, result, 1]);
  });

  it('waits where the store wants stable pages: the fault before it does (W-05, W-08)', () => {
    const { isIntact, grab } = run({ first: 'write', stableWrites: true });
    expect([isIntact, grab.result]).toEqual([true, 4096]);
    expect(grab.tookNs).toBeGreaterThan(run({ first: 'write' }).grab.tookNs);
  });
});
