/**
 * Memory of huge pages from a pool (MAP_HUGETLB, hugetlbfs): faults, fork, unmapping, protection, moving.
 *
 * One entry maps a whole page, always; nothing here splits. A page of 1 GiB stands in the page table as 512 huge entries
 * of one folio and counts as one mapping. A private page is taken over by its last mapping, whoever else refers to it
 * (`hugetlb_wp` looks at mappings only), which is why a vmsplice of such a page can still be written by its former sharer.
 * Fork copies what may be pinned at once, as a huge page (fact 3). A process without reservation (the child of a fork) may
 * find the pool empty: SIGBUS.
 * Protection of pages that are not there (userfaultfd) is kept in the flags of the empty huge entry.
 * Left out: migration and hwpoison entries, shared page tables (PMD sharing), the fault mutex (nothing here yields).
 * Source followed: mm/hugetlb.c `hugetlb_fault`, `hugetlb_no_page`, `hugetlb_wp`, `copy_hugetlb_page_range`,
 * `__unmap_hugepage_range`, `hugetlb_change_protection` (6.18).
 */
import { EINVAL, ENOMEM } from '@pincushion/sim';
import { FAULT_PIN_SCOPE, FAULT_UNSHARE, FAULT_WRITE, VM_FAULT_SIGBUS } from '../faults/fault-flags';
import { PG_anon, PG_anonExclusive, PG_dirty, PG_uptodate } from '../frames/frames';
import type { HugetlbFile } from './hugetlb-file';
import { HugetlbArea } from './hugetlb-reserve';
import { Mechanism, placeOf } from '../mechanism';
import type { Memory } from '../memory';
import type { Mm } from '../process/mm';
import { CP_UFFD_WP, CP_UFFD_WP_RESOLVE, pteModify, vmPageProt } from '../process/page-protection';
import { PAGE_SIZE } from '../frames/page-size';
import {
  PMD_HUGE,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_SOFT_DIRTY,
  PTE_UFFD_WP,
  PTE_WRITE,
  PTRS_PER_TABLE,
  regionOf,
} from '../process/page-table';
import { folioAddRmapPmd, folioMoveAnonRmap, folioRemoveRmapPmd, hugetlbAddNewAnonRmap } from '../frames/rmap';
import { VM_MAYSHARE, VM_SHARED, VM_UFFD_WP, VM_WRITE } from '../process/vma-flags';
import type { Vma } from '../process/vma';

const WRITTEN = PTE_WRITE | PTE_DIRTY | PTE_SOFT_DIRTY;

/** Bytes of one page of the area: 4 KiB, or the size of its huge pages. `vma_kernel_pagesize`. */
export function vmaPageBytes(vma: Vma): number {
  return vma.backing?.pageBytes ?? PAGE_SIZE;
}

/** The huge page of its file that an address shows. `vma_hugecache_offset`. */
function hugeIndexOf(file: HugetlbFile, vma: Vma, address: number): number {
  return Math.floor(vma.pageIndexOf(address) / file.pagesPerHuge);
}

// ---- entries -----------------------------------------------------------------------------------------------------------

/** Maps a huge page at its aligned address. */
function setHugePte(mm: Mm, file: HugetlbFile, address: number, head: number, pte: number): void {
  const first = regionOf(address);
  const regions = file.pagesPerHuge / PTRS_PER_TABLE;
  for (let i = 0; i < regions; i++) mm.pageTable.setHuge(first + i, head + i * PTRS_PER_TABLE, pte);
}

/** Empties the entries of a huge page, a marker included; with `marker` one is left. */
function clearHugePte(mm: Mm, file: HugetlbFile, address: number, marker = 0): void {
  const first = regionOf(address);
  const regions = file.pagesPerHuge / PTRS_PER_TABLE;
  for (let i = 0; i < regions; i++) mm.pageTable.clearHuge(first + i);
  if (marker !== 0) mm.pageTable.setHugeFlags(first, marker);
}

