/**
 * mprotect, and changing what the entries of a range allow.
 *
 * The frames stay where they are, pinned or not, and an exclusive page becomes writable again at once, so a write after
 * mprotect to read-only and back meets the same page.
 * Left out: NUMA hints, security hooks, commit accounting, migration entries (none exists when
 * other code runs).
 * Source followed: mm/mprotect.c `do_mprotect_pkey`, `mprotect_fixup`, `change_pte_range` (6.18).
 */
import { EACCES, EINVAL, ENOMEM } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { eagerly, settled } from '../eager-task';
import { PG_anon, PG_anonExclusive } from '../frames/frames';
import type { FrameTable } from '../frames/frames';
import { changeHugePmd, splitHugePmd } from '../huge/huge-memory';
import { hugetlbChangeProtection } from '../huge/hugetlb';
import type { Mm } from './mm';
import {
  CP_TRY_CHANGE_WRITABLE,
  CP_UFFD_WP,
  CP_UFFD_WP_RESOLVE,
  canChangeWritable,
  pteModify,
  uffdUsesMarkers,
  wantsManualWriteUpgrade,
} from './page-protection';
import {
  PMD_HUGE,
  PMD_NONE,
  PTE_GUARD,
  PTE_PRESENT,
  PTE_SPECIAL,
  PTE_SWAP,
  PTE_UFFD_WP,
  PTE_WRITE,
  REGION_BYTES,
  indexOf,
  regionOf,
} from './page-table';
import type { PageTable } from './page-table';
import { populateVmaPageRange } from './populate';
import { VM_EXEC, VM_HUGETLB, VM_LOCKED, VM_PKEY, VM_READ, VM_SHARED, VM_WRITE, pkeyVmFlags } from './vma-flags';
import type { Vma } from './vma';

const ACCESS = VM_READ | VM_WRITE | VM_EXEC;
/** From a `VM_READ`, … bit to its `VM_MAYREAD`, …. */
const MAY_SHIFT = 4;

/**
 * `do_mprotect_pkey` for [start, end), page aligned: area by area, up to the first hole (-ENOMEM) or the first area that
 * may not be opened so far (-EACCES); what lies before has been changed. `key`: a protection key of the process, or -1:
 * areas keep theirs. Task context.
 */
export function mprotectRange(mm: Mm, start: number, end: number, prot: number, key: number): MaySleep {
  return eagerly(mm.memory.world, 'mprotect', mprotectAreas(mm, start, end, prot, key));
}

function* mprotectAreas(mm: Mm, start: number, end: number, prot: number, key: number) {
  for (let at = start; at < end;) {
    const vma = mm.vmas.lookup(at);
    if (vma === null) return -ENOMEM;
    const stop = Math.min(end, vma.end);
    const colour = pkeyVmFlags(mm.pkeys.keyFor(vma.flags, prot, key));
    const flags = (vma.flags & ~(ACCESS | VM_PKEY)) | (prot & ACCESS) | colour;
    if ((flags & ~(flags >> MAY_SHIFT) & ACCESS) !== 0) return -EACCES;
    const error = yield* settled(mprotectFixup(mm, vma, at, stop, flags));
    if (error === -EINVAL) return error;
    at = stop;
  }
  return 0;
}

/** The part of one area in [start, end) gets new flags. Sleeps while it populates. `mprotect_fixup`. */
function mprotectFixup(mm: Mm, vma: Vma, start: number, end: number, flags: number): MaySleep {
  const before = vma.flags;
  if (flags === before) return 0;
  if (!vma.maySplitAt(start) || !vma.maySplitAt(end)) return -EINVAL;
  mm.vmas.splitAt(start);
  mm.vmas.splitAt(end);
  const part = mm.vmas.lookup(start) as Vma;
  part.flags = flags;
  changeProtection(mm, part, start, end, wantsManualWriteUpgrade(part) ? CP_TRY_CHANGE_WRITABLE : 0);
  mm.vmas.mergeRange(start, end);
  // A locked private area that becomes writable gets its copies now: no fault shall be left for later.
  if ((before & (VM_WRITE | VM_SHARED | VM_LOCKED)) !== VM_LOCKED || (flags & VM_WRITE) === 0) return 0;
  return populateVmaPageRange(mm, mm.vmas.lookup(start) as Vma, start, end);
}

