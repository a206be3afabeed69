/**
 * The reverse map: counts of mappings, and from a folio back to the entries that map it.
 *
 * The `folioAdd*` and `folioRemove*` functions keep `mapcount` (per page), `largeMapcount` and `entireMapcount` (per large
 * folio); the reference that each mapping holds is the caller's to take and drop, as in the kernel. A walk goes through
 * the areas that can map the folio: those of its `AnonVma`, or those of the mapped file, and looks at the one address in
 * each where the folio would be.
 * Any context; nothing yields. Source followed: mm/rmap.c, mm/page_vma_mapped.c (6.18).
 */
import { AddressSpace } from '../page-cache/address-space';
import { AnonVma, anonVmaPrepare } from './anon-vma';
import { PG_anon, PG_anonExclusive, PG_hugetlb, PG_swapbacked } from './frames';
import type { Memory } from '../memory';
import type { Mm } from '../process/mm';
import { PAGE_SIZE, PMD_ORDER } from './page-size';
import {
  PMD_HUGE,
  PTE_MIGRATION,
  PTE_PRESENT,
  PTE_SPECIAL,
  PTRS_PER_TABLE,
  indexOf,
  regionOf,
} from '../process/page-table';
import type { Vma } from '../process/vma';

/** A folio nobody else knows becomes the anonymous page at `address`: exclusive, mapped once. */
export function folioAddNewAnonRmap(memory: Memory, head: number, vma: Vma, address: number): void {
  const { frames } = memory;
  frames.mapping[head] = anonVmaPrepare(memory, vma).id;
  frames.index[head] = vma.pageIndexOf(address) | 0;
  frames.flags[head] |= PG_anon | PG_swapbacked | PG_anonExclusive;
  const order = frames.order[head];
  if (order === 0) {
    frames.mapcount[head] = 1;
  } else if (order >= PMD_ORDER) {
    frames.entireMapcount[head] = 1;
    addLargeMapcount(memory, head, vma, 1);
  } else {
    addLargeMapcount(memory, head, vma, 1 << order);
    for (let pfn = head; pfn < head + (1 << order); pfn++) {
      frames.mapcount[pfn] = 1;
      frames.flags[pfn] |= PG_anonExclusive;
    }
  }
}

/** The folio has become exclusive: only areas that come from this one can map it from now on. `folio_move_anon_rmap`. */
export function folioMoveAnonRmap(memory: Memory, head: number, vma: Vma): void {
  if (vma.anonVma !== null) memory.frames.mapping[head] = vma.anonVma.id;
}

/** A huge page of a pool becomes the anonymous page at `address`. `hugetlb_add_new_anon_rmap`. */
export function hugetlbAddNewAnonRmap(memory: Memory, head: number, vma: Vma, address: number): void {
  const { frames } = memory;
  frames.mapping[head] = anonVmaPrepare(memory, vma).id;
  frames.index[head] = vma.pageIndexOf(address) | 0;
  frames.flags[head] |= PG_anon | PG_anonExclusive;
  frames.entireMapcount[head] = 1;
  frames.largeMapcount[head] = 1;
}

/** `n` entries map as many pages of a large anonymous folio from `pfn` on. `folio_add_anon_rmap_ptes`. */
export function folioAddAnonRmapPtes(memory: Memory, pfn: number, n: number, vma: Vma, exclusive: boolean): void {
  const { flags, mapcount } = memory.frames;
  for (let page = pfn; page < pfn + n; page++) {
    mapcount[page]++;
    if (exclusive) flags[page] |= PG_anonExclusive;
  }
  addLargeMapcount(memory, memory.frames.headOf(pfn), vma, n);
}

/** One more entry of `vma` maps a page. `folio_add_file_rmap_pte`, and `folio_dup_*_rmap_pte` of fork. */
export function folioAddFileRmapPte(memory: Memory, pfn: number, vma: Vma): void {
  const { frames } = memory;
  frames.mapcount[pfn]++;
  if (frames.order[pfn] !== 0) addLargeMapcount(memory, frames.headOf(pfn), vma, 1);
}

/** One more huge mapping of the folio. `folio_add_*_rmap_pmd`, `folio_try_dup_anon_rmap_pmd`. */
export function folioAddRmapPmd(memory: Memory, head: number, vma: Vma): void {
  memory.frames.entireMapcount[head]++;
  addLargeMapcount(memory, head, vma, 1);
}

/** One entry less. `folio_remove_rmap_pte`. */
export function folioRemoveRmapPte(memory: Memory, pfn: number, vma: Vma): void {
  const { frames } = memory;
  frames.mapcount[pfn]--;
  if (frames.order[pfn] !== 0) subLargeMapcount(memory, frames.headOf(pfn), vma, 1);
}

