/**
 * Who may grab what: the argument checks and the VMA checks of GUP, with a sentence for each refusal.
 *
 * A check returns 0, or the number of a rule; `ruleErrno` and `ruleSentence` turn that into what the caller gets and what
 * `why()` says. Rule ids are those of the comments in this package.
 * Left out: shadow stacks, userfaultfd.
 * Source followed: mm/gup.c `is_valid_gup_args`, `check_vma_flags` (6.18).
 */
import { EBUSY, EEXIST, EFAULT, EINTR, EINVAL, ENOMEM, EOPNOTSUPP, EOVERFLOW, EREMOTEIO } from '@pincushion/sim';
import {
  FOLL_ANON,
  FOLL_FAST_MASK,
  FOLL_FORCE,
  FOLL_GET,
  FOLL_INTERNAL_MASK,
  FOLL_LONGTERM,
  FOLL_MADV_POPULATE,
  FOLL_PCI_P2PDMA,
  FOLL_PIN,
  FOLL_REMOTE,
  FOLL_SPLIT_PMD,
  FOLL_WRITE,
} from './gup-flags';
import type { Mm } from '../process/mm';
import { VM_HUGETLB, VM_IO, VM_MAYREAD, VM_PFNMAP, VM_READ, VM_WRITE, vmaPkey } from '../process/vma-flags';
import type { Vma } from '../process/vma';

/** A refusal: what the caller gets, and why. */
export interface Refusal {
  readonly errno: number;
  readonly sentence: string;
}

const refuse = (errno: number, sentence: string): Refusal => Object.freeze({ errno: -errno, sentence });

const INTERNAL_FLAG = refuse(EINVAL, 'F-01: a flag is passed that only the memory manager itself may set');
const GET_AND_PIN = refuse(EINVAL, 'F-02: FOLL_GET and FOLL_PIN exclude each other');
const LONGTERM_NO_PIN = refuse(EINVAL, 'F-03: FOLL_LONGTERM is for pins only');
const NO_PAGES = refuse(EINVAL, 'F-04: pages are to be grabbed but there is no array for them');
const LONGTERM_P2P = refuse(EINVAL, 'F-05: FOLL_LONGTERM would keep a peer-to-peer device from being unplugged');
const LOCK_NOT_HELD = refuse(EINVAL, 'F-06: `locked` is given and does not say that mmap_lock is held');
const NOT_FAST = refuse(EINVAL, 'F-07: a flag is passed that the fast calls do not know');

export const OVERFLOW = refuse(EOVERFLOW, 'E-02: the range ends beyond the largest address');
export const BEYOND_USER = refuse(EFAULT, 'E-02: the range ends above user space');
const NO_VMA = refuse(EFAULT, 'E-03: nothing is mapped at the address');
const POPULATE_HOLE = refuse(ENOMEM, 'V-10: nothing is mapped in a part of the range that is to be populated');
const POPULATE_DENIED = refuse(EINVAL, 'V-10: an area in the range to be populated does not allow the access');
export const SIGNAL = refuse(EINTR, 'E-03: a fatal signal is pending');
export const NO_FAULT = refuse(EFAULT, 'E-04: the page is missing and FOLL_NOFAULT forbids to bring it in');
export const NO_STRUCT_PAGE = refuse(EEXIST, 'E-08: the entry has no page structure behind it that could be counted');
export const DUMP_HOLE = refuse(EFAULT, 'E-08: there is nothing at the address that a core dump would contain');
export const COUNT_GUARD = refuse(ENOMEM, 'R-21: the reference count of the page is used up');
export const UNDER_WRITEBACK = refuse(
  EBUSY,
  'Glisse 2018: the page is on its way to the store, and the machine refuses to pin it for writing',
);
export const P2P_PAGE = refuse(EREMOTEIO, 'R-06: the page is memory of a PCI device and FOLL_PCI_P2PDMA is not set');
export const HUGE_SECOND_GRAB = refuse(EFAULT, 'E-12: the rest of a huge mapping could not be grabbed');
export const NOT_MOVABLE = refuse(
  ENOMEM,
  'L-01: a page of the range lies in ZONE_MOVABLE, where a long-term pin may not stay, and it could not be moved',
);
export const NEVER_SETTLES = refuse(
  EINTR,
  'L-02: pages that may not stay came back after each move; the kernel goes on until a fatal signal',
);

