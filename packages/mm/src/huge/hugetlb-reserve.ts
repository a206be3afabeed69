/**
 * Reservations of huge pages: promises made when memory is mapped, so that its faults find a page.
 *
 * A shared mapping reserves for its file, until that part of the file is truncated away. A private mapping reserves for
 * itself; its child after a fork has no reservation and takes what is free for all. A reservation that is used up is
 * restored when its anonymous page is unmapped.
 * Left out: subpools, cgroups.
 * Source followed: mm/hugetlb.c `hugetlb_reserve_pages`, `hugetlb_unreserve_pages`, `__vma_reservation_common`,
 * `hugetlb_vm_op_close` (6.18).
 */
import type { HugetlbPool } from './hugetlb-pool';
import { VM_MAYSHARE } from '../process/vma-flags';
import type { Vma } from '../process/vma';

/** What an area of huge pages knows beside its file (`vma->vm_private_data`). */
export class HugetlbArea {
  /** A page was taken from it for the process that had reserved it: no more faults succeed (`HPAGE_RESV_UNMAPPED`). */
  isStolen = false;

  /**
   * `consumed`: huge pages of the area, counted within the file, for which its own reservation has been used; null
   * without a reservation of its own. The parts of an area that was split share it.
   */
  constructor(readonly consumed: Set<number> | null) {}

  /** Whether the area reserved for itself (`HPAGE_RESV_OWNER`). */
  get isOwner(): boolean {
    return this.consumed !== null;
  }
}

/** The reservations on one file. Huge pages are counted within the file. */
export class HugetlbReservations {
  /** What shared mappings have reserved, used or not (`inode_resv_map`). */
  private readonly shared = new Set<number>();

  constructor(private readonly pool: HugetlbPool) {}

  /** For a new area: `count` huge pages from `first` on. 0 or -ENOMEM. */
  reserve(vma: Vma, first: number, count: number): number {
    if ((vma.flags & VM_MAYSHARE) === 0) {
      const error = this.pool.account(count);
      if (error === 0) vma.hugetlb = new HugetlbArea(new Set());
      return error;
    }
    return this.reserveShared(first, count);
  }

  /** For the file itself: `count` huge pages from `first` on. 0 or -ENOMEM. */
  reserveShared(first: number, count: number): number {
    let missing = 0;
    for (let huge = first; huge < first + count; huge++) if (!this.shared.has(huge)) missing++;
    const error = this.pool.account(missing);
    if (error === 0) for (let huge = first; huge < first + count; huge++) this.shared.add(huge);
    return error;
  }

  /** An area is gone: what it reserved for itself and never used is free again. */
  release(vma: Vma, first: number, count: number): void {
    const consumed = vma.hugetlb?.consumed ?? null;
    if (consumed === null) return;
    let unused = 0;
    for (let huge = first; huge < first + count; huge++) if (!consumed.has(huge)) unused++;
    this.pool.account(-unused);
  }

  /** Whether a page of the area has to be taken from what is free for all. `vma_needs_reservation`. */
  isNeeded(vma: Vma, huge: number): boolean {
    if ((vma.flags & VM_MAYSHARE) !== 0) return !this.shared.has(huge);
    const consumed = vma.hugetlb?.consumed ?? null;
    return consumed === null || consumed.has(huge);
  }

  /** The page has been taken. `vma_commit_reservation`. */
  commit(vma: Vma, huge: number): void {
    if ((vma.flags & VM_MAYSHARE) !== 0) this.shared.add(huge);
    else vma.hugetlb?.consumed?.add(huge);
  }

  /** An anonymous page of the area is unmapped, which may need one there again. `vma_add_reservation`. */
  restore(vma: Vma, huge: number): void {
    vma.hugetlb?.consumed?.delete(huge);
  }

  /** The file loses [first, end), in which it had `freed` pages. */
  unreserve(first: number, end: number, freed: number): void {
    let dropped = 0;
    for (const huge of [...this.shared]) {
      if (huge >= first && huge < end && this.shared.delete(huge)) dropped++;
    }
    this.pool.account(-(dropped - freed));
  }
}
