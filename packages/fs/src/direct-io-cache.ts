/**
 * Direct I/O and the page cache: what is cached of a range is written before the disk is asked, dropped before it is written
 * to, and dropped again afterwards, for those a reader brought in meanwhile.
 *
 * Source followed: mm/filemap.c `kiocb_write_and_wait`, `kiocb_invalidate_pages`, `kiocb_invalidate_post_direct_write`,
 * fs/iomap/direct-io.c `dio_warn_stale_pagecache`, fs/ext4/file.c `ext4_dio_write_iter` (6.18).
 */
import { PAGE_SIZE, invalidateInodePages2, invalidateMappingPages, settled, writeAndWaitRange } from '@pincushion/mm';
import type { AddressSpace, Mm } from '@pincushion/mm';
import { EIO } from '@pincushion/sim';
import type { DirectFile } from './direct-io-file';
import type { DirectRequest } from './direct-io-request';

/** Says that a write has to go through the page cache (-ENOTBLK); not an errno that anybody sees. */
export const THROUGH_CACHE = 1;

/** What is copied at a time when a write goes through the page cache. */
const PIECE_BYTES = 64 * 1024;

/** Before the disk is asked: 0, THROUGH_CACHE when a page cannot be dropped before a write, -errno of writeback. */
export function* readyCache(mapping: AddressSpace, { isWrite, position, bytes }: DirectRequest) {
  if (mapping.pages.size === 0) return 0;
  const first = Math.floor(position / PAGE_SIZE);
  const end = Math.ceil((position + bytes) / PAGE_SIZE);
  const error = yield* settled(writeAndWaitRange(mapping, first, end));
  if (error < 0 || !isWrite) return error;
  return (yield* settled(invalidateInodePages2(mapping, first, end))) < 0 ? THROUGH_CACHE : 0;
}

/**
 * After a write: what is cached now is older than the disk. 0, or -EBUSY when a page had to stay because somebody has made it
 * dirty: it is stale, which those who have the file open are told as -EIO.
 */
export function* dropCached(mapping: AddressSpace, position: number, size: number) {
  const first = Math.floor(position / PAGE_SIZE);
  const dropped = yield* settled(invalidateInodePages2(mapping, first, Math.ceil((position + size) / PAGE_SIZE)));
  if (dropped < 0) mapping.wbErr.set(-EIO); // `dio_warn_stale_pagecache`
  return dropped;
}

/**
 * A cached page could not be dropped: the write goes through the page cache, to the disk, and what was cached for it goes
 * if it can. Bytes or -errno. Without the inode's lock.
 */
export function* writeThroughCache(file: DirectFile, mm: Mm, address: number, bytes: number, position: number) {
  const piece = new Uint8Array(Math.min(bytes, PIECE_BYTES));
  let done = 0;
  while (done < bytes) {
    const wanted = Math.min(bytes - done, PIECE_BYTES);
    const got = yield* settled(mm.read(address + done, piece, 0, wanted));
    const put = got <= 0 ? got : yield* settled(file.writeBuffered(position + done, piece, 0, got));
    if (put < 0) return done > 0 ? done : put;
    done += put;
    if (put < wanted) break;
  }
  const first = Math.floor(position / PAGE_SIZE);
  const end = Math.ceil((position + done) / PAGE_SIZE);
  const error = yield* settled(writeAndWaitRange(file.mapping, first, end));
  if (error < 0) return error;
  invalidateMappingPages(file.mapping, first, end);
  return done;
}
