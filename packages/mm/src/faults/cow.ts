/**
 * Writes to, and unshares of, pages that are present but read-only.
 *
 * A private mapping either takes the page over (it belongs to nobody else: X-04) or gets a copy. The decision is by
 * references, not by mappings, so somebody who merely holds a page that was shared once keeps it for himself (X-05); on a
 * page that never was shared nobody asks (X-03), which is what keeps a pinned page with its owner.
 * Left out: locks (nothing yields here), copies of poisoned pages. Older kernels' ways to decide: `KernelProfile.cowReuse`.
 * Source followed: mm/memory.c `do_wp_page`, `wp_can_reuse_anon_folio`, `wp_page_copy` (6.18).
 */
import type { MaySleep } from '@pincushion/sim';
import { mapNewAnonPage, newAnonPage } from './anon-fault';
import { FAULT_UNSHARE } from './fault-flags';
import { wpPageShared } from './file-fault';
import { PG_anon, PG_anonExclusive, PG_ksm, PG_swapcache } from '../frames/frames';
import { Mechanism, placeOf } from '../mechanism';
import type { Memory } from '../memory';
import { munlockVmaFolio } from '../process/mlock-folio';
import type { Mm } from '../process/mm';
import { writtenBits } from '../process/page-protection';
import { PAGE_SIZE } from '../frames/page-size';
import { PTE_ACCESSED, PTE_SPECIAL, REGION_BYTES } from '../process/page-table';
import { folioMappedShared, folioMoveAnonRmap, folioRemoveRmapPte } from '../frames/rmap';
import { folioFreeSwap, freeSwapCache } from '../reclaim/swap';
import { VM_MAYSHARE, VM_SHARED } from '../process/vma-flags';
import type { Vma } from '../process/vma';

/** `do_wp_page`. 0, -ENOMEM, or what the file system says about a shared page. Task context, may sleep for shared ones. */
export function doWpPage(mm: Mm, vma: Vma, region: number, index: number, flags: number): MaySleep {
  const { memory, pageTable } = mm;
  const { frames } = memory;
  if ((vma.flags & (VM_SHARED | VM_MAYSHARE)) !== 0) return wpPageShared(mm, vma, region, index, flags);
  const pte = pageTable.flagsAt(region, index);
  const pfn = pageTable.frameAt(region, index);
  if ((pte & PTE_SPECIAL) === 0 && canReuseAnonPage(memory, pfn, vma)) {
    if (memory.mechanisms.on) {
      const isOwn = (frames.flags[pfn] & PG_anonExclusive) !== 0;
      memory.mechanisms.emit(isOwn ? Mechanism.keepOwn : Mechanism.takeOver, pfn, 0, placeOf(mm, region, index));
    }
    frames.flags[pfn] |= PG_anonExclusive;
    if ((flags & FAULT_UNSHARE) === 0) {
      pageTable.set(pageTable.tableOf(region), index, pfn, pte | PTE_ACCESSED | writtenBits(vma));
    }
    return 0;
  }
  return wpPageCopy(mm, vma, region, index, flags);
}

/** `wp_page_copy`: the process gets a page of its own in place of the one it sees, mapped read-only by an unshare. */
function wpPageCopy(mm: Mm, vma: Vma, region: number, index: number, flags: number): number {
  const { memory, pageTable } = mm;
  const pte = pageTable.flagsAt(region, index);
  const pfn = pageTable.frameAt(region, index);
  const copy = newAnonPage(mm, flags);
  if (copy < 0) return copy;
  if (memory.mechanisms.on) {
    const isZero = (pte & PTE_SPECIAL) !== 0;
    const mechanism = isZero ? Mechanism.fromZero : (flags & FAULT_UNSHARE) !== 0 ? Mechanism.unshare : Mechanism.cow;
    memory.mechanisms.emit(mechanism, copy, pfn, placeOf(mm, region, index));
  }
  memory.bytes.copy(copy, 0, pfn, 0, PAGE_SIZE);
  mapNewAnonPage(mm, vma, region, index, copy, flags);
  if ((pte & PTE_SPECIAL) !== 0) return 0;
  memory.ledger.coherence?.parted(mm, region * REGION_BYTES + index * PAGE_SIZE, pfn, 'copy on write');
  const head = memory.frames.headOf(pfn);
  folioRemoveRmapPte(memory, pfn, vma);
  munlockVmaFolio(memory, head, vma);
  freeSwapCache(memory, head);
  memory.frames.put(head, 1);
  return 0;
}

/** Whether the page belongs to this process alone, which may then take it over. */
function canReuseAnonPage(memory: Memory, pfn: number, vma: Vma): boolean {
  const { frames, profile } = memory;
  const head = frames.headOf(pfn);
  if ((frames.flags[head] & PG_anon) === 0) return false;
  if (profile.cowReuse === 'mapcount') return reuseSwapPage(memory, pfn);
  if (profile.cowReuse === 'exclusive' && (frames.flags[pfn] & PG_anonExclusive) !== 0) return true;
  return canReuseAnonFolio(memory, head, vma);
}

/** whether nobody else refers to the folio. `wp_can_reuse_anon_folio`. */
function canReuseAnonFolio(memory: Memory, head: number, vma: Vma): boolean {
  const { frames } = memory;
  if (frames.order[head] !== 0) return memory.profile.largeFolioReuse && canReuseLargeAnonFolio(memory, head);
  if ((frames.flags[head] & PG_ksm) !== 0) return false;
  const inSwapCache = (frames.flags[head] & PG_swapcache) !== 0;
  if (frames.refcount[head] > (inSwapCache ? 2 : 1)) return false;
  if (inSwapCache && !folioFreeSwap(memory, head)) return false;
  folioMoveAnonRmap(memory, head, vma);
  return true;
}

/** Before 5.9: whether nobody else maps the page, whoever else may refer to it. `reuse_swap_page`. */
function reuseSwapPage(memory: Memory, pfn: number): boolean {
  const { frames } = memory;
  const head = frames.headOf(pfn);
  if ((frames.flags[head] & PG_ksm) !== 0 || frames.preciseMapcount(pfn) > 1) return false;
  return (frames.flags[head] & PG_swapcache) === 0 || folioFreeSwap(memory, head);
}

/**
 * Since 6.15: a large folio of which several pages are mapped, all by one process, and that nobody else refers to. With a
 * single mapped page it is better freed. `__wp_can_reuse_large_anon_folio`.
 */
function canReuseLargeAnonFolio(memory: Memory, head: number): boolean {
  const { frames } = memory;
  if (frames.largeMapcount[head] <= 1 || folioMappedShared(memory, head)) return false;
  if ((frames.flags[head] & PG_swapcache) !== 0) folioFreeSwap(memory, head);
  return frames.largeMapcount[head] === frames.refcount[head];
}