/** The flags of a huge page's entry. The processor notes an access in the part of 2 MiB where it was. */
function hugePte(mm: Mm, file: HugetlbFile, address: number): number {
  const first = regionOf(address);
  const regions = file.pagesPerHuge / PTRS_PER_TABLE;
  let pte = mm.pageTable.hugeFlags(first);
  for (let i = 1; i < regions; i++) pte |= mm.pageTable.hugeFlags(first + i) & (PTE_DIRTY | PTE_ACCESSED);
  return pte;
}

/** `make_huge_pte`: with `writable` it is so, and dirty, where the area allows writing. */
function makeHugePte(vma: Vma, writable: boolean): number {
  const pte = vmPageProt(vma) & ~PTE_WRITE;
  return writable && (vma.flags & VM_WRITE) !== 0 ? pte | WRITTEN : pte;
}

// ---- faults ------------------------------------------------------------------------------------------------------------

/** `hugetlb_fault`. 0, -ENOMEM, or VM_FAULT_SIGBUS: beyond the end of the file, or no page to be had. Task context. */
export function hugetlbFault(mm: Mm, vma: Vma, address: number, flags: number): number {
  const file = vma.backing?.hugetlb;
  if (file === undefined) return VM_FAULT_SIGBUS;
  const start = Math.floor(address / file.pageBytes) * file.pageBytes;
  if (mm.pageTable.tableOf(regionOf(start)) !== PMD_HUGE) return hugetlbNoPage(mm, vma, file, start, flags);
  let pte = hugePte(mm, file, start);
  const isWrite = (flags & FAULT_WRITE) !== 0;
  const head = mm.pageTable.hugeHead(regionOf(start));
  if ((pte & PTE_WRITE) === 0 && (flags & (FAULT_WRITE | FAULT_UNSHARE)) !== 0) {
    // Asynchronous write protection is resolved on the spot.
    if (isWrite && (pte & PTE_UFFD_WP) !== 0) {
      pte &= ~PTE_UFFD_WP;
      setHugePte(mm, file, start, head, pte);
    }
    return hugetlbWp(mm, vma, file, start, flags);
  }
  setHugePte(mm, file, start, head, pte | PTE_ACCESSED | (isWrite ? PTE_DIRTY | PTE_SOFT_DIRTY : 0));
  return 0;
}

/** `hugetlb_no_page`: nothing is mapped, or a marker of userfaultfd, which stays in force. */
function hugetlbNoPage(mm: Mm, vma: Vma, file: HugetlbFile, start: number, flags: number): number {
  const { memory } = mm;
  if (vma.hugetlb?.isStolen === true) return VM_FAULT_SIGBUS;
  const huge = hugeIndexOf(file, vma, start);
  const isShared = (vma.flags & VM_MAYSHARE) !== 0;
  const cached = file.find(huge);
  let head = cached;
  if (cached === 0) {
    if (huge >= file.size / file.pageBytes) return VM_FAULT_SIGBUS;
    head = allocHugetlbFolio(memory, vma, file, huge, false, flags);
    if (head < 0) return VM_FAULT_SIGBUS;
    memory.frames.flags[head] |= PG_uptodate;
    if (isShared) file.add(huge, head);
  } else memory.frames.get(cached, 1);
  if (cached === 0 && memory.mechanisms.on) {
    memory.mechanisms.emit(Mechanism.newHugetlb, head, 0, placeOf(mm, regionOf(start), 0));
  }
  if (cached === 0 && !isShared) {
    file.pool.used(head);
    hugetlbAddNewAnonRmap(memory, head, vma, start);
  } else folioAddRmapPmd(memory, head, vma);
  const marker = mm.pageTable.hugeFlags(regionOf(start)) & PTE_UFFD_WP;
  const pte = makeHugePte(vma, (vma.flags & VM_SHARED) !== 0);
  setHugePte(mm, file, start, head, marker === 0 ? pte : (pte & ~PTE_WRITE) | marker);
  if ((flags & FAULT_WRITE) !== 0 && !isShared) return hugetlbWp(mm, vma, file, start, flags); // Saves a second fault.
  return 0;
}

