import type { Outcome, Setting } from '../src/index';
import { dirtyBehindTheFileSystem } from '../src/index';

/** Which frame each of the eight parts of a block belongs to. */
function frames(block: Uint8Array): string {
  return Array.from({ length: 8 }, (_, part) => String.fromCharCode(block[part * 512 + 7])).join('');
}

function run(setting: Partial<Setting>): Outcome {
  return dirtyBehindTheFileSystem({ kernel: '6.1', pinned: 'linux', by: 'fsync', ...setting });
}

describe('a driver marks a page dirty that its file system takes for clean (objective O2)', () => {
  it('stops the kernel of 5.4: writeback finds a dirty page without buffers (W-03)', () => {
    const { fsync, hadBuffers, isSaved } = run({ kernel: '5.4' });
    expect(fsync).toContain('KERNEL_BUG: page 0 of frames is dirty and has no buffers');
    expect([hadBuffers, isSaved]).toEqual([false, false]);
  });

  it('loses the frame on 6.1: fsync says that all is well, and the disk has the half that was there before (W-03)', () => {
    const { fsync, hadBuffers, expected, found } = run({});
    expect([fsync, hadBuffers, frames(expected), frames(found)]).toEqual([0, false, '22222222', '22211111']);
  });

  it('saves the frame on 6.18, whose reclaim leaves the buffers; what remains is a page dirtied without asking', () => {
    const { fsync, hadBuffers, isSaved, becameDirty, asked } = run({ kernel: '6.18' });
    expect([fsync, hadBuffers, isSaved]).toEqual([0, true, true]);
    expect([becameDirty, asked]).toEqual([2, 1]);
  });

  it.each(['6.1', '6.18'])(
    'does not happen under bounce: the page stays dirty and keeps its buffers (%s)',
    (kernel) => {
      for (const by of ['fsync', 'flusher'] as const) {
        const { fsync, hadBuffers, isSaved, counts } = run({ kernel, pinned: 'bounce', by });
        expect([fsync, hadBuffers, isSaved, counts.bounced]).toEqual([0, true, true, 1]);
      }
    },
  );

  it('does not happen under wait, nor under skip when the flusher comes; skip cannot help fsync (W-06)', () => {
    expect([run({ pinned: 'wait' }).isSaved, run({ pinned: 'wait', by: 'flusher' }).isSaved]).toEqual([true, true]);
    expect([run({ pinned: 'skip', by: 'flusher' }).isSaved, run({ pinned: 'skip' }).isSaved]).toEqual([true, false]);
  });

  it('cannot be cured on 5.4 by any policy: a pin cannot be told from other references there', () => {
    for (const pinned of ['bounce', 'wait'] as const) {
      expect(run({ kernel: '5.4', pinned }).fsync).toContain('KERNEL_BUG');
    }
  });
});
