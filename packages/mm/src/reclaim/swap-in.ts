/**
 * Reading a page back from swap.
 *
 * A page that only one entry refers to may be read past the swap cache when the store answers at once; all others enter the
 * cache before they are read, locked, so that whoever else comes finds the page and waits for it instead of reading twice.
 * Left out: read-ahead, large folios.
 * Task context. Source followed: mm/swap_state.c `read_swap_cache_async`, mm/page_io.c `swap_read_folio` (6.18).
 */
import { EIO, ENOMEM, WaitQueue } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { eagerly, settled } from '../eager-task';
import { PG_locked, PG_swapbacked, PG_uptodate } from '../frames/frames';
import { folioAddLru } from '../frames/lru';
import type { Memory } from '../memory';
import { addToSwapCache, swapCacheGetFolio } from './swap';
import type { GfpFlags } from '../frames/zone';

/**
 * The folio that has the content of a slot in use, with a reference for the caller; or -ENOMEM. It is not uptodate when the
 * store could not read it. With `throughCache` it is in the swap cache afterwards. May sleep: look whether the folio is
 * still wanted then.
 */
export function swapinFolio(memory: Memory, slot: number, gfp: GfpFlags, throughCache: boolean): MaySleep {
  const { frames, swap } = memory;
  const cached = swapCacheGetFolio(memory, slot);
  if (cached !== 0) {
    frames.get(cached, 1);
    if ((frames.flags[cached] & PG_locked) === 0) return cached;
    return eagerly(memory.world, 'a page from swap', waitForRead(memory, cached));
  }
  const pfn = memory.allocFolio(0, gfp);
  if (pfn < 0) return -ENOMEM;
  frames.flags[pfn] |= PG_swapbacked;
  if (throughCache || swap.store?.synchronous !== true) addToSwapCache(memory, pfn, slot);
  folioAddLru(memory, pfn);
  memory.vmstat.pswpin++;
  const read = swap.store?.read(slot, pfn) ?? -EIO;
  if (typeof read !== 'number') return eagerly(memory.world, 'a page from swap', finishRead(memory, pfn, read));
  if (read < 0) frames.flags[pfn] &= ~PG_uptodate;
  return pfn;
}

function* finishRead(memory: Memory, pfn: number, pending: MaySleep) {
  const { frames, swap } = memory;
  const queue = new WaitQueue(memory.world, 'a page from swap');
  frames.flags[pfn] |= PG_locked;
  swap.reads.set(pfn, queue);
  const error = yield* settled(pending);
  swap.reads.delete(pfn);
  frames.flags[pfn] &= error < 0 ? ~(PG_locked | PG_uptodate) : ~PG_locked;
  queue.wakeAll();
  return pfn;
}

/** Somebody else reads the folio. */
function* waitForRead(memory: Memory, head: number) {
  const { frames, swap } = memory;
  const queue = swap.reads.get(head);
  if (queue !== undefined) yield* queue.waitUntil(() => (frames.flags[head] & PG_locked) === 0);
  return head;
}