/** `hugetlb_wp`: a write to, or an unshare of, a page that is mapped read-only. */
function hugetlbWp(mm: Mm, vma: Vma, file: HugetlbFile, start: number, flags: number): number {
  const { memory, pageTable } = mm;
  const { frames } = memory;
  const unshare = (flags & FAULT_UNSHARE) !== 0;
  const pte = hugePte(mm, file, start);
  const old = pageTable.hugeHead(regionOf(start));
  if (!unshare && (pte & PTE_UFFD_WP) !== 0) return 0; // The next fault resolves it.
  const upgraded = (vma.flags & VM_WRITE) !== 0 ? pte | WRITTEN | PTE_ACCESSED : pte; // `set_huge_ptep_maybe_writable`
  if ((vma.flags & VM_MAYSHARE) !== 0) {
    setHugePte(mm, file, start, old, upgraded);
    return 0;
  }
  if (canTakeOver(memory, old)) {
    if (memory.mechanisms.on) {
      const isOwn = (frames.flags[old] & PG_anonExclusive) !== 0;
      memory.mechanisms.emit(isOwn ? Mechanism.keepOwn : Mechanism.takeOver, old, 0, placeOf(mm, regionOf(start), 0));
    }
    folioMoveAnonRmap(memory, old, vma);
    frames.flags[old] |= PG_anonExclusive;
    if (!unshare) setHugePte(mm, file, start, old, upgraded);
    return 0;
  }
  const huge = hugeIndexOf(file, vma, start);
  // The page that the reservation was for is in use, by the old content: the copy is not covered by it.
  const isOwner = vma.hugetlb?.isOwner === true && file.find(huge) !== old;
  const copy = allocHugetlbFolio(memory, vma, file, huge, isOwner, flags);
  if (copy < 0) {
    if (!isOwner) return VM_FAULT_SIGBUS;
    unmapRefPrivate(file, vma, start, old);
    return hugetlbWp(mm, vma, file, start, flags);
  }
  if (memory.mechanisms.on) {
    const mechanism = unshare ? Mechanism.unshare : Mechanism.hugeCopy;
    memory.mechanisms.emit(mechanism, copy, old, placeOf(mm, regionOf(start), 0));
  }
  copyHugePage(memory, file, copy, old);
  file.pool.used(copy);
  folioRemoveRmapPmd(memory, old, vma);
  hugetlbAddNewAnonRmap(memory, copy, vma, start);
  setHugePte(mm, file, start, copy, makeHugePte(vma, !unshare) | (pte & PTE_UFFD_WP));
  frames.put(old, 1);
  return 0;
}

/** An anonymous page that this is the only mapping of; references beside it do not count. */
function canTakeOver(memory: Memory, head: number): boolean {
  const { frames } = memory;
  return (frames.flags[head] & PG_anon) !== 0 && frames.largeMapcount[head] === 1;
}

/**
 * The pool is empty and the process that reserved needs its page: it is taken from the others that share it, who get
 * SIGBUS when they look for it. `unmap_ref_private`.
 */
function unmapRefPrivate(file: HugetlbFile, owner: Vma, start: number, page: number): void {
  const offset = owner.pageIndexOf(start);
  for (const vma of [...file.mapping.vmas]) {
    const { mm } = vma;
    if (vma === owner || mm === null || (vma.flags & VM_MAYSHARE) !== 0) continue;
    if (vma.hugetlb?.isOwner === true) continue;
    const address = vma.start + (offset - vma.pageOffset) * PAGE_SIZE;
    if (address < vma.start || address >= vma.end) continue;
    const region = regionOf(address);
    if (mm.pageTable.tableOf(region) !== PMD_HUGE || mm.pageTable.hugeHead(region) !== page) continue;
    unmapHugetlbRange(mm, vma, address, address + file.pageBytes, true);
    if (vma.hugetlb !== null) vma.hugetlb.isStolen = true;
  }
}

