/**
 * Copying an address space at fork.
 *
 * Of a private area parent and child share the pages from then on, both read-only, and none of them is exclusive any
 * more, except where the parent may have pinned a page: then the child gets its copy at once (P-04, section 11), so that
 * the parent never has to move away from the page that its device uses. What a fault would find again by itself (shared
 * mappings, private file mappings without copies) is not copied. `write_protect_seq` is odd meanwhile.
 * Left out: what else a process has (files, signals), large folios in one step, migration entries (none exists when other
 * code runs).
 * Source followed: kernel/fork.c `dup_mmap`, mm/memory.c `copy_page_range`, `copy_present_ptes` (6.18).
 */
import { ENOMEM } from '@pincushion/sim';
import { anonVmaFork } from '../frames/anon-vma';
import { PG_anon, PG_anonExclusive } from '../frames/frames';
import type { FrameTable } from '../frames/frames';
import { copyHugePmd } from '../huge/huge-memory';
import { copyHugetlbRange } from '../huge/hugetlb';
import { folioAddLruVma } from '../frames/lru';
import { Mechanism, placeOf } from '../mechanism';
import type { Memory } from '../memory';
import type { Mm } from './mm';
import { vmPageProt, writtenBits } from './page-protection';
import { PAGE_SIZE } from '../frames/page-size';
import {
  PMD_HUGE,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_GUARD,
  PTE_PRESENT,
  PTE_SPECIAL,
  PTE_SWAP,
  PTE_SWP_EXCLUSIVE,
  PTE_UFFD_WP,
  PTE_WRITE,
  REGION_BYTES,
  indexOf,
  regionOf,
} from './page-table';
import { folioAddFileRmapPte, folioAddNewAnonRmap } from '../frames/rmap';
import { swapDuplicate } from '../reclaim/swap';
import { Vma } from './vma';
import {
  VM_DONTCOPY,
  VM_HUGETLB,
  VM_LOCKED,
  VM_LOCKONFAULT,
  VM_MAYBE_GUARD,
  VM_MIXEDMAP,
  VM_PFNMAP,
  VM_SHARED,
  VM_UFFD_WP,
  VM_WIPEONFORK,
} from './vma-flags';
import { Gfp } from '../frames/zone';

// Constants of other modules are bound once: an imported binding read in a loop is a property read.
const PRESENT = PTE_PRESENT;
const USUAL_MASK = PTE_PRESENT | PTE_SPECIAL;
const EXCLUSIVE = PG_anonExclusive;
const OWN = PG_anon | PG_anonExclusive;

/** Areas whose entries say more than a fault would find. A userfaultfd's are no reason here: it stays behind. */
const VM_COPY_ON_FORK = VM_PFNMAP | VM_MIXEDMAP | VM_MAYBE_GUARD;

/**
 * `dup_mmap`: fills the new, empty `child` with what `parent` has. 0, or -ENOMEM; then the child is to be torn down, and
 * what was write-protected in the parent stays so, which costs it faults and nothing else. Task context.
 */
export function dupMmap(child: Mm, parent: Mm): number {
  const error = copyAreas(child, parent);
  parent.tlb?.flush();
  return error;
}

function copyAreas(child: Mm, parent: Mm): number {
  for (const vma of parent.vmas.all) {
    if ((vma.flags & VM_DONTCOPY) !== 0) continue;
    // The child's areas are not mlocked, and a userfaultfd that does not ask for fork events stays behind.
    const flags = vma.flags & ~(VM_LOCKED | VM_LOCKONFAULT | VM_UFFD_WP);
    const copy = new Vma(vma.start, vma.end, flags, vma.backing, vma.pageOffset);
    child.vmas.append(copy);
    if ((vma.flags & VM_WIPEONFORK) !== 0) continue;
    anonVmaFork(child.memory, copy, vma);
    if (!vmaNeedsCopy(vma)) continue;
    const error = copyPageRange(child, parent, copy, vma);
    if (error !== 0) return error;
  }
  return 0;
}

