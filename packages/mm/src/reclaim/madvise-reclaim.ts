/**
 * MADV_PAGEOUT and MADV_COLD: the process will not need these pages for a while; the first reclaims them at once.
 *
 * Only pages that this process alone maps are touched. A large folio that lies in the range in part is split first, even
 * by MADV_COLD.
 * Left out: files the caller may not write, of which only private copies are paged out.
 * Source followed: mm/madvise.c `madvise_pageout`, `madvise_cold`, `madvise_cold_or_pageout_pte_range` (6.18).
 */
import type { MaySleep } from '@pincushion/sim';
import { eagerly, settled } from '../eager-task';
import { PG_lru, PG_referenced, PG_unevictable } from '../frames/frames';
import { folioDeactivate, folioIsolateLru, folioPutbackLru } from '../frames/lru';
import type { Memory } from '../memory';
import type { Mm } from '../process/mm';
import {
  PMD_HUGE,
  PTE_ACCESSED,
  PTE_PRESENT,
  PTE_SPECIAL,
  REGION_BYTES,
  indexOf,
  regionOf,
} from '../process/page-table';
import { reclaimFolios } from './reclaim';
import { folioMappedShared } from '../frames/rmap';
import { splitFolio } from '../huge/split-folio';
import { folioPteBatch } from './unmap-folio';
import { VM_HUGETLB, VM_LOCKED, VM_PFNMAP } from '../process/vma-flags';
import type { Vma } from '../process/vma';

/** MADV_PAGEOUT of [start, end), page aligned, inside one area that `canMadviseLru`. 0. Task context, may sleep. */
export function madvisePageout(mm: Mm, start: number, end: number): MaySleep {
  return eagerly(mm.memory.world, 'madvise', pageoutRegions(mm, start, end));
}

function* pageoutRegions(mm: Mm, start: number, end: number) {
  const lastRegion = Math.ceil(end / REGION_BYTES);
  let region = mm.pageTable.nextRegion(regionOf(start), lastRegion);
  while (region < lastRegion) {
    yield* settled(reclaimFolios(mm.memory, foliosOf(mm, region, start, end, true)));
    region = mm.pageTable.nextRegion(region + 1, lastRegion);
  }
  return 0;
}

/** MADV_COLD of [start, end), page aligned, inside one area that `canMadviseLru`. 0. Task context. */
export function madviseCold(mm: Mm, start: number, end: number): number {
  const lastRegion = Math.ceil(end / REGION_BYTES);
  let region = mm.pageTable.nextRegion(regionOf(start), lastRegion);
  while (region < lastRegion) {
    for (const head of foliosOf(mm, region, start, end, false)) folioDeactivate(mm.memory, head);
    region = mm.pageTable.nextRegion(region + 1, lastRegion);
  }
  return 0;
}

/** Whether an area has pages that reclaim could take. `can_madv_lru_vma`. */
export function canMadviseLru(vma: Vma): boolean {
  return (vma.flags & (VM_LOCKED | VM_PFNMAP | VM_HUGETLB)) === 0;
}

/** The folios of one region that the advice is about; with `isolate` off their list, with a reference each. */
function foliosOf(mm: Mm, region: number, start: number, end: number, isolate: boolean): number[] {
  const { pageTable } = mm;
  const from = Math.max(start, region * REGION_BYTES);
  const to = Math.min(end, (region + 1) * REGION_BYTES);
  const found: number[] = [];
  if (pageTable.tableOf(region) === PMD_HUGE) {
    const head = hugeFolioOf(mm, region, to - from === REGION_BYTES);
    if (head !== 0) choose(mm.memory, head, isolate, found);
  }
  if (pageTable.tableOf(region) > 0) foliosOfTable(mm, region, indexOf(from), indexOf(to - 1) + 1, isolate, found);
  return found;
}

/** The folio of a huge mapping if the advice is about all of it; else it is split, and 0. */
function hugeFolioOf(mm: Mm, region: number, isWhole: boolean): number {
  const { memory, pageTable } = mm;
  const pte = pageTable.hugeFlags(region);
  const head = pageTable.hugeHead(region);
  if ((pte & PTE_SPECIAL) !== 0 || folioMappedShared(memory, head)) return 0;
  if (!isWhole) {
    splitFolio(memory, head);
    return 0;
  }
  pageTable.setHugeFlags(region, pte & ~PTE_ACCESSED);
  return head;
}

function foliosOfTable(mm: Mm, region: number, from: number, to: number, isolate: boolean, found: number[]): void {
  const { memory, pageTable } = mm;
  const { frames } = memory;
  for (let i = from, n = 1; i < to; i += n) {
    n = 1;
    const pte = pageTable.flagsAt(region, i);
    if ((pte & PTE_PRESENT) === 0 || (pte & PTE_SPECIAL) !== 0) continue;
    const head = frames.headOf(pageTable.frameAt(region, i));
    const pages = 1 << frames.order[head];
    if (pages > 1) {
      n = folioPteBatch(memory, pageTable, region, i, to);
      if (n < pages) {
        if (!folioMappedShared(memory, head) && splitFolio(memory, head) === 0) n = 0; // again, as a small page
        continue;
      }
    }
    if ((frames.flags[head] & PG_lru) === 0 || frames.folioMapcount(head) !== pages) continue;
    choose(memory, head, isolate, found);
  }
}

function choose(memory: Memory, head: number, isolate: boolean, found: number[]): void {
  const { frames } = memory;
  frames.flags[head] &= ~PG_referenced;
  if (isolate) {
    if (!folioIsolateLru(memory, head)) return;
    if ((frames.flags[head] & PG_unevictable) !== 0) {
      folioPutbackLru(memory, head);
      return;
    }
  }
  found.push(head);
}
