/** Memory management: frames, address spaces, faults, get_user_pages and pin_user_pages, the ledger. */
export { Memory } from './memory';
export type { MemoryOptions } from './memory';
export {
  FrameTable,
  PG_anon,
  PG_anonExclusive,
  PG_buddy,
  PG_dirty,
  PG_hasBytes,
  PG_head,
  PG_hwpoison,
  PG_locked,
  PG_p2pdma,
  PG_referenced,
  PG_reserved,
  PG_secretmem,
  PG_swapbacked,
  PG_uptodate,
  PG_zero,
} from './frames';
export type { FrameOwner } from './frames';
export { Buddy, MAX_PAGE_ORDER } from './buddy';
export { Gfp, ZoneType } from './zone';
export type { GfpFlags, Zone } from './zone';
export { PageBytes } from './page-bytes';
export { PAGE_SHIFT, PAGE_SIZE } from './page-size';
export { ZERO_PFN } from './zero-page';

export {
  MADV_DONTNEED,
  MADV_HUGEPAGE,
  MADV_NOHUGEPAGE,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  Mm,
  PROT_EXEC,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from './mm';
export {
  VM_DONTCOPY,
  VM_DONTEXPAND,
  VM_EXEC,
  VM_HUGEPAGE,
  VM_IO,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_MIXEDMAP,
  VM_NOHUGEPAGE,
  VM_PFNMAP,
  VM_READ,
  VM_SHARED,
  VM_WRITE,
  Vma,
  VmaList,
} from './vma';
export type { VmaBacking } from './vma';
export {
  PMD_HUGE,
  PMD_NONE,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_SOFT_DIRTY,
  PTE_SPECIAL,
  PTE_UFFD_WP,
  PTE_USER,
  PTE_WRITE,
  PageTable,
  REGION_BYTES,
  TASK_SIZE,
  indexOf,
  regionOf,
} from './page-table';
export { protectRange, splitHugePmd, zapRange } from './zap';

export {
  FOLL_ANON,
  FOLL_DUMP,
  FOLL_FAST_ONLY,
  FOLL_FORCE,
  FOLL_GET,
  FOLL_HONOR_NUMA_FAULT,
  FOLL_HWPOISON,
  FOLL_INTERRUPTIBLE,
  FOLL_LONGTERM,
  FOLL_MADV_POPULATE,
  FOLL_NOFAULT,
  FOLL_NOWAIT,
  FOLL_PCI_P2PDMA,
  FOLL_PIN,
  FOLL_REMOTE,
  FOLL_SPLIT_PMD,
  FOLL_TOUCH,
  FOLL_TRIED,
  FOLL_UNLOCKABLE,
  FOLL_WRITE,
} from './gup-flags';
export { UserPageGrabber } from './gup';
export { FRAME_MASK, PIN_TAG, frameOf, newGottenPages, newPinnedPages } from './user-page';
export type { GottenPages, PinnedPages } from './user-page';
export { PinScheme } from './pin-scheme';
export type { PinSchemeCapabilities } from './pin-scheme';
export { BiasScheme, GUP_PIN_COUNTING_BIAS } from './bias-scheme';
export { Ledger } from './ledger';
export type { LedgerCounters, LedgerMode, LiveMap, LivePin } from './ledger';
export { Vmstat } from './vmstat';
export { mmSites } from './sites';
export { assertMemorySane } from './sanity';