const IO_OR_PFN = refuse(EFAULT, 'V-01: the area maps device registers or frames without page structures');
const NOT_ANON = refuse(EFAULT, 'V-02: FOLL_ANON was asked for and the area is not anonymous');
const FS_DAX = refuse(EOPNOTSUPP, 'V-03: a long-term pin would block truncation of a DAX file for ever');
const SPLIT_HUGETLB = refuse(EOPNOTSUPP, 'V-04: a hugetlb page cannot be split');
const SECRET = refuse(EFAULT, 'V-05: the area is secret memory, which the kernel itself cannot see');
const DIRTY_TRACKED = refuse(EFAULT, 'V-06: shared writable mapping of a file system that tracks dirty pages');
const NOT_WRITABLE = refuse(EFAULT, 'V-07: the area is not writable');
const NOT_READABLE = refuse(EFAULT, 'V-08: the area is not readable');
const KEY_DENIES_ACCESS = refuse(EFAULT, 'V-09: PKRU denies access to memory with the protection key of the area');
const KEY_DENIES_WRITES = refuse(EFAULT, 'V-09: PKRU denies writes to memory with the protection key of the area');

/**
 * F-01 to F-06, in the kernel's order. `flags` as the caller passed them; `own` are those the entry point adds. `lock` is
 * the caller's `locked`, if any.
 */
export function checkArguments(
  flags: number,
  own: number,
  hasPages: boolean,
  lock: { readonly locked: number } | null = null,
): Refusal | null {
  if ((flags & FOLL_INTERNAL_MASK) !== 0) return INTERNAL_FLAG;
  if (lock !== null && lock.locked !== 1) return LOCK_NOT_HELD;
  const all = flags | own;
  if ((all & (FOLL_GET | FOLL_PIN)) === (FOLL_GET | FOLL_PIN)) return GET_AND_PIN;
  if ((all & FOLL_LONGTERM) !== 0 && (all & FOLL_PIN) === 0) return LONGTERM_NO_PIN;
  if ((all & (FOLL_GET | FOLL_PIN)) !== 0 && !hasPages) return NO_PAGES;
  if ((all & (FOLL_LONGTERM | FOLL_PCI_P2PDMA)) === (FOLL_LONGTERM | FOLL_PCI_P2PDMA)) return LONGTERM_P2P;
  return null;
}

/** F-07. */
export function checkFastFlags(flags: number): Refusal | null {
  return (flags & ~FOLL_FAST_MASK) !== 0 ? NOT_FAST : null;
}

/** Whether there is an area of `mm` that allows the access; once per area, before its first page. */
export function checkAddress(mm: Mm, vma: Vma | null, flags: number): Refusal | null {
  const isPopulating = (flags & FOLL_MADV_POPULATE) !== 0;
  if (vma === null) return isPopulating ? POPULATE_HOLE : NO_VMA;
  const refusal = checkVma(mm, vma, flags);
  return refusal !== null && isPopulating ? POPULATE_DENIED : refusal;
}

/** V-01 to V-09 in the kernel's order. V-07 makes no exception of hugetlb: FOLL_FORCE writes to a private copy (recorded). */
function checkVma(mm: Mm, vma: Vma, flags: number): Refusal | null {
  if ((vma.flags & (VM_IO | VM_PFNMAP)) !== 0) return IO_OR_PFN;
  if ((flags & FOLL_ANON) !== 0 && !vma.isAnonymous) return NOT_ANON;
  const isLongterm = (flags & FOLL_LONGTERM) !== 0;
  if (isLongterm && vma.backing?.fsDax === true) return FS_DAX;
  const isHugetlb = (vma.flags & VM_HUGETLB) !== 0;
  if (isHugetlb && (flags & FOLL_SPLIT_PMD) !== 0) return SPLIT_HUGETLB;
  if (vma.backing?.secret === true) return SECRET;
  const isForced = (flags & FOLL_FORCE) !== 0;
  if ((flags & FOLL_WRITE) !== 0) {
    if (isLongterm && (flags & FOLL_PIN) !== 0 && vma.needsDirtyTracking) {
      if (mm.memory.profile.longtermRefusesDirtyTracked) return DIRTY_TRACKED;
    }
    if ((vma.flags & VM_WRITE) === 0 && !(isForced && vma.isCow)) return NOT_WRITABLE;
  } else if ((vma.flags & VM_READ) === 0 && !(isForced && (vma.flags & VM_MAYREAD) !== 0)) {
    return NOT_READABLE;
  }
  return (flags & FOLL_REMOTE) === 0 ? checkKey(mm, vma, (flags & FOLL_WRITE) !== 0) : null;
}

/** V-09: FOLL_FORCE does not help here. Only whoever looks from outside is let through. `arch_vma_access_permitted`. */
function checkKey(mm: Mm, vma: Vma, write: boolean): Refusal | null {
  const key = vmaPkey(vma.flags);
  if (mm.pkeys.allow(key, write)) return null;
  return mm.pkeys.allow(key, false) ? KEY_DENIES_WRITES : KEY_DENIES_ACCESS;
}
