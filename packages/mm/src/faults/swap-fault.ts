/**
 * Faults on pages that are in swap.
 *
 * The page is found in the swap cache, or read. An entry that was exclusive when it was swapped out is so again,
 * and where the area allows writes it is mapped writable although only a read asked, so the next write needs no fault. A
 * slot that others refer to keeps its page in the swap cache, and what is mapped is read-only; a write goes on to
 * `doWpPage`, which copies.
 * Left out: large folios allocated for a fault, device-private and device-exclusive entries.
 * Source followed: mm/memory.c `do_swap_page`, `should_try_to_free_swap`; mm/ksm.c `ksm_might_need_to_copy` (6.18).
 */
import { ENOMEM } from '@pincushion/sim';
import type { MaySleep, Task } from '@pincushion/sim';
import { doWpPage } from './cow';
import { eagerly, settled } from '../eager-task';
import { FAULT_WRITE, VM_FAULT_SIGBUS, gfpOf } from './fault-flags';
import { PG_anon, PG_anonExclusive, PG_ksm, PG_mlocked, PG_swapcache, PG_uptodate } from '../frames/frames';
import { folioAddLruVma } from '../frames/lru';
import { Mechanism, placeOf } from '../mechanism';
import type { Memory } from '../memory';
import { mlockVmaFolio } from '../process/mlock-folio';
import type { Mm } from '../process/mm';
import { vmPageProt } from '../process/page-protection';
import { PAGE_SIZE } from '../frames/page-size';
import {
  PTE_DIRTY,
  PTE_SOFT_DIRTY,
  PTE_SWAP,
  PTE_SWP_EXCLUSIVE,
  PTE_UFFD_WP,
  PTE_WRITE,
  PTRS_PER_TABLE,
  indexOf,
  regionOf,
} from '../process/page-table';
import { folioAddFileRmapPte, folioAddNewAnonRmap } from '../frames/rmap';
import { folioFreeSwap, swapCacheGetFolio, swapFree } from '../reclaim/swap';
import { swapinFolio } from '../reclaim/swap-in';
import { uffdWpFault } from '../process/userfaultfd';
import { VM_LOCKED, VM_UFFD_WP, VM_WRITE } from '../process/vma-flags';
import type { Vma } from '../process/vma';

/** `do_swap_page`. Results as `handleMmFault`. Task context, may sleep. */
export function doSwapPage(mm: Mm, vma: Vma, address: number, flags: number): MaySleep {
  const { memory } = mm;
  const slot = mm.pageTable.frameAt(regionOf(address), indexOf(address));
  const found = swapinFolio(memory, slot, gfpOf(flags), memory.swap.users(slot) !== 1);
  if (typeof found !== 'number') {
    return eagerly(memory.world, 'a fault on a swapped page', mapWhenRead(mm, address, flags, slot, found));
  }
  return found < 0 ? found : mapSwappedPage(mm, vma, address, flags, found);
}

/** While the page was read, anything may have happened: it must be the same entry, and still its page. */
function* mapWhenRead(mm: Mm, address: number, flags: number, slot: number, pending: Task<number>) {
  const { memory, pageTable } = mm;
  const found = yield* pending;
  if (found < 0) return found;
  const vma = mm.vmas.lookup(address);
  const region = regionOf(address);
  const index = indexOf(address);
  const isSame = (pageTable.flagsAt(region, index) & PTE_SWAP) !== 0 && pageTable.frameAt(region, index) === slot;
  if (vma === null || !isSame || swapCacheGetFolio(memory, slot) !== found) {
    memory.frames.put(found, 1);
    return 0;
  }
  return yield* settled(mapSwappedPage(mm, vma, address, flags, found));
}

