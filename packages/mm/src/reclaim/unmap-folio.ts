/**
 * Unmapping a folio everywhere, for reclaim.
 *
 * The entry is cleared first and references are looked at afterwards, which is the reclaiming half of Q-03. Anonymous pages
 * leave a swap entry behind that remembers whether they were exclusive. That mark is given up only while nobody can have
 * pinned the page; otherwise the entry is put back and the folio stays. Pages whose content may be thrown away
 * (MADV_FREE) leave nothing, unless they were written to since, or anybody else holds a reference.
 * Left out: hugetlb folios and poisoned pages, device-exclusive entries.
 * Source followed: mm/rmap.c `try_to_unmap_one`, `folio_unmap_pte_batch` (6.18). Where that kernel is recorded, a huge
 * mapping is split even when the whole folio could be thrown away at once.
 */
import { PG_anon, PG_anonExclusive, PG_dirty, PG_swapbacked } from '../frames/frames';
import { splitHugePmd } from '../huge/huge-memory';
import { Mechanism, placeOf } from '../mechanism';
import type { Memory } from '../memory';
import { mlockVmaFolio, munlockVmaFolio } from '../process/mlock-folio';
import { folioMarkDirty } from '../page-cache/page-cache';
import { PAGE_SIZE } from '../frames/page-size';
import {
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_SOFT_DIRTY,
  PTE_SWAP,
  PTE_SWP_EXCLUSIVE,
  PTE_UFFD_WP,
  PTE_WRITE,
  PTRS_PER_TABLE,
} from '../process/page-table';
import type { PageTable } from '../process/page-table';
import { folioRemoveRmapPte, rmapWalk } from '../frames/rmap';
import type { MappedAt } from '../frames/rmap';
import { swapDuplicate, swapFree } from './swap';
import { VM_LOCKED, VM_UFFD_WP } from '../process/vma-flags';

/** Bits in which entries of one folio may differ and still be handled together. `folio_pte_batch`. */
const BATCH_IGNORES = PTE_ACCESSED | PTE_DIRTY | PTE_SOFT_DIRTY | PTE_WRITE;

/**
 * Unmaps the folio, of which the caller holds a reference, wherever it is mapped. Look at `folioMapcount` afterwards: it
 * may stay mapped. Swap-backed anonymous folios must be in the swap cache. Task context. `try_to_unmap`.
 */
export function tryToUnmap(memory: Memory, head: number): void {
  const { frames } = memory;
  if (frames.order[head] !== 0) splitHugeMappings(memory, head);
  rmapWalk(memory, head, (at) => {
    if ((at.vma.flags & VM_LOCKED) !== 0) {
      // Somebody mlocked the area before the folio came there; it is put right now.
      if (frames.order[head] === 0) mlockVmaFolio(memory, head, at.vma, true);
      return false;
    }
    const mayGoOn = tryToUnmapOne(memory, head, at);
    return mayGoOn && frames.folioMapcount(head) !== 0;
  });
}

/** `TTU_SPLIT_HUGE_PMD`. Locked areas keep their huge mapping. */
function splitHugeMappings(memory: Memory, head: number): void {
  rmapWalk(memory, head, ({ mm, vma, region, index }) => {
    if (index < 0 && (vma.flags & VM_LOCKED) === 0) splitHugePmd(mm, vma, region);
    return true;
  });
}

/** The entry of one page, or those of several where all can go at once. False ends the walk. */
function tryToUnmapOne(memory: Memory, head: number, at: MappedAt): boolean {
  const { frames } = memory;
  const { mm, region, index, pfn } = at;
  const { pageTable } = mm;
  const table = pageTable.tableOf(region);
  const pte = pageTable.flagsAt(region, index);
  if (index < 0 || (pte & PTE_PRESENT) === 0) return true;
  const folio = frames.flags[head];
  if ((folio & PG_anon) === 0) {
    pageTable.clear(table, index);
    if ((pte & PTE_UFFD_WP) !== 0) pageTable.set(table, index, 0, PTE_UFFD_WP); // the protection outlives the page
    if ((pte & PTE_DIRTY) !== 0) folioMarkDirty(memory, head);
    dropMapping(memory, head, at);
    return true;
  }
  if ((folio & PG_swapbacked) === 0) return discardLazyfree(memory, head, at);
  pageTable.clear(table, index);
  if ((pte & PTE_DIRTY) !== 0) folioMarkDirty(memory, head);
  const slot = memory.swap.slotOf(head) + (pfn - head);
  swapDuplicate(memory, slot);
  const exclusive = memory.profile.cowReuse === 'exclusive' && (frames.flags[pfn] & PG_anonExclusive) !== 0;
  if (exclusive && !folioTryShareAnonRmap(memory, pfn)) {
    swapFree(memory, slot);
    pageTable.set(table, index, pfn, pte);
    return false;
  }
  if (memory.mechanisms.on) memory.mechanisms.emit(Mechanism.swapOut, pfn, 0, placeOf(mm, region, index));
  const kept = pte & (PTE_SOFT_DIRTY | PTE_UFFD_WP);
  pageTable.set(table, index, slot, PTE_SWAP | kept | (exclusive ? PTE_SWP_EXCLUSIVE : 0));
  dropMapping(memory, head, at);
  return true;
}

