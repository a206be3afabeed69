/**
 * The page allocator of one zone: blocks of 2^order frames, order 0 to 10, on one list per order; a freed block merges
 * with its buddy as long as that is free too.
 *
 * At boot nothing is touched: the zone is one range that nobody has seen yet (`untouched`…`end`), and when the lists run
 * empty the next block of the highest order is carved from it. Splitting keeps the lower half, so consecutive order-0
 * allocations give consecutive frames. Lists are intrusive: a free block is linked through `lruNext`/`lruPrev` of its
 * head, which carries `PG_buddy` and the order. 0 ends a list.
 * Left out: migrate types and page blocks, per-CPU lists, compaction, watermarks.
 * Source followed: mm/page_alloc.c `__rmqueue_smallest`, `expand`, `__free_one_page`.
 */
import { ENOMEM, PincushionError } from '@pincushion/sim';
import type { FrameTable } from './frames';
import { PG_buddy } from './frames';

export const MAX_PAGE_ORDER = 10;

export class Buddy {
  /** Head of the list of each order. */
  readonly lists = new Int32Array(MAX_PAGE_ORDER + 1);
  /** Frames free now, the untouched ones included. */
  framesFree: number;
  /** First frame that was never part of a block. */
  untouched: number;

  /** `start` must be aligned to a block of the highest order; an incomplete block at the end is not used. */
  constructor(
    private readonly frames: FrameTable,
    readonly start: number,
    readonly end: number,
  ) {
    this.untouched = start;
    this.framesFree = (end - start) & -(1 << MAX_PAGE_ORDER);
  }

  /** Takes a block off the lists. Returns its first frame, or -ENOMEM. Flags, counts and order are the caller's to set. */
  take(order: number): number {
    let have = order;
    while (have <= MAX_PAGE_ORDER && this.lists[have] === 0) have++;
    let pfn: number;
    if (have <= MAX_PAGE_ORDER) {
      pfn = this.lists[have];
      this.unlink(pfn, have);
    } else {
      const block = 1 << MAX_PAGE_ORDER;
      if (this.untouched + block > this.end || order > MAX_PAGE_ORDER) return -ENOMEM;
      pfn = this.untouched;
      this.untouched += block;
      have = MAX_PAGE_ORDER;
    }
    while (have > order) {
      have--;
      this.link(pfn + (1 << have), have);
    }
    this.framesFree -= 1 << order;
    return pfn;
  }

  /** Gives a block back and merges it as far as possible. Giving back a free block is an error. */
  give(pfn: number, order: number): void {
    const { flags, order: orders } = this.frames;
    if (this.isFree(pfn)) {
      throw new PincushionError('FRAME_DOUBLE_FREE', `frame ${pfn} is freed a second time`, {
        expected: 'a block that is in use',
        actual: `frame ${pfn}, order ${order}, which is free already`,
      });
    }
    this.framesFree += 1 << order;
    let block = pfn;
    let height = order;
    while (height < MAX_PAGE_ORDER) {
      const buddy = block ^ (1 << height);
      if ((flags[buddy] & PG_buddy) === 0 || orders[buddy] !== height) break;
      this.unlink(buddy, height);
      block &= ~(1 << height);
      height++;
    }
    this.link(block, height);
  }

  /** Whether a frame lies in a free block or was never touched. O(orders). */
  isFree(pfn: number): boolean {
    if (pfn >= this.untouched) return true;
    for (let order = 0; order <= MAX_PAGE_ORDER; order++) {
      const head = pfn & -(1 << order);
      if ((this.frames.flags[head] & PG_buddy) !== 0 && this.frames.order[head] >= order) return true;
    }
    return false;
  }

  private link(pfn: number, order: number): void {
    const { flags, order: orders, lruNext, lruPrev } = this.frames;
    const next = this.lists[order];
    flags[pfn] = PG_buddy;
    orders[pfn] = order;
    lruNext[pfn] = next;
    lruPrev[pfn] = 0;
    if (next !== 0) lruPrev[next] = pfn;
    this.lists[order] = pfn;
  }

  private unlink(pfn: number, order: number): void {
    const { flags, order: orders, lruNext, lruPrev } = this.frames;
    const next = lruNext[pfn];
    const prev = lruPrev[pfn];
    if (prev !== 0) lruNext[prev] = next;
    else this.lists[order] = next;
    if (next !== 0) lruPrev[next] = prev;
    flags[pfn] = 0;
    orders[pfn] = 0;
  }
}
