/**
 * Faults that make or meet a transparent huge page mapped as a whole.
 *
 * The first access to an untouched, aligned 2 MiB of an area that wants huge pages maps all of it at once: a reader sees the
 * huge zero folio, a writer gets a folio of his own. A write to a huge page that is shared is handled page by page: the
 * mapping of the process that writes is split and one small page copied, unless nobody else refers to the folio.
 * When there is no huge folio to be had everything goes on with small pages.
 * Left out: huge pages of files, NUMA hints, memory cgroups, khugepaged's list of address spaces.
 * Source followed: mm/huge_memory.c `do_huge_pmd_anonymous_page`, `do_huge_pmd_wp_page`, mm/memory.c `wp_huge_pmd` (6.18).
 */
import type { MaySleep } from '@pincushion/sim';
import { anonVmaPrepare } from '../frames/anon-vma';
import { FAULT_FALLBACK, FAULT_UNSHARE, FAULT_WRITE, gfpOf } from './fault-flags';
import { PG_anonExclusive, PG_swapcache } from '../frames/frames';
import { splitHugePmd, zapHugePmd } from '../huge/huge-memory';
import { folioAddLruVma } from '../frames/lru';
import { Mechanism, placeOf } from '../mechanism';
import type { Memory } from '../memory';
import type { Mm } from '../process/mm';
import { vmPageProt, writtenBits } from '../process/page-protection';
import { PAGE_SIZE, PMD_ORDER } from '../frames/page-size';
import {
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_SOFT_DIRTY,
  PTE_SPECIAL,
  PTE_UFFD_WP,
  PTE_WRITE,
  PTRS_PER_TABLE,
  REGION_BYTES,
} from '../process/page-table';
import { folioAddNewAnonRmap, folioMoveAnonRmap } from '../frames/rmap';
import { folioFreeSwap } from '../reclaim/swap';
import type { Vma } from '../process/vma';

/** Whether a fault in the empty region may map a huge page. `thp_vma_allowable_order`, `thp_vma_suitable_order`. */
export function thpVmaAllowable(vma: Vma, region: number): boolean {
  if (vma.start > region * REGION_BYTES || vma.end < (region + 1) * REGION_BYTES) return false;
  return vma.mm !== null && (vma.mm.memory.thpOrders.allowable(vma) & (1 << PMD_ORDER)) !== 0;
}

/** `do_huge_pmd_anonymous_page`: the region is empty. 0, or FAULT_FALLBACK when there is no huge folio to be had. */
export function doHugePmdAnonymousPage(mm: Mm, vma: Vma, region: number, flags: number): MaySleep {
  const { memory } = mm;
  if ((flags & FAULT_WRITE) !== 0) {
    const head = allocAnonFolioPmd(mm, flags);
    if (head < 0) return FAULT_FALLBACK;
    if (memory.mechanisms.on) memory.mechanisms.emit(Mechanism.newHuge, head, 0, placeOf(mm, region, 0));
    mapAnonFolioPmd(mm, vma, region, head);
    return 0;
  }
  anonVmaPrepare(memory, vma);
  const zero = memory.hugeZero.get(mm);
  if (zero === 0) {
    memory.vmstat.thpFaultFallback++;
    return FAULT_FALLBACK;
  }
  if (memory.mechanisms.on) memory.mechanisms.emit(Mechanism.hugeZero, zero, 0, placeOf(mm, region, 0));
  mm.pageTable.setHuge(region, zero, (vmPageProt(vma) & ~PTE_WRITE) | PTE_SPECIAL);
  return 0;
}

