/**
 * Reading pages of a file into the cache: the wanted one and those around it that will probably be wanted next.
 *
 * A fault reads a window around its page. A read(2) at the start of the file or where the last one ended reads a small
 * window ahead and marks a page in it (`PG_readahead`); who comes to the marked page has the next window, a larger one, read.
 * A single read elsewhere reads what it needs. Fault-around leaves a marked page out, so that the fault on it is noticed.
 * Left out: reading in the background (who comes to a mark waits for the next window), large folios (the kernel fills
 * later windows with them), hints (POSIX_FADV_SEQUENTIAL, RANDOM, VM_EXEC), the count of misses that ends read-around, a
 * state for each open file: the file has one for all.
 * Source followed: mm/readahead.c `page_cache_sync_ra`, `page_cache_async_ra`, `page_cache_ra_order`,
 * `page_cache_ra_unbounded`, mm/filemap.c `do_sync_mmap_readahead` (6.18).
 */
import type { MaySleep } from '@pincushion/sim';
import type { AddressSpace } from './address-space';
import { eagerly, settled } from '../eager-task';
import { PG_locked, PG_readahead, PG_uptodate, PG_writeback } from '../frames/frames';
import { addNewFolio, findFolio, folioWaitBit } from './page-cache';
import { Gfp } from '../frames/zone';

/** A fault needs page `index`: the window around it. 0 or 1, -ENOMEM, or an error of the wanted page. `do_sync_mmap_readahead`. */
export function mmapReadAround(mapping: AddressSpace, index: number): MaySleep {
  const ra = mapping.readahead;
  if (ra.pages === 0) return readPages(mapping, index, 1, 0, index);
  ra.start = Math.max(0, index - Math.floor(ra.pages / 2));
  ra.size = ra.pages;
  ra.asyncSize = Math.floor(ra.pages / 4);
  return readPages(mapping, ra.start, ra.size, ra.asyncSize, index);
}

/** A read of `count` pages misses page `index`. Results as `mmapReadAround`. `page_cache_sync_ra`. */
export function syncReadahead(mapping: AddressSpace, index: number, count: number): MaySleep {
  const ra = mapping.readahead;
  if (index === 0 || count > ra.pages || index === ra.previous || index === ra.previous + 1) {
    ra.start = index;
    ra.size = initialWindow(count, ra.pages);
    ra.asyncSize = ra.size > count ? ra.size - count : ra.size >>> 1;
    return readPages(mapping, index, ra.size, ra.asyncSize, index);
  }
  let cached = 0;
  while (cached < ra.pages && findFolio(mapping, index - 1 - cached) !== 0) cached++;
  if (cached <= count) return readPages(mapping, index, count, 0, index);
  ra.start = index;
  ra.size = Math.min((cached === index ? cached * 2 : cached) + count, ra.pages);
  ra.asyncSize = 1;
  return readPages(mapping, index, ra.size, ra.asyncSize, index);
}

/** Somebody who wants `count` pages came to a marked page: the next window. 0. `page_cache_async_ra`. */
export function asyncReadahead(mapping: AddressSpace, head: number, index: number, count: number): MaySleep {
  const { flags } = mapping.memory.frames;
  const ra = mapping.readahead;
  if ((flags[head] & PG_writeback) !== 0) return folioWaitBit(mapping, head, PG_writeback); // the other meaning of the mark
  flags[head] &= ~PG_readahead;
  if (index === ra.start + ra.size - ra.asyncSize) {
    ra.start += ra.size;
    ra.size = Math.max(ra.size, nextWindow(ra.size, ra.pages));
  } else {
    let start = index + 1;
    while (start <= index + ra.pages && findFolio(mapping, start) !== 0) start++;
    if (start - index > ra.pages) return 0;
    ra.start = start;
    ra.size = nextWindow(start - index + count, ra.pages);
  }
  ra.asyncSize = ra.size;
  return readPages(mapping, ra.start, ra.size, ra.asyncSize, -1);
}

/** Somebody says that he will need these pages: read what is missing, and no mark. 0. `force_page_cache_readahead`. */
export function forceReadahead(mapping: AddressSpace, index: number, count: number): MaySleep {
  return readPages(mapping, index, Math.min(count, Math.max(1, mapping.readahead.pages)), 0, -1);
}

/** `get_init_ra_size`. */
function initialWindow(count: number, most: number): number {
  let size = 1;
  while (size < count) size *= 2;
  if (size <= most / 32) return size * 4;
  return size <= most / 4 ? size * 2 : most;
}

/** `get_next_ra_size`. */
function nextWindow(size: number, most: number): number {
  if (size < most / 16) return size * 4;
  return size <= most / 2 ? size * 2 : most;
}

/**
 * Reads what of pages [start, start+size) lies in the file and is not in the cache, and marks the page `asyncSize` before
 * the end. What fails is read again by who needs it; only the error of page `wanted` counts. `page_cache_ra_order`.
 */
function readPages(mapping: AddressSpace, start: number, size: number, asyncSize: number, wanted: number): MaySleep {
  return eagerly(mapping.memory.world, 'reading a file', readWindow(mapping, start, size, asyncSize, wanted));
}

function* readWindow(mapping: AddressSpace, start: number, size: number, asyncSize: number, wanted: number) {
  const { frames } = mapping.memory;
  const end = Math.min(start + size, mapping.pageCount);
  let mark = asyncSize === 0 ? -1 : start + size - asyncSize;
  const read: number[] = [];
  let isFirstGap = true;
  let result = 0;
  for (let index = start; index < end; index++) {
    let head = findFolio(mapping, index);
    if (head === 0) {
      head = addNewFolio(mapping, index, Gfp.movable);
      if (head < 0) return result === 0 && index <= wanted ? head : result;
      if (index === mark) frames.flags[head] |= PG_readahead;
    } else {
      // From the first page that is there already the plain readahead goes on, which marks relative to the end of the file.
      if (isFirstGap && asyncSize !== 0) mark = end - index >= asyncSize ? end - asyncSize : -1;
      isFirstGap = false;
      if (index !== wanted || (frames.flags[head] & PG_uptodate) !== 0) continue;
    }
    const got = yield* settled(readFolio(mapping, head, index));
    if (index === wanted) result = got;
    else if (got === 0) read.push(index);
  }
  if (result > 0) for (const index of read) mapping.readahead.onTheirWay.add(index);
  return result;
}

/**
 * Has the file system fill a folio that is in the cache and not uptodate, or waits for somebody who does. Results as
 * `AddressSpaceOps.readFolio`. May sleep. `filemap_read_folio`.
 */
export function readFolio(mapping: AddressSpace, head: number, index: number): MaySleep {
  const { frames } = mapping.memory;
  if ((frames.flags[head] & PG_locked) !== 0) return folioWaitBit(mapping, head, PG_locked);
  frames.get(head, 1);
  frames.flags[head] |= PG_locked;
  const read = mapping.ops.readFolio(mapping, head, index);
  if (typeof read === 'number') return endRead(mapping, head, read);
  return eagerly(mapping.memory.world, 'reading a file', readSleeping(mapping, head, read));
}

function* readSleeping(mapping: AddressSpace, head: number, pending: MaySleep) {
  return endRead(mapping, head, yield* settled(pending));
}

/** `folio_end_read`. */
function endRead(mapping: AddressSpace, head: number, result: number): number {
  const { frames } = mapping.memory;
  frames.flags[head] &= ~PG_locked;
  mapping.folioWaiters.wakeAll();
  frames.put(head, 1);
  return result;
}
