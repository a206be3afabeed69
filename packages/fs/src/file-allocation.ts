/**
 * fallocate(2): blocks before there is content, and holes where there was.
 *
 * ```
 *  0                 blocks for the range, unwritten; the file grows to its end
 *  KEEP_SIZE         the same, and the size stays
 *  PUNCH_HOLE        the range is a hole; with KEEP_SIZE only
 *  ZERO_RANGE        the range reads as zeros and has blocks, unwritten
 *  COLLAPSE_RANGE    the range goes, what is behind it moves to its place; whole blocks, not the end of the file
 *  INSERT_RANGE      a hole comes before what is there, which moves; whole blocks, inside of the file
 * ```
 * Parts of pages at both ends of a hole or of zeros are written as zeros and keep their blocks.
 * Left out: FALLOC_FL_UNSHARE_RANGE, FALLOC_FL_WRITE_ZEROES, encrypted and append-only files.
 * Source followed: fs/open.c `vfs_fallocate`, fs/ext4/extents.c `ext4_fallocate`, `ext4_do_fallocate`, `ext4_zero_range`,
 * `ext4_collapse_range`, `ext4_insert_range`, fs/ext4/inode.c `ext4_punch_hole` (6.18).
 */
import {
  FALLOC_FL_COLLAPSE_RANGE,
  FALLOC_FL_INSERT_RANGE,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  PAGE_SIZE,
  eagerly,
  settled,
  truncatePagecache,
  truncatePagecacheRange,
} from '@pincushion/mm';
import { EFBIG, EINVAL, ENOSPC, EOPNOTSUPP, EROFS } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { sizeMax, zeroBehindEnd, zeroPart } from './file-size';
import type { Inode } from './inode';
import { startClean, startQuiet } from './quiesce';

/** `mode`: FALLOC_FL_*. 0 or -errno. The inode is locked. Task context, may sleep. */
export function fallocate(inode: Inode, mode: number, start: number, length: number): MaySleep {
  if (!(start >= 0) || !(length > 0)) return -EINVAL;
  if (inode.sb.isReadOnly) return -EROFS;
  if (start + length > sizeMax(inode)) return -EFBIG;
  const body = bodyOf(inode, mode, start, start + length);
  return typeof body === 'number' ? body : eagerly(inode.sb.memory.world, 'fallocate', body);
}

function bodyOf(inode: Inode, mode: number, start: number, end: number) {
  const keepsSize = (mode & FALLOC_FL_KEEP_SIZE) !== 0;
  switch (mode & ~FALLOC_FL_KEEP_SIZE) {
    case 0:
      return allocateRange(inode, start, end, keepsSize);
    case FALLOC_FL_PUNCH_HOLE:
      return keepsSize ? punchHole(inode, start, end) : -EOPNOTSUPP;
    case FALLOC_FL_ZERO_RANGE:
      return zeroRange(inode, start, end, keepsSize);
    case FALLOC_FL_COLLAPSE_RANGE:
      return keepsSize ? -EOPNOTSUPP : collapseRange(inode, start, end);
    case FALLOC_FL_INSERT_RANGE:
      return keepsSize ? -EOPNOTSUPP : insertRange(inode, start, end);
    default:
      return -EOPNOTSUPP;
  }
}

// ---- holes and zeros ---------------------------------------------------------------------------------------------------------

/** `ext4_punch_hole`: parts of pages are written as zeros, whole pages and blocks go. */
function* punchHole(inode: Inode, start: number, wantedEnd: number) {
  if (start >= inode.size) return 0;
  // A hole that reaches the end takes the rest of the last page, too.
  const end = wantedEnd < inode.size ? wantedEnd : Math.ceil(inode.size / PAGE_SIZE) * PAGE_SIZE;
  const zeroed = yield* zeroEdges(inode, start, end);
  if (zeroed !== 0) return zeroed;
  const first = Math.ceil(start / PAGE_SIZE);
  const last = Math.floor(end / PAGE_SIZE);
  for (;;) {
    const started = yield* settled(startQuiet(inode, Math.floor(start / PAGE_SIZE), last, inode.credits));
    if (started < 0) return started;
    truncatePagecacheRange(inode.mapping, start, end);
    if (last <= first) return 0;
    const begin = inode.release(first * inode.blocksPerPage, last * inode.blocksPerPage);
    if (begin <= first * inode.blocksPerPage) return Math.min(begin, 0);
  }
}

/** Zeros in the parts of pages at both ends of a range. */
function* zeroEdges(inode: Inode, start: number, end: number) {
  if (start >= end) return 0;
  const first = Math.floor(start / PAGE_SIZE);
  const last = Math.floor(end / PAGE_SIZE);
  if (first === last) return yield* settled(zeroPart(inode, first, start % PAGE_SIZE, end % PAGE_SIZE));
  let error = 0;
  if (start % PAGE_SIZE !== 0) error = yield* settled(zeroPart(inode, first, start % PAGE_SIZE, PAGE_SIZE));
  if (error === 0 && end % PAGE_SIZE !== 0) error = yield* settled(zeroPart(inode, last, 0, end % PAGE_SIZE));
  return error;
}

