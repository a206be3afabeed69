/**
 * Taking memory back: a folio is unmapped, its content is saved where it belongs, and its frames are freed.
 *
 * Reclaim takes each folio off its list, which gives it a reference of its own, and goes through the questions below in
 * order; the first that says no puts the folio back.
 *
 *   mlocked?                                   stays
 *   anonymous, no slot yet: maybe pinned?      stays, before its mapping is touched (section 14; by P-01 with our reference)
 *                           swap full?         stays
 *   unmapped everywhere? (unmap-folio.ts)      else stays
 *   maybe pinned?                              stays, unmapped; its buffers are left alone, too
 *   dirty file page?                           stays for writeback, reclaim does not write files
 *   dirty anonymous or shared memory           is written to swap, if nobody else holds a reference
 *   buffers                                    are released
 *   any other reference?                       stays, unmapped
 *
 * Callers: MADV_PAGEOUT, and under pressure shrink-lists.ts, which chooses by age. Left out: demotion, shadow entries.
 * Source followed: mm/vmscan.c `reclaim_pages`, `shrink_folio_list`, `pageout`, `__remove_mapping` (6.18).
 */
import { EIO } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { eagerly, settled } from '../eager-task';
import {
  PG_anon,
  PG_dirty,
  PG_head,
  PG_lru,
  PG_private,
  PG_readahead,
  PG_swapbacked,
  PG_swapcache,
  PG_writeback,
} from '../frames/frames';
import { folioEvictable, folioPutbackLru } from '../frames/lru';
import { Mechanism } from '../mechanism';
import type { Memory } from '../memory';
import { folioMapping, folioMarkDirty, releaseFolio, removeFolio } from '../page-cache/page-cache';
import { shmemMoveToSwap } from '../page-cache/shmem-swap';
import { canSplitFolio, splitFolio } from '../huge/split-folio';
import { deleteFromSwapCache, folioAllocSwap, folioFreeSwap } from './swap';
import { tryToUnmap } from './unmap-folio';

/**
 * Tries to free the folios, each of which the caller has isolated (`folioIsolateLru`); those that stay are put back.
 * Returns the pages freed. Task context, may sleep while swap is written. `reclaim_pages`.
 */
export function reclaimFolios(memory: Memory, heads: number[]): MaySleep {
  return eagerly(memory.world, 'reclaim', shrinkFolios(memory, heads));
}

/** `shrink_folio_list`. */
function* shrinkFolios(memory: Memory, heads: number[]) {
  let freed = 0;
  for (let i = 0; i < heads.length; i++) freed += yield* settled(shrinkFolio(memory, heads[i], heads));
  return freed;
}

/** One folio: the pages freed, or 0 and it is back on its list. Parts of a folio that had to be split join `heads`. */
function shrinkFolio(memory: Memory, head: number, heads: number[]): MaySleep {
  const { frames, profile } = memory;
  if ((frames.flags[head] & PG_writeback) !== 0 || !folioEvictable(memory, head)) return keep(memory, head);
  const swapKind = frames.flags[head] & (PG_anon | PG_swapbacked | PG_swapcache);
  if (swapKind === (PG_anon | PG_swapbacked)) {
    if (profile.reclaimSkipsPinned && memory.gup.folioMaybeDmaPinned(head)) {
      if (memory.mechanisms.on) memory.mechanisms.emit(Mechanism.reclaimKeeps, head, 0, 0);
      return keep(memory, head);
    }
    if (!addToSwap(memory, head, heads)) return keep(memory, head);
  }
  if (frames.folioMapcount(head) !== 0) {
    tryToUnmap(memory, head);
    if (frames.folioMapcount(head) !== 0) return keepInSwapIfScarce(memory, head);
  }
  // Unmapped, so nobody can pin it any more. What a device may write to keeps its place and its file system's data.
  if (profile.reclaimKeepsPinnedBuffers && memory.gup.folioMaybeDmaPinned(head))
    return keepInSwapIfScarce(memory, head);
  if ((frames.flags[head] & PG_dirty) === 0) return removeClean(memory, head);
  if ((frames.flags[head] & PG_swapbacked) === 0) {
    frames.flags[head] |= PG_readahead; // `PG_reclaim`: it goes as soon as it has been written
    return keep(memory, head);
  }
  return pageout(memory, head);
}

