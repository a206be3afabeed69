/**
 * mremap: moves pages to another address, without copying them and without the processes noticing more than the address.
 *
 * The entries move, not the pages, so a pinned page stays with its device and its process (section 14). With `dontUnmap`
 * the old area stays and is empty.
 * Left out: growing and shrinking, copies of shared mappings (an old length of 0), undoing (nothing here can fail midway),
 * moving tables as a whole where only both ends of the move allow it (`try_realign_addr`).
 * Source followed: mm/mremap.c `do_mremap`, `remap_move`, `move_vma`, `move_page_tables` (6.18).
 */
import { EFAULT, EINVAL } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { anonVmaClone, unlinkAnonVmas } from '../frames/anon-vma';
import { eagerly, settled } from '../eager-task';
import { moveHugePmd, splitHugePmd } from '../huge/huge-memory';
import { hugetlbMremapLength, moveHugetlbPageTables } from '../huge/hugetlb';
import { unmergeKsmPages } from '../reclaim/ksm';
import type { Mm } from './mm';
import { unmapRange } from './mmap';
import { PAGE_SIZE } from '../frames/page-size';
import {
  PMD_HUGE,
  PTE_PRESENT,
  PTE_SOFT_DIRTY,
  PTE_SWAP,
  PTE_UFFD_WP,
  REGION_BYTES,
  indexOf,
  regionOf,
} from './page-table';
import { Vma } from './vma';
import { VM_DONTEXPAND, VM_HUGETLB, VM_LOCKED, VM_LOCKONFAULT, VM_MERGEABLE, VM_PFNMAP, VM_UFFD_WP } from './vma-flags';

/**
 * Moves [start, start + length) to `target`, page aligned and apart, with every area that lies in it; what was mapped at
 * the target is gone. The new address, or -EFAULT (nothing is mapped at `start`; several areas, of which a userfaultfd
 * watches one), -EINVAL; the areas before the one that is refused have moved. Task context.
 */
export function remapMove(mm: Mm, start: number, length: number, target: number, dontUnmap: boolean): MaySleep {
  return eagerly(mm.memory.world, 'mremap', moveAreas(mm, start, start + length, target, dontUnmap));
}

/** `remap_move`: since 6.17 area by area, with the gaps that were between them. */
function* moveAreas(mm: Mm, start: number, end: number, target: number, dontUnmap: boolean) {
  const { vmas } = mm;
  let vma = vmas.lookup(start);
  if (vma === null) return -EFAULT;
  let place = target;
  while (vma !== null && vma.start < end) {
    const from = Math.max(start, vma.start);
    const areaEnd: number = vma.end;
    const isAlone = from === start && areaEnd >= end;
    if (!isAlone && (vma.flags & VM_UFFD_WP) !== 0) return -EFAULT;
    const length = moveLength(mm, vma, from, Math.min(end, areaEnd), place, dontUnmap);
    if (length < 0) return length;
    // KSM's pages would turn up at a place where nobody looks for them: they are taken apart before (`prep_move_vma`).
    if ((vma.flags & VM_MERGEABLE) !== 0 && vma.anonVma !== null) {
      const error = yield* settled(unmergeKsmPages(mm, vma, from, from + length));
      if (error < 0) return error;
    }
    unmapRange(mm, place, place + length);
    // The target may have been a part of the same area, which was cut then (`mremap_to` looks it up again, too).
    moveVma(mm, vmas.lookup(from) as Vma, from, from + length, place, dontUnmap);
    const next = vmas.all[vmas.indexAfter(areaEnd)] as Vma | undefined;
    place += length + (next === undefined ? 0 : next.start - areaEnd);
    vma = next ?? null;
  }
  return target;
}

/**
 * How much of [start, end), the part of one area, moves, in bytes: huge pages move as a whole. -EINVAL: one would be cut;
 * -EFAULT: it does not lie in the area; -EINVAL: the area may not be left empty. `check_prep_vma`.
 */
function moveLength(mm: Mm, vma: Vma, start: number, end: number, target: number, dontUnmap: boolean): number {
  if (dontUnmap && (vma.flags & (VM_DONTEXPAND | VM_PFNMAP)) !== 0) return -EINVAL;
  const length = (vma.flags & VM_HUGETLB) === 0 ? end - start : hugetlbMremapLength(vma, start, end - start, target);
  if (length < 0) return length;
  if (start + length > vma.end) return -EFAULT;
  const isWhole = vma.maySplitAt(start) && vma.maySplitAt(start + length) && mm.vmas.maySplit(target, target + length);
  return isWhole ? length : -EINVAL;
}

