/**
 * The size of a file: longer and shorter.
 *
 * A file that is cut to fewer blocks loses them a few extents at a time; if that takes more than one change, the file is on the
 * list of orphans meanwhile, and the cut is finished by who mounts the file system after the machine has stopped.
 * Source followed: fs/ext4/inode.c `ext4_setattr`, `ext4_truncate`, `ext4_block_truncate_page`, mm/truncate.c
 * `pagecache_isize_extended` (6.18).
 */
import { PAGE_SIZE, eagerly, settled, truncatePagecache, truncatePartialFolio, waitWriteback } from '@pincushion/mm';
import { EFBIG, EINVAL, EROFS } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import type { Inode } from './inode';
import { releaseBlocks } from './release-blocks';

/** Blocks of a file are counted with 32 bits. */
const BLOCKS_MAX = 2 ** 32 - 1;

/** The longest file, bytes (`s_maxbytes`). */
export function sizeMax({ sb }: Inode): number {
  return BLOCKS_MAX * sb.store.blockBytes;
}

/** The file has `size` bytes from now on. 0, -EFBIG, -EROFS, or -errno. The inode is locked. Task context, may sleep. */
export function setSize(inode: Inode, size: number): MaySleep {
  if (inode.sb.isReadOnly) return -EROFS;
  if (size > sizeMax(inode)) return -EFBIG;
  return eagerly(inode.sb.memory.world, 'truncate', size < inode.size ? shorten(inode, size) : lengthen(inode, size));
}

function* lengthen(inode: Inode, size: number) {
  const started = yield* settled(inode.sb.journal.start(inode.credits));
  if (started < 0) return started;
  if (size > inode.size) zeroBehindEnd(inode);
  inode.size = size;
  inode.diskSize = size;
  inode.contentChanged();
  return 0;
}

function* shorten(inode: Inode, size: number) {
  const { mapping, sb } = inode;
  inode.size = size;
  yield* settled(inode.direct?.inFlight.wait() ?? 0);
  // A page on its way to a block must have arrived before the block can be given to somebody else.
  yield* settled(waitWriteback(mapping, Math.floor(size / PAGE_SIZE), Infinity));
  truncatePagecache(mapping, size);
  const tail = size % PAGE_SIZE;
  const index = Math.floor(size / PAGE_SIZE);
  const { blockBytes } = sb.store;
  const tailBlock = Math.floor(tail / blockBytes);
  // The file has lost its end, whether this succeeds or not: ext4 ignores the error, here it is told.
  let zeroed = 0;
  if (tail % blockBytes !== 0) zeroed = yield* settled(zeroPart(inode, index, tail, (tailBlock + 1) * blockBytes));
  if (tail !== 0) inode.discardBuffers(index, Math.ceil(tail / blockBytes));
  const cut = yield* cutBlocks(inode, size);
  return cut === 0 ? zeroed : cut;
}

/** `ext4_truncate`: the blocks behind the new end go. */
function* cutBlocks(inode: Inode, size: number) {
  const { sb } = inode;
  const first = Math.ceil(size / sb.store.blockBytes);
  const credits = inode.credits + sb.orphans.credits;
  let error = yield* settled(sb.journal.start(credits));
  if (error < 0) return error;
  inode.diskSize = size;
  // Who makes the file longer after the machine has stopped finds zeros there (`ext4_jbd2_inode_add_write`).
  const tail = size % PAGE_SIZE;
  const tailBlock = Math.floor(tail / sb.store.blockBytes);
  const index = Math.floor(size / PAGE_SIZE);
  if (tail % sb.store.blockBytes !== 0)
    sb.journal.transaction.ordered.push(() => inode.writeBlockNow(index, tailBlock));
  const begin = inode.release(first, Infinity);
  if (begin <= first) return Math.min(begin, 0);
  sb.orphans.add(inode);
  error = yield* settled(releaseBlocks(inode, first));
  if (error >= 0) error = yield* settled(sb.journal.start(credits));
  if (error < 0) return error;
  sb.orphans.remove(inode);
  return 0;
}

/** What a mapping wrote behind the end must not come to light when the file grows. `pagecache_isize_extended`. */
export function zeroBehindEnd({ mapping, size }: Inode): void {
  const tail = size % PAGE_SIZE;
  if (tail !== 0) truncatePartialFolio(mapping, Math.floor(size / PAGE_SIZE), tail, PAGE_SIZE);
}

/** Writes zeros to bytes [from, to) of a page, unless they lie in a hole. 0 or -errno. `ext4_block_zero_page_range`. May sleep. */
export function zeroPart(inode: Inode, index: number, from: number, to: number): MaySleep {
  const { blockBytes } = inode.sb.store;
  const first = Math.floor((index * PAGE_SIZE + from) / blockBytes);
  const end = Math.ceil((index * PAGE_SIZE + to) / blockBytes);
  if (!inode.hasBlocks(first, end)) return 0;
  return eagerly(inode.sb.memory.world, 'zeroing a part of a page', zero(inode, index, from, to));
}

function* zero({ mapping, sb }: Inode, index: number, from: number, to: number) {
  const head = yield* settled(mapping.ops.writeBegin?.(mapping, index, from, to) ?? -EINVAL);
  if (head < 0) return head;
  sb.memory.bytes.fill(head, from, 0, to - from);
  mapping.ops.writeEnd?.(mapping, head, from, to);
  return 0;
}
