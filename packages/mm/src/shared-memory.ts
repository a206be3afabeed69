/**
 * Shared anonymous memory (MAP_SHARED | MAP_ANONYMOUS): pages that belong to an object instead of one process.
 *
 * Pages are made at the first fault and live until the last mapping of the object is gone, longer when pinned. They need
 * no dirty tracking, so long-term write pins are allowed.
 * Left out: swap, and names (tmpfs, memfd come with files).
 * Source followed: mm/shmem.c `shmem_fault`, `shmem_zero_setup`.
 */
import { EFAULT, ENOMEM } from '@pincushion/sim';
import { PG_swapbacked } from './frames';
import type { Memory } from './memory';
import type { Vma, VmaBacking } from './vma';
import { Gfp } from './zone';

export class SharedMemory implements VmaBacking {
  readonly name = 'shared anonymous memory';
  private readonly mappingId: number;
  private readonly pages = new Map<number, number>();
  private areas = 0;

  constructor(
    private readonly memory: Memory,
    private readonly pageCount: number,
  ) {
    this.mappingId = memory.newMapping(this.name);
  }

  /** The frame of a page, made when there is none; -ENOMEM, or -EFAULT behind the end (SIGBUS). */
  fault(_vma: Vma, pageIndex: number): number {
    if (pageIndex >= this.pageCount) return -EFAULT;
    const known = this.pages.get(pageIndex);
    if (known !== undefined) return known;
    const pfn = this.memory.allocFolio(0, Gfp.movable);
    if (pfn < 0) return -ENOMEM;
    this.memory.frames.flags[pfn] |= PG_swapbacked;
    this.memory.frames.mapping[pfn] = this.mappingId;
    this.pages.set(pageIndex, pfn);
    return pfn;
  }

  open(): undefined {
    this.areas++;
    return undefined;
  }

  close(): undefined {
    if (--this.areas > 0) return undefined;
    for (const pfn of this.pages.values()) {
      this.memory.frames.mapping[pfn] = 0;
      this.memory.putFolio(pfn);
    }
    this.pages.clear();
    return undefined;
  }
}
