/**
 * A change that takes blocks away from pages of a file: it begins when nothing of those pages is on its way to the disk, by writeback or by direct I/O.
 *
 * A page on its way to a block must have arrived before the block can be given to somebody else. The wait may sleep and so may
 * the start of a change, so both are repeated until they hold together. Pages that are dropped then, before the task sleeps,
 * cannot be read in again from the blocks that go.
 * Source followed: mm/truncate.c `truncate_inode_pages_range` (waits for writeback), the invalidate lock of the page cache
 * (`filemap_invalidate_lock`, 6.18), whose part the change has here.
 */
import { eagerly, isUnderWriteback, settled, waitWriteback, writeAndWaitRange } from '@pincushion/mm';
import type { AddressSpace } from '@pincushion/mm';
import type { MaySleep } from '@pincushion/sim';
import type { Inode } from './inode';

/** Nothing of pages [first, end) is being written, and a change of `credits` blocks has begun. 0 or -errno. May sleep. */
export function startQuiet(inode: Inode, first: number, end: number, credits: number): MaySleep {
  return eagerly(inode.sb.memory.world, 'the start of a change', begin(inode, first, end, credits, false));
}

/** As `startQuiet`, and nothing of the pages is dirty: everything has been written. */
export function startClean(inode: Inode, first: number, end: number, credits: number): MaySleep {
  return eagerly(inode.sb.memory.world, 'the start of a change', begin(inode, first, end, credits, true));
}

function* begin({ mapping, sb, direct }: Inode, first: number, end: number, credits: number, isClean: boolean) {
  for (;;) {
    if (isClean) {
      const written = yield* settled(writeAndWaitRange(mapping, first, end));
      if (written < 0) return written;
    }
    yield* settled(waitWriteback(mapping, first, end));
    yield* settled(direct?.inFlight.wait() ?? 0);
    const started = yield* settled(sb.journal.start(credits));
    if (started < 0) return started;
    if (!isUnderWriteback(mapping, first, end) && !(isClean && isDirty(mapping, first, end))) return 0;
  }
}

function isDirty({ dirty }: AddressSpace, first: number, end: number): boolean {
  for (const index of dirty) if (index >= first && index < end) return true;
  return false;
}
