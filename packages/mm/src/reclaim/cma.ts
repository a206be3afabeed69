/**
 * Contiguous memory for devices out of an area reserved for it, which users' pages may use meanwhile (CMA).
 *
 * The first range of the area that can be emptied is taken. A pinned page in a range costs that range: the next one is
 * tried, and when all have one the answer is -EBUSY. Pages moved for a range that failed in the end stay where they are now.
 * Left out: several areas, the bitmap, retries after a while.
 * Source followed: mm/cma.c `cma_alloc`, `cma_release`, mm/page_alloc.c `alloc_contig_range` (6.18).
 */
import { EBUSY, ENOMEM } from '@pincushion/sim';
import { MAX_PAGE_ORDER } from '../frames/buddy';
import type { Memory } from '../memory';
import { evacuate } from './migrate';

/** See `Memory.allocContigRange`. */
export function cmaAlloc(memory: Memory, pages: number): number {
  const zone = memory.zones.find((each) => each.cma);
  if (zone === undefined || pages <= 0 || pages > zone.end - zone.start) return -ENOMEM;
  let step = 1;
  while (step < pages && step < 1 << MAX_PAGE_ORDER) step *= 2;
  for (let start = zone.start; start + pages <= zone.end; start += step) {
    if (evacuate(memory, start, start + pages) !== 0) continue;
    for (let pfn = start; pfn < start + pages; pfn++) memory.prepareFolio(pfn, 0, zone);
    return start;
  }
  return -EBUSY;
}

/** See `Memory.freeContigRange`. */
export function cmaRelease(memory: Memory, start: number, pages: number): void {
  for (let pfn = start; pfn < start + pages; pfn++) memory.frames.put(pfn, 1);
}