/** gives up that a page is exclusive; refused while it may be pinned. `folio_try_share_anon_rmap_pte`. */
export function folioTryShareAnonRmap(memory: Memory, pfn: number): boolean {
  if (memory.gup.folioMaybeDmaPinned(pfn)) return false;
  memory.frames.flags[pfn] &= ~PG_anonExclusive;
  return true;
}

/**
 * A page that was given up by MADV_FREE and not written to since goes without a trace. A write makes it worth keeping
 * again; a reference, which could be a device that writes, keeps it for now (section 14).
 */
function discardLazyfree(memory: Memory, head: number, at: MappedAt): boolean {
  const { frames } = memory;
  const { mm, region, index, pfn } = at;
  const { pageTable } = mm;
  const table = pageTable.tableOf(region);
  const n = lazyfreeBatch(memory, at);
  let pte = pageTable.flagsAt(region, index);
  for (let i = 0; i < n; i++) {
    pte |= pageTable.flagsAt(region, index + i) & (PTE_DIRTY | PTE_ACCESSED);
    pageTable.clear(table, index + i);
  }
  if ((pte & PTE_DIRTY) !== 0) folioMarkDirty(memory, head);
  const isDirty = (frames.flags[head] & PG_dirty) !== 0;
  if (isDirty || frames.refcount[head] !== 1 + frames.folioMapcount(head)) {
    for (let i = 0; i < n; i++) pageTable.set(table, index + i, pfn + i, pte);
    if (isDirty) frames.flags[head] |= PG_swapbacked;
    return false;
  }
  if (memory.mechanisms.on) memory.mechanisms.emit(Mechanism.discarded, pfn, 0, placeOf(mm, region, index));
  for (let i = 0; i < n; i++) dropMapping(memory, head, { ...at, pfn: pfn + i });
  return true;
}

/** How many entries from here on map the following pages of the folio alike. `folio_unmap_pte_batch`. */
function lazyfreeBatch(memory: Memory, { mm, vma, address, region, index, pfn }: MappedAt): number {
  if (memory.frames.order[pfn] === 0 || (vma.flags & VM_UFFD_WP) !== 0) return 1;
  const room = Math.min(PTRS_PER_TABLE - index, (vma.end - address) / PAGE_SIZE);
  return folioPteBatch(memory, mm.pageTable, region, index, Math.min(PTRS_PER_TABLE, index + room));
}

/**
 * How many entries from `index` on, below `end`, map pages of one folio one after the other, alike but for accessed, dirty
 * and writable bits. The entry at `index` must be present. `folio_pte_batch`.
 */
export function folioPteBatch(
  memory: Memory,
  pageTable: PageTable,
  region: number,
  index: number,
  end: number,
): number {
  const { frames } = memory;
  const pfn = pageTable.frameAt(region, index);
  const last = frames.headOf(pfn) + (1 << frames.order[pfn]);
  const pte = pageTable.flagsAt(region, index) & ~BATCH_IGNORES;
  let n = 1;
  while (index + n < end && pfn + n < last) {
    if ((pageTable.flagsAt(region, index + n) & ~BATCH_IGNORES) !== pte) break;
    if (pageTable.frameAt(region, index + n) !== pfn + n) break;
    n++;
  }
  return n;
}

function dropMapping(memory: Memory, head: number, { vma, pfn }: MappedAt): void {
  folioRemoveRmapPte(memory, pfn, vma);
  munlockVmaFolio(memory, head, vma);
  memory.frames.put(head, 1);
}
