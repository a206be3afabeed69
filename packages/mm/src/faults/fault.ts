/**
 * Page faults: finds out what is wrong with the entry of one address and hands it to the mechanism that mends it.
 *
 * `handleMmFault` is called by the CPU's access (`Mm.fault`, user-access.ts) after the VMA's permissions were checked, and
 * by GUP, which has rules of its own (FOLL_FORCE). It never looks at permissions beyond `VM_WRITE`.
 * A fault that has to wait for its backing is a task; while it waits anything may happen to the address space, so it looks
 * the area up again afterwards and gives up with 0 when the area is gone: the access is tried again and fails there.
 * Left out: NUMA hints, stack growth, device-private and device-exclusive entries, waiting for a migration entry (nothing
 * yields while one exists).
 * Source followed: mm/memory.c `__handle_mm_fault`, `handle_pte_fault` (6.18).
 */
import { EFAULT, ENOMEM } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { doAnonymousPage } from './anon-fault';
import { doWpPage } from './cow';
import { eagerly, settled } from '../eager-task';
import { FAULT_FALLBACK, FAULT_UNSHARE, FAULT_WRITE } from './fault-flags';
import { doFault } from './file-fault';
import { doHugePmdAnonymousPage, hugePmdFault, thpVmaAllowable } from './huge-fault';
import { hugetlbFault } from '../huge/hugetlb';
import type { Mm } from '../process/mm';
import {
  PMD_HUGE,
  PMD_NONE,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_SOFT_DIRTY,
  PTE_SWAP,
  PTE_UFFD_WP,
  PTE_WRITE,
  indexOf,
  regionOf,
} from '../process/page-table';
import { Shortage } from '../reclaim/pressure';
import { doSwapPage } from './swap-fault';
import { uffdWpFault } from '../process/userfaultfd';
import { VM_HUGETLB } from '../process/vma-flags';
import type { Vma } from '../process/vma';

/**
 * Handles one fault at `address` inside `vma`. 0, -ENOMEM, -EFAULT (SIGSEGV), VM_FAULT_SIGBUS or -EHWPOISON (E-04). Task
 * context.
 */
export function handleMmFault(mm: Mm, vma: Vma, address: number, flags: number): MaySleep {
  const { memory } = mm;
  memory.vmstat.pgfault++;
  const result = faultOnce(mm, vma, address, flags);
  if (typeof result === 'number' && (result !== -ENOMEM || !memory.pressure.starving)) return result;
  return eagerly(memory.world, 'a page fault', faultWithReclaim(mm, address, flags, result));
}

/** A fault that finds no page frees some and begins anew: inside, nothing may change while entries do. */
function* faultWithReclaim(mm: Mm, address: number, flags: number, first: MaySleep) {
  const { memory } = mm;
  let result = yield* settled(first);
  let shortage: Shortage | null = null;
  while (result === -ENOMEM && memory.pressure.starving) {
    shortage ??= new Shortage(memory, `a page of ${mm.name}`);
    if ((yield* settled(shortage.relieve())) < 0) break;
    const vma = mm.vmas.lookup(address);
    if (vma === null) return 0;
    result = yield* settled(faultOnce(mm, vma, address, flags));
  }
  return result;
}

/** `__handle_mm_fault`. */
function faultOnce(mm: Mm, vma: Vma, address: number, flags: number): MaySleep {
  if ((vma.flags & VM_HUGETLB) !== 0) return hugetlbFault(mm, vma, address, flags);
  const region = regionOf(address);
  const table = mm.pageTable.tableOf(region);
  if (table === PMD_HUGE || (table === PMD_NONE && thpVmaAllowable(vma, region))) {
    const result =
      table === PMD_HUGE
        ? hugePmdFault(mm, vma, region, address, flags)
        : doHugePmdAnonymousPage(mm, vma, region, flags);
    if (result !== FAULT_FALLBACK) return result;
  }
  return handlePteFault(mm, vma, region, address, flags);
}

/** `handle_pte_fault`. */
function handlePteFault(mm: Mm, vma: Vma, region: number, address: number, flags: number): MaySleep {
  const { pageTable } = mm;
  const index = indexOf(address);
  const pte = pageTable.flagsAt(region, index);
  if ((pte & PTE_PRESENT) === 0) {
    if (pte === 0 || pte === PTE_UFFD_WP) {
      return vma.isAnonymous
        ? doAnonymousPage(mm, vma, region, index, flags)
        : doFault(mm, vma, region, address, flags);
    }
    if ((pte & PTE_SWAP) !== 0) return doSwapPage(mm, vma, address, flags);
    return -EFAULT; // a guard page
  }
  const isWrite = (flags & FAULT_WRITE) !== 0;
  if ((pte & PTE_WRITE) === 0 && (flags & (FAULT_WRITE | FAULT_UNSHARE)) !== 0) {
    if (isWrite && (pte & PTE_UFFD_WP) !== 0) uffdWpFault(mm, vma, region, index);
    return doWpPage(mm, vma, region, index, flags);
  }
  const bits = PTE_ACCESSED | (isWrite ? PTE_DIRTY | PTE_SOFT_DIRTY : 0);
  pageTable.set(pageTable.tableOf(region), index, pageTable.frameAt(region, index), pte | bits);
  return 0;
}