/** A fault on a huge mapping. 0, or FAULT_FALLBACK after it was split. The middle part of `__handle_mm_fault`. */
export function hugePmdFault(mm: Mm, vma: Vma, region: number, _address: number, flags: number): MaySleep {
  const { pageTable } = mm;
  const pte = pageTable.hugeFlags(region);
  const isWrite = (flags & FAULT_WRITE) !== 0;
  if ((pte & PTE_WRITE) === 0 && (flags & (FAULT_WRITE | FAULT_UNSHARE)) !== 0) {
    // Asynchronous write protection by userfaultfd ends for one small page, not for all of them (`wp_huge_pmd`).
    if (!isWrite || (pte & PTE_UFFD_WP) === 0) return doHugePmdWpPage(mm, vma, region, flags);
    splitHugePmd(mm, vma, region);
    return FAULT_FALLBACK;
  }
  pageTable.setHugeFlags(region, pte | PTE_ACCESSED | (isWrite ? PTE_DIRTY | PTE_SOFT_DIRTY : 0));
  return 0;
}

/** `do_huge_pmd_wp_page`: a write to, or an unshare of, a read-only huge mapping. */
function doHugePmdWpPage(mm: Mm, vma: Vma, region: number, flags: number): number {
  const { memory, pageTable } = mm;
  const { frames, profile } = memory;
  const pte = pageTable.hugeFlags(region);
  const isZero = (pte & PTE_SPECIAL) !== 0;
  const head = pageTable.hugeHead(region);
  if (!isZero && canReuseHuge(memory, head, vma)) {
    if (memory.mechanisms.on) {
      const isOwn = (frames.flags[head] & PG_anonExclusive) !== 0;
      memory.mechanisms.emit(isOwn ? Mechanism.keepOwn : Mechanism.takeOver, head, 0, placeOf(mm, region, 0));
    }
    frames.flags[head] |= PG_anonExclusive;
    if ((flags & FAULT_UNSHARE) === 0) pageTable.setHugeFlags(region, pte | PTE_ACCESSED | writtenBits(vma));
    return 0;
  }
  if (isZero ? profile.hugeZeroWriteStaysHuge : !profile.hugeCowSplits) {
    const huge = allocAnonFolioPmd(mm, flags);
    if (huge >= 0) {
      if (!isZero) for (let i = 0; i < PTRS_PER_TABLE; i++) memory.bytes.copy(huge + i, 0, head + i, 0, PAGE_SIZE);
      zapHugePmd(mm, vma, region);
      mapAnonFolioPmd(mm, vma, region, huge);
      return 0;
    }
  }
  splitHugePmd(mm, vma, region);
  return FAULT_FALLBACK;
}

/** The folio is exclusive, or nobody but this one huge mapping refers to it, as in X-04. */
function canReuseHuge(memory: Memory, head: number, vma: Vma): boolean {
  const { frames, profile } = memory;
  const isExclusive = (frames.flags[head] & PG_anonExclusive) !== 0;
  if (isExclusive && profile.cowReuse === 'exclusive') return true;
  const inSwapCache = (frames.flags[head] & PG_swapcache) !== 0;
  if (profile.cowReuse === 'mapcount') {
    // Before 5.9: no page of it is mapped by anybody else (`page_trans_huge_mapcount`).
    return frames.largeMapcount[head] === 1 && (!inSwapCache || folioFreeSwap(memory, head));
  }
  if (frames.refcount[head] > 1 + (inSwapCache ? PTRS_PER_TABLE : 0)) return false;
  if (inSwapCache) folioFreeSwap(memory, head);
  if (frames.refcount[head] !== 1) return false;
  folioMoveAnonRmap(memory, head, vma);
  return true;
}

/** A huge folio for a fault, or -errno. `vma_alloc_anon_folio_pmd`. */
function allocAnonFolioPmd(mm: Mm, flags: number): number {
  const { memory } = mm;
  const head = memory.allocFolio(PMD_ORDER, gfpOf(flags));
  if (head < 0) memory.vmstat.thpFaultFallback++;
  else memory.vmstat.thpFaultAlloc++;
  return head;
}

/** Maps a new huge folio, with its content, in an empty region: writable as far as the area is, and dirty. */
export function mapAnonFolioPmd(mm: Mm, vma: Vma, region: number, head: number): void {
  const { memory } = mm;
  folioAddNewAnonRmap(memory, head, vma, region * REGION_BYTES);
  folioAddLruVma(memory, head, vma);
  mm.pageTable.setHuge(region, head, vmPageProt(vma) | writtenBits(vma));
}
