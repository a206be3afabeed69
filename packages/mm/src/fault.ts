/**
 * Page faults: makes the page of one address present, writable or unshared.
 *
 * `handleMmFault` is called by the CPU's access (`Mm.fault`, user-access.ts) after the VMA's permissions were checked, and
 * by GUP, which has rules of its own (FOLL_FORCE). It never looks at permissions beyond `VM_WRITE`.
 * A fault that has to wait for its backing is a task; while it waits anything may happen to the address space, so it looks
 * the area up again afterwards and gives up with 0 when the area is gone: the access is tried again and fails there.
 * Left out: the huge zero folio (a read fault in a huge area makes a real huge folio), swap, migration entries, NUMA
 * hints, fault-around, stack growth, `page_mkwrite` (with files). Anonymous pages that are not exclusive exist only
 * after fork; the copy for them is here already.
 * Source followed: mm/memory.c `handle_pte_fault`, `do_anonymous_page`, `do_fault`, `do_wp_page`; mm/huge_memory.c (6.18).
 */
import { EFAULT, EHWPOISON, ENOMEM } from '@pincushion/sim';
import type { MaySleep, Task } from '@pincushion/sim';
import { PG_anon, PG_anonExclusive, PG_swapbacked } from './frames';
import { ZERO_PFN } from './zero-page';
import type { Memory } from './memory';
import type { Mm } from './mm';
import { PAGE_SIZE } from './page-size';
import {
  PMD_HUGE,
  PMD_NONE,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_SOFT_DIRTY,
  PTE_SPECIAL,
  PTE_USER,
  PTE_WRITE,
  REGION_BYTES,
  indexOf,
  regionOf,
} from './page-table';
import { VM_HUGEPAGE, VM_NOHUGEPAGE, VM_PFNMAP, VM_SHARED, VM_WRITE } from './vma';
import type { Vma } from './vma';
import { splitHugePmd } from './zap';
import { Gfp } from './zone';

export const FAULT_WRITE = 1 << 0;
/** Give the process a page of its own, but leave it read-only. */
export const FAULT_UNSHARE = 1 << 1;
/** Inside a long-term pin: new pages must not come from ZONE_MOVABLE (`memalloc_pin_save`). */
export const FAULT_PIN_SCOPE = 1 << 2;

const HUGE_ORDER = 9;
const PRESENT_USER = PTE_PRESENT | PTE_USER | PTE_ACCESSED;
const WRITTEN = PTE_WRITE | PTE_DIRTY | PTE_SOFT_DIRTY;
const NEW_ANON = PG_anon | PG_anonExclusive | PG_swapbacked;

/** Handles one fault at `address` inside `vma`. 0, -ENOMEM, -EFAULT (SIGBUS) or -EHWPOISON (E-04). Task context. */
export function handleMmFault(mm: Mm, vma: Vma, address: number, flags: number): MaySleep {
  mm.memory.vmstat.pgfault++;
  const region = regionOf(address);
  const table = mm.pageTable.tableOf(region);
  if (table === PMD_HUGE) return huge(mm, vma, region, flags);
  if (table === PMD_NONE && hugeFits(vma, region)) {
    const error = anonymousHuge(mm, vma, region, flags);
    if (error !== -ENOMEM) return error;
  }
  const index = indexOf(address);
  const pte = table > 0 ? mm.pageTable.flagsAt(region, index) : 0;
  if (pte === 0) {
    return vma.backing === null ? anonymous(mm, vma, region, index, flags) : backed(mm, vma, address, flags);
  }
  const isWrite = (flags & FAULT_WRITE) !== 0;
  if ((pte & PTE_WRITE) === 0 && (isWrite || (flags & FAULT_UNSHARE) !== 0)) {
    return writeProtected(mm, vma, region, index, flags);
  }
  const pfn = mm.pageTable.frameAt(region, index);
  mm.pageTable.set(table, index, pfn, pte | PTE_ACCESSED | (isWrite ? PTE_DIRTY | PTE_SOFT_DIRTY : 0));
  return 0;
}

