/** Memory management: frames, address spaces, faults, get_user_pages and pin_user_pages, the ledger. */
export { Memory } from './memory';
export type { ContentOwner, MemoryOptions } from './memory';
export { AddressSpace } from './address-space';
export type { AddressSpaceOps, CacheHost } from './address-space';
export { FileBacking, filemapFault } from './file';
export type { FileUses, MappableFile } from './file';
export { genericFileRead, genericFileWrite } from './generic-file';
export {
  addNewFolio,
  filemapDirtyFolio,
  findFolio,
  folioCancelDirty,
  folioClearDirtyForIo,
  folioWaitBit,
  folioMarkDirty,
  invalidateMappingPages,
} from './page-cache';
export { MS_ASYNC, MS_INVALIDATE, MS_SYNC } from './msync';
export { ShmemFile, newShmemFile } from './shmem';
export {
  truncateFolios,
  truncatePagecache,
  truncatePagecacheRange,
  truncatePartialFolio,
  unmapMappingRange,
} from './truncate';
export { folioWaitWriteback, waitWriteback, writeAndWaitRange } from './writeback';
export { eagerly, settled } from './eager-task';
export { AnonVma } from './anon-vma';
export { folioMappedShared, rmapWalk } from './rmap';
export type { MappedAt } from './rmap';
export {
  FrameTable,
  PG_anon,
  PG_cma,
  PG_hugetlb,
  PG_ksm,
  PG_lru,
  PG_mlocked,
  PG_private,
  PG_swapcache,
  PG_unevictable,
  PG_writeback,
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
export { SwapArea } from './swap';
export type { SwapStore } from './swap';
export { MemorySwapStore } from './swap-store';
export { Gfp, ZoneType } from './zone';
export type { GfpFlags, Zone } from './zone';
export { PageBytes } from './page-bytes';
export { PAGE_SHIFT, PAGE_SIZE } from './page-size';
export { ZERO_PFN } from './zero-page';

export { Mm } from './mm';
export {
  User,
  UserAccount,
  accountLockedVm,
  accountPinnedVm,
  canDoMlock,
  ioAccountMem,
  ioUnaccountMem,
  unaccountPinnedVm,
} from './accounting';
export {
  MADV_COLD,
  MADV_COLLAPSE,
  MADV_DODUMP,
  MADV_DOFORK,
  MADV_DONTDUMP,
  MADV_DONTFORK,
  MADV_DONTNEED,
  MADV_DONTNEED_LOCKED,
  MADV_FREE,
  MADV_GUARD_INSTALL,
  MADV_GUARD_REMOVE,
  MADV_HUGEPAGE,
  MADV_HWPOISON,
  MADV_KEEPONFORK,
  MADV_MERGEABLE,
  MADV_NOHUGEPAGE,
  MADV_NORMAL,
  MADV_PAGEOUT,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MADV_RANDOM,
  MADV_REMOVE,
  MADV_SEQUENTIAL,
  MADV_SOFT_OFFLINE,
  MADV_UNMERGEABLE,
  MADV_WILLNEED,
  MADV_WIPEONFORK,
} from './madvise';
export { MLOCK_ONFAULT } from './mlock';
export { HugetlbFile, newHugetlbFile } from './hugetlb-file';
export { HUGETLB_1G_ORDER, HUGETLB_2M_ORDER, HugetlbPool } from './hugetlb-pool';
export { memfdPinFolios } from './memfd-pin';
export { Pipe } from './pipe';
export { fixupUserFault } from './populate';
export { processVmReadv, processVmWritev } from './process-vm';
export { accessRemoteVm, getDumpPage, readProcMem, writeProcMem } from './access-remote';
export { SecretMemory } from './secretmem';
export { clearSoftDirty, isSoftDirty } from './soft-dirty';
export { uffdRegisterWp, uffdWriteprotect } from './userfaultfd';
export {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_HUGETLB,
  MAP_HUGE_1GB,
  MAP_HUGE_2MB,
  MAP_LOCKED,
  MAP_NORESERVE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_EXEC,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from './mmap';
export {
  VM_DONTCOPY,
  VM_DONTEXPAND,
  VM_EXEC,
  VM_HUGEPAGE,
  VM_HUGETLB,
  VM_LOCKED,
  VM_LOCKONFAULT,
  VM_MERGEABLE,
  VM_UFFD_WP,
  VM_WIPEONFORK,
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
} from './vma-flags';
export { Vma, VmaList } from './vma';
export type { VmaBacking } from './vma';
export {
  PMD_HUGE,
  PMD_NONE,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_GUARD,
  PTE_MIGRATION,
  PTE_SWAP,
  PTE_SWP_EXCLUSIVE,
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
export { splitHugePmd } from './huge-memory';
export { HugeZeroFolio } from './huge-zero';
export { splitFolio, splitHugePages } from './split-folio';
export { ThpOrders } from './thp-orders';
export { zapRange } from './zap';
export { ZAP_DROP_MARKERS, ZAP_KEEP_COWS } from './zap-flags';

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
export { PinnedRanges } from './pinned-ranges';
export { UserPageGrabber } from './gup';
export type { MmapLock } from './gup';
export { FRAME_MASK, PIN_TAG, frameOf, newGottenPages, newPinnedPages } from './user-page';
export type { GottenPages, PinnedPages } from './user-page';
export { PinScheme } from './pin-scheme';
export type { PinSchemeCapabilities } from './pin-scheme';
export { BiasScheme, GUP_PIN_COUNTING_BIAS } from './bias-scheme';
export { Ledger } from './ledger';
export type { LedgerCounters, LedgerMode } from './ledger';
export type { Holder, LiveMap, LivePin, OldPin } from './ledger-queries';
export { Coherence } from './coherence';
export type { CoherenceMode, Parting } from './coherence';
export type { AuditedCharge } from './accounting-audit';
export { Vmstat } from './vmstat';
export { kernelProfiles, linux54, linux61, linux618 } from './kernel-profile';
export type { KernelProfile } from './kernel-profile';
export { compactMemory, evacuate, folioIsLongtermPinnable, migrateFolio, takeBack } from './migrate';
export { Ksm } from './ksm';
export { OfflineMemory } from './offline';
export type { FrameRange } from './offline';
export { mmSites } from './sites';
export { assertMemorySane, memoryContradictions } from './invariants';
export { MECHANISMS, splitPlace } from './mechanism';
export type { MechanismName } from './mechanism';
