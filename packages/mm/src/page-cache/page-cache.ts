/**
 * The page cache: which folio holds which page of a file, and whether it has to be written.
 *
 * A folio in the cache has one reference from it. The cache of a file that is written back keeps the indices of its dirty
 * folios; shared memory only marks them. A dirty page may also be known to a page table alone: the entry's dirty bit goes
 * to the folio when the entry is cleared (zap.ts) or write-protected (`folioMkclean`).
 * Nobody here looks at pins, except that a pin is a reference, and a folio with a reference nobody knows stays in the
 * cache (a pinned page survives POSIX_FADV_DONTNEED and drop_caches: fact 27). Writing a folio does not wait for pins and
 * does not keep the device out (W-01, W-02).
 * Left out: large folios of files, shadow entries of evicted pages, memory cgroups.
 * Any context, except for the waits. Source followed: mm/filemap.c, mm/page-writeback.c, mm/truncate.c (6.18).
 */
import { ENOMEM, sleeping } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { AddressSpace } from './address-space';
import {
  PG_anon,
  PG_dirty,
  PG_lru,
  PG_private,
  PG_readahead,
  PG_unevictable,
  PG_uptodate,
  PG_writeback,
} from '../frames/frames';
import { folioAddLru } from '../frames/lru';
import type { Memory } from '../memory';
import { PTE_DIRTY, PTE_WRITE } from '../process/page-table';
import { rmapWalk } from '../frames/rmap';
import { VM_SHARED } from '../process/vma-flags';
import type { GfpFlags } from '../frames/zone';

/** Head of the folio that holds page `index`, or 0. Takes no reference. `filemap_get_folio`. */
export function findFolio(mapping: AddressSpace, index: number): number {
  return mapping.pages.get(index) ?? 0;
}

/** The indices of pages [start, end) that are in the cache, in no order. Costs the smaller of the range and the cache. */
export function cachedIndices(mapping: AddressSpace, start: number, end: number): number[] {
  const found: number[] = [];
  if (end - start < mapping.pages.size) {
    for (let index = start; index < end; index++) if (mapping.pages.has(index)) found.push(index);
  } else {
    for (const index of mapping.pages.keys()) if (index >= start && index < end) found.push(index);
  }
  return found;
}

/** A new folio without content in the cache, which has its only reference; -ENOMEM. `filemap_alloc_folio`. */
export function addNewFolio(mapping: AddressSpace, index: number, gfp: GfpFlags): number {
  const { memory } = mapping;
  const head = memory.allocFolio(0, gfp);
  if (head < 0) return -ENOMEM;
  memory.frames.flags[head] &= ~PG_uptodate;
  addFolio(mapping, head, index);
  memory.frames.put(head, 1);
  return head;
}

/** Puts a folio of one page in; the cache takes a reference. The place is empty. `filemap_add_folio`. */
export function addFolio(mapping: AddressSpace, head: number, index: number): void {
  const { frames } = mapping.memory;
  frames.get(head, 1);
  frames.mapping[head] = mapping.id;
  frames.index[head] = index | 0;
  mapping.pages.set(index, head);
  if (mapping.canWriteback) mapping.memory.writeback.cachedPages++;
  folioAddLru(mapping.memory, head);
}

/**
 * Takes a folio out; the reference of the cache goes. Whoever else has one keeps a folio that belongs to nobody: marking
 * it dirty later has no effect on the file (W-10). `filemap_remove_folio`.
 */
export function removeFolio(mapping: AddressSpace, head: number): void {
  const { frames, writeback } = mapping.memory;
  const index = frames.index[head] >>> 0;
  mapping.pages.delete(index);
  mapping.tagClean(index);
  if (mapping.canWriteback) writeback.cachedPages--;
  if (writeback.waiting) writeback.released();
  frames.mapping[head] = 0;
  frames.put(head, 1);
}

/** The cache a folio is in, or null: anonymous folios, and those that were truncated. `folio_mapping`. */
export function folioMapping(memory: Memory, head: number): AddressSpace | null {
  if ((memory.frames.flags[head] & PG_anon) !== 0) return null;
  const owner = memory.owner(memory.frames.mapping[head]);
  return owner instanceof AddressSpace ? owner : null;
}

/** Waits until a bit of a folio of the cache, `PG_locked` or `PG_writeback`, is clear. 0. `folio_wait_bit`. */
export function folioWaitBit(mapping: AddressSpace, head: number, bit: number): MaySleep {
  if ((mapping.memory.frames.flags[head] & bit) === 0) return 0;
  return sleeping(mapping.memory.world, 'wait for a page', () => waitForBit(mapping, head, bit));
}

function* waitForBit(mapping: AddressSpace, head: number, bit: number) {
  const { frames } = mapping.memory;
  frames.get(head, 1);
  yield* mapping.folioWaiters.waitUntil(() => (frames.flags[head] & bit) === 0);
  frames.put(head, 1);
  if (mapping.memory.writeback.waiting) mapping.memory.writeback.released();
  return 0;
}

// ---- dirty -------------------------------------------------------------------------------------------------------------

