/**
 * Dropping pages from the cache because the file has changed below it: before and after a direct write.
 *
 * Unlike `invalidateMappingPages` this also takes pages that are mapped, and waits for those on their way to the store. Pins
 * are not asked: a pinned page leaves the cache, and whoever holds it works on memory that is no longer the file's.
 * Source followed: mm/truncate.c `invalidate_inode_pages2_range`, `folio_unmap_invalidate` (6.18).
 */
import { EBUSY } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import type { AddressSpace } from './address-space';
import { eagerly, settled } from '../eager-task';
import { PG_dirty } from '../frames/frames';
import { cachedIndices, findFolio, releaseFolio, removeFolio } from './page-cache';
import { unmapMappingRange } from './truncate';
import { folioWaitWriteback } from './writeback';

/**
 * Drops pages [start, end) from the cache and from all mappings. 0; -EBUSY when one had to stay, because it became dirty
 * again or its file system needs it. The others are gone then all the same. Task context, may sleep.
 */
export function invalidateInodePages2(mapping: AddressSpace, start: number, end: number): MaySleep {
  if (mapping.pages.size === 0) return 0;
  return eagerly(mapping.memory.world, 'invalidation of cached pages', invalidate(mapping, start, end));
}

function* invalidate(mapping: AddressSpace, start: number, end: number) {
  const { memory } = mapping;
  let result = 0;
  for (const index of cachedIndices(mapping, start, end)) {
    yield* settled(folioWaitWriteback(mapping, findFolio(mapping, index)));
    const head = findFolio(mapping, index);
    if (head === 0) continue;
    if (memory.frames.folioMapcount(head) !== 0) unmapMappingRange(mapping, index, index + 1, false);
    const isDirty = (memory.frames.flags[head] & PG_dirty) !== 0;
    if (isDirty || !releaseFolio(mapping, head)) result = -EBUSY;
    else removeFolio(mapping, head);
  }
  return result;
}
