/**
 * madvise: what a process says about its memory, and what is done about it at once.
 *
 * The advice is carried out area by area. A hole does not stop it: both sides are worked on and -ENOMEM says so at the end
 * (fact 31); an area for which the advice is impossible ends it with -EINVAL. MADV_POPULATE_* stops at a hole instead.
 * Left out: MADV_SOFT_OFFLINE and MADV_HWPOISON (the recorded kernel has no memory failure handling: -EINVAL),
 * process_madvise, mseal, names of areas.
 * Source followed: mm/madvise.c `do_madvise`, `madvise_walk_vmas`, `madvise_vma_behavior`; mm/ksm.c `ksm_madvise` (6.18).
 */
import { EACCES, EAGAIN, EINVAL, ENOMEM } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { madviseCollapse } from '../huge/collapse';
import { eagerly, settled } from '../eager-task';
import { madviseGuardInstall, madviseGuardRemove } from './guard';
import { vmaPageBytes } from '../huge/hugetlb';
import { ksmCompatible, unmergeKsmPages } from '../reclaim/ksm';
import { madviseFree } from '../reclaim/madvise-free';
import { canMadviseLru, madviseCold, madvisePageout } from '../reclaim/madvise-reclaim';
import { madviseWillneed } from '../reclaim/madvise-willneed';
import type { Mm } from './mm';
import { PAGE_SIZE } from '../frames/page-size';
import { madvisePopulate } from './populate';
import {
  VM_DONTCOPY,
  VM_DONTDUMP,
  VM_HUGEPAGE,
  VM_HUGETLB,
  VM_IO,
  VM_LOCKED,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_MERGEABLE,
  VM_NOHUGEPAGE,
  VM_PFNMAP,
  VM_RAND_READ,
  VM_SEQ_READ,
  VM_SHARED,
  VM_SPECIAL,
  VM_WIPEONFORK,
} from './vma-flags';
import type { Vma } from './vma';
import { zapVmaRange } from './zap';

export const MADV_NORMAL = 0;
export const MADV_RANDOM = 1;
export const MADV_SEQUENTIAL = 2;
export const MADV_WILLNEED = 3;
export const MADV_DONTNEED = 4;
export const MADV_FREE = 8;
export const MADV_REMOVE = 9;
export const MADV_DONTFORK = 10;
export const MADV_DOFORK = 11;
export const MADV_MERGEABLE = 12;
export const MADV_UNMERGEABLE = 13;
export const MADV_HUGEPAGE = 14;
export const MADV_NOHUGEPAGE = 15;
export const MADV_DONTDUMP = 16;
export const MADV_DODUMP = 17;
export const MADV_WIPEONFORK = 18;
export const MADV_KEEPONFORK = 19;
export const MADV_COLD = 20;
export const MADV_PAGEOUT = 21;
export const MADV_POPULATE_READ = 22;
export const MADV_POPULATE_WRITE = 23;
export const MADV_DONTNEED_LOCKED = 24;
export const MADV_COLLAPSE = 25;
export const MADV_HWPOISON = 100;
export const MADV_SOFT_OFFLINE = 101;
export const MADV_GUARD_INSTALL = 102;
export const MADV_GUARD_REMOVE = 103;

const KNOWN: ReadonlySet<number> = new Set([
  MADV_NORMAL,
  MADV_RANDOM,
  MADV_SEQUENTIAL,
  MADV_WILLNEED,
  MADV_DONTNEED,
  MADV_FREE,
  MADV_REMOVE,
  MADV_DONTFORK,
  MADV_DOFORK,
  MADV_MERGEABLE,
  MADV_UNMERGEABLE,
  MADV_HUGEPAGE,
  MADV_NOHUGEPAGE,
  MADV_DONTDUMP,
  MADV_DODUMP,
  MADV_WIPEONFORK,
  MADV_KEEPONFORK,
  MADV_COLD,
  MADV_PAGEOUT,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MADV_DONTNEED_LOCKED,
  MADV_COLLAPSE,
  MADV_GUARD_INSTALL,
  MADV_GUARD_REMOVE,
]);

/** `madvise_behavior_valid`. */
export function madviseBehaviorValid(advice: number): boolean {
  return KNOWN.has(advice);
}

/** madvise(2) on [start, end), page aligned and not empty. 0 or -errno. Task context, may sleep. */
export function doMadvise(mm: Mm, start: number, end: number, advice: number): MaySleep {
  if (!madviseBehaviorValid(advice)) return -EINVAL;
  if (advice === MADV_POPULATE_READ || advice === MADV_POPULATE_WRITE) {
    return madvisePopulate(mm, start, end, advice === MADV_POPULATE_WRITE);
  }
  return eagerly(mm.memory.world, 'madvise', walkVmas(mm, start, end, advice));
}

/** `madvise_walk_vmas`. */
function* walkVmas(mm: Mm, start: number, end: number, advice: number) {
  let at = start;
  let holes = 0;
  while (at < end) {
    const vma = mm.vmas.all[mm.vmas.indexAfter(at)] as Vma | undefined;
    if (vma === undefined) return -ENOMEM;
    if (at < vma.start) {
      holes = -ENOMEM;
      at = vma.start;
      if (at >= end) break;
    }
    const to = Math.min(end, vma.end);
    const error = yield* settled(madviseVma(mm, vma, at, to, advice));
    if (error !== 0) return error;
    at = to;
  }
  return holes;
}