/** Enters the folio at `found`, of which the caller has a reference that the mapping takes over. */
function mapSwappedPage(mm: Mm, vma: Vma, address: number, flags: number, found: number): MaySleep {
  const { memory, pageTable } = mm;
  const { frames } = memory;
  const region = regionOf(address);
  const index = indexOf(address);
  const table = pageTable.tableOf(region);
  const swapPte = pageTable.flagsAt(region, index);
  const slot = pageTable.frameAt(region, index);
  if ((frames.flags[found] & PG_uptodate) === 0) {
    frames.put(found, 1);
    return VM_FAULT_SIGBUS;
  }
  const inCache = (frames.flags[found] & PG_swapcache) !== 0;
  if (inCache && needsCopyOfMerged(memory, found, vma, address)) return mapCopy(mm, vma, address, flags, found);
  if (memory.mechanisms.on) memory.mechanisms.emit(Mechanism.swapIn, found, 0, placeOf(mm, region, index));
  const run = inCache ? runOfFolio(mm, vma, address, found) : ONE_PAGE;
  const first = index - run.before;
  for (let i = 0; i < run.pages; i++) swapFree(memory, slot - run.before + i);
  if (shouldTryToFreeSwap(memory, found, vma, flags)) folioFreeSwap(memory, found);
  const exclusive = isFaultersOwn(memory, found, swapPte, inCache, flags);
  let pte = vmPageProt(vma) | (swapPte & (PTE_SOFT_DIRTY | PTE_UFFD_WP));
  let wrote = false;
  const isProtected = (pte & PTE_UFFD_WP) !== 0 && (vma.flags & VM_UFFD_WP) !== 0;
  if (exclusive && (vma.flags & VM_WRITE) !== 0 && !isProtected) {
    pte |= PTE_WRITE;
    wrote = (flags & FAULT_WRITE) !== 0;
    if (wrote) pte |= PTE_DIRTY | PTE_SOFT_DIRTY;
  }
  const page = found + run.pageOf;
  const firstAddress = address - run.before * PAGE_SIZE;
  frames.get(found, run.pages - 1);
  enterRmap(memory, found, page - run.before, run.pages, vma, firstAddress, exclusive);
  for (let i = 0; i < run.pages; i++) pageTable.set(table, first + i, page - run.before + i, pte);
  if ((flags & FAULT_WRITE) === 0 || wrote) return 0;
  if ((pte & PTE_UFFD_WP) !== 0) uffdWpFault(mm, vma, region, index);
  return doWpPage(mm, vma, region, index, flags);
}

/**
 * Whether the page, whose slot the entry has let go of, belongs to this process alone. X-02: a page that never was in the
 * cache certainly does, and one whose entry says so. Before 5.19 only a writer asks, and nobody else may map it or have it
 * in swap (`reuse_swap_page`).
 */
function isFaultersOwn(memory: Memory, head: number, swapPte: number, wasInCache: boolean, flags: number): boolean {
  const { frames, profile } = memory;
  if ((frames.flags[head] & PG_ksm) !== 0) return false;
  if (profile.cowReuse !== 'exclusive') {
    if ((flags & FAULT_WRITE) === 0 || frames.folioMapcount(head) !== 0) return false;
    return (frames.flags[head] & PG_swapcache) === 0 || folioFreeSwap(memory, head);
  }
  return !wasInCache || (swapPte & PTE_SWP_EXCLUSIVE) !== 0 || frames.refcount[head] === 1;
}

/** Which entries one fault fills: page `pageOf` of the folio is at the address, and `before` pages come before it. */
interface Run {
  readonly pages: number;
  readonly before: number;
  readonly pageOf: number;
}

const ONE_PAGE: Run = { pages: 1, before: 0, pageOf: 0 };

/** A large folio that is still whole in the swap cache is mapped whole, where all its entries are in their places. */
function runOfFolio(mm: Mm, vma: Vma, address: number, head: number): Run {
  const { frames, swap } = mm.memory;
  const { pageTable } = mm;
  const pages = 1 << frames.order[head];
  if (pages === 1) return ONE_PAGE;
  const region = regionOf(address);
  const index = indexOf(address);
  const pageOf = pageTable.frameAt(region, index) - swap.slotOf(head);
  const single = { pages: 1, before: 0, pageOf };
  const first = index - pageOf;
  const firstAddress = address - pageOf * PAGE_SIZE;
  if (first < 0 || first + pages > PTRS_PER_TABLE) return single;
  if (firstAddress < vma.start || firstAddress + pages * PAGE_SIZE > vma.end) return single;
  const pte = pageTable.flagsAt(region, index);
  for (let i = 0; i < pages; i++) {
    if (pageTable.flagsAt(region, first + i) !== pte) return single;
    if (pageTable.frameAt(region, first + i) !== swap.slotOf(head) + i) return single;
  }
  return { pages, before: pageOf, pageOf };
}