/** `do_anonymous_page`: a read sees the shared zero page, a write gets a zeroed page of its own. */
function anonymous(mm: Mm, vma: Vma, region: number, index: number, flags: number): number {
  if ((flags & FAULT_WRITE) === 0) {
    mm.pageTable.set(mm.pageTable.ensureTable(region), index, ZERO_PFN, PRESENT_USER | PTE_SPECIAL);
    return 0;
  }
  const pfn = newAnonPage(mm, flags);
  if (pfn < 0) return pfn;
  mapAnon(mm, vma, region, index, pfn, flags);
  return 0;
}

/** `do_fault`. */
function backed(mm: Mm, vma: Vma, address: number, flags: number): MaySleep {
  const backing = vma.backing;
  if (backing === null) return -EFAULT;
  const found = backing.fault(vma, vma.pageIndexOf(address), (flags & FAULT_WRITE) !== 0);
  return typeof found === 'number'
    ? finishBacked(mm, vma, address, flags, found)
    : backedSleeping(mm, address, flags, found);
}

function* backedSleeping(mm: Mm, address: number, flags: number, pending: Task<number>) {
  const found = yield* pending;
  const vma = mm.vmas.lookup(address);
  if (vma === null || vma.backing === null) return 0;
  if (mm.pageTable.flagsAt(regionOf(address), indexOf(address)) !== 0) return 0;
  return finishBacked(mm, vma, address, flags, found);
}

function finishBacked(mm: Mm, vma: Vma, address: number, flags: number, found: number): number {
  if (found < 0) return found === -ENOMEM || found === -EHWPOISON ? found : -EFAULT;
  const { memory, pageTable } = mm;
  const region = regionOf(address);
  const index = indexOf(address);
  const isWrite = (flags & FAULT_WRITE) !== 0;
  const isShared = (vma.flags & VM_SHARED) !== 0;
  const writable = isShared && (vma.flags & VM_WRITE) !== 0;
  if ((vma.flags & VM_PFNMAP) !== 0) {
    const pte = PRESENT_USER | PTE_SPECIAL | (writable ? PTE_WRITE : 0);
    pageTable.set(pageTable.ensureTable(region), index, found, pte);
    return 0;
  }
  if (isWrite && !isShared) {
    const copy = newAnonPage(mm, flags);
    if (copy < 0) return copy;
    memory.bytes.copy(copy, 0, found, 0, PAGE_SIZE);
    mapAnon(mm, vma, region, index, copy, flags);
    return 0;
  }
  const head = memory.frames.headOf(found);
  memory.frames.get(head, 1);
  memory.frames.mapcount[head]++;
  const mayWrite = writable && (isWrite || !vma.needsDirtyTracking);
  const pte = PRESENT_USER | (mayWrite ? PTE_WRITE : 0) | (isWrite ? PTE_DIRTY | PTE_SOFT_DIRTY : 0);
  pageTable.set(pageTable.ensureTable(region), index, found, pte);
  return 0;
}

/** `do_wp_page`: a write to, or an unshare of, a present page whose entry is read-only. */
function writeProtected(mm: Mm, vma: Vma, region: number, index: number, flags: number): number {
  const { memory, pageTable } = mm;
  const { frames } = memory;
  const table = pageTable.tableOf(region);
  const pte = pageTable.flagsAt(region, index);
  const pfn = pageTable.frameAt(region, index);
  const isSpecial = (pte & PTE_SPECIAL) !== 0;
  const unshare = (flags & FAULT_UNSHARE) !== 0;
  if (!isSpecial) {
    const head = frames.headOf(pfn);
    const isAnon = (frames.flags[head] & PG_anon) !== 0;
    if (isAnon && ((frames.flags[pfn] & PG_anonExclusive) !== 0 || canReuse(memory, head))) {
      frames.flags[pfn] |= PG_anonExclusive;
      if (!unshare) pageTable.set(table, index, pfn, pte | PTE_ACCESSED | writeBits(vma));
      return 0;
    }
    if (!isAnon && (vma.flags & VM_SHARED) !== 0) {
      if (!unshare) pageTable.set(table, index, pfn, pte | PTE_ACCESSED | WRITTEN);
      return 0;
    }
  }
  const copy = newAnonPage(mm, flags);
  if (copy < 0) return copy;
  memory.bytes.copy(copy, 0, pfn, 0, PAGE_SIZE);
  mapAnon(mm, vma, region, index, copy, flags);
  if (!isSpecial) dropMapping(memory, pfn);
  return 0;
}

