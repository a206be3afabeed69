/**
 * Soft-dirty: which pages a process has written since somebody asked to begin (/proc/pid/clear_refs, checkpointing tools).
 *
 * Clearing write-protects every entry, so that the next write takes a fault, which sets the bit again. A writable entry of
 * a page that may be pinned is left alone: the device could write at any time, and protecting it would tell nothing.
 * Areas made since are dirty as a whole until the next clearing.
 * Left out: the other kinds of clear_refs (accessed bits), PM_SCAN.
 * Source followed: fs/proc/task_mmu.c `clear_refs_write`, `clear_soft_dirty`, `pte_is_pinned` (6.18).
 */
import type { Mm } from './mm';
import { PAGE_SIZE } from '../frames/page-size';
import {
  PMD_HUGE,
  PTE_PRESENT,
  PTE_SOFT_DIRTY,
  PTE_SPECIAL,
  PTE_SWAP,
  PTE_WRITE,
  REGION_BYTES,
  TASK_SIZE,
  indexOf,
  regionOf,
} from './page-table';
import { VM_HUGETLB, VM_PFNMAP, VM_SOFTDIRTY_TRACKED } from './vma-flags';
import type { Vma } from './vma';

/** Writing "4" to /proc/pid/clear_refs. Task context. */
export function clearSoftDirty(mm: Mm): void {
  for (const vma of mm.vmas.all) {
    if ((vma.flags & (VM_PFNMAP | VM_HUGETLB)) !== 0) continue;
    vma.flags |= VM_SOFTDIRTY_TRACKED;
    clearArea(mm, vma);
  }
  mm.vmas.mergeRange(0, TASK_SIZE);
}

/** Bit 55 of /proc/pid/pagemap: the page was written, or its area made, since the last clearing. Any context. */
export function isSoftDirty(mm: Mm, address: number): boolean {
  const vma = mm.vmas.lookup(address);
  if (vma === null) return false;
  return (
    (vma.flags & VM_SOFTDIRTY_TRACKED) === 0 ||
    (mm.pageTable.flagsAt(regionOf(address), indexOf(address)) & PTE_SOFT_DIRTY) !== 0
  );
}

function clearArea(mm: Mm, vma: Vma): void {
  const { pageTable } = mm;
  const lastRegion = Math.ceil(vma.end / REGION_BYTES);
  let region = pageTable.nextRegion(regionOf(vma.start), lastRegion);
  while (region < lastRegion) {
    const table = pageTable.tableOf(region);
    if (table === PMD_HUGE) {
      pageTable.setHugeFlags(region, pageTable.hugeFlags(region) & ~(PTE_WRITE | PTE_SOFT_DIRTY));
    } else {
      const from = Math.max(0, (vma.start - region * REGION_BYTES) / PAGE_SIZE);
      const to = indexOf(Math.min(vma.end, (region + 1) * REGION_BYTES) - 1);
      for (let i = from; table > 0 && i <= to; i++) clearEntry(mm, vma, table, i);
    }
    region = pageTable.nextRegion(region + 1, lastRegion);
  }
}

/** `clear_soft_dirty`. */
function clearEntry(mm: Mm, vma: Vma, table: number, index: number): void {
  const at = mm.pageTable.baseOf(table) + index;
  const ptes = mm.pageTable.flagsOf(table);
  const pte = ptes[at];
  if ((pte & PTE_PRESENT) !== 0) {
    if (!isPinned(mm, vma, pte, mm.pageTable.framesOf(table)[at])) ptes[at] = pte & ~(PTE_WRITE | PTE_SOFT_DIRTY);
  } else if ((pte & PTE_SWAP) !== 0) {
    ptes[at] = pte & ~PTE_SOFT_DIRTY;
  }
}

/** `pte_is_pinned`: one of those who ask before they protect (P-06). */
function isPinned(mm: Mm, vma: Vma, pte: number, pfn: number): boolean {
  if ((pte & PTE_WRITE) === 0 || (pte & PTE_SPECIAL) !== 0 || !vma.isCow || !mm.hasPinned) return false;
  return mm.memory.scheme.isPinned(pfn) !== 'no';
}
