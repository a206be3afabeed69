/**
 * Translations that CPUs may still use although the page table says otherwise.
 *
 * An operation that takes rights away changes the entries first and flushes the TLBs of other CPUs later, for the whole
 * range at once. In between, a CPU that has the old translation in its TLB goes on reading and writing the old page. Off by
 * default; with `tlb: 'stale'` every translation of the range counts as cached, and the preemption point before the flush
 * is where another CPU uses it. A page that is unmapped is not freed before the flush (`mmu_gather`).
 * Modelled: unmapping of small and huge pages, mprotect and userfaultfd's protection, fork's write protection. Everything
 * else (copy-on-write, writeback, reclaim, migration, hugetlb) flushes at once, as `ptep_clear_flush` does; a stale
 * access sets no accessed or dirty bit.
 * Source followed: mm/mmu_gather.c `tlb_finish_mmu`, kernel/fork.c `dup_mmap` (`flush_tlb_mm`), mm/mprotect.c (6.18).
 */
import { point } from '@pincushion/sim';
import type { Mm } from './mm';
import { PAGE_SIZE } from '../frames/page-size';
import {
  PMD_NONE,
  PTE_PKEY_SHIFT,
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_SPECIAL,
  PTE_WRITE,
  REGION_BYTES,
  indexOf,
  regionOf,
} from './page-table';
import { TLB_BEFORE_FLUSH } from '../sites';

const P = point;

interface Translation {
  readonly pfn: number;
  readonly writable: boolean;
  /** The protection key is part of a translation; PKRU is not, and counts at once. */
  readonly pkey: number;
}

/** What the TLBs of other CPUs may hold of one address space while an operation on it is under way. */
export class Tlb {
  private readonly stale = new Map<number, Translation>();
  private readonly held: number[] = [];

  constructor(private readonly mm: Mm) {}

  /** Before entries in [start, end) change: they may be cached. `hold`: the pages are not freed before the flush. */
  remember(start: number, end: number, hold: boolean): void {
    const { pageTable } = this.mm;
    const last = Math.ceil(end / REGION_BYTES);
    for (let region = pageTable.nextRegion(regionOf(start), last); region < last;) {
      if (pageTable.tableOf(region) !== PMD_NONE) {
        const from = Math.max(start, region * REGION_BYTES);
        const to = Math.min(end, (region + 1) * REGION_BYTES);
        for (let address = from; address < to; address += PAGE_SIZE) this.keep(address, hold);
      }
      region = pageTable.nextRegion(region + 1, last);
    }
  }

  private keep(address: number, hold: boolean): void {
    const { pageTable, memory } = this.mm;
    const pte = pageTable.flagsAt(regionOf(address), indexOf(address));
    if ((pte & (PTE_PRESENT | PTE_PROTNONE | PTE_SPECIAL)) !== PTE_PRESENT) return;
    const pfn = pageTable.frameAt(regionOf(address), indexOf(address));
    this.stale.set(address / PAGE_SIZE, { pfn, writable: (pte & PTE_WRITE) !== 0, pkey: pte >>> PTE_PKEY_SHIFT });
    if (!hold) return;
    memory.getFolio(pfn);
    this.held.push(pfn);
  }

  /** The frame that a CPU with the old translation reaches at `address`, or -1. */
  lookup(address: number, write: boolean): number {
    const known = this.stale.get(Math.floor(address / PAGE_SIZE));
    if (known === undefined || (write && !known.writable)) return -1;
    return this.mm.pkeys.allow(known.pkey, write) ? known.pfn : -1;
  }

  /** The other CPUs have been interrupted and forget what they knew. Pages that waited for it go. */
  flush(): void {
    if (P.armed && --P.left === 0) P.fire(TLB_BEFORE_FLUSH);
    this.stale.clear();
    for (const pfn of this.held.splice(0)) this.mm.memory.putFolio(pfn);
  }
}