/** `ext4_zero_range`: what has blocks in whole pages becomes unwritten, the rest gets blocks. */
function* zeroRange(inode: Inode, start: number, end: number, keepsSize: boolean) {
  const zeroed = yield* zeroEdges(inode, start, Math.min(end, Math.max(start, inode.size)));
  if (zeroed !== 0) return zeroed;
  const first = Math.ceil(start / PAGE_SIZE);
  const last = Math.floor(end / PAGE_SIZE);
  if (last > first) {
    const started = yield* settled(startQuiet(inode, first, last, inode.credits));
    if (started < 0) return started;
    truncatePagecacheRange(inode.mapping, first * PAGE_SIZE, last * PAGE_SIZE);
    const error = inode.mark(first * inode.blocksPerPage, last * inode.blocksPerPage, true);
    if (error < 0) return error;
  }
  return yield* allocateRange(inode, start, end, keepsSize);
}

// ---- blocks ------------------------------------------------------------------------------------------------------------------

/** `ext4_do_fallocate`: unwritten blocks for the holes of a range. What has a reservation keeps it. */
function* allocateRange(inode: Inode, start: number, end: number, keepsSize: boolean) {
  const { blockBytes } = inode.sb.store;
  const lastBlock = Math.ceil(end / blockBytes);
  for (let block = Math.floor(start / blockBytes); block < lastBlock;) {
    if (inode.extents.seek(block)) {
      block += inode.extents.foundLength;
      continue;
    }
    if (inode.isDelayed(block)) {
      block++;
      continue;
    }
    const got = yield* fillHole(inode, block, lastBlock);
    if (got < 0) return got;
    block += got;
  }
  if (keepsSize || end <= inode.size) return 0;
  const started = yield* settled(inode.sb.journal.start(inode.credits));
  if (started < 0) return started;
  zeroBehindEnd(inode);
  inode.size = end;
  inode.diskSize = end;
  inode.contentChanged();
  return 0;
}

/** Some blocks of a hole: how many, 0 when it is no hole any more, or -errno. */
function* fillHole(inode: Inode, block: number, lastBlock: number) {
  const { journal } = inode.sb;
  for (let isRetry = false; ; isRetry = true) {
    const started = yield* settled(journal.start(inode.credits));
    if (started < 0) return started;
    if (inode.extents.seek(block) || inode.isDelayed(block)) return 0;
    const most = Math.min(inode.extents.foundLength, lastBlock - block);
    let wanted = 1;
    while (wanted < most && !inode.isDelayed(block + wanted)) wanted++;
    const got = inode.allocate(block, wanted, true, false);
    if (got !== -ENOSPC || isRetry) return got;
    const committed = yield* settled(journal.commit());
    if (committed < 0) return committed;
  }
}

// ---- moving --------------------------------------------------------------------------------------------------------------------

function isWholeBlocks(inode: Inode, start: number, end: number): boolean {
  return start % inode.sb.store.blockBytes === 0 && end % inode.sb.store.blockBytes === 0;
}

/** `ext4_collapse_range`. */
function* collapseRange(inode: Inode, start: number, end: number) {
  if (!isWholeBlocks(inode, start, end) || end >= inode.size) return -EINVAL;
  const { blockBytes } = inode.sb.store;
  const page = Math.floor(start / PAGE_SIZE);
  for (;;) {
    const started = yield* settled(startClean(inode, page, Infinity, 2 * inode.credits));
    if (started < 0) return started;
    truncatePagecache(inode.mapping, page * PAGE_SIZE);
    const begin = inode.release(start / blockBytes, end / blockBytes);
    if (begin < 0) return begin;
    if (begin === start / blockBytes) break;
  }
  const moved = inode.shift(end / blockBytes, (start - end) / blockBytes);
  if (moved < 0) return moved;
  inode.size -= end - start;
  inode.diskSize = inode.size;
  return 0;
}

/** `ext4_insert_range`. */
function* insertRange(inode: Inode, start: number, end: number) {
  if (!isWholeBlocks(inode, start, end) || start >= inode.size) return -EINVAL;
  if (inode.size + (end - start) > sizeMax(inode)) return -EFBIG;
  const { blockBytes } = inode.sb.store;
  const page = Math.floor(start / PAGE_SIZE);
  const started = yield* settled(startClean(inode, page, Infinity, inode.credits));
  if (started < 0) return started;
  truncatePagecache(inode.mapping, page * PAGE_SIZE);
  const moved = inode.shift(start / blockBytes, (end - start) / blockBytes);
  if (moved < 0) return moved;
  inode.size += end - start;
  inode.diskSize = inode.size;
  return 0;
}
