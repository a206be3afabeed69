/**
 * The permission bits of page-table entries as an area wants them (`vma->vm_page_prot`).
 *
 * An entry is made read-only unless every write may go straight to the page: private areas need a fault for their copy,
 * shared ones for the file system that wants to know of the first write.
 * Source followed: arch/x86/include/asm/pgtable.h `pte_modify`, mm/vma.c `vma_wants_writenotify`, mm/mprotect.c (6.18).
 */
import {
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_PKEY,
  PTE_PKEY_SHIFT,
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_SOFT_DIRTY,
  PTE_UFFD_WP,
  PTE_USER,
  PTE_WRITE,
} from './page-table';
import { VM_EXEC, VM_READ, VM_SHARED, VM_SOFTDIRTY_TRACKED, VM_UFFD_WP, VM_WRITE, vmaPkey } from './vma-flags';
import type { Vma } from './vma';

/** Map what can be mapped writable without a fault, at once (`MM_CP_TRY_CHANGE_WRITABLE`). */
export const CP_TRY_CHANGE_WRITABLE = 1 << 0;
/** Protect for userfaultfd (`MM_CP_UFFD_WP`). */
export const CP_UFFD_WP = 1 << 1;
/** End the protection for userfaultfd (`MM_CP_UFFD_WP_RESOLVE`). */
export const CP_UFFD_WP_RESOLVE = 1 << 2;

/** `mk_pte(page, vma->vm_page_prot)`: a new entry, accessed and clean. */
export function vmPageProt(vma: Vma): number {
  let bits = PTE_PRESENT | PTE_USER | PTE_ACCESSED | (vmaPkey(vma.flags) << PTE_PKEY_SHIFT);
  if ((vma.flags & (VM_READ | VM_WRITE | VM_EXEC)) === 0) bits |= PTE_PROTNONE;
  if ((vma.flags & (VM_SHARED | VM_WRITE)) === (VM_SHARED | VM_WRITE) && !wantsWritenotify(vma)) bits |= PTE_WRITE;
  return bits;
}

/** What a write adds to an entry: `maybe_mkwrite(pte_mkdirty())`. A write forced by FOLL_FORCE leaves it read-only. */
export function writtenBits(vma: Vma): number {
  return (vma.flags & VM_WRITE) !== 0 ? PTE_WRITE | PTE_DIRTY | PTE_SOFT_DIRTY : PTE_DIRTY | PTE_SOFT_DIRTY;
}

/** `vma_wants_writenotify`: the first write to each page of a shared writable area is to be noticed. */
function wantsWritenotify(vma: Vma): boolean {
  if ((vma.flags & (VM_SHARED | VM_WRITE)) !== (VM_SHARED | VM_WRITE)) return false;
  return vma.needsDirtyTracking || (vma.flags & (VM_UFFD_WP | VM_SOFTDIRTY_TRACKED)) !== 0;
}

/**
 * `vma_wants_manual_pte_write_upgrade`: whether entries are looked at one by one for those that may be writable at once. Of
 * shared areas only those whose file system asked for the faults; where userfaultfd or soft-dirty did, a write finds out.
 */
export function wantsManualWriteUpgrade(vma: Vma): boolean {
  if ((vma.flags & VM_WRITE) === 0) return false;
  return (vma.flags & VM_SHARED) === 0 || vma.backing?.pageMkwrite !== undefined;
}

/** `pte_modify` and the userfaultfd part of `change_pte_range`: a present entry after its area's permissions changed. */
export function pteModify(vma: Vma, pte: number, cpFlags: number): number {
  const given = PTE_WRITE | PTE_PROTNONE | PTE_PKEY;
  let changed = (pte & ~given) | (vmPageProt(vma) & given);
  if ((cpFlags & CP_UFFD_WP) !== 0) changed |= PTE_UFFD_WP;
  else if ((cpFlags & CP_UFFD_WP_RESOLVE) !== 0) changed &= ~PTE_UFFD_WP;
  if ((changed & PTE_UFFD_WP) !== 0) changed &= ~PTE_WRITE;
  return changed;
}

/** `pte_needs_soft_dirty_wp`: the first write since clear_refs has to be noticed. */
export function needsSoftDirtyWp(vma: Vma, pte: number): boolean {
  return (vma.flags & VM_SOFTDIRTY_TRACKED) !== 0 && (pte & PTE_SOFT_DIRTY) === 0;
}

/**
 * `can_change_pte_writable`: an entry that the write fault would only make writable. In a private area that is an
 * exclusive anonymous page, in a shared one a page whose file system knows of a write (the entry is dirty).
 */
export function canChangeWritable(vma: Vma, pte: number, isExclusiveAnon: boolean): boolean {
  if ((pte & (PTE_WRITE | PTE_PROTNONE)) !== 0) return false;
  if (needsSoftDirtyWp(vma, pte)) return false;
  if ((pte & PTE_UFFD_WP) !== 0 && (vma.flags & VM_UFFD_WP) !== 0) return false;
  return (vma.flags & VM_SHARED) !== 0 ? (pte & PTE_DIRTY) !== 0 : isExclusiveAnon;
}

/** `userfaultfd_wp_use_markers`: protection of pages that are not there is kept in the entry; always so in asynchronous mode. */
export function uffdUsesMarkers(vma: Vma): boolean {
  return (vma.flags & VM_UFFD_WP) !== 0;
}
