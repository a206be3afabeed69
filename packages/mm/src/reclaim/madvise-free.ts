/**
 * MADV_FREE: the process can do without the content of these pages, unless it writes to them again.
 *
 * Nothing is unmapped. The pages become clean in memory and in the page table and are no longer backed by swap, so reclaim
 * throws them away; a write before that makes them dirty and saves them. Slots in swap go at once, pages in the swap cache
 * leave it. A large folio that is given up in part is split.
 * Source followed: mm/madvise.c `madvise_free_pte_range`, mm/huge_memory.c `madvise_free_huge_pmd` (6.18).
 */
import { PG_dirty, PG_swapcache } from '../frames/frames';
import { folioMarkLazyfree } from '../frames/lru';
import type { Memory } from '../memory';
import type { Mm } from '../process/mm';
import {
  PMD_HUGE,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_SPECIAL,
  PTE_SWAP,
  REGION_BYTES,
  indexOf,
  regionOf,
} from '../process/page-table';
import { folioMappedShared } from '../frames/rmap';
import { splitFolio } from '../huge/split-folio';
import { folioFreeSwap, freeSwap } from './swap';
import { folioPteBatch } from './unmap-folio';

/** MADV_FREE of [start, end), page aligned, inside an anonymous area that is not locked. 0. Task context. */
export function madviseFree(mm: Mm, start: number, end: number): number {
  const { pageTable } = mm;
  const lastRegion = Math.ceil(end / REGION_BYTES);
  let region = pageTable.nextRegion(regionOf(start), lastRegion);
  while (region < lastRegion) {
    const from = Math.max(start, region * REGION_BYTES);
    const to = Math.min(end, (region + 1) * REGION_BYTES);
    if (pageTable.tableOf(region) === PMD_HUGE) freeHugePmd(mm, region, to - from === REGION_BYTES);
    if (pageTable.tableOf(region) > 0) freePteRange(mm, region, indexOf(from), indexOf(to - 1) + 1);
    region = pageTable.nextRegion(region + 1, lastRegion);
  }
  return 0;
}

/** A huge mapping as a whole, or its folio is split to go on with the parts. `madvise_free_huge_pmd`. */
function freeHugePmd(mm: Mm, region: number, isWhole: boolean): void {
  const { memory, pageTable } = mm;
  const { frames } = memory;
  const pte = pageTable.hugeFlags(region);
  if ((pte & PTE_SPECIAL) !== 0) return; // the huge zero page
  const head = pageTable.hugeHead(region);
  if (folioMappedShared(memory, head)) return;
  if (!isWhole) {
    splitFolio(memory, head);
    return;
  }
  frames.flags[head] &= ~PG_dirty;
  pageTable.setHugeFlags(region, pte & ~(PTE_ACCESSED | PTE_DIRTY));
  folioMarkLazyfree(memory, head);
}

/** `madvise_free_pte_range`. */
function freePteRange(mm: Mm, region: number, from: number, to: number): void {
  const { memory, pageTable } = mm;
  const { frames } = memory;
  const table = pageTable.tableOf(region);
  for (let i = from, n = 1; i < to; i += n) {
    n = 1;
    const pte = pageTable.flagsAt(region, i);
    if ((pte & PTE_PRESENT) === 0) {
      if ((pte & PTE_SWAP) !== 0) {
        freeSwap(memory, pageTable.frameAt(region, i));
        pageTable.clear(table, i);
      }
      continue;
    }
    if ((pte & PTE_SPECIAL) !== 0) continue;
    const pfn = pageTable.frameAt(region, i);
    const head = frames.headOf(pfn);
    const pages = 1 << frames.order[head];
    if (pages > 1) {
      n = folioPteBatch(memory, pageTable, region, i, to);
      if (n < pages) {
        if (!folioMappedShared(memory, head) && splitFolio(memory, head) === 0) n = 0; // again, as a small page
        continue;
      }
    }
    if (!makeClean(memory, head, pages)) continue;
    for (let k = i; k < i + n; k++) {
      const bits = pageTable.flagsAt(region, k) & ~(PTE_ACCESSED | PTE_DIRTY);
      pageTable.set(table, k, pfn + (k - i), bits);
    }
    folioMarkLazyfree(memory, head);
  }
}

/** Takes the folio out of the swap cache and makes it clean; false when others depend on what is there. */
function makeClean(memory: Memory, head: number, pages: number): boolean {
  const { frames } = memory;
  if ((frames.flags[head] & (PG_swapcache | PG_dirty)) === 0) return true;
  if (frames.folioMapcount(head) !== pages) return false;
  if ((frames.flags[head] & PG_swapcache) !== 0 && !folioFreeSwap(memory, head)) return false;
  frames.flags[head] &= ~PG_dirty;
  return true;
}
