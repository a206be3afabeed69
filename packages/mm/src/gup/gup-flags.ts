/**
 * Flags of `get_user_pages` and `pin_user_pages`. Bit numbers are the kernel's (include/linux/mm_types.h for the public
 * ones, mm/internal.h for those from bit 16 on), so that recorded references can be replayed as they are.
 */
/** The caller will write the page contents. */
export const FOLL_WRITE = 1 << 0;
/** Take one plain reference per page; the `get*` functions set it. */
export const FOLL_GET = 1 << 1;
/** Core dump: report holes instead of filling them. */
export const FOLL_DUMP = 1 << 2;
/** Ignore missing read or write permission (debuggers). */
export const FOLL_FORCE = 1 << 3;
/** Start I/O for missing pages but do not wait for it. */
export const FOLL_NOWAIT = 1 << 4;
/** Never call the fault handler. */
export const FOLL_NOFAULT = 1 << 5;
/** Report a poisoned page as -EHWPOISON instead of -EFAULT. */
export const FOLL_HWPOISON = 1 << 6;
/** Anonymous VMAs only. */
export const FOLL_ANON = 1 << 7;
/** The reference lives as long as user space wants. Only with pins. */
export const FOLL_LONGTERM = 1 << 8;
/** Split a huge mapping first. */
export const FOLL_SPLIT_PMD = 1 << 9;
/** Memory of PCI devices is acceptable. */
export const FOLL_PCI_P2PDMA = 1 << 10;
/** Any signal may end the wait, not only fatal ones. */
export const FOLL_INTERRUPTIBLE = 1 << 11;
/** Take NUMA-hinting faults. */
export const FOLL_HONOR_NUMA_FAULT = 1 << 12;

/** Internal: mark accessed, and dirty when writing. */
export const FOLL_TOUCH = 1 << 16;
/** Internal: second try after the lock was dropped. */
export const FOLL_TRIED = 1 << 17;
/** Internal: the memory belongs to another process. */
export const FOLL_REMOTE = 1 << 18;
/** Internal: take pins. */
export const FOLL_PIN = 1 << 19;
/** Internal: never fall back to the slow path. */
export const FOLL_FAST_ONLY = 1 << 20;
/** Internal: the lock may be dropped on the way. */
export const FOLL_UNLOCKABLE = 1 << 21;
/** Internal: the walk serves MADV_POPULATE_READ or MADV_POPULATE_WRITE. */
export const FOLL_MADV_POPULATE = 1 << 22;

/** What a caller may never pass (F-01). */
export const FOLL_INTERNAL_MASK =
  FOLL_TOUCH | FOLL_TRIED | FOLL_REMOTE | FOLL_PIN | FOLL_FAST_ONLY | FOLL_UNLOCKABLE | FOLL_MADV_POPULATE;

/** What the fast calls accept, after their own flags were added (F-07). */
export const FOLL_FAST_MASK =
  FOLL_WRITE |
  FOLL_LONGTERM |
  FOLL_FORCE |
  FOLL_PIN |
  FOLL_GET |
  FOLL_FAST_ONLY |
  FOLL_NOFAULT |
  FOLL_PCI_P2PDMA |
  FOLL_HONOR_NUMA_FAULT;
