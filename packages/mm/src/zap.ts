/**
 * Taking pages out of a page table, and changing what a range allows.
 *
 * Unmapping drops the reference of the mapping; a pinned page lives on without one (munmap never waits
 * for pins). The entry is cleared before anybody looks at reference counts, which is the other half of Q-03.
 * Left out: TLB flush batching (no TLB is modelled), swap entries.
 * Source followed: mm/memory.c `zap_pte_range`, mm/huge_memory.c `__split_huge_pmd_locked`, mm/mprotect.c.
 */
import { PG_anon, PG_anonExclusive, PG_dirty, PG_referenced } from './frames';
import type { Mm } from './mm';
import {
  PMD_HUGE,
  PMD_NONE,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_PROTNONE,
  PTE_SPECIAL,
  PTE_WRITE,
  PTRS_PER_TABLE,
  REGION_BYTES,
  indexOf,
  regionOf,
} from './page-table';

const SPECIAL = PTE_SPECIAL;

/** Unmaps every page of [start, end), page aligned. Frees what has no other reference. `zap_page_range`. */
export function zapRange(mm: Mm, start: number, end: number): void {
  const { pageTable } = mm;
  const lastRegion = Math.ceil(end / REGION_BYTES);
  let region = pageTable.nextRegion(regionOf(start), lastRegion);
  while (region < lastRegion) {
    const from = Math.max(start, region * REGION_BYTES);
    const to = Math.min(end, (region + 1) * REGION_BYTES);
    if (pageTable.tableOf(region) === PMD_HUGE) {
      if (to - from === REGION_BYTES) zapHuge(mm, region);
      else splitHugePmd(mm, region);
    }
    const table = pageTable.tableOf(region);
    if (table > 0) {
      zapTable(mm, table, indexOf(from), indexOf(to - 1) + 1);
      pageTable.freeTableIfEmpty(region);
    }
    region = pageTable.nextRegion(region + 1, lastRegion);
  }
}

/** Unmaps entries [from, to) of one table. `zap_pte_range`. */
function zapTable(mm: Mm, table: number, from: number, to: number): void {
  const { pageTable } = mm;
  const { frames } = mm.memory;
  const ptes = pageTable.flagsOf(table);
  const pfns = pageTable.framesOf(table);
  const base = pageTable.baseOf(table);
  for (let i = from; i < to; i++) {
    const pte = ptes[base + i];
    if (pte === 0) continue;
    const pfn = pfns[base + i];
    pageTable.clear(table, i);
    if ((pte & SPECIAL) !== 0) continue;
    const head = frames.headOf(pfn);
    transferBits(frames.flags, head, pte);
    frames.mapcount[head]--;
    frames.put(head, 1);
  }
}

/** `zap_huge_pmd`. */
function zapHuge(mm: Mm, region: number): void {
  const { pageTable } = mm;
  const { frames } = mm.memory;
  const head = pageTable.hugeHead(region);
  const pte = pageTable.hugeFlags(region);
  pageTable.clearHuge(region);
  transferBits(frames.flags, head, pte);
  frames.mapcount[head]--;
  frames.put(head, 1);
}

/** What the mapping knew about a file page goes to the folio; an anonymous page's dirt is of no interest any more. */
function transferBits(flags: Int32Array, head: number, pte: number): void {
  if ((flags[head] & PG_anon) !== 0) return;
  if ((pte & PTE_DIRTY) !== 0) flags[head] |= PG_dirty;
  if ((pte & PTE_ACCESSED) !== 0) flags[head] |= PG_referenced;
}

/** Maps a huge folio by 512 entries instead of one. The folio itself stays as it is, pins included. */
export function splitHugePmd(mm: Mm, region: number): void {
  const { pageTable, memory } = mm;
  const { frames } = memory;
  const head = pageTable.hugeHead(region);
  pageTable.splitHuge(region);
  frames.get(head, PTRS_PER_TABLE - 1);
  frames.mapcount[head] += PTRS_PER_TABLE - 1;
  if ((frames.flags[head] & PG_anonExclusive) !== 0) {
    for (let i = 1; i < PTRS_PER_TABLE; i++) frames.flags[head + i] |= PG_anonExclusive;
  }
  memory.vmstat.thpSplitPmd++;
}

/**
 * Applies a change of permissions to the present entries of [start, end). Granting write leaves entries read-only: the
 * next write fault finds the page exclusive and keeps it. `change_protection`.
 */
export function protectRange(mm: Mm, start: number, end: number, writable: boolean, accessible: boolean): void {
  const { pageTable } = mm;
  const lastRegion = Math.ceil(end / REGION_BYTES);
  const keep = writable ? ~PTE_PROTNONE : ~(PTE_PROTNONE | PTE_WRITE);
  const add = accessible ? 0 : PTE_PROTNONE;
  let region = pageTable.nextRegion(regionOf(start), lastRegion);
  while (region < lastRegion) {
    const from = Math.max(start, region * REGION_BYTES);
    const to = Math.min(end, (region + 1) * REGION_BYTES);
    if (pageTable.tableOf(region) === PMD_HUGE) {
      if (to - from === REGION_BYTES) pageTable.setHugeFlags(region, (pageTable.hugeFlags(region) & keep) | add);
      else splitHugePmd(mm, region);
    }
    const table = pageTable.tableOf(region);
    if (table !== PMD_HUGE && table !== PMD_NONE) {
      const ptes = pageTable.flagsOf(table);
      const base = pageTable.baseOf(table);
      for (let i = base + indexOf(from); i <= base + indexOf(to - 1); i++) {
        if (ptes[i] !== 0) ptes[i] = (ptes[i] & keep) | add;
      }
    }
    region = pageTable.nextRegion(region + 1, lastRegion);
  }
}
