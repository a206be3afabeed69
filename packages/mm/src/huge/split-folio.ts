/**
 * Splitting a large anonymous folio into its pages.
 *
 * All that refers to the folio must be known: mappings, the swap cache and the caller. A pin or any other reference makes
 * the split fail with -EAGAIN, since its holder counts on the folio (section 14). The pages stay where they are, each with
 * the mappings, marks and content it had; pages nobody maps are free. Pages full of zeros are given up: their
 * entries show the zero page from then on (`RMP_USE_SHARED_ZEROPAGE`).
 * The kernel replaces the entries by migration entries meanwhile; here nothing yields, so they are changed in place.
 * Left out: folios of files, splitting into folios that are still large, the list for deferred splits (all frames are
 * looked at instead), splitting of huge pages that are mostly zeros when memory is short.
 * Source followed: mm/huge_memory.c `__folio_split`, `split_huge_pages_pid`, mm/migrate.c
 * `try_to_map_unused_to_zeropage` (6.18).
 */
import { EAGAIN, EBUSY, EINVAL } from '@pincushion/sim';
import {
  PG_anon,
  PG_anonExclusive,
  PG_dirty,
  PG_hasBytes,
  PG_head,
  PG_hugetlb,
  PG_hwpoison,
  PG_lru,
  PG_mlocked,
  PG_swapcache,
  PG_writeback,
} from '../frames/frames';
import { splitHugePmd } from './huge-memory';
import { Mechanism } from '../mechanism';
import type { Memory } from '../memory';
import { mlockVmaFolio, munlockVmaFolio } from '../process/mlock-folio';
import type { Mm } from '../process/mm';
import { vmPageProt } from '../process/page-protection';
import { PAGE_SIZE } from '../frames/page-size';
import {
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_SOFT_DIRTY,
  PTE_SPECIAL,
  PTE_UFFD_WP,
  PTE_WRITE,
  indexOf,
  regionOf,
} from '../process/page-table';
import { rmapWalk } from '../frames/rmap';
import type { MappedAt } from '../frames/rmap';
import { freeSwapCache } from '../reclaim/swap';
import { VM_HUGETLB, VM_LOCKED, VM_PFNMAP } from '../process/vma-flags';
import { ZERO_PFN } from '../frames/zero-page';

/** Marks a page of a large folio has of its own; all others are those of the folio. */
const PER_PAGE = PG_anonExclusive | PG_hasBytes | PG_hwpoison;

/** Whether mappings, the swap cache and the caller, who has `callerReferences`, are all who refer to the folio. */
export function canSplitFolio(memory: Memory, head: number, callerReferences: number): boolean {
  const { frames } = memory;
  const inSwapCache = (frames.flags[head] & PG_swapcache) !== 0;
  const cached = inSwapCache ? 1 << frames.order[head] : 0;
  return frames.largeMapcount[head] === frames.refcount[head] - cached - callerReferences;
}

/**
 * Splits the large anonymous folio at `head`; `callerReferences` references are the caller's and stay with its first page.
 * 0; -EAGAIN when somebody else refers to it; -EBUSY when it is being written or is not mapped; -EINVAL for what is no
 * large anonymous folio. Task context. `split_folio`.
 */
export function splitFolio(memory: Memory, head: number, callerReferences = 0): number {
  const error = splitError(memory, head, callerReferences);
  if (error !== 0) {
    memory.vmstat.thpSplitPageFailed++;
    return error;
  }
  const places = placesOf(memory, head);
  if (memory.mechanisms.on) memory.mechanisms.emit(Mechanism.splitFolio, head, 0, 0);
  for (const place of places) unmapPlace(memory, head, place);
  const pages = breakUp(memory, head, callerReferences);
  for (const place of places) remap(memory, place);
  memory.vmstat.thpSplitPage++;
  for (let pfn = head; pfn < head + pages; pfn++) {
    freeSwapCache(memory, pfn);
    memory.frames.put(pfn, 1);
  }
  return 0;
}

function splitError(memory: Memory, head: number, callerReferences: number): number {
  const { frames } = memory;
  const flags = frames.flags[head];
  if (frames.order[head] === 0 || (flags & (PG_anon | PG_hugetlb)) !== PG_anon) return -EINVAL;
  if ((flags & PG_writeback) !== 0 || frames.largeMapcount[head] === 0) return -EBUSY;
  return canSplitFolio(memory, head, callerReferences) ? 0 : -EAGAIN;
}

/** All small entries that map the folio, after its huge mappings were split. */
function placesOf(memory: Memory, head: number): MappedAt[] {
  rmapWalk(memory, head, ({ mm, vma, region, index }) => {
    if (index < 0) splitHugePmd(mm, vma, region);
    return true;
  });
  const places: MappedAt[] = [];
  rmapWalk(memory, head, (place) => {
    places.push(place);
    return true;
  });
  return places;
}

