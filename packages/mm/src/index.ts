/** Memory management: frames, address spaces, faults, get_user_pages and pin_user_pages, the ledger. */
export { Memory } from './memory';
export type { ContentOwner, MemoryOptions } from './memory';
export { AddressSpace } from './page-cache/address-space';
export type { AddressSpaceOps, CacheHost } from './page-cache/address-space';
export {
  FALLOC_FL_COLLAPSE_RANGE,
  FALLOC_FL_INSERT_RANGE,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  FileBacking,
  filemapFault,
} from './page-cache/file';
export type { DirectTransfers, FileUses, MappableFile } from './page-cache/file';
export { genericFileRead, genericFileWrite } from './page-cache/generic-file';
export {
  addNewFolio,
  filemapDirtyFolio,
  findFolio,
  folioCancelDirty,
  folioClearDirtyForIo,
  folioWaitBit,
  folioMarkDirty,
  invalidateMappingPages,
} from './page-cache/page-cache';
export { MS_ASYNC, MS_INVALIDATE, MS_SYNC } from './process/msync';
export { ShmemFile, newShmemFile } from './page-cache/shmem';
export {
  truncateFolios,
  truncatePagecache,
  truncatePagecacheRange,
  truncatePartialFolio,
  unmapMappingRange,
} from './page-cache/truncate';
export { folioWaitWriteback, isUnderWriteback, waitWriteback, writeAndWaitRange } from './page-cache/writeback';
export { balanceDirtyPages } from './page-cache/dirty-throttling';
export { ErrSeq } from './page-cache/errseq';
export { invalidateInodePages2 } from './page-cache/invalidate';
export type { ErrSeqCursor } from './page-cache/errseq';
export { Flusher } from './page-cache/flusher';
export { WritebackControl } from './page-cache/writeback-control';
export type { WritebackCounts } from './page-cache/writeback-control';
export {
  DIRECT_IO_HOLDS,
  GUP_UNDER_WRITEBACK,
  PINNED_WRITEBACK,
  WRITEBACK_DEFAULTS,
} from './page-cache/writeback-settings';
export type {
  DirectIoHold,
  GupUnderWriteback,
  PinnedWriteback,
  WritebackSettings,
} from './page-cache/writeback-settings';
export { eagerly, settled } from './eager-task';
export { AnonVma } from './frames/anon-vma';
export { folioMappedShared, rmapWalk } from './frames/rmap';
export type { MappedAt } from './frames/rmap';
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
} from './frames/frames';
export type { FrameOwner } from './frames/frames';
export { Buddy, MAX_PAGE_ORDER } from './frames/buddy';
export { SwapArea } from './reclaim/swap';
export type { SwapStore } from './reclaim/swap';
export { MemorySwapStore } from './reclaim/swap-store';
export { Gfp, ZoneType } from './frames/zone';
export type { GfpFlags, Zone } from './frames/zone';
export { DevicePages, vmInsertPage } from './frames/device-pages';
export type { DevicePagesOwner } from './frames/device-pages';
export { PageBytes } from './frames/page-bytes';
export { PAGE_SHIFT, PAGE_SIZE } from './frames/page-size';
export { ZERO_PFN } from './frames/zero-page';

export { Mm } from './process/mm';
export {
  User,
  UserAccount,
  accountLockedVm,
  accountPinnedVm,
  canDoMlock,
  ioAccountMem,
  ioUnaccountMem,
  unaccountPinnedVm,
} from './process/accounting';
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
} from './process/madvise';
export { MLOCK_ONFAULT } from './process/mlock';
export { HugetlbFile, newHugetlbFile } from './huge/hugetlb-file';
export { HUGETLB_1G_ORDER, HUGETLB_2M_ORDER, HugetlbPool } from './huge/hugetlb-pool';
export { memfdPinFolios } from './gup/memfd-pin';
export { Pipe } from './gup/pipe';
export { fixupUserFault } from './process/populate';
export { processVmReadv, processVmWritev } from './gup/process-vm';
export { accessRemoteVm, getDumpPage, readProcMem, writeProcMem } from './gup/access-remote';
export { SecretMemory } from './page-cache/secretmem';
export { PKEY_DISABLE_ACCESS, PKEY_DISABLE_WRITE, ProtectionKeys } from './process/protection-keys';
export { clearSoftDirty, isSoftDirty } from './process/soft-dirty';
export { uffdRegisterWp, uffdWriteprotect } from './process/userfaultfd';
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
} from './process/mmap';
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
  VM_PKEY,
  VM_READ,
  VM_SHARED,
  VM_WRITE,
} from './process/vma-flags';
export { Vma, VmaList } from './process/vma';
export type { VmaBacking } from './process/vma';
export {
  PMD_HUGE,
  PMD_NONE,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_GUARD,
  PTE_MIGRATION,
  PTE_PKEY,
  PTE_PKEY_SHIFT,
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
} from './process/page-table';
export { splitHugePmd } from './huge/huge-memory';
export { HugeZeroFolio } from './huge/huge-zero';
export { splitFolio, splitHugePages } from './huge/split-folio';
export { ThpOrders } from './huge/thp-orders';
export { zapRange } from './process/zap';
export { ZAP_DROP_MARKERS, ZAP_KEEP_COWS } from './process/zap-flags';

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
} from './gup/gup-flags';
export { PinnedRanges } from './gup/pinned-ranges';
export { UserPageGrabber } from './gup/gup';
export type { MmapLock } from './gup/gup-calls';
export { FRAME_MASK, PIN_TAG, frameOf, newGottenPages, newPinnedPages } from './gup/user-page';
export type { GottenPages, PinnedPages } from './gup/user-page';
export { PinScheme } from './gup/pin-scheme';
export type { PinSchemeCapabilities } from './gup/pin-scheme';
export { BiasScheme, GUP_PIN_COUNTING_BIAS } from './gup/bias-scheme';
export { Ledger } from './ledger/ledger';
export type { LedgerCounters, LedgerMode } from './ledger/ledger';
export type { Holder, LiveMap, LivePin, OldPin } from './ledger/ledger-queries';
export { Coherence } from './ledger/coherence';
export type { CoherenceMode, Parting } from './ledger/coherence';
export type { AuditedCharge } from './ledger/accounting-audit';
export { Vmstat } from './vmstat';
export { kernelProfiles, linux54, linux61, linux618 } from './kernel-profile';
export type { KernelProfile } from './kernel-profile';
export { compactMemory, evacuate, folioIsLongtermPinnable, migrateFolio, takeBack } from './reclaim/migrate';
export { Ksm } from './reclaim/ksm';
export { OfflineMemory } from './reclaim/offline';
export type { FrameRange } from './reclaim/offline';
export { mmSites } from './sites';
export { assertMemorySane, memoryContradictions } from './ledger/invariants';
export { MECHANISMS, splitPlace } from './mechanism';
export type { MechanismName } from './mechanism';
