/**
 * Huge mappings after they were made: splitting, copying, zapping, changing and moving them.
 *
 * A huge entry maps all of a folio at once and counts as one mapping with one reference. Splitting it replaces it by 512
 * small entries; the folio stays whole, and so do its pins. The huge zero folio is mapped without counting.
 * Splitting the folio itself is in split-folio.ts. Left out: huge pages of files and devices.
 * Source followed: mm/huge_memory.c `__split_huge_pmd_locked`, `copy_huge_pmd`, `zap_huge_pmd`, `change_huge_pmd`,
 * `move_huge_pmd`, `vma_adjust_trans_huge` (6.18).
 */
import { FAULT_FALLBACK } from '../faults/fault-flags';
import { PG_anon, PG_anonExclusive, PG_dirty } from '../frames/frames';
import { Mechanism, placeOf } from '../mechanism';
import { munlockVmaFolio } from '../process/mlock-folio';
import type { Mm } from '../process/mm';
import { CP_TRY_CHANGE_WRITABLE, canChangeWritable, pteModify, vmPageProt } from '../process/page-protection';
import {
  PMD_HUGE,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_SOFT_DIRTY,
  PTE_SPECIAL,
  PTE_UFFD_WP,
  PTE_WRITE,
  PTRS_PER_TABLE,
  REGION_BYTES,
  regionOf,
} from '../process/page-table';
import { folioAddAnonRmapPtes, folioAddRmapPmd, folioRemoveRmapPmd } from '../frames/rmap';
import { VM_HUGETLB, VM_UFFD_WP } from '../process/vma-flags';
import type { Vma } from '../process/vma';
import { ZERO_PFN } from '../frames/zero-page';

/** Maps a huge folio by 512 entries instead of one. The folio itself stays as it is, pins included. */
export function splitHugePmd(mm: Mm, vma: Vma, region: number): void {
  const { pageTable, memory } = mm;
  const { frames } = memory;
  const pte = pageTable.hugeFlags(region);
  memory.vmstat.thpSplitPmd++;
  if ((pte & PTE_SPECIAL) !== 0) {
    splitHugeZeroPmd(mm, vma, region);
    return;
  }
  const head = pageTable.hugeHead(region);
  if (memory.mechanisms.on) memory.mechanisms.emit(Mechanism.splitPmd, head, 0, placeOf(mm, region, 0));
  pageTable.splitHuge(region);
  // What the huge entry knew of writes goes to the folio as well: its small entries may go one by one.
  if ((pte & PTE_DIRTY) !== 0) frames.flags[head] |= PG_dirty;
  frames.get(head, PTRS_PER_TABLE - 1);
  folioAddAnonRmapPtes(memory, head, PTRS_PER_TABLE, vma, (frames.flags[head] & PG_anonExclusive) !== 0);
  folioRemoveRmapPmd(memory, head, vma); // a locked folio stays locked: the area still maps all of it
}

/** `__split_huge_zero_page_pmd`. */
function splitHugeZeroPmd(mm: Mm, vma: Vma, region: number): void {
  const { pageTable } = mm;
  const flags = vmPageProt(vma) | PTE_SPECIAL | (pageTable.hugeFlags(region) & PTE_UFFD_WP);
  const table = pageTable.splitHuge(region);
  for (let i = 0; i < PTRS_PER_TABLE; i++) pageTable.set(table, i, ZERO_PFN, flags & ~PTE_WRITE);
}

/** An area begins or ends at `address`: no huge mapping may cross it. `split_huge_pmd_if_needed`. */
export function splitHugePmdAt(mm: Mm, vma: Vma, address: number): void {
  if (address % REGION_BYTES === 0 || (vma.flags & VM_HUGETLB) !== 0) return;
  const region = regionOf(address);
  if (mm.pageTable.tableOf(region) === PMD_HUGE) splitHugePmd(mm, vma, region);
}