/** a small anonymous page that nobody else refers to is taken over instead of copied. */
function canReuse(memory: Memory, head: number): boolean {
  return memory.frames.order[head] === 0 && memory.frames.refcount[head] === 1;
}

/** Whether the area wants a huge folio for the region. `thp_vma_allowable_order`. */
function hugeFits(vma: Vma, region: number): boolean {
  if ((vma.flags & (VM_HUGEPAGE | VM_NOHUGEPAGE)) !== VM_HUGEPAGE || vma.backing !== null) return false;
  return vma.start <= region * REGION_BYTES && vma.end >= (region + 1) * REGION_BYTES;
}

/** `do_huge_pmd_anonymous_page`. */
function anonymousHuge(mm: Mm, vma: Vma, region: number, flags: number): number {
  const { memory } = mm;
  const head = memory.allocFolio(HUGE_ORDER, gfpOf(flags));
  if (head < 0) return -ENOMEM;
  memory.frames.flags[head] |= NEW_ANON;
  memory.frames.mapping[head] = mm.mappingId;
  memory.frames.mapcount[head] = 1;
  memory.vmstat.thpFaultAlloc++;
  const isWrite = (flags & FAULT_WRITE) !== 0;
  const pte = PRESENT_USER | ((vma.flags & VM_WRITE) !== 0 ? PTE_WRITE : 0);
  mm.pageTable.setHuge(region, head, pte | (isWrite ? PTE_DIRTY | PTE_SOFT_DIRTY : 0));
  return 0;
}

/** A fault on a huge mapping: `do_huge_pmd_wp_page`. A folio that is not exclusive is split and handled by pages. */
function huge(mm: Mm, vma: Vma, region: number, flags: number): number {
  const { pageTable, memory } = mm;
  const pte = pageTable.hugeFlags(region);
  const isWrite = (flags & FAULT_WRITE) !== 0;
  const wantsOwn = (pte & PTE_WRITE) === 0 && (isWrite || (flags & FAULT_UNSHARE) !== 0);
  if (wantsOwn && (memory.frames.flags[pageTable.hugeHead(region)] & PG_anonExclusive) === 0) {
    splitHugePmd(mm, region);
    return 0;
  }
  const bits = isWrite ? writeBits(vma) : 0;
  pageTable.setHugeFlags(region, pte | PTE_ACCESSED | bits);
  return 0;
}

function gfpOf(flags: number): 0 | 1 {
  return (flags & FAULT_PIN_SCOPE) !== 0 ? Gfp.kernel : Gfp.movable;
}

/** `maybe_mkwrite`: a write forced by FOLL_FORCE dirties the page but leaves the entry read-only. */
function writeBits(vma: Vma): number {
  return (vma.flags & VM_WRITE) !== 0 ? WRITTEN : PTE_DIRTY | PTE_SOFT_DIRTY;
}

function newAnonPage(mm: Mm, flags: number): number {
  const { memory } = mm;
  const pfn = memory.allocFolio(0, gfpOf(flags));
  if (pfn < 0) return -ENOMEM;
  memory.frames.flags[pfn] |= NEW_ANON;
  memory.frames.mapping[pfn] = mm.mappingId;
  return pfn;
}

function mapAnon(mm: Mm, vma: Vma, region: number, index: number, pfn: number, flags: number): void {
  mm.memory.frames.mapcount[pfn] = 1;
  const bits = (flags & FAULT_UNSHARE) !== 0 ? 0 : writeBits(vma);
  mm.pageTable.set(mm.pageTable.ensureTable(region), index, pfn, PRESENT_USER | bits);
}

function dropMapping(memory: Memory, pfn: number): void {
  const head = memory.frames.headOf(pfn);
  memory.frames.mapcount[head]--;
  memory.frames.put(head, 1);
}