/**
 * A huge page of content zero for page `huge` of the file, with one reference, or -ENOMEM. `isCowFromOwner`: beside the
 * area's reservation, not from it. `alloc_hugetlb_folio`.
 */
function allocHugetlbFolio(
  memory: Memory,
  vma: Vma,
  file: HugetlbFile,
  huge: number,
  isCowFromOwner: boolean,
  flags: number,
): number {
  if (memory.faults.armed && memory.faults.hit('alloc') !== 0) return -ENOMEM;
  const needs = isCowFromOwner || file.reservations.isNeeded(vma, huge);
  const head = file.pool.take(!needs, (flags & FAULT_PIN_SCOPE) !== 0);
  if (head >= 0 && !isCowFromOwner) file.reservations.commit(vma, huge);
  return head;
}

/** `copy_user_large_folio`. */
function copyHugePage(memory: Memory, file: HugetlbFile, to: number, from: number): void {
  for (let i = 0; i < file.pagesPerHuge; i++) memory.bytes.copy(to + i, 0, from + i, 0, PAGE_SIZE);
  memory.frames.flags[to] |= PG_uptodate;
}

/** Whether the file has a page at an address, mapped or not: a core dump looks. `hugetlbfs_pagecache_present`. */
export function hugetlbPagecachePresent(vma: Vma, address: number): boolean {
  const file = vma.backing?.hugetlb;
  return file !== undefined && file.find(hugeIndexOf(file, vma, address)) !== 0;
}

// ---- ranges ------------------------------------------------------------------------------------------------------------

/** `copy_hugetlb_page_range` of fork. 0 or -ENOMEM. */
export function copyHugetlbRange(child: Mm, parent: Mm, dstVma: Vma, srcVma: Vma): number {
  const file = srcVma.backing?.hugetlb;
  if (file === undefined) return 0;
  const { memory } = parent;
  const { frames } = memory;
  const protect = srcVma.isCow ? PTE_WRITE : 0;
  for (let address = srcVma.start; address < srcVma.end; address += file.pageBytes) {
    const region = regionOf(address);
    if (parent.pageTable.tableOf(region) !== PMD_HUGE) continue;
    const pte = hugePte(parent, file, address);
    const head = parent.pageTable.hugeHead(region);
    if (needsEarlyCopy(parent, head)) {
      const copy = allocHugetlbFolio(memory, dstVma, file, hugeIndexOf(file, dstVma, address), false, 0);
      if (copy < 0) return -ENOMEM;
      if (memory.mechanisms.on) memory.mechanisms.emit(Mechanism.forkCopy, copy, head, placeOf(child, region, 0));
      copyHugePage(memory, file, copy, head);
      file.pool.used(copy);
      hugetlbAddNewAnonRmap(memory, copy, dstVma, address);
      setHugePte(child, file, address, copy, makeHugePte(dstVma, true));
      continue;
    }
    if ((frames.flags[head] & PG_anon) !== 0) frames.flags[head] &= ~PG_anonExclusive;
    if (protect !== 0 && memory.mechanisms.on) {
      memory.mechanisms.emit(Mechanism.forkShare, head, 0, placeOf(parent, region, 0));
    }
    frames.get(head, 1);
    folioAddRmapPmd(memory, head, dstVma);
    if (protect !== 0) setHugePte(parent, file, address, head, pte & ~protect);
    setHugePte(child, file, address, head, pte & ~(protect | PTE_UFFD_WP));
  }
  return 0;
}

/** `hugetlb_try_dup_anon_rmap`: the parent may have pinned the page, which is its own (P-04). */
function needsEarlyCopy(parent: Mm, head: number): boolean {
  const { frames, scheme, profile } = parent.memory;
  const own = PG_anon | PG_anonExclusive;
  if ((frames.flags[head] & own) !== own || !parent.hasPinned || !profile.forkCopiesPinnedHugetlb) return false;
  return scheme.isPinned(head) !== 'no';
}

