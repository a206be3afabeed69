/**
 * Bringing pages in ahead of their use: MAP_POPULATE, mlock, MADV_POPULATE_READ and MADV_POPULATE_WRITE.
 *
 * All go through GUP without taking references (E-10), so they fault exactly as a pin would: in private writable areas with
 * write faults, which break the sharing now; in shared areas with read faults, which dirty nothing. MADV_POPULATE_* does as
 * it is told and reports each refusal as -EINVAL (V-10).
 * Source followed: mm/gup.c `__mm_populate`, `populate_vma_page_range`, `faultin_page_range`, `fixup_user_fault`;
 * mm/madvise.c `madvise_populate` (6.18).
 */
import { EFAULT, EHWPOISON, EINTR, EINVAL, ENOMEM } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { eagerly, settled } from '../eager-task';
import { handleMmFault } from '../faults/fault';
import { FAULT_WRITE } from '../faults/fault-flags';
import {
  FOLL_FORCE,
  FOLL_HWPOISON,
  FOLL_MADV_POPULATE,
  FOLL_TOUCH,
  FOLL_UNLOCKABLE,
  FOLL_WRITE,
} from '../gup/gup-flags';
import type { Mm } from './mm';
import { PAGE_SIZE } from '../frames/page-size';
import { VM_EXEC, VM_IO, VM_LOCKONFAULT, VM_PFNMAP, VM_READ, VM_SHARED, VM_WRITE } from './vma-flags';
import type { Vma } from './vma';

/**
 * Brings in what lies mapped in [start, end), holes left out. With `ignoreErrors` an area that fails is passed over, else
 * the first error ends it: 0 or -errno. Task context. `__mm_populate`.
 */
export function mmPopulate(mm: Mm, start: number, end: number, ignoreErrors: boolean): MaySleep {
  return eagerly(mm.memory.world, 'populate', populateAreas(mm, start, end, ignoreErrors));
}

function* populateAreas(mm: Mm, start: number, end: number, ignoreErrors: boolean) {
  let at = start;
  while (at < end) {
    const vma = mm.vmas.all[mm.vmas.indexAfter(at)] as Vma | undefined;
    if (vma === undefined || vma.start >= end) break;
    const from = Math.max(at, vma.start);
    const to = Math.min(end, vma.end);
    at = to;
    if ((vma.flags & (VM_IO | VM_PFNMAP)) !== 0) continue;
    const pages = yield* settled(populateVmaPageRange(mm, vma, from, to));
    if (pages >= 0) at = from + pages * PAGE_SIZE;
    else if (!ignoreErrors) return pages;
  }
  return 0;
}

/** The part [start, end) of one area: pages brought in, or -errno. `populate_vma_page_range`. */
export function populateVmaPageRange(mm: Mm, vma: Vma, start: number, end: number): MaySleep {
  const pages = (end - start) / PAGE_SIZE;
  if ((vma.flags & VM_LOCKONFAULT) !== 0) return pages;
  if ((vma.flags & (VM_READ | VM_WRITE | VM_EXEC)) === 0) return -EFAULT;
  // Private writable memory gets its copies now; shared memory is not dirtied for nothing.
  const breaksSharing = (vma.flags & (VM_WRITE | VM_SHARED)) === VM_WRITE;
  const flags = FOLL_TOUCH | FOLL_UNLOCKABLE | (breaksSharing ? FOLL_WRITE : FOLL_FORCE);
  return mm.memory.gup.faultIn(mm, start, pages, flags);
}

/**
 * MADV_POPULATE_READ, with `write` MADV_POPULATE_WRITE: 0; -EINVAL: an area does not allow it; -ENOMEM: a hole, or no
 * memory; -EFAULT: a fault would have raised a signal; -EHWPOISON; -EINTR. What came in before stays. Task context.
 */
export function madvisePopulate(mm: Mm, start: number, end: number, write: boolean): MaySleep {
  return eagerly(mm.memory.world, 'madvise', populateRange(mm, start, end, write));
}

function* populateRange(mm: Mm, start: number, end: number, write: boolean) {
  const flags = FOLL_TOUCH | FOLL_HWPOISON | FOLL_UNLOCKABLE | FOLL_MADV_POPULATE | (write ? FOLL_WRITE : 0);
  let at = start;
  while (at < end) {
    const pages = yield* settled(mm.memory.gup.faultIn(mm, at, (end - at) / PAGE_SIZE, flags));
    if (pages === -EINTR || pages === -EINVAL || pages === -EHWPOISON || pages === -EFAULT) return pages;
    if (pages <= 0) return -ENOMEM;
    at += pages * PAGE_SIZE;
  }
  return 0;
}

/**
 * `fixup_user_fault`: one fault at `address` as the CPU would take it, for code that found a user page missing and may not
 * use GUP. 0; -EFAULT: no area, or one that forbids the access; -ENOMEM; -EINTR. Task context.
 */
export function fixupUserFault(mm: Mm, address: number, write: boolean): MaySleep {
  mm.memory.world.contexts.mightSleep('fixup_user_fault');
  const vma = mm.vmas.lookup(address);
  if (vma === null || !mm.allows(vma, write)) return -EFAULT;
  if (mm.fatalSignal) return -EINTR;
  const fault = handleMmFault(mm, vma, address, write ? FAULT_WRITE : 0);
  return eagerly(mm.memory.world, 'fixup_user_fault', faultErrno(fault));
}

/** `vm_fault_to_errno` without FOLL_HWPOISON. */
function* faultErrno(fault: MaySleep) {
  const result = yield* settled(fault);
  if (result >= 0) return 0;
  return result === -ENOMEM ? -ENOMEM : -EFAULT;
}