/** What an entry knows of writes goes to the folio, all of it, and its area's lock is off until `remap`. `try_to_migrate_one`. */
function unmapPlace(memory: Memory, head: number, { mm, vma, region, index }: MappedAt): void {
  if ((mm.pageTable.flagsAt(region, index) & PTE_DIRTY) !== 0) memory.frames.flags[head] |= PG_dirty;
  if ((vma.flags & VM_LOCKED) !== 0) munlockVmaFolio(memory, head, vma);
}

/** Makes each page a folio with its mappings' references, and one of ours. The number of pages. `__split_unmapped_folio`. */
function breakUp(memory: Memory, head: number, callerReferences: number): number {
  const { frames, swap } = memory;
  const pages = 1 << frames.order[head];
  const shared = frames.flags[head] & ~(PER_PAGE | PG_head);
  const slot = swap.slotOf(head);
  const cached = slot !== 0 ? 1 : 0;
  memory.mmIds.forget(head);
  for (let i = 0; i < pages; i++) {
    const pfn = head + i;
    frames.flags[pfn] = shared | (frames.flags[pfn] & PER_PAGE);
    frames.order[pfn] = 0;
    frames.refcount[pfn] = frames.mapcount[pfn] + cached + 1;
    frames.mapping[pfn] = frames.mapping[head];
    frames.index[pfn] = (frames.index[head] + i) | 0;
    if (cached !== 0) swap.enter(pfn, slot + i, 1);
    if (memory.lru.on && i > 0 && (shared & PG_lru) !== 0) memory.lru.add(pfn);
  }
  frames.refcount[head] += callerReferences;
  frames.largeMapcount[head] = 0;
  frames.entireMapcount[head] = 0;
  return pages;
}

/** An entry shows the page it showed, now a small folio; a page of zeros makes way. `remove_migration_pte`. */
function remap(memory: Memory, { mm, vma, region, index, pfn }: MappedAt): void {
  const { frames, bytes } = memory;
  const { pageTable } = mm;
  const pte = pageTable.flagsAt(region, index);
  const isLocked = (vma.flags & VM_LOCKED) !== 0 || (frames.flags[pfn] & PG_mlocked) !== 0;
  const isZero = (frames.flags[pfn] & PG_hasBytes) === 0 || bytes.equal(pfn, ZERO_PFN);
  if (memory.profile.splitDropsZeros && !isLocked && isZero) {
    const kept = pte & (PTE_SOFT_DIRTY | PTE_UFFD_WP);
    const zero = (vmPageProt(vma) & ~PTE_WRITE) | PTE_SPECIAL | kept;
    pageTable.set(pageTable.tableOf(region), index, ZERO_PFN, zero);
    frames.mapcount[pfn]--;
    frames.put(pfn, 1);
  } else mlockVmaFolio(memory, pfn, vma, true);
}

/**
 * The shrinker for large folios: splits the anonymous ones of which a page is mapped nowhere any more, as far as nobody else
 * refers to them. Pages given up. Task context. `deferred_split_scan`.
 */
export function deferredSplitScan(memory: Memory): number {
  const { frames, vmstat } = memory;
  const before = vmstat.pgfree;
  for (const { start, buddy } of memory.zones) {
    const end = buddy === null ? start : buddy.untouched;
    for (let pfn = start; pfn < end; pfn += 1 << frames.order[pfn]) {
      if (frames.largeMapcount[pfn] !== 0 && isPartiallyMapped(memory, pfn)) splitFolio(memory, pfn);
    }
  }
  return vmstat.pgfree - before;
}

/** `folio_test_partially_mapped`; the kernel marks such folios when they become so. */
export function isPartiallyMapped(memory: Memory, head: number): boolean {
  const { frames } = memory;
  if ((frames.flags[head] & (PG_anon | PG_hugetlb)) !== PG_anon || frames.entireMapcount[head] !== 0) return false;
  for (let pfn = head; pfn < head + (1 << frames.order[head]); pfn++) if (frames.mapcount[pfn] === 0) return true;
  return false;
}

/**
 * What writing to /sys/kernel/debug/split_huge_pages does: splits the large anonymous folios that are mapped in
 * [start, end). How many were split. Task context.
 */
export function splitHugePages(mm: Mm, start: number, end: number): number {
  const { memory } = mm;
  let split = 0;
  for (let address = start; address < end; address += PAGE_SIZE) {
    const vma = mm.vmas.lookup(address);
    if (vma === null || (vma.flags & (VM_HUGETLB | VM_PFNMAP)) !== 0) continue;
    const region = regionOf(address);
    const index = indexOf(address);
    const pte = mm.pageTable.flagsAt(region, index);
    if ((pte & (PTE_PRESENT | PTE_SPECIAL)) !== PTE_PRESENT) continue;
    const pfn = mm.pageTable.frameAt(region, index);
    if (memory.frames.order[pfn] !== 0 && splitFolio(memory, memory.frames.headOf(pfn)) === 0) split++;
  }
  return split;
}