/** The part [start, end) of one area. `madvise_vma_behavior`. */
function madviseVma(mm: Mm, vma: Vma, start: number, end: number, advice: number): MaySleep {
  switch (advice) {
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
    case MADV_FREE:
      return dontneedFree(mm, vma, start, end, advice);
    case MADV_COLD:
      return canMadviseLru(vma) ? madviseCold(mm, start, end) : -EINVAL;
    case MADV_PAGEOUT:
      return canMadviseLru(vma) ? madvisePageout(mm, start, end) : -EINVAL;
    case MADV_WILLNEED:
      return madviseWillneed(mm, vma, start, end);
    case MADV_REMOVE:
      return remove(vma, start, end);
    case MADV_COLLAPSE:
      return madviseCollapse(mm, vma, start, end);
    case MADV_GUARD_INSTALL:
      return madviseGuardInstall(mm, vma, start, end);
    case MADV_GUARD_REMOVE:
      return madviseGuardRemove(mm, vma, start, end);
    case MADV_MERGEABLE:
    case MADV_UNMERGEABLE:
      return ksmMadvise(mm, vma, start, end, advice);
    default: {
      const flags = flagsAfter(vma, advice);
      if (flags === null) return -EINVAL;
      if (flags === vma.flags) return 0;
      if (!vma.maySplitAt(start) || !vma.maySplitAt(end)) return -EINVAL;
      updateVma(mm, vma, start, end, flags);
      return 0;
    }
  }
}

/** `madvise_dontneed_free`. Locked memory goes only by MADV_DONTNEED_LOCKED. */
function dontneedFree(mm: Mm, vma: Vma, start: number, end: number, advice: number): MaySleep {
  let stop = end;
  if ((vma.flags & VM_HUGETLB) === 0) {
    const forbidden = VM_PFNMAP | (advice === MADV_DONTNEED_LOCKED ? 0 : VM_LOCKED);
    if ((vma.flags & forbidden) !== 0) return -EINVAL;
  } else {
    // Whole huge pages only: the beginning must be one, the end is rounded down.
    const bytes = vmaPageBytes(vma);
    if (advice === MADV_FREE || start % bytes !== 0) return -EINVAL;
    stop = Math.floor(end / bytes) * bytes;
    if (stop <= start) return 0;
  }
  if (advice === MADV_FREE) return vma.isAnonymous ? madviseFree(mm, start, stop) : -EINVAL;
  zapVmaRange(mm, vma, start, stop);
  return 0;
}

/** `madvise_remove`: punches a hole into the file that a shared writable area shows. */
function remove(vma: Vma, start: number, end: number): MaySleep {
  if ((vma.flags & VM_LOCKED) !== 0 || vma.backing?.punchHole === undefined) return -EINVAL;
  if ((vma.flags & (VM_SHARED | VM_MAYWRITE)) !== (VM_SHARED | VM_MAYWRITE)) return -EACCES;
  return vma.backing.punchHole(vma.pageIndexOf(start) * PAGE_SIZE, end - start);
}

/** `ksm_madvise`. */
function ksmMadvise(mm: Mm, vma: Vma, start: number, end: number, advice: number): MaySleep {
  const isMergeable = (vma.flags & VM_MERGEABLE) !== 0;
  if (advice === MADV_MERGEABLE) {
    if (!isMergeable && ksmCompatible(vma)) updateVma(mm, vma, start, end, vma.flags | VM_MERGEABLE);
    return 0;
  }
  if (!isMergeable) return 0;
  return eagerly(mm.memory.world, 'madvise', unmerge(mm, vma, start, end));
}

function* unmerge(mm: Mm, vma: Vma, start: number, end: number) {
  const error = yield* settled(unmergeKsmPages(mm, vma, start, end));
  if (error < 0) return error === -ENOMEM ? -EAGAIN : error;
  updateVma(mm, vma, start, end, vma.flags & ~VM_MERGEABLE);
  return 0;
}

/** The flags of an area after an advice that only changes flags; null where it is impossible. */
function flagsAfter(vma: Vma, advice: number): number | null {
  const { flags } = vma;
  switch (advice) {
    case MADV_NORMAL:
      return flags & ~(VM_RAND_READ | VM_SEQ_READ);
    case MADV_SEQUENTIAL:
      return (flags & ~VM_RAND_READ) | VM_SEQ_READ;
    case MADV_RANDOM:
      return (flags & ~VM_SEQ_READ) | VM_RAND_READ;
    case MADV_DONTFORK:
      return flags | VM_DONTCOPY;
    case MADV_DOFORK:
      return (flags & VM_IO) !== 0 ? null : flags & ~VM_DONTCOPY;
    case MADV_WIPEONFORK:
      // Only of private anonymous memory a child can be given zeros.
      return vma.backing !== null || (flags & (VM_SHARED | VM_MAYSHARE)) !== 0 ? null : flags | VM_WIPEONFORK;
    case MADV_KEEPONFORK:
      return flags & ~VM_WIPEONFORK;
    case MADV_DONTDUMP:
      return flags | VM_DONTDUMP;
    case MADV_DODUMP:
      return (flags & VM_HUGETLB) === 0 && (flags & VM_SPECIAL) !== 0 ? null : flags & ~VM_DONTDUMP;
    case MADV_HUGEPAGE:
      return (flags & ~VM_NOHUGEPAGE) | VM_HUGEPAGE;
    case MADV_NOHUGEPAGE:
      return (flags & ~VM_HUGEPAGE) | VM_NOHUGEPAGE;
    default:
      return null;
  }
}

/** `madvise_update_vma`. */
function updateVma(mm: Mm, vma: Vma, start: number, end: number, flags: number): void {
  if (flags === vma.flags) return;
  mm.vmas.splitAt(start);
  mm.vmas.splitAt(end);
  (mm.vmas.lookup(start) as Vma).flags = flags;
  mm.vmas.mergeRange(start, end);
}