/** `zap_huge_pmd`: the whole region is unmapped. */
export function zapHugePmd(mm: Mm, vma: Vma, region: number): void {
  const { pageTable, memory } = mm;
  const head = pageTable.hugeHead(region);
  const pte = pageTable.hugeFlags(region);
  pageTable.clearHuge(region);
  if ((pte & PTE_SPECIAL) !== 0) return;
  memory.ledger.coherence?.partedRow(mm, region * REGION_BYTES, head, PTRS_PER_TABLE);
  folioRemoveRmapPmd(memory, head, vma);
  munlockVmaFolio(memory, head, vma);
  memory.frames.put(head, 1);
}

/**
 * `copy_huge_pmd` of fork: both map the folio, read-only, and it is nobody's alone. When the parent may have pinned it, its
 * mapping is split and the answer is FAULT_FALLBACK: the small entries are copied one by one (section 11). 0 otherwise.
 */
export function copyHugePmd(child: Mm, parent: Mm, dstVma: Vma, srcVma: Vma, region: number): number {
  const { memory } = parent;
  const { frames } = memory;
  const pte = parent.pageTable.hugeFlags(region);
  const head = parent.pageTable.hugeHead(region);
  if ((pte & PTE_SPECIAL) !== 0) memory.hugeZero.get(child);
  else {
    const { profile } = memory;
    const mayBePinned = profile.forkCopiesPinned && parent.hasPinned && memory.scheme.isPinned(head) !== 'no';
    const isExclusive = (frames.flags[head] & PG_anonExclusive) !== 0;
    if (mayBePinned && (isExclusive || profile.cowReuse !== 'exclusive')) {
      splitHugePmd(parent, srcVma, region);
      return FAULT_FALLBACK;
    }
    frames.flags[head] &= ~PG_anonExclusive;
    frames.get(head, 1);
    folioAddRmapPmd(memory, head, dstVma);
  }
  if (memory.mechanisms.on) memory.mechanisms.emit(Mechanism.forkShare, head, 0, placeOf(parent, region, 0));
  const shared = pte & ~PTE_WRITE;
  const kept = (dstVma.flags & VM_UFFD_WP) !== 0 ? shared : shared & ~PTE_UFFD_WP;
  parent.pageTable.setHugeFlags(region, shared);
  child.pageTable.setHuge(region, head, kept & ~PTE_ACCESSED);
  return 0;
}

/** `change_huge_pmd`: the whole region's area has new permissions. `cpFlags` are `CP_*`, see `changeProtection`. */
export function changeHugePmd(mm: Mm, vma: Vma, region: number, cpFlags: number): void {
  const { pageTable, memory } = mm;
  const { flags } = memory.frames;
  const head = pageTable.hugeHead(region);
  const isExclusive = (flags[head] & (PG_anon | PG_anonExclusive)) === (PG_anon | PG_anonExclusive);
  let pte = pteModify(vma, pageTable.hugeFlags(region), cpFlags);
  if ((cpFlags & CP_TRY_CHANGE_WRITABLE) !== 0 && canChangeWritable(vma, pte, isExclusive)) pte |= PTE_WRITE;
  pageTable.setHugeFlags(region, pte);
}

/** `move_huge_pmd`: to an empty region of the same address space. */
export function moveHugePmd(mm: Mm, vma: Vma, fromRegion: number, toRegion: number): void {
  const { pageTable } = mm;
  const head = pageTable.hugeHead(fromRegion);
  const flags = pageTable.hugeFlags(fromRegion) | PTE_SOFT_DIRTY;
  pageTable.clearHuge(fromRegion);
  mm.memory.ledger.coherence?.partedRow(mm, fromRegion * REGION_BYTES, head, PTRS_PER_TABLE);
  pageTable.setHuge(toRegion, head, (vma.flags & VM_UFFD_WP) !== 0 ? flags & ~PTE_UFFD_WP : flags);
}
