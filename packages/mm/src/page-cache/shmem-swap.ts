/**
 * Shared memory in swap: a page that leaves the page cache for swap leaves its slot there (`AddressSpace.swapped`), and
 * comes back into the cache, dirty, when somebody asks for it.
 *
 * Left out: large folios.
 * Source followed: mm/shmem.c `shmem_writeout`, `shmem_swapin_folio`, `shmem_free_swap` (6.18).
 */
import { EIO } from '@pincushion/sim';
import type { MaySleep, Task } from '@pincushion/sim';
import { AddressSpace } from './address-space';
import { eagerly } from '../eager-task';
import { PG_dirty, PG_uptodate } from '../frames/frames';
import type { Memory } from '../memory';
import { addFolio, removeFolio } from './page-cache';
import {
  deleteFromSwapCache,
  folioAllocSwap,
  freeSwap,
  swapCacheGetFolio,
  swapDuplicate,
  swapFree,
} from '../reclaim/swap';
import { swapinFolio } from '../reclaim/swap-in';
import { Gfp } from '../frames/zone';
import type { GfpFlags } from '../frames/zone';

/** An unmapped page of shared memory moves from the page cache into the swap cache. False when swap is full. */
export function shmemMoveToSwap(memory: Memory, head: number): boolean {
  const { frames, swap } = memory;
  const mapping = memory.owner(frames.mapping[head]);
  if (!(mapping instanceof AddressSpace) || frames.order[head] !== 0) return false;
  const index = frames.index[head] >>> 0;
  if (folioAllocSwap(memory, head) !== 0) return false;
  swapDuplicate(memory, swap.slotOf(head));
  removeFolio(mapping, head);
  mapping.swapped.set(index, swap.slotOf(head));
  return true;
}

/**
 * Brings page `index`, which is swapped out, back into the page cache. Returns its head, whose reference is the cache's;
 * -ENOMEM, or -EIO. Task context, may sleep.
 */
export function shmemSwapinFolio(mapping: AddressSpace, index: number, gfp: GfpFlags = Gfp.movable): MaySleep {
  const { memory } = mapping;
  const slot = mapping.swapped.get(index);
  if (slot === undefined) return mapping.pages.get(index) ?? -EIO;
  const found = swapinFolio(memory, slot, gfp, false);
  if (typeof found === 'number') return found < 0 ? found : finishSwapin(mapping, index, slot, found);
  return eagerly(memory.world, 'a page from swap', swapinSleeping(mapping, index, slot, found));
}

function* swapinSleeping(mapping: AddressSpace, index: number, slot: number, pending: Task<number>) {
  const found = yield* pending;
  return found < 0 ? found : finishSwapin(mapping, index, slot, found);
}

/** The caller's reference on `head` goes over to the page cache. */
function finishSwapin(mapping: AddressSpace, index: number, slot: number, head: number): number {
  const { memory } = mapping;
  const { frames } = memory;
  if ((frames.flags[head] & PG_uptodate) === 0) {
    frames.put(head, 1);
    return -EIO;
  }
  const known = mapping.pages.get(index);
  if (known !== undefined || mapping.swapped.get(index) !== slot) {
    frames.put(head, 1); // Somebody was faster, or the page was truncated meanwhile.
    return known ?? -EIO;
  }
  mapping.swapped.delete(index);
  swapFree(memory, slot);
  if (swapCacheGetFolio(memory, slot) === head) deleteFromSwapCache(memory, head);
  addFolio(mapping, head, index);
  frames.flags[head] |= PG_dirty;
  frames.put(head, 1);
  return head;
}

/** Pages [from, to) are truncated: those in swap are forgotten. `shmem_free_swap`. Any context. */
export function shmemFreeSwap(mapping: AddressSpace, from: number, to: number): void {
  if (mapping.swapped.size === 0) return;
  for (const [index, slot] of mapping.swapped) {
    if (index < from || index >= to) continue;
    mapping.swapped.delete(index);
    freeSwap(mapping.memory, slot);
  }
}