/**
 * Applies the permissions of an area, already changed, to its entries in [start, end), which lies in it. `cpFlags` are
 * `CP_*`. `change_protection`.
 */
export function changeProtection(mm: Mm, vma: Vma, start: number, end: number, cpFlags: number): void {
  if ((vma.flags & VM_HUGETLB) !== 0) {
    hugetlbChangeProtection(mm, vma, start, end, cpFlags);
    return;
  }
  const { pageTable, tlb } = mm;
  tlb?.remember(start, end, false);
  const lastRegion = Math.ceil(end / REGION_BYTES);
  const usesMarkers = (cpFlags & CP_UFFD_WP) !== 0 && uffdUsesMarkers(vma);
  let region = usesMarkers ? regionOf(start) : pageTable.nextRegion(regionOf(start), lastRegion);
  while (region < lastRegion) {
    const from = Math.max(start, region * REGION_BYTES);
    const to = Math.min(end, (region + 1) * REGION_BYTES);
    if (pageTable.tableOf(region) === PMD_HUGE) {
      if (to - from === REGION_BYTES) changeHugePmd(mm, vma, region, cpFlags);
      else splitHugePmd(mm, vma, region);
    }
    if (usesMarkers && pageTable.tableOf(region) === PMD_NONE) pageTable.ensureTable(region);
    const table = pageTable.tableOf(region);
    if (table > 0) changePteRange(mm, vma, table, indexOf(from), indexOf(to - 1) + 1, cpFlags);
    region = usesMarkers ? region + 1 : pageTable.nextRegion(region + 1, lastRegion);
  }
  tlb?.flush();
}

/** Entries [from, to) of one table. `change_pte_range`. */
function changePteRange(mm: Mm, vma: Vma, table: number, from: number, to: number, cpFlags: number): void {
  const { pageTable } = mm;
  const { frames, profile } = mm.memory;
  const ptes = pageTable.flagsOf(table);
  const pfns = pageTable.framesOf(table);
  const base = pageTable.baseOf(table);
  const upgrade = (cpFlags & CP_TRY_CHANGE_WRITABLE) !== 0;
  const knowsExclusive = profile.cowReuse === 'exclusive';
  const marks = (cpFlags & CP_UFFD_WP) !== 0 && uffdUsesMarkers(vma);
  for (let i = from; i < to; i++) {
    const pte = ptes[base + i];
    if ((pte & PTE_PRESENT) === 0) {
      if (pte !== 0) changeNonpresentPte(pageTable, table, i, cpFlags);
      else if (marks) pageTable.set(table, i, 0, PTE_UFFD_WP);
      continue;
    }
    let changed = pteModify(vma, pte, cpFlags);
    if (upgrade && (changed & PTE_WRITE) === 0) {
      const pfn = pfns[base + i];
      const exclusive = knowsExclusive && (pte & PTE_SPECIAL) === 0 && isExclusiveAnon(frames, pfn);
      if (canChangeWritable(vma, changed, exclusive)) changed |= PTE_WRITE;
    }
    ptes[base + i] = changed;
  }
}

/** Swap entries and markers follow userfaultfd; guard pages stay as they are. */
function changeNonpresentPte(pageTable: PageTable, table: number, index: number, cpFlags: number): void {
  const at = pageTable.baseOf(table) + index;
  const ptes = pageTable.flagsOf(table);
  const pte = ptes[at];
  const resolve = (cpFlags & CP_UFFD_WP_RESOLVE) !== 0;
  if ((pte & PTE_GUARD) !== 0) return;
  if ((pte & PTE_SWAP) === 0) {
    if (resolve) pageTable.clear(table, index);
    return;
  }
  if ((cpFlags & CP_UFFD_WP) !== 0) ptes[at] = pte | PTE_UFFD_WP;
  else if (resolve) ptes[at] = pte & ~PTE_UFFD_WP;
}

function isExclusiveAnon(frames: FrameTable, pfn: number): boolean {
  return (frames.flags[frames.headOf(pfn)] & PG_anon) !== 0 && (frames.flags[pfn] & PG_anonExclusive) !== 0;
}