/** The part of one area in [start, end) goes to `target`. `move_vma`. */
function moveVma(mm: Mm, vma: Vma, start: number, end: number, target: number, dontUnmap: boolean): void {
  const length = end - start;
  // Untouched anonymous memory takes the page offset of its new place, so that it can merge there (`copy_vma`).
  const isFresh = vma.isAnonymous && vma.anonVma === null;
  const pageOffset = isFresh ? target / PAGE_SIZE : vma.pageIndexOf(start);
  const moved = new Vma(target, target + length, vma.flags & ~VM_UFFD_WP, vma.backing, pageOffset);
  anonVmaClone(moved, vma);
  if ((vma.flags & VM_HUGETLB) !== 0) moveHugetlbPageTables(mm, vma, mm.vmas.insert(moved), start, target, length);
  else {
    mm.vmas.insert(moved);
    movePageTables(mm, vma, start, end, target);
  }
  if ((vma.flags & VM_LOCKED) !== 0) mm.lockedVm += length / PAGE_SIZE;
  if (dontUnmap) dontUnmapComplete(mm, vma, start, end);
  else unmapRange(mm, start, end);
}

/** The old area stays: unlocked, all of it, though `locked_vm` goes on counting its pages. `dontunmap_complete`. */
function dontUnmapComplete(mm: Mm, vma: Vma, start: number, end: number): void {
  if ((vma.flags & VM_LOCKED) !== 0) {
    mm.lockedVmStray += (vma.end - vma.start) / PAGE_SIZE;
    mm.memory.hasStrayMlock = true;
  }
  vma.flags &= ~(VM_LOCKED | VM_LOCKONFAULT);
  if (start === vma.start && end === vma.end) unlinkAnonVmas(vma);
}

/** Moves the entries of [start, end), which lies in `vma`, to the empty `target`. `move_page_tables`. */
function movePageTables(mm: Mm, vma: Vma, start: number, end: number, target: number): void {
  const { pageTable } = mm;
  const lastRegion = Math.ceil(end / REGION_BYTES);
  const isAligned = (target - start) % REGION_BYTES === 0;
  let region = pageTable.nextRegion(regionOf(start), lastRegion);
  while (region < lastRegion) {
    const from = Math.max(start, region * REGION_BYTES);
    const to = Math.min(end, (region + 1) * REGION_BYTES);
    if (pageTable.tableOf(region) === PMD_HUGE) {
      if (isAligned && to - from === REGION_BYTES) moveHugePmd(mm, vma, region, regionOf(target + (from - start)));
      else splitHugePmd(mm, vma, region);
    }
    if (pageTable.tableOf(region) > 0) {
      movePtes(mm, vma, region, from, to, target + (from - start));
      // `move_normal_pmd`: the table itself moves, so there is none any more.
      if (isAligned && to - from === REGION_BYTES && (vma.flags & VM_UFFD_WP) === 0) pageTable.freeTableIfEmpty(region);
    }
    region = pageTable.nextRegion(region + 1, lastRegion);
  }
}

/** Moves the entries of [from, to), one region's. What userfaultfd protected does not follow the move. `move_ptes`. */
function movePtes(mm: Mm, vma: Vma, region: number, from: number, to: number, target: number): void {
  const { pageTable } = mm;
  const { coherence } = mm.memory.ledger;
  const table = pageTable.tableOf(region);
  pageTable.ensureTable(regionOf(target));
  const clear = (vma.flags & VM_UFFD_WP) !== 0 ? PTE_UFFD_WP : 0;
  for (let address = from, at = target; address < to; address += PAGE_SIZE, at += PAGE_SIZE) {
    const index = indexOf(address);
    const pte = pageTable.flagsOf(table)[pageTable.baseOf(table) + index];
    if (pte === 0) continue;
    const pfn = pageTable.frameAt(region, index);
    pageTable.clear(table, index);
    if (coherence !== null && (pte & PTE_PRESENT) !== 0) coherence.parted(mm, address, pfn);
    const isPage = (pte & (PTE_PRESENT | PTE_SWAP)) !== 0;
    const moved = (pte & ~clear) | (isPage ? PTE_SOFT_DIRTY : 0);
    if (moved !== 0) pageTable.set(pageTable.ensureTable(regionOf(at)), indexOf(at), pfn, moved);
  }
}
