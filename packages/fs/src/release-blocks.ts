/**
 * Freeing the blocks of a file in small changes, so that a file in many pieces fits into the journal. Who begins it makes sure
 * that it is finished by somebody when the machine stops in between: the inode is on the list of orphans.
 * Source followed: fs/ext4/extents.c `ext4_ext_remove_space` (6.18), which extends and restarts its handle.
 */
import { eagerly, settled } from '@pincushion/mm';
import type { MaySleep } from '@pincushion/sim';
import type { DiskInode } from './disk-inode';

/** Frees the blocks of a file from block `first` on, a few extents in each change. 0 or -errno. May sleep. */
export function releaseBlocks(inode: DiskInode, first: number): MaySleep {
  return eagerly(inode.sb.memory.world, 'freeing blocks', releaseAll(inode, first));
}

function* releaseAll(inode: DiskInode, first: number) {
  for (;;) {
    const started = yield* settled(inode.sb.journal.start(inode.credits));
    if (started < 0) return started;
    const begin = inode.release(first, Infinity);
    if (begin <= first) return Math.min(begin, 0);
  }
}
