/**
 * mlock: areas whose pages are brought in and kept from reclaim.
 *
 * Locking is a property of the area (`VM_LOCKED`), so fork does not inherit it; a page is `mlocked` while at least one
 * locked area maps it, which its `mlock_count` tells. It then lies on the unevictable list, where no references are needed:
 * mlock is no pin, and unlocking pays no attention to pins or other references (facts 30 and 15: budgets of their own).
 * Pages come in by GUP without references, after the areas were marked, so an error of that part leaves them marked.
 * Left out: mlockall, statistics of the unevictable list, per-CPU batches, mlock of secret memory and of hugetlb (both are
 * never reclaimed, and not counted).
 * Source followed: mm/mlock.c, mm/internal.h `mlock_vma_folio`, `munlock_vma_folio` (6.18).
 */
import { EAGAIN, EFAULT, EINVAL, ENOMEM, EPERM } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { canDoMlock } from './accounting';
import { eagerly, settled } from '../eager-task';
import { mlockFolio, munlockFolio } from './mlock-folio';
import type { Memory } from '../memory';
import type { Mm } from './mm';
import { PAGE_SIZE } from '../frames/page-size';
import {
  PMD_HUGE,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_SOFT_DIRTY,
  PTE_SPECIAL,
  PTE_WRITE,
  PTRS_PER_TABLE,
  REGION_BYTES,
  indexOf,
  regionOf,
} from './page-table';
import { mmPopulate } from './populate';
import { VM_HUGETLB, VM_LOCKED, VM_LOCKONFAULT, VM_SPECIAL } from './vma-flags';
import type { Vma } from './vma';

/** mlock2: pages are locked as faults bring them in, none is brought in now. */
export const MLOCK_ONFAULT = 1;

/** Bits that entries of one batch have in common (`folio_pte_batch`): all but those that writes and accesses change. */
const BATCH_BITS = ~(PTE_WRITE | PTE_DIRTY | PTE_SOFT_DIRTY | PTE_ACCESSED);
const LOCKED_MASK = VM_LOCKED | VM_LOCKONFAULT;

/**
 * mlock2(2) on [start, end), page aligned. 0; -EPERM: the process may lock nothing; -ENOMEM: above the limit, up to a
 * hole, or a page could not be had; -EAGAIN: no memory for a page; -EINVAL. Task context.
 */
export function doMlock(mm: Mm, start: number, end: number, flags: number): MaySleep {
  if ((flags & ~MLOCK_ONFAULT) !== 0) return -EINVAL;
  if (!canDoMlock(mm)) return -EPERM;
  const pages = (end - start) / PAGE_SIZE;
  const { user } = mm;
  if (!user.capIpcLock && mm.lockedVm + pages > user.limitPages) {
    // What is locked already is not counted again (`count_mm_mlocked_page_nr`).
    if (mm.lockedVm + pages - mlockedPages(mm, start, end) > user.limitPages) return -ENOMEM;
  }
  const error = applyVmaLockFlags(mm, start, end, VM_LOCKED | (flags === MLOCK_ONFAULT ? VM_LOCKONFAULT : 0));
  if (error !== 0) return error;
  return eagerly(mm.memory.world, 'mlock', populateLocked(mm, start, end));
}

/** munlock(2) on [start, end), page aligned. 0, or -ENOMEM: up to a hole. */
export function doMunlock(mm: Mm, start: number, end: number): number {
  return applyVmaLockFlags(mm, start, end, 0);
}

function* populateLocked(mm: Mm, start: number, end: number) {
  const error = yield* settled(mmPopulate(mm, start, end, false));
  // `__mlock_posix_error_return`
  if (error === -EFAULT) return -ENOMEM;
  return error === -ENOMEM ? -EAGAIN : error;
}

/** `apply_vma_lock_flags`: area by area, up to the first hole. */
function applyVmaLockFlags(mm: Mm, start: number, end: number, lock: number): number {
  const { vmas } = mm;
  let at = start;
  while (at < end) {
    const vma = vmas.lookup(at);
    if (vma === null) return -ENOMEM;
    const stop = Math.min(end, vma.end);
    mlockFixup(mm, vma, at, stop, lock);
    at = stop;
  }
  return 0;
}

