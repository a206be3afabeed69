/**
 * Taking pages of a file away from under those who map them: truncation and punched holes.
 *
 * The page-table entries go first, then the folios leave the cache. Nobody waits for pins (section 14): a pinned folio
 * goes on living, clean and without a file, and the device works on memory that nobody else will see again. Truncation
 * takes private copies beyond the new end, too; a punched hole leaves them.
 * Left out: waiting for DAX pins (section 13), large folios of files.
 * Source followed: mm/truncate.c, mm/memory.c `unmap_mapping_pages` (6.18).
 */
import type { AddressSpace } from './address-space';
import { PG_private } from '../frames/frames';
import { Mechanism } from '../mechanism';
import { cachedIndices, findFolio, folioCancelDirty, removeFolio } from './page-cache';
import { PAGE_SIZE } from '../frames/page-size';
import { zapVmaRange } from '../process/zap';
import { ZAP_DROP_MARKERS, ZAP_KEEP_COWS } from '../process/zap-flags';

/**
 * Clears the entries of pages [start, end) of the file in all its mappings. `evenCows`: private copies of them, too. Any
 * context. `unmap_mapping_pages`.
 */
export function unmapMappingRange(mapping: AddressSpace, start: number, end: number, evenCows: boolean): void {
  unmapWith(mapping, start, end, evenCows ? 0 : ZAP_KEEP_COWS);
}

/** `unmap_mapping_folio`: the page leaves the file for good. */
function unmapMappingFolio(mapping: AddressSpace, index: number): void {
  unmapWith(mapping, index, index + 1, ZAP_KEEP_COWS | ZAP_DROP_MARKERS);
}

function unmapWith(mapping: AddressSpace, start: number, end: number, options: number): void {
  for (const vma of [...mapping.vmas]) {
    const from = Math.max(start, vma.pageOffset);
    const to = Math.min(end, vma.pageIndexOf(vma.end));
    if (from >= to || vma.mm === null) continue;
    const address = vma.start + (from - vma.pageOffset) * PAGE_SIZE;
    zapVmaRange(vma.mm, vma, address, address + (to - from) * PAGE_SIZE, options);
  }
}

/**
 * Removes whole pages [start, end) from the cache, dirty or not, and their entries that appeared since they were unmapped.
 * Any context. `truncate_inode_pages_range` without the partial pages.
 */
export function truncateFolios(mapping: AddressSpace, start: number, end: number): void {
  for (const index of cachedIndices(mapping, start, end)) truncateFolio(mapping, findFolio(mapping, index), index);
}

/** `truncate_inode_folio`, `truncate_cleanup_folio`. */
function truncateFolio(mapping: AddressSpace, head: number, index: number): void {
  const { memory } = mapping;
  if (memory.frames.folioMapcount(head) !== 0) unmapMappingFolio(mapping, index);
  if ((memory.frames.flags[head] & PG_private) !== 0) mapping.ops.invalidateFolio?.(mapping, head);
  folioCancelDirty(memory, head);
  if (memory.mechanisms.on) memory.mechanisms.emit(Mechanism.truncated, head, 0, 0);
  removeFolio(mapping, head);
}

/** Zeroes bytes [from, to) of page `index` if it is in the cache; whether it is. `truncate_inode_partial_folio`. */
export function truncatePartialFolio(mapping: AddressSpace, index: number, from: number, to: number): boolean {
  const head = findFolio(mapping, index);
  if (head === 0) return false;
  mapping.memory.bytes.fill(head, from, 0, to - from);
  return true;
}

/**
 * The file now ends at byte `size` (`CacheHost.size` says so already): entries of pages behind it go, private copies
 * included, then the folios; the tail of the last page is zeroed. Any context. `truncate_pagecache`.
 */
export function truncatePagecache(mapping: AddressSpace, size: number): void {
  const hole = Math.ceil(size / PAGE_SIZE);
  mapping.memory.ledger.coherence?.begin('truncation');
  unmapMappingRange(mapping, hole, Infinity, true);
  truncateFolios(mapping, hole, Infinity);
  if (size % PAGE_SIZE !== 0) truncatePartialFolio(mapping, hole - 1, size % PAGE_SIZE, PAGE_SIZE);
  unmapMappingRange(mapping, hole, Infinity, true);
}

/**
 * Bytes [start, end) become a hole: entries of its whole pages go (private copies stay), then their folios; the parts of
 * pages at both ends are zeroed. Any context. `truncate_pagecache_range`.
 */
export function truncatePagecacheRange(mapping: AddressSpace, start: number, end: number): void {
  const first = Math.ceil(start / PAGE_SIZE);
  const last = Math.floor(end / PAGE_SIZE);
  if (last > first) {
    mapping.memory.ledger.coherence?.begin('a punched hole');
    unmapMappingRange(mapping, first, last, false);
    truncateFolios(mapping, first, last);
  }
  const head = start % PAGE_SIZE;
  const tail = end % PAGE_SIZE;
  if (last < first) {
    truncatePartialFolio(mapping, last, head, tail);
    return;
  }
  if (head !== 0) truncatePartialFolio(mapping, first - 1, head, PAGE_SIZE);
  if (tail !== 0) truncatePartialFolio(mapping, last, 0, tail);
}
