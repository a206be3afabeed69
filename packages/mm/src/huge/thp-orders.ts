/**
 * Which large folios anonymous memory may get at a fault: /sys/kernel/mm/transparent_hugepage/hugepages-*kB/enabled.
 *
 * A size is given to every area (`always`) or to those that asked for it by MADV_HUGEPAGE (`madvise`). The default is
 * what the recordings have: 2 MiB for areas that ask. Smaller sizes, 16 KiB to 1 MiB (mTHP), are mapped by page-table entries from the start.
 * Left out: `inherit`, PR_SET_THP_DISABLE, sizes for shared memory and files.
 * Source followed: include/linux/huge_mm.h `thp_vma_allowable_orders`, mm/memory.c `alloc_anon_folio` (6.18).
 */
import type { PageTable } from '../process/page-table';
import { PAGE_SIZE, PMD_ORDER } from '../frames/page-size';
import { VM_HUGEPAGE, VM_NOHUGEPAGE } from '../process/vma-flags';
import type { Vma } from '../process/vma';

/** Orders that anonymous memory can have: 2 (16 KiB) to 9 (2 MiB); not 1, which has no room for the deferred split. */
const ORDERS_ALL_ANON = ((1 << (PMD_ORDER + 1)) - 1) & ~3;

export class ThpOrders {
  /** Bit n: order n for every area. */
  always = 0;
  /** Bit n: order n for areas with VM_HUGEPAGE. */
  madvise = 1 << PMD_ORDER;

  /** The orders an area may have, as bits, whatever its size and place. `thp_vma_allowable_orders` for a page fault. */
  allowable(vma: Vma): number {
    if (vma.backing !== null || (vma.flags & VM_NOHUGEPAGE) !== 0) return 0;
    const orders = (vma.flags & VM_HUGEPAGE) !== 0 ? this.always | this.madvise : this.always;
    return orders & ORDERS_ALL_ANON;
  }

  /**
   * The largest order below 2 MiB for a new folio around `index` of the region's table (0: none): it lies in the area, and
   * nothing is mapped where it would be.
   */
  orderBelowPmd(vma: Vma, pageTable: PageTable, table: number, regionStart: number, index: number): number {
    const orders = this.allowable(vma) & ~(1 << PMD_ORDER);
    for (let order = PMD_ORDER - 1; order > 1; order--) {
      if ((orders & (1 << order)) === 0) continue;
      const first = index & -(1 << order);
      const start = regionStart + first * PAGE_SIZE;
      if (start < vma.start || start + (PAGE_SIZE << order) > vma.end) continue;
      if (isRangeEmpty(pageTable, table, first, 1 << order)) return order;
    }
    return 0;
  }
}

/** `pte_range_none`. */
function isRangeEmpty(pageTable: PageTable, table: number, first: number, n: number): boolean {
  const ptes = pageTable.flagsOf(table);
  const base = pageTable.baseOf(table) + first;
  for (let i = base; i < base + n; i++) if (ptes[i] !== 0) return false;
  return true;
}