/** The part of one area in [start, end) becomes locked or unlocked. `mlock_fixup`. */
function mlockFixup(mm: Mm, vma: Vma, start: number, end: number, lock: number): void {
  const before = vma.flags;
  const flags = (before & ~LOCKED_MASK) | lock;
  if (flags === before || (before & (VM_SPECIAL | VM_HUGETLB)) !== 0) return;
  if (vma.backing?.secret === true || vma.backing?.fsDax === true) return;
  mm.vmas.splitAt(start);
  mm.vmas.splitAt(end);
  const part = mm.vmas.lookup(start) as Vma;
  part.flags = flags;
  const wasLocked = (before & VM_LOCKED) !== 0;
  const isLocked = (flags & VM_LOCKED) !== 0;
  const pages = (end - start) / PAGE_SIZE;
  if (wasLocked !== isLocked) {
    mm.lockedVm += isLocked ? pages : -pages;
    mlockVmaPagesRange(mm, part, start, end);
  }
  mm.vmas.mergeRange(start, end);
}

/** Brings the pages of an area, whose flags have changed, in line with them. `mlock_pte_range`. */
function mlockVmaPagesRange(mm: Mm, vma: Vma, start: number, end: number): void {
  const { pageTable, memory } = mm;
  const isLocked = (vma.flags & VM_LOCKED) !== 0;
  const lastRegion = Math.ceil(end / REGION_BYTES);
  let region = pageTable.nextRegion(regionOf(start), lastRegion);
  while (region < lastRegion) {
    const table = pageTable.tableOf(region);
    if (table === PMD_HUGE) {
      const isSpecial = (pageTable.hugeFlags(region) & PTE_SPECIAL) !== 0;
      if (!isSpecial) setMlocked(memory, memory.frames.headOf(pageTable.hugeHead(region)), isLocked);
    } else if (table > 0) {
      const from = Math.max(0, (start - region * REGION_BYTES) / PAGE_SIZE);
      const to = indexOf(Math.min(end, (region + 1) * REGION_BYTES) - 1) + 1;
      mlockPteRange(mm, table, from, to, isLocked);
    }
    region = pageTable.nextRegion(region + 1, lastRegion);
  }
}

/** Entries [from, to) of one table, folio by folio. */
function mlockPteRange(mm: Mm, table: number, from: number, to: number, isLocked: boolean): void {
  const { pageTable, memory } = mm;
  const { frames } = memory;
  const ptes = pageTable.flagsOf(table);
  const pfns = pageTable.framesOf(table);
  const base = pageTable.baseOf(table);
  for (let i = from; i < to;) {
    const pte = ptes[base + i];
    const pfn = pfns[base + i];
    if ((pte & PTE_PRESENT) === 0 || (pte & PTE_SPECIAL) !== 0) {
      i++;
      continue;
    }
    const head = frames.headOf(pfn);
    // `folio_mlock_step`: entries in a row that show the folio's pages in a row.
    const most = Math.min(to, i + head + 2 ** frames.order[head] - pfn, PTRS_PER_TABLE);
    let stop = i + 1;
    while (stop < most && pfns[base + stop] === pfn + stop - i && ((ptes[base + stop] ^ pte) & BATCH_BITS) === 0)
      stop++;
    // `allow_mlock_munlock`: a large folio is locked only when all of it lies here; unlocked in any case.
    if (!isLocked || stop - i === 2 ** frames.order[head]) setMlocked(memory, head, isLocked);
    i = stop;
  }
}

function setMlocked(memory: Memory, head: number, isLocked: boolean): void {
  if (isLocked) mlockFolio(memory, head);
  else munlockFolio(memory, head);
}

/** Pages of [start, end) that lie in locked areas. `count_mm_mlocked_page_nr`. */
function mlockedPages(mm: Mm, start: number, end: number): number {
  const areas = mm.vmas.all;
  let pages = 0;
  for (let i = mm.vmas.indexAfter(start); i < areas.length && areas[i].start < end; i++) {
    const vma = areas[i];
    if ((vma.flags & VM_LOCKED) !== 0) pages += (Math.min(end, vma.end) - Math.max(start, vma.start)) / PAGE_SIZE;
  }
  return pages;
}
