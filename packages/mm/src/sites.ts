/**
 * The preemption points of this package: the race windows of the synchronous paths where, when a test arms the point,
 * other hardware or another CPU runs. Ids are unique across packages: mm has 100 to 199.
 */
import type { PreemptionSite } from '@pincushion/sim';

/** Between reading a PTE and taking the reference: an unmap here must be noticed by the second look at the PTE. */
export const GUP_FAST_PTE_READ = 100;
/** Between taking the reference and the second look at the PTE: an unmap here sees the pin, or the walk sees the unmap. */
export const GUP_FAST_AFTER_REF = 101;

/** Between the change of entries and the flush of the TLBs: a CPU with an old translation still uses it (tlb.ts). */
export const TLB_BEFORE_FLUSH = 102;

export const mmSites: readonly PreemptionSite[] = Object.freeze([
  {
    id: GUP_FAST_PTE_READ,
    name: 'gup-fast-pte-read',
    meaning: 'fast walk has read a page-table entry and has not yet taken the reference',
  },
  {
    id: GUP_FAST_AFTER_REF,
    name: 'gup-fast-after-ref',
    meaning: 'fast walk has taken the reference and has not yet looked at the page-table entry again',
  },
  {
    id: TLB_BEFORE_FLUSH,
    name: 'tlb-before-flush',
    meaning: 'entries have been taken away and other CPUs may still have them in their TLBs',
  },
]);