/** Unmaps whole huge pages; `dropMarkers`: userfaultfd's protection ends, too. `__unmap_hugepage_range`. */
export function unmapHugetlbRange(mm: Mm, vma: Vma, start: number, end: number, dropMarkers: boolean): void {
  const file = vma.backing?.hugetlb;
  if (file === undefined) return;
  const { memory } = mm;
  const { frames } = memory;
  const first = Math.floor(start / file.pageBytes) * file.pageBytes;
  for (let address = first; address < end; address += file.pageBytes) {
    const region = regionOf(address);
    const pte = hugePte(mm, file, address);
    if (mm.pageTable.tableOf(region) !== PMD_HUGE) {
      if (pte !== 0 && dropMarkers) clearHugePte(mm, file, address);
      continue;
    }
    const head = mm.pageTable.hugeHead(region);
    clearHugePte(mm, file, address, dropMarkers ? 0 : pte & PTE_UFFD_WP);
    memory.ledger.coherence?.partedRow(mm, address, head, file.pagesPerHuge);
    if ((pte & PTE_DIRTY) !== 0) frames.flags[head] |= PG_dirty;
    if ((frames.flags[head] & PG_anon) !== 0 && vma.hugetlb?.isOwner === true) {
      // The area may need a page here again: this one returns to the pool as reserved.
      file.pool.keepReserved(head);
      file.reservations.restore(vma, hugeIndexOf(file, vma, address));
    }
    folioRemoveRmapPmd(memory, head, vma);
    frames.put(head, 1);
  }
}

/** The entries of whole huge pages follow the area's permissions; `cpFlags` are `CP_*`. `hugetlb_change_protection`. */
export function hugetlbChangeProtection(mm: Mm, vma: Vma, start: number, end: number, cpFlags: number): void {
  const file = vma.backing?.hugetlb;
  if (file === undefined) return;
  for (let address = start; address < end; address += file.pageBytes) {
    const region = regionOf(address);
    if (mm.pageTable.tableOf(region) === PMD_HUGE) {
      const pte = pteModify(vma, hugePte(mm, file, address), cpFlags);
      setHugePte(mm, file, address, mm.pageTable.hugeHead(region), pte);
    } else if ((cpFlags & CP_UFFD_WP) !== 0) mm.pageTable.setHugeFlags(region, PTE_UFFD_WP);
    else if ((cpFlags & CP_UFFD_WP_RESOLVE) !== 0) clearHugePte(mm, file, address);
  }
}

/**
 * Moves entries of `from` to `to`; what userfaultfd protects does not follow. The reservation goes over as a whole, as in
 * the kernel: what stays of `from`, when only a part of it moves, has none any more, and what was reserved for that part
 * is never given back (recorded: HugePages_Rsvd stays up). Both addresses are aligned. `move_hugetlb_page_tables`,
 * `fixup_hugetlb_reservations`.
 */
export function moveHugetlbPageTables(mm: Mm, from: Vma, to: Vma, start: number, target: number, length: number): void {
  const file = from.backing?.hugetlb;
  if (file === undefined) return;
  const protection = (from.flags & VM_UFFD_WP) !== 0 ? PTE_UFFD_WP : 0;
  for (let offset = 0; offset < length; offset += file.pageBytes) {
    const region = regionOf(start + offset);
    if (mm.pageTable.tableOf(region) !== PMD_HUGE) continue;
    const head = mm.pageTable.hugeHead(region);
    const pte = hugePte(mm, file, start + offset);
    clearHugePte(mm, file, start + offset);
    setHugePte(mm, file, target + offset, head, pte & ~protection);
  }
  to.hugetlb = from.hugetlb;
  from.hugetlb = new HugetlbArea(null);
}

/** What mremap moves of an area of huge pages: `length` in whole ones, or -EINVAL for addresses inside one. */
export function hugetlbMremapLength(vma: Vma, start: number, length: number, target: number): number {
  const bytes = vmaPageBytes(vma);
  return start % bytes !== 0 || target % bytes !== 0 ? -EINVAL : Math.ceil(length / bytes) * bytes;
}