/** Whether the entries say more than a fault in the child would find. `vma_needs_copy`. */
function vmaNeedsCopy(vma: Vma): boolean {
  return (vma.flags & VM_COPY_ON_FORK) !== 0 || vma.anonVma !== null;
}

/** `copy_page_range`. */
function copyPageRange(child: Mm, parent: Mm, copy: Vma, vma: Vma): number {
  if ((vma.flags & VM_HUGETLB) !== 0) return copyHugetlbRange(child, parent, copy, vma);
  parent.tlb?.remember(vma.start, vma.end, false);
  if (!vma.isCow || !parent.memory.profile.writeProtectSeq) return copyRegions(child, parent, copy, vma);
  parent.writeProtectSeq++;
  const error = copyRegions(child, parent, copy, vma);
  parent.writeProtectSeq++;
  return error;
}

function copyRegions(child: Mm, parent: Mm, copy: Vma, vma: Vma): number {
  const { pageTable } = parent;
  const lastRegion = Math.ceil(vma.end / REGION_BYTES);
  let region = pageTable.nextRegion(regionOf(vma.start), lastRegion);
  while (region < lastRegion) {
    let isDone = false;
    if (pageTable.tableOf(region) === PMD_HUGE) {
      const error = copyHugePmd(child, parent, copy, vma, region);
      if (error === -ENOMEM) return error;
      isDone = error === 0;
    }
    if (!isDone && pageTable.tableOf(region) > 0) {
      const error = copyPteRange(child, parent, copy, vma, region);
      if (error !== 0) return error;
    }
    region = pageTable.nextRegion(region + 1, lastRegion);
  }
  return 0;
}

/** The entries of the area in one region. `copy_pte_range`. */
function copyPteRange(child: Mm, parent: Mm, copy: Vma, vma: Vma, region: number): number {
  const { frames, scheme, profile } = parent.memory;
  const { flags, refcount, mapcount, order } = frames;
  const from = Math.max(0, (vma.start - region * REGION_BYTES) / PAGE_SIZE);
  const to = indexOf(Math.min(vma.end, (region + 1) * REGION_BYTES) - 1) + 1;
  const srcTable = parent.pageTable.tableOf(region);
  const srcPtes = parent.pageTable.flagsOf(srcTable);
  const srcFrames = parent.pageTable.framesOf(srcTable);
  const src = parent.pageTable.baseOf(srcTable);
  const dstTable = child.pageTable.ensureTable(region);
  const dstPtes = child.pageTable.flagsOf(dstTable);
  const dstFrames = child.pageTable.framesOf(dstTable);
  const dst = child.pageTable.baseOf(dstTable);
  const drop = PTE_ACCESSED | PTE_UFFD_WP | ((vma.flags & VM_SHARED) !== 0 ? PTE_DIRTY : 0);
  const protect = vma.isCow ? PTE_WRITE : 0;
  const mayBePinned = parent.hasPinned && profile.forkCopiesPinned;
  const asksExclusive = profile.cowReuse === 'exclusive';
  let copied = 0;
  for (let i = from; i < to; i++) {
    if (!mayBePinned) {
      const run = sharePages(frames, srcPtes, srcFrames, src + i, dstPtes, dstFrames, dst + i, to - i, protect, drop);
      copied += run;
      i += run;
      if (i === to) break;
    }
    const pte = srcPtes[src + i];
    if (pte === 0) continue;
    const pfn = srcFrames[src + i];
    if ((pte & PTE_PRESENT) === 0) {
      const kept = copyNonpresentPte(parent.memory, pfn, pte);
      if (kept === 0) continue;
      srcPtes[src + i] = kept | (pte & PTE_UFFD_WP);
      dstFrames[dst + i] = pfn;
      dstPtes[dst + i] = kept;
      copied++;
      continue;
    }
    if ((pte & PTE_SPECIAL) === 0) {
      const head = order[pfn] === 0 ? pfn : frames.headOf(pfn);
      refcount[head]++;
      if ((flags[head] & PG_anon) !== 0) {
        // `folio_try_dup_anon_rmap_pte`; the reference just taken takes part in the estimate (P-02).
        const isExclusive = (flags[pfn] & PG_anonExclusive) !== 0;
        if (mayBePinned && (isExclusive || !asksExclusive) && scheme.isPinned(head) !== 'no') {
          frames.put(head, 1);
          if (copyPresentPage(child, copy, region, i, pfn)) continue;
          child.pageTable.noteUsed(dstTable, copied);
          return -ENOMEM;
        }
        if (isExclusive) flags[pfn] &= ~PG_anonExclusive;
      }
      if (head === pfn && order[pfn] === 0) mapcount[pfn]++;
      else folioAddFileRmapPte(parent.memory, pfn, copy);
    }
    srcPtes[src + i] = pte & ~protect;
    dstFrames[dst + i] = pfn;
    dstPtes[dst + i] = pte & ~(protect | drop);
    copied++;
  }
  child.pageTable.noteUsed(dstTable, copied);
  const { mechanisms } = parent.memory;
  if (mechanisms.on && copied > 0) mechanisms.emit(Mechanism.forkShare, 0, 0, placeOf(parent, region, from));
  return 0;
}