/**
 * Marks a folio dirty; true when it was clean. What a file system must know of a write to come (`page_mkwrite`, blocks)
 * is not asked here: a driver that dirties a page at the end of its transfer gets past it (W-03). The caller makes sure
 * that the folio is not truncated meanwhile (W-09). `folio_mark_dirty`.
 */
export function folioMarkDirty(memory: Memory, head: number): boolean {
  const mapping = folioMapping(memory, head);
  if (mapping === null) return noopDirtyFolio(memory, head);
  memory.frames.flags[head] &= ~PG_readahead;
  if (mapping.ops.dirtyFolio !== undefined) return mapping.ops.dirtyFolio(mapping, head);
  return mapping.canWriteback ? filemapDirtyFolio(mapping, head) : noopDirtyFolio(memory, head);
}

/** Just the bit: memory without a store, and folios without a cache (W-10). `noop_dirty_folio`. */
function noopDirtyFolio(memory: Memory, head: number): boolean {
  const wasClean = (memory.frames.flags[head] & PG_dirty) === 0;
  memory.frames.flags[head] |= PG_dirty;
  return wasClean;
}

/** The bit, and that the file's next writeback has to write it. For `dirtyFolio` of file systems. `filemap_dirty_folio`. */
export function filemapDirtyFolio(mapping: AddressSpace, head: number): boolean {
  mapping.tagDirty(mapping.memory.frames.index[head] >>> 0);
  return noopDirtyFolio(mapping.memory, head);
}

/** The content need not be written any more: it is truncated. `folio_cancel_dirty`. */
export function folioCancelDirty(memory: Memory, head: number): void {
  const mapping = folioMapping(memory, head);
  mapping?.tagClean(memory.frames.index[head] >>> 0);
  memory.frames.flags[head] &= ~PG_dirty;
}

/**
 * Before the folio is written: it is clean, and no mapping may write to it without a new fault. True when there is
 * something to write. Pins are not asked, and a device goes on writing (W-01, W-02). `folio_clear_dirty_for_io`.
 */
export function folioClearDirtyForIo(memory: Memory, head: number): boolean {
  const mapping = folioMapping(memory, head);
  if (mapping?.canWriteback === true && folioMkclean(memory, head) > 0) folioMarkDirty(memory, head);
  const wasDirty = (memory.frames.flags[head] & PG_dirty) !== 0;
  folioCancelDirty(memory, head);
  return wasDirty;
}

/** Makes all shared mappings of a folio read-only and clean; how many were not. W-01, `folio_mkclean`. */
function folioMkclean(memory: Memory, head: number): number {
  if (memory.frames.folioMapcount(head) === 0) return 0;
  let cleaned = 0;
  rmapWalk(memory, head, ({ mm, vma, region, index, pfn }) => {
    if ((vma.flags & VM_SHARED) === 0 || index < 0) return true;
    const { pageTable } = mm;
    const pte = pageTable.flagsAt(region, index);
    if ((pte & (PTE_DIRTY | PTE_WRITE)) === 0) return true;
    pageTable.set(pageTable.tableOf(region), index, pfn, pte & ~(PTE_DIRTY | PTE_WRITE));
    cleaned++;
    return true;
  });
  return cleaned;
}

// ---- eviction ----------------------------------------------------------------------------------------------------------

/** Drops the file system's private data of a folio; false when it must stay. `filemap_release_folio`. */
export function releaseFolio(mapping: AddressSpace, head: number): boolean {
  const flags = mapping.memory.frames.flags[head];
  if ((flags & PG_private) === 0) return true;
  if ((flags & PG_writeback) !== 0) return false;
  return mapping.ops.releaseFolio?.(mapping, head) ?? false;
}

/**
 * Drops the folios of pages [start, end) that are clean and that nobody but the cache refers to: no mapping, no pin; not
 * those whose writing has just `begun`. Returns how many. POSIX_FADV_DONTNEED, drop_caches. `invalidate_mapping_pages`.
 */
export function invalidateMappingPages(
  mapping: AddressSpace,
  start = 0,
  end = Infinity,
  begun: ReadonlySet<number> | null = null,
): number {
  let evicted = 0;
  for (const index of cachedIndices(mapping, start, end)) {
    if (begun?.has(index) === true) continue;
    const head = findFolio(mapping, index);
    if (evictFolio(mapping, head)) evicted++;
    else deactivateFileFolio(mapping.memory, head);
  }
  return evicted;
}

/** `mapping_evict_folio`. */
function evictFolio(mapping: AddressSpace, head: number): boolean {
  const { frames } = mapping.memory;
  const flags = frames.flags[head];
  if ((flags & (PG_dirty | PG_writeback)) !== 0) return false;
  if (frames.refcount[head] > 1 + ((flags & PG_private) !== 0 ? 1 : 0)) return false;
  if (!releaseFolio(mapping, head)) return false;
  removeFolio(mapping, head);
  return true;
}

/** What could not be dropped goes when it has been written (`PG_reclaim`). `lru_deactivate_file`. */
function deactivateFileFolio(memory: Memory, head: number): void {
  const { flags } = memory.frames;
  if ((flags[head] & (PG_lru | PG_unevictable)) !== PG_lru || memory.frames.folioMapcount(head) !== 0) return;
  if ((flags[head] & (PG_dirty | PG_writeback)) !== 0) flags[head] |= PG_readahead;
}