/** Slots for an anonymous folio; a large one that cannot have them in a row is split. `folio_alloc_swap`. */
function addToSwap(memory: Memory, head: number, heads: number[]): boolean {
  const { frames } = memory;
  // A folio that could not be split is not swapped either: somebody else refers to it.
  if ((frames.flags[head] & PG_head) !== 0 && !canSplitFolio(memory, head, 1)) return false;
  if (folioAllocSwap(memory, head) !== 0) {
    if ((frames.flags[head] & PG_head) === 0 || !splitIsolated(memory, head, heads)) return false;
    if (folioAllocSwap(memory, head) !== 0) return false;
  }
  folioMarkDirty(memory, head); // Its entries may be clean after MADV_FREE; the content is nowhere else.
  return true;
}

/** The parts of the folio that are still in use join those to be reclaimed. `split_folio_to_list`. */
function splitIsolated(memory: Memory, head: number, heads: number[]): boolean {
  const { frames } = memory;
  const pages = 1 << frames.order[head];
  if (splitFolio(memory, head, 1) !== 0) return false;
  for (let part = head + 1; part < head + pages; part++) {
    if (frames.refcount[part] === 0 || frames.order[part] !== 0) continue;
    frames.flags[part] &= ~PG_lru;
    frames.get(part, 1);
    heads.push(part);
  }
  return true;
}

/** Writes a dirty folio to swap and frees it. `pageout`, `swap_writeout`. */
function pageout(memory: Memory, head: number): MaySleep {
  const { frames } = memory;
  const pages = 1 << frames.order[head];
  const buffers = (frames.flags[head] & PG_private) !== 0 ? 1 : 0;
  if (frames.refcount[head] - buffers !== 1 + pages) return keep(memory, head); // `is_page_cache_freeable`
  if ((frames.flags[head] & PG_anon) === 0) {
    if (!shmemMoveToSwap(memory, head)) return keep(memory, head);
  } else if (folioFreeSwap(memory, head)) return keep(memory, head); // nobody wants the content any more
  return eagerly(memory.world, 'a page to be written to swap', writeToSwap(memory, head, pages));
}

function* writeToSwap(memory: Memory, head: number, pages: number) {
  const { frames, swap } = memory;
  const slot = swap.slotOf(head);
  frames.flags[head] = (frames.flags[head] & ~PG_dirty) | PG_writeback;
  let error = 0;
  swap.writesOnTheirWay++;
  for (let i = 0; i < pages && error >= 0; i++) error = yield* settled(swap.store?.write(slot + i, head + i) ?? -EIO);
  swap.writesOnTheirWay--;
  frames.flags[head] &= ~PG_writeback;
  if (error < 0) {
    frames.flags[head] |= PG_dirty;
    return keep(memory, head);
  }
  memory.vmstat.pswpout += pages;
  // While it was written somebody may have mapped it again.
  return frames.folioMapcount(head) === 0 ? removeClean(memory, head) : keep(memory, head);
}

/** The last steps for a folio whose content is safe: buffers go, then the cache, then the frames. `__remove_mapping`. */
function removeClean(memory: Memory, head: number): number {
  const { frames } = memory;
  const pages = 1 << frames.order[head];
  const mapping = folioMapping(memory, head);
  if (mapping !== null && !releaseFolio(mapping, head)) return keep(memory, head);
  const isSwapCached = (frames.flags[head] & PG_swapcache) !== 0;
  const cached = isSwapCached || mapping !== null ? pages : 0;
  const isLazyfree = (frames.flags[head] & (PG_anon | PG_swapbacked)) === PG_anon;
  if (cached === 0 && !isLazyfree) return keep(memory, head);
  if (frames.refcount[head] !== 1 + cached || (cached !== 0 && (frames.flags[head] & PG_dirty) !== 0)) {
    return keep(memory, head);
  }
  if (isSwapCached) deleteFromSwapCache(memory, head);
  else if (mapping !== null) removeFolio(mapping, head);
  else memory.vmstat.pglazyfreed += pages;
  frames.put(head, 1);
  return pages;
}

/** The folio stays, and its slots go when they are scarce. The kernel's `activate_locked`. */
function keepInSwapIfScarce(memory: Memory, head: number): number {
  if (memory.swap.isFull || !folioEvictable(memory, head)) folioFreeSwap(memory, head);
  return keep(memory, head);
}

function keep(memory: Memory, head: number): number {
  folioPutbackLru(memory, head);
  return 0;
}
