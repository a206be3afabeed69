/**
 * Guard pages: addresses that raise SIGSEGV, kept in the page table instead of an area of their own.
 *
 * Installing throws away what is mapped in the range (a pinned page lives on without its mapping); no access, no GUP and no
 * ordinary zap removes a marker, only MADV_GUARD_REMOVE and unmapping do. A child inherits them.
 * Source followed: mm/madvise.c `madvise_guard_install`, `madvise_guard_remove` (6.18).
 */
import { EINTR, EINVAL } from '@pincushion/sim';
import { anonVmaPrepare } from '../frames/anon-vma';
import type { Mm } from './mm';
import { PMD_HUGE, PTE_GUARD, PTE_PRESENT, REGION_BYTES, indexOf, regionOf } from './page-table';
import { VM_HUGETLB, VM_LOCKED, VM_MAYBE_GUARD, VM_SPECIAL } from './vma-flags';
import type { Vma } from './vma';
import { zapVmaRange } from './zap';

/** MADV_GUARD_INSTALL on the part [start, end) of one area: 0, -EINVAL for kinds of areas that cannot have any, -EINTR. */
export function madviseGuardInstall(mm: Mm, vma: Vma, start: number, end: number): number {
  if ((vma.flags & (VM_SPECIAL | VM_HUGETLB | VM_LOCKED)) !== 0) return -EINVAL;
  vma.flags |= VM_MAYBE_GUARD;
  if (vma.isAnonymous) anonVmaPrepare(mm.memory, vma);
  if (hasOtherEntries(mm, start, end)) {
    zapVmaRange(mm, vma, start, end);
    // Markers of userfaultfd on a file outlive the zap. The kernel zaps and looks again until a signal kills the process.
    if (hasOtherEntries(mm, start, end)) return -EINTR;
  }
  const { pageTable } = mm;
  for (let region = regionOf(start); region * REGION_BYTES < end; region++) {
    const table = pageTable.ensureTable(region);
    const to = lastIndex(region, end);
    for (let i = firstIndex(region, start); i <= to; i++) pageTable.set(table, i, 0, PTE_GUARD);
  }
  return 0;
}

/** MADV_GUARD_REMOVE on the part [start, end) of one area: the markers are gone, pages stay. 0 or -EINVAL. */
export function madviseGuardRemove(mm: Mm, vma: Vma, start: number, end: number): number {
  if ((vma.flags & (VM_SPECIAL | VM_HUGETLB)) !== 0) return -EINVAL;
  const { pageTable } = mm;
  const lastRegion = Math.ceil(end / REGION_BYTES);
  let region = pageTable.nextRegion(regionOf(start), lastRegion);
  while (region < lastRegion) {
    const table = pageTable.tableOf(region);
    const to = lastIndex(region, end);
    for (let i = firstIndex(region, start); table > 0 && i <= to; i++) {
      if (isGuard(pageTable.flagsAt(region, i))) pageTable.clear(table, i);
    }
    region = pageTable.nextRegion(region + 1, lastRegion);
  }
  return 0;
}

/** Whether anything but guard pages is in the way. */
function hasOtherEntries(mm: Mm, start: number, end: number): boolean {
  const { pageTable } = mm;
  const lastRegion = Math.ceil(end / REGION_BYTES);
  let region = pageTable.nextRegion(regionOf(start), lastRegion);
  while (region < lastRegion) {
    if (pageTable.tableOf(region) === PMD_HUGE) return true;
    const to = lastIndex(region, end);
    for (let i = firstIndex(region, start); i <= to; i++) {
      const pte = pageTable.flagsAt(region, i);
      if (pte !== 0 && !isGuard(pte)) return true;
    }
    region = pageTable.nextRegion(region + 1, lastRegion);
  }
  return false;
}

function isGuard(pte: number): boolean {
  return (pte & (PTE_PRESENT | PTE_GUARD)) === PTE_GUARD;
}

function firstIndex(region: number, start: number): number {
  return start <= region * REGION_BYTES ? 0 : indexOf(start);
}

function lastIndex(region: number, end: number): number {
  return indexOf(Math.min(end, (region + 1) * REGION_BYTES) - 1);
}