/** One huge mapping less. `folio_remove_rmap_pmd`. */
export function folioRemoveRmapPmd(memory: Memory, head: number, vma: Vma): void {
  memory.frames.entireMapcount[head]--;
  subLargeMapcount(memory, head, vma, 1);
}

function addLargeMapcount(memory: Memory, head: number, vma: Vma, n: number): void {
  const { frames } = memory;
  frames.largeMapcount[head] += n;
  if (vma.mm !== null && (frames.flags[head] & PG_hugetlb) === 0) {
    memory.mmIds.added(head, vma.mm, n, frames.largeMapcount[head]);
  }
}

function subLargeMapcount(memory: Memory, head: number, vma: Vma, n: number): void {
  const { frames } = memory;
  frames.largeMapcount[head] -= n;
  if (vma.mm !== null && (frames.flags[head] & PG_hugetlb) === 0) {
    memory.mmIds.removed(head, vma.mm, n, frames.largeMapcount[head]);
  }
}

/** A place where a folio is mapped, or where a migration entry stands for it. */
export interface MappedAt {
  readonly mm: Mm;
  readonly vma: Vma;
  readonly address: number;
  readonly region: number;
  /** Index in the region's table; -1 for a huge mapping. */
  readonly index: number;
  /** The page; of a huge mapping the first of the region. */
  readonly pfn: number;
}

/** Visits every entry that maps a page of the folio until `visit` says false. It may clear the entry it is shown. */
export function rmapWalk(memory: Memory, head: number, visit: (at: MappedAt) => boolean): void {
  const { frames } = memory;
  const owner = memory.owner(frames.mapping[head]);
  if (owner instanceof AnonVma || owner instanceof AddressSpace) {
    for (const vma of [...owner.vmas]) if (!walkVma(memory, vma, head, visit)) return;
  } else {
    for (const place of owner?.mappedBy?.(head) ?? []) {
      if (!walkAddress(memory, place.vma, place.address, head, visit)) return;
    }
  }
}

/** The pages of the folio that could lie in one area. `page_vma_mapped_walk`. */
function walkVma(memory: Memory, vma: Vma, head: number, visit: (at: MappedAt) => boolean): boolean {
  const { frames } = memory;
  const pages = 1 << frames.order[head];
  const areaPages = (vma.end - vma.start) / PAGE_SIZE;
  let k = 0;
  while (k < pages) {
    // Both are modulo 2^32, so the difference is right for areas of up to 16 TiB.
    const at = ((frames.index[head] + k - (vma.pageOffset | 0)) | 0) >>> 0;
    if (at >= areaPages) {
      k++;
      continue;
    }
    const address = vma.start + at * PAGE_SIZE;
    const mm = vma.mm;
    if (mm === null) return true;
    const region = regionOf(address);
    if (mm.pageTable.tableOf(region) === PMD_HUGE) {
      if (!walkAddress(memory, vma, address, head, visit)) return false;
      if ((frames.flags[head] & PG_hugetlb) !== 0) return true; // One mapping, of 1 GiB too.
      k += PTRS_PER_TABLE - indexOf(address);
      continue;
    }
    if (!walkAddress(memory, vma, address, head, visit)) return false;
    k++;
  }
  return true;
}

function walkAddress(
  memory: Memory,
  vma: Vma,
  address: number,
  head: number,
  visit: (at: MappedAt) => boolean,
): boolean {
  const { mm } = vma;
  if (mm === null) return true;
  const region = regionOf(address);
  const index = indexOf(address);
  const pte = mm.pageTable.flagsAt(region, index);
  if ((pte & (PTE_PRESENT | PTE_MIGRATION)) === 0 || (pte & PTE_SPECIAL) !== 0) return true;
  const isHuge = mm.pageTable.tableOf(region) === PMD_HUGE;
  const pfn = isHuge ? mm.pageTable.hugeHead(region) : mm.pageTable.frameAt(region, index);
  if (memory.frames.headOf(pfn) !== head) return true;
  return visit({ mm, vma, address, region, index: isHuge ? -1 : index, pfn });
}

/** Whether more than one address space maps the folio, as far as the kernel knows (`MmIds`). `folio_maybe_mapped_shared`. */
export function folioMappedShared(memory: Memory, head: number): boolean {
  const { frames } = memory;
  if (frames.folioMapcount(head) <= 1) return false;
  if (frames.order[head] === 0 || (frames.flags[head] & PG_hugetlb) !== 0) return true;
  return memory.mmIds.isShared(head);
}
