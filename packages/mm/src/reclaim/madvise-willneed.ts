/**
 * MADV_WILLNEED: pages that are in swap or only in a file are read into the caches, and not mapped.
 *
 * Source followed: mm/madvise.c `madvise_willneed`, `swapin_walk_pmd_entry`, `shmem_swapin_range`, mm/fadvise.c (6.18).
 */
import type { MaySleep } from '@pincushion/sim';
import type { AddressSpace } from '../page-cache/address-space';
import { eagerly, settled } from '../eager-task';
import type { Memory } from '../memory';
import type { Mm } from '../process/mm';
import { PAGE_SIZE } from '../frames/page-size';
import { PTE_SWAP, PTRS_PER_TABLE, REGION_BYTES, indexOf, regionOf } from '../process/page-table';
import { forceReadahead } from '../page-cache/readahead';
import { swapinFolio } from './swap-in';
import type { Vma } from '../process/vma';
import { Gfp } from '../frames/zone';

/** MADV_WILLNEED of [start, end), page aligned, inside one area. 0: what cannot be read is left. Task context, may sleep. */
export function madviseWillneed(mm: Mm, vma: Vma, start: number, end: number): MaySleep {
  const { world } = mm.memory;
  if (vma.isAnonymous) return eagerly(world, 'madvise', swapinRange(mm, start, end));
  const mapping = vma.backing?.mapping;
  if (mapping === undefined) return 0;
  const from = vma.pageIndexOf(start);
  const count = (end - start) / PAGE_SIZE;
  if (mapping.canWriteback) return forceReadahead(mapping, from, count);
  return eagerly(world, 'madvise', shmemSwapinRange(mapping, from, from + count));
}

/** Slots that entries of the range refer to. */
function* swapinRange(mm: Mm, start: number, end: number) {
  const { pageTable } = mm;
  const lastRegion = Math.ceil(end / REGION_BYTES);
  let region = pageTable.nextRegion(regionOf(start), lastRegion);
  while (region < lastRegion) {
    const from = Math.max(start, region * REGION_BYTES);
    const to = Math.min(end, (region + 1) * REGION_BYTES);
    const last = indexOf(to - 1);
    for (let i = indexOf(from); i <= last && i < PTRS_PER_TABLE; i++) {
      if ((pageTable.flagsAt(region, i) & PTE_SWAP) !== 0) yield* readSlot(mm.memory, pageTable.frameAt(region, i));
    }
    region = pageTable.nextRegion(region + 1, lastRegion);
  }
  return 0;
}

/** Slots that the page cache of shared memory refers to. */
function* shmemSwapinRange(mapping: AddressSpace, from: number, to: number) {
  for (const [index, slot] of [...mapping.swapped]) {
    if (index >= from && index < to && mapping.swapped.get(index) === slot) yield* readSlot(mapping.memory, slot);
  }
  return 0;
}

function* readSlot(memory: Memory, slot: number) {
  const head = yield* settled(swapinFolio(memory, slot, Gfp.movable, true));
  if (head > 0) memory.frames.put(head, 1);
}