/**
 * The usual case, small pages none of which may be pinned: up to `n` entries from `src` on are shared with the child.
 * Returns how many; what stands behind the next one needs a closer look. `__copy_present_ptes`.
 */
function sharePages(
  frames: FrameTable,
  srcPtes: Uint16Array,
  srcFrames: Int32Array,
  src: number,
  dstPtes: Uint16Array,
  dstFrames: Int32Array,
  dst: number,
  n: number,
  protect: number,
  drop: number,
): number {
  const { flags, refcount, mapcount, order } = frames;
  for (let i = 0; i < n; i++) {
    const pte = srcPtes[src + i];
    const pfn = srcFrames[src + i];
    if ((pte & USUAL_MASK) !== PRESENT || order[pfn] !== 0) return i;
    const pageFlags = flags[pfn];
    if ((pageFlags & OWN) === OWN) flags[pfn] = pageFlags & ~EXCLUSIVE;
    refcount[pfn]++;
    mapcount[pfn]++;
    srcPtes[src + i] = pte & ~protect;
    dstFrames[dst + i] = pfn;
    dstPtes[dst + i] = pte & ~(protect | drop);
  }
  return n;
}

/**
 * The parent may have pinned the page, so the child gets its copy now: exclusive, and writable and dirty as after a write.
 * False: out of memory. `copy_present_page`.
 */
function copyPresentPage(child: Mm, copy: Vma, region: number, index: number, pfn: number): boolean {
  const { memory } = child;
  const page = memory.allocFolio(0, Gfp.movable);
  if (page < 0) return false;
  if (memory.mechanisms.on) memory.mechanisms.emit(Mechanism.forkCopy, page, pfn, placeOf(child, region, index));
  memory.bytes.copy(page, 0, pfn, 0, PAGE_SIZE);
  folioAddNewAnonRmap(memory, page, copy, region * REGION_BYTES + index * PAGE_SIZE);
  folioAddLruVma(memory, page, copy);
  child.pageTable.set(child.pageTable.tableOf(region), index, page, vmPageProt(copy) | writtenBits(copy));
  return true;
}

/**
 * An entry for a page that is elsewhere, as both will have it; 0: the child has none. A page in swap is shared
 * from now on. Guard pages are inherited, userfaultfd's markers not. `copy_nonpresent_pte`.
 */
function copyNonpresentPte(memory: Memory, field: number, pte: number): number {
  if ((pte & PTE_SWAP) !== 0) {
    swapDuplicate(memory, field);
    return pte & ~(PTE_SWP_EXCLUSIVE | PTE_UFFD_WP);
  }
  return pte & PTE_GUARD;
}
