/**
 * Taking pages out of a page table.
 *
 * Unmapping drops the reference of the mapping; a pinned page lives on without one (munmap never waits for pins). The
 * entry is cleared before anybody looks at reference counts, which is the other half of Q-03. What an entry knew about a
 * file page goes to the page; entries that are not present give back what they stand for.
 * Left out: hwpoison entries, migration entries (none exists
 * when other code runs).
 * Source followed: mm/memory.c `unmap_page_range`, `zap_pte_range`, `zap_nonpresent_ptes` (6.18).
 */
import { PG_anon, PG_referenced } from '../frames/frames';
import { splitHugePmd, zapHugePmd } from '../huge/huge-memory';
import { unmapHugetlbRange } from '../huge/hugetlb';
import { munlockVmaFolio } from './mlock-folio';
import type { Mm } from './mm';
import { folioMarkDirty } from '../page-cache/page-cache';
import { PAGE_SIZE } from '../frames/page-size';
import {
  PMD_HUGE,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_GUARD,
  PTE_PRESENT,
  PTE_SPECIAL,
  PTE_SWAP,
  PTE_UFFD_WP,
  REGION_BYTES,
  indexOf,
  regionOf,
} from './page-table';
import { folioRemoveRmapPte } from '../frames/rmap';
import { freeSwap, freeSwapCache } from '../reclaim/swap';
import { VM_HUGETLB } from './vma-flags';
import type { Vma } from './vma';
import { ZAP_DROP_MARKERS, ZAP_KEEP_COWS } from './zap-flags';

const SPECIAL = PTE_SPECIAL;
const PRESENT = PTE_PRESENT;

/**
 * Unmaps every page of [start, end), page aligned, area by area. Frees what has no other reference. Nothing outside of
 * areas has entries. `options` are `ZAP_*`. `zap_page_range`.
 */
export function zapRange(mm: Mm, start: number, end: number, options = 0): void {
  const areas = mm.vmas.all;
  mm.tlb?.remember(start, end, true);
  for (let i = mm.vmas.indexAfter(start); i < areas.length && areas[i].start < end; i++) {
    const vma = areas[i];
    zapVmaRange(mm, vma, Math.max(start, vma.start), Math.min(end, vma.end), options);
  }
  mm.tlb?.flush();
}

/** The part of `zapRange` inside one area. `unmap_single_vma`. */
export function zapVmaRange(mm: Mm, vma: Vma, start: number, end: number, options = 0): void {
  if ((vma.flags & VM_HUGETLB) !== 0) {
    unmapHugetlbRange(mm, vma, start, end, (options & ZAP_DROP_MARKERS) !== 0);
    return;
  }
  const { pageTable } = mm;
  const lastRegion = Math.ceil(end / REGION_BYTES);
  let region = pageTable.nextRegion(regionOf(start), lastRegion);
  while (region < lastRegion) {
    const from = Math.max(start, region * REGION_BYTES);
    const to = Math.min(end, (region + 1) * REGION_BYTES);
    if (pageTable.tableOf(region) === PMD_HUGE) {
      if (to - from === REGION_BYTES) zapHugePmd(mm, vma, region);
      else splitHugePmd(mm, vma, region);
    }
    const table = pageTable.tableOf(region);
    if (table > 0) {
      zapPteRange(mm, vma, region, table, indexOf(from), indexOf(to - 1) + 1, options);
      // A table goes when all of it was to be emptied at once, else with its last area (`try_to_free_pte`).
      if (to - from === REGION_BYTES) pageTable.freeTableIfEmpty(region);
    }
    region = pageTable.nextRegion(region + 1, lastRegion);
  }
}

/** Unmaps entries [from, to) of one table, that of `region`. `zap_pte_range`. */
function zapPteRange(mm: Mm, vma: Vma, region: number, table: number, from: number, to: number, options: number): void {
  const { pageTable } = mm;
  const { coherence } = mm.memory.ledger;
  const ptes = pageTable.flagsOf(table);
  const pfns = pageTable.framesOf(table);
  const base = pageTable.baseOf(table);
  for (let i = from; i < to; i++) {
    const pte = ptes[base + i];
    if (pte === 0) continue;
    const pfn = pfns[base + i];
    if ((pte & PRESENT) === 0) {
      if (!zapNonpresentPte(mm, vma, pfn, pte, options)) continue;
      pageTable.clear(table, i);
    } else if ((pte & SPECIAL) !== 0) {
      pageTable.clear(table, i);
    } else {
      if ((options & ZAP_KEEP_COWS) !== 0 && isAnon(mm, pfn)) continue;
      pageTable.clear(table, i);
      if (coherence !== null) coherence.parted(mm, region * REGION_BYTES + i * PAGE_SIZE, pfn);
      zapPresentPage(mm, vma, pfn, pte);
    }
    if ((pte & PTE_UFFD_WP) !== 0 && keepsMarkers(vma, options)) pageTable.set(table, i, 0, PTE_UFFD_WP);
  }
}

/** The page of a present entry that has been cleared. `zap_present_folio_ptes`. */
function zapPresentPage(mm: Mm, vma: Vma, pfn: number, pte: number): void {
  const { memory } = mm;
  const { frames } = memory;
  const head = frames.headOf(pfn);
  const anonymous = (frames.flags[head] & PG_anon) !== 0;
  if (!anonymous) {
    if ((pte & PTE_DIRTY) !== 0) folioMarkDirty(memory, head);
    if ((pte & PTE_ACCESSED) !== 0) frames.flags[head] |= PG_referenced;
  }
  folioRemoveRmapPte(memory, pfn, vma);
  munlockVmaFolio(memory, head, vma);
  if (anonymous) freeSwapCache(memory, head);
  frames.put(head, 1);
}

/** Gives back what an entry that is not present stands for. False: the entry stays. `zap_nonpresent_ptes`. */
function zapNonpresentPte(mm: Mm, vma: Vma, field: number, pte: number, options: number): boolean {
  if ((pte & PTE_SWAP) !== 0) {
    if ((options & ZAP_KEEP_COWS) !== 0) return false;
    freeSwap(mm.memory, field);
    return true;
  }
  if ((pte & PTE_GUARD) !== 0) return (options & ZAP_DROP_MARKERS) !== 0;
  return vma.isAnonymous || (options & ZAP_DROP_MARKERS) !== 0;
}

/** Whether userfaultfd's protection outlives the page: in mappings of files it does. `zap_install_uffd_wp_if_needed`. */
function keepsMarkers(vma: Vma, options: number): boolean {
  return !vma.isAnonymous && (options & ZAP_DROP_MARKERS) === 0;
}

function isAnon(mm: Mm, pfn: number): boolean {
  const { frames } = mm.memory;
  return (frames.flags[frames.headOf(pfn)] & PG_anon) !== 0;
}
