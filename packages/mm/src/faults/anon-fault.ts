/**
 * Faults on private anonymous memory that has no page yet.
 *
 * A reader is shown the one zero page, a writer gets a zeroed page of its own.
 * Left out: memory cgroups.
 * Source followed: mm/memory.c `do_anonymous_page`, `folio_prealloc` (6.18).
 */
import { ENOMEM } from '@pincushion/sim';
import { FAULT_UNSHARE, FAULT_WRITE, gfpOf } from './fault-flags';
import { folioAddLruVma } from '../frames/lru';
import { Mechanism, placeOf } from '../mechanism';
import type { Mm } from '../process/mm';
import { vmPageProt, writtenBits } from '../process/page-protection';
import { PAGE_SIZE } from '../frames/page-size';
import { PTE_SOFT_DIRTY, PTE_SPECIAL, PTE_UFFD_WP, PTE_WRITE, REGION_BYTES } from '../process/page-table';
import { folioAddNewAnonRmap } from '../frames/rmap';
import type { Vma } from '../process/vma';
import { VM_WRITE } from '../process/vma-flags';
import { ZERO_PFN } from '../frames/zero-page';

/** `do_anonymous_page`. The entry is empty or a userfaultfd marker, which a write resolves. 0 or -ENOMEM. */
export function doAnonymousPage(mm: Mm, vma: Vma, region: number, index: number, flags: number): number {
  const { pageTable } = mm;
  const marker = pageTable.flagsAt(region, index) & PTE_UFFD_WP;
  if ((flags & (FAULT_WRITE | FAULT_UNSHARE)) === 0) {
    pageTable.set(pageTable.ensureTable(region), index, ZERO_PFN, vmPageProt(vma) | PTE_SPECIAL | marker);
    const { mechanisms } = mm.memory;
    if (mechanisms.on) mechanisms.emit(Mechanism.zeroPage, ZERO_PFN, 0, placeOf(mm, region, index));
    return 0;
  }
  if (marker === 0 && mm.memory.thpOrders.allowable(vma) !== 0 && mapLargeFolio(mm, vma, region, index, flags))
    return 0;
  const pfn = newAnonPage(mm, flags);
  if (pfn < 0) return pfn;
  const { mechanisms } = mm.memory;
  if (mechanisms.on) mechanisms.emit(Mechanism.newPage, pfn, 0, placeOf(mm, region, index));
  // Unlike the copies of cow.ts, a fresh page that FOLL_FORCE writes to in a read-only area is mapped clean.
  mapNewAnonPage(mm, vma, region, index, pfn, (vma.flags & VM_WRITE) !== 0 ? flags : flags & ~FAULT_WRITE);
  return 0;
}

/**
 * Maps a new large folio, smaller than a region, around the page where the area may have one (mTHP). False: go on with a
 * small page. `alloc_anon_folio`.
 */
function mapLargeFolio(mm: Mm, vma: Vma, region: number, index: number, flags: number): boolean {
  const { memory, pageTable } = mm;
  const table = pageTable.ensureTable(region);
  const order = memory.thpOrders.orderBelowPmd(vma, pageTable, table, region * REGION_BYTES, index);
  const head = order === 0 ? -ENOMEM : memory.allocFolio(order, gfpOf(flags));
  if (head < 0) return false;
  const pages = 1 << order;
  const first = index & -pages;
  memory.frames.get(head, pages - 1);
  folioAddNewAnonRmap(memory, head, vma, region * REGION_BYTES + first * PAGE_SIZE);
  folioAddLruVma(memory, head, vma);
  const pte = vmPageProt(vma) | ((vma.flags & VM_WRITE) !== 0 ? writtenBits(vma) : 0);
  for (let i = 0; i < pages; i++) pageTable.set(table, first + i, head + i, pte);
  return true;
}

/** A zeroed page for a private mapping, with one reference that the entry will own; -ENOMEM. `folio_prealloc`. */
export function newAnonPage(mm: Mm, flags: number): number {
  const pfn = mm.memory.allocFolio(0, gfpOf(flags));
  return pfn < 0 ? -ENOMEM : pfn;
}

/**
 * Enters a page of `newAnonPage`, with its content, at an address; what was there must have been accounted for. It stays
 * protected for userfaultfd if the entry was: a write that meets the marker of a missing page takes a second fault.
 */
export function mapNewAnonPage(mm: Mm, vma: Vma, region: number, index: number, pfn: number, flags: number): void {
  folioAddNewAnonRmap(mm.memory, pfn, vma, region * REGION_BYTES + index * PAGE_SIZE);
  folioAddLruVma(mm.memory, pfn, vma);
  const before = mm.pageTable.flagsAt(region, index);
  let pte = vmPageProt(vma) | (before & PTE_UFFD_WP);
  if ((flags & FAULT_WRITE) !== 0) pte |= writtenBits(vma);
  else pte |= before & PTE_SOFT_DIRTY;
  if ((pte & PTE_UFFD_WP) !== 0) pte &= ~PTE_WRITE;
  mm.pageTable.set(mm.pageTable.ensureTable(region), index, pfn, pte);
}