/** `should_try_to_free_swap`: the slots are scarce, or the writer is likely to be alone with the page then. */
function shouldTryToFreeSwap(memory: Memory, head: number, vma: Vma, flags: number): boolean {
  const { frames, swap } = memory;
  const folio = frames.flags[head];
  if ((folio & PG_swapcache) === 0) return false;
  if (swap.isFull || (vma.flags & VM_LOCKED) !== 0 || (folio & PG_mlocked) !== 0) return true;
  if ((flags & FAULT_WRITE) === 0 || (folio & PG_ksm) !== 0) return false;
  return frames.refcount[head] === 1 + (1 << frames.order[head]);
}

/**
 * `folio_add_new_anon_rmap` for a folio that belongs to nobody yet, else `folio_add_anon_rmap_ptes`. A page that others
 * share is entered where their areas meet, at the root of the family. Only a folio that is known already is mlocked here;
 * a new one escapes, as it does in the kernel.
 */
function enterRmap(
  memory: Memory,
  head: number,
  page: number,
  pages: number,
  vma: Vma,
  address: number,
  exclusive: boolean,
): void {
  const { frames } = memory;
  if ((frames.flags[head] & PG_anon) === 0) {
    folioAddNewAnonRmap(memory, head, vma, address);
    if (!exclusive) {
      frames.flags[head] &= ~PG_anonExclusive;
      frames.mapping[head] = vma.anonChain[0].id;
    }
    return;
  }
  for (let pfn = page; pfn < page + pages; pfn++) {
    folioAddFileRmapPte(memory, pfn, vma);
    if (exclusive) frames.flags[pfn] |= PG_anonExclusive;
  }
  mlockVmaFolio(memory, head, vma, frames.order[head] === 0);
}

/**
 * Pages that KSM had merged come back as one page; whoever is not of the family that got it first needs a copy.
 * `ksm_might_need_to_copy`.
 */
function needsCopyOfMerged(memory: Memory, head: number, vma: Vma, address: number): boolean {
  const { frames } = memory;
  if ((frames.flags[head] & (PG_anon | PG_ksm)) !== PG_anon || frames.order[head] !== 0) return false;
  if (frames.index[head] !== (vma.pageIndexOf(address) | 0)) return true;
  return !vma.anonChain.some((anon) => anon.id === frames.mapping[head]);
}

/** The page at `found` stays in the swap cache for others; the process gets a copy of its own. */
function mapCopy(mm: Mm, vma: Vma, address: number, flags: number, found: number): MaySleep {
  const { memory, pageTable } = mm;
  const region = regionOf(address);
  const slot = pageTable.frameAt(region, indexOf(address));
  const copy = memory.allocFolio(0, gfpOf(flags));
  if (copy < 0) {
    memory.frames.put(found, 1);
    return -ENOMEM;
  }
  memory.bytes.copy(copy, 0, found, 0, PAGE_SIZE);
  swapFree(memory, slot);
  memory.frames.put(found, 1);
  folioAddNewAnonRmap(memory, copy, vma, address);
  folioAddLruVma(memory, copy, vma);
  const written = (flags & FAULT_WRITE) !== 0 ? PTE_DIRTY | PTE_SOFT_DIRTY : 0;
  const writable = (vma.flags & VM_WRITE) !== 0 ? PTE_WRITE | written : 0;
  pageTable.set(pageTable.tableOf(region), indexOf(address), copy, vmPageProt(vma) | writable);
  return 0;
}
