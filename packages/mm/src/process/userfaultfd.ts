/**
 * Write protection by userfaultfd, in the asynchronous mode that trackers of writes use.
 *
 * Registering marks the area; protecting marks entries, present ones by a bit that goes with read-only, and pages that are
 * not there by a marker (WP_UNPOPULATED). A write then takes a fault that nobody is told of: the protection just ends, and
 * the ordinary rules of a read-only entry follow, so an exclusive page stays the same, pinned or not (fact 17).
 * Left out: the file descriptor and its events, synchronous delivery, missing and minor modes, UFFDIO_COPY and UFFDIO_MOVE.
 * Source followed: fs/userfaultfd.c `userfaultfd_register`; mm/userfaultfd.c `mwriteprotect_range`, `uffd_wp_range`;
 * mm/memory.c `do_wp_page` (6.18).
 */
import { EINVAL, ENOENT, EPERM } from '@pincushion/sim';
import { Mechanism, placeOf } from '../mechanism';
import { changeProtection } from './mprotect';
import type { Mm } from './mm';
import { CP_TRY_CHANGE_WRITABLE, CP_UFFD_WP, CP_UFFD_WP_RESOLVE, wantsManualWriteUpgrade } from './page-protection';
import { PTE_UFFD_WP } from './page-table';
import { VM_MAYWRITE, VM_UFFD_WP } from './vma-flags';
import type { Vma } from './vma';

/**
 * UFFDIO_REGISTER with UFFDIO_REGISTER_MODE_WP for the areas in [start, end), page aligned; holes are passed over. 0,
 * -EINVAL: no area there, -EPERM: one that can never be written.
 */
export function uffdRegisterWp(mm: Mm, start: number, end: number): number {
  const areas = mm.vmas.all;
  const first = mm.vmas.indexAfter(start);
  if (first === areas.length || areas[first].start >= end) return -EINVAL;
  for (let i = first; i < areas.length && areas[i].start < end; i++) {
    const vma = areas[i];
    if ((vma.flags & VM_MAYWRITE) === 0) return -EPERM;
    if (!vma.maySplitAt(start) || !vma.maySplitAt(end)) return -EINVAL;
  }
  mm.vmas.splitAt(start);
  mm.vmas.splitAt(end);
  for (let i = mm.vmas.indexAfter(start); i < areas.length && areas[i].start < end; i++) {
    areas[i].flags |= VM_UFFD_WP;
  }
  mm.vmas.mergeRange(start, end);
  return 0;
}

/**
 * UFFDIO_WRITEPROTECT of [start, end), page aligned, area by area: protects, or ends the protection. 0, -ENOENT: no area
 * there, or one that is not registered, -EINVAL: part of a hugetlb page.
 */
export function uffdWriteprotect(mm: Mm, start: number, end: number, protect: boolean): number {
  const areas = mm.vmas.all;
  let error = -ENOENT;
  for (let i = mm.vmas.indexAfter(start); i < areas.length && areas[i].start < end; i++) {
    const vma = areas[i];
    if ((vma.flags & VM_UFFD_WP) === 0) return -ENOENT;
    if (!vma.maySplitAt(start) || !vma.maySplitAt(end)) return -EINVAL;
    uffdWpRange(mm, vma, Math.max(start, vma.start), Math.min(end, vma.end), protect);
    error = 0;
  }
  return error;
}

/** `uffd_wp_range`. */
function uffdWpRange(mm: Mm, vma: Vma, start: number, end: number, protect: boolean): void {
  const upgrade = !protect && wantsManualWriteUpgrade(vma) ? CP_TRY_CHANGE_WRITABLE : 0;
  changeProtection(mm, vma, start, end, (protect ? CP_UFFD_WP : CP_UFFD_WP_RESOLVE) | upgrade);
}

/** A write meets a present, write-protected entry: in asynchronous mode the protection just ends (`do_wp_page`). */
export function uffdWpFault(mm: Mm, _vma: Vma, region: number, index: number): void {
  const { pageTable } = mm;
  const pte = pageTable.flagsAt(region, index);
  const { mechanisms } = mm.memory;
  const pfn = pageTable.frameAt(region, index);
  if (mechanisms.on) mechanisms.emit(Mechanism.uffdResolved, pfn, 0, placeOf(mm, region, index));
  pageTable.set(pageTable.tableOf(region), index, pfn, pte & ~PTE_UFFD_WP);
}
