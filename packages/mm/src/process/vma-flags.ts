/**
 * What an area may do and what it is: the `VM_*` bits. In a file without imports, so that every mechanism may use them while
 * it is loaded.
 * Source followed: include/linux/mm.h (6.18).
 */
export const VM_READ = 0x1;
export const VM_WRITE = 0x2;
export const VM_EXEC = 0x4;
export const VM_SHARED = 0x8;
export const VM_MAYREAD = 0x10;
export const VM_MAYWRITE = 0x20;
export const VM_MAYEXEC = 0x40;
export const VM_MAYSHARE = 0x80;
/** Frames without a countable `struct page` behind them; GUP refuses the area (V-01). */
export const VM_PFNMAP = 0x400;
/** Had a guard page once: fork copies its entries. Areas that differ in it only are joined and keep it (the kernel's `VM_STICKY`). */
export const VM_MAYBE_GUARD = 0x800;
/** Registered with a userfaultfd for write protection. */
export const VM_UFFD_WP = 0x1000;
/** mlocked: pages are faulted in and kept from reclaim. */
export const VM_LOCKED = 0x2000;
export const VM_IO = 0x4000;
export const VM_DONTCOPY = 0x20000;
export const VM_DONTEXPAND = 0x40000;
/** MADV_SEQUENTIAL, MADV_RANDOM: how much a file is read ahead. */
export const VM_SEQ_READ = 0x8000;
export const VM_RAND_READ = 0x10000;
/** mlock2(MLOCK_ONFAULT): locked as pages come, not faulted in. */
export const VM_LOCKONFAULT = 0x80000;
/** Of huge pages: nothing is reserved when the area is made. */
export const VM_NORESERVE = 0x200000;
export const VM_HUGETLB = 0x400000;
/**
 * The protection key of the area, in four bits whose own meanings are not modelled: the lower two, then the upper two. The
 * kernel's are bits 32 to 35, more than an int32 has. See `vmaPkey`.
 */
export const VM_PKEY = 0x1800300;
/** A child finds zeros instead of a copy. */
export const VM_WIPEONFORK = 0x2000000;
/** Not part of a core dump. */
export const VM_DONTDUMP = 0x4000000;
/** Ours: `VM_SOFTDIRTY` of the kernel is clear, the entries of the area tell which pages were written (soft-dirty.ts). */
export const VM_SOFTDIRTY_TRACKED = 0x8000000;
export const VM_MIXEDMAP = 0x10000000;
export const VM_HUGEPAGE = 0x20000000;
export const VM_NOHUGEPAGE = 0x40000000;
/** KSM may merge pages of the area. */
export const VM_MERGEABLE = 1 << 31;
/** Areas with pages that are not the memory manager's own: never merged, locked, or given to KSM. */
export const VM_SPECIAL = VM_IO | VM_DONTEXPAND | VM_PFNMAP | VM_MIXEDMAP;

/** The protection key in the flags of an area. `vma_pkey`. */
export function vmaPkey(vmFlags: number): number {
  return ((vmFlags >>> 8) & 0x3) | ((vmFlags >>> 21) & 0xc);
}

/** A protection key as `VM_PKEY` bits. */
export function pkeyVmFlags(key: number): number {
  return ((key & 0x3) << 8) | ((key & 0xc) << 21);
}
