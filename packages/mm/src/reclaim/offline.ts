/**
 * Memory that is taken out of use while the machine runs, and given back (/sys/devices/system/memory/memoryN/state).
 *
 * Offlining empties a range: what processes have there moves elsewhere, what is free is taken off the allocator's lists. A
 * page that cannot move, such as a pinned one, makes it fail with -EBUSY; the range is in use as before then, except that
 * other pages may have moved. The kernel tries again until the pin goes or a signal arrives; here the caller does.
 * The unit is the allocator's largest block (4 MiB), in the kernel a section of 128 MiB. Left out: adding and removing
 * memory, notifiers, the zones' sizes, a reserve for what the range had.
 * Source followed: mm/memory_hotplug.c `offline_pages`, `online_pages` (6.18).
 */
import { EINVAL } from '@pincushion/sim';
import { MAX_PAGE_ORDER } from '../frames/buddy';
import type { Memory } from '../memory';
import { evacuate, takeBack } from './migrate';

const BLOCK_FRAMES = 1 << MAX_PAGE_ORDER;

/** Frames start…end-1. */
export interface FrameRange {
  readonly start: number;
  readonly end: number;
}

export class OfflineMemory {
  /** Numbers of the blocks that are offline. */
  private readonly blocks = new Set<number>();

  constructor(private readonly memory: Memory) {}

  /** What is offline, in order, neighbours joined. */
  get ranges(): readonly FrameRange[] {
    const found: { start: number; end: number }[] = [];
    for (const block of [...this.blocks].sort((a, b) => a - b)) {
      const start = block * BLOCK_FRAMES;
      const last = found.at(-1);
      if (last?.end === start) last.end += BLOCK_FRAMES;
      else found.push({ start, end: start + BLOCK_FRAMES });
    }
    return found;
  }

  get frames(): number {
    return this.blocks.size * BLOCK_FRAMES;
  }

  has(pfn: number): boolean {
    return this.blocks.has(Math.floor(pfn / BLOCK_FRAMES));
  }

  /** See `Memory.offlineRange`. */
  takeOut(start: number, end: number): number {
    if (!this.areAll(start, end, false)) return -EINVAL;
    const error = evacuate(this.memory, start, end);
    if (error !== 0) return error;
    for (let pfn = start; pfn < end; pfn += BLOCK_FRAMES) this.blocks.add(pfn / BLOCK_FRAMES);
    return 0;
  }

  /** See `Memory.onlineRange`. */
  giveBack(start: number, end: number): number {
    if (!this.areAll(start, end, true)) return -EINVAL;
    for (let pfn = start; pfn < end; pfn += BLOCK_FRAMES) this.blocks.delete(pfn / BLOCK_FRAMES);
    takeBack(this.memory, start, end);
    return 0;
  }

  /** What contradicts itself, a sentence each: for `memoryContradictions`. */
  contradictions(): string[] {
    const { frames } = this.memory;
    const found: string[] = [];
    for (const { start, end } of this.ranges) {
      for (let pfn = start; pfn < end; pfn++) {
        if (frames.refcount[pfn] !== 0 || frames.flags[pfn] !== 0) {
          found.push(`frame ${pfn} is offline and has ${frames.refcount[pfn]} references, flags ${frames.flags[pfn]}`);
        }
      }
    }
    return found;
  }

  /** Whether the range is one of whole blocks, which are all offline or all online. */
  private areAll(start: number, end: number, offline: boolean): boolean {
    if (start % BLOCK_FRAMES !== 0 || end % BLOCK_FRAMES !== 0 || end <= start) return false;
    for (let pfn = start; pfn < end; pfn += BLOCK_FRAMES) if (this.has(pfn) !== offline) return false;
    return true;
  }
}
