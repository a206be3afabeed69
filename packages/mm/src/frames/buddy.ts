/**
 * The page allocator of one zone: blocks of 2^order frames, order 0 to 10, on one list per order; a freed block merges
 * with its buddy as long as that is free too.
 *
 * At boot nothing is touched: the zone is one range that nobody has seen yet (`untouched`…`end`), and when the lists run
 * empty the next block of the highest order is carved from it. Splitting keeps the lower half, so consecutive order-0
 * allocations give consecutive frames. Lists are intrusive: a free block is linked through `index` (next) and `mapping` (previous) of its
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
  /** Free frames that are set apart while a range is emptied; null when none is. */
  private isolated: Set<number> | null = null;
  private isolatedStart = 0;
  private isolatedEnd = 0;

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

  /**
   * Takes 2^order frames, more than the largest block, from the untouched part; they never come back. Returns the first, or
   * -ENOMEM. `alloc_contig_pages` for gigantic huge pages at boot.
   */
  takeGigantic(order: number): number {
    const pages = 1 << order;
    const start = Math.ceil(this.untouched / pages) * pages;
    if (start + pages > this.end) return -ENOMEM;
    for (; this.untouched < start; this.untouched += 1 << MAX_PAGE_ORDER) this.link(this.untouched, MAX_PAGE_ORDER);
    this.untouched += pages;
    this.framesFree -= pages;
    return start;
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
    if (this.isolated !== null && pfn + (1 << order) > this.isolatedStart && pfn < this.isolatedEnd) {
      this.giveIsolated(this.isolated, pfn, order);
      return;
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

  /** Frames of the block that lie in the range being emptied are set apart, the others go to the lists. */
  private giveIsolated(isolated: Set<number>, pfn: number, order: number): void {
    for (let frame = pfn; frame < pfn + (1 << order); frame++) {
      if (frame >= this.isolatedStart && frame < this.isolatedEnd) isolated.add(frame);
      else this.give(frame, 0);
    }
  }

  /**
   * Takes the free frames of [start, end) off the lists, and from now on also those that are freed there, until
   * `endIsolation` puts them back or `keepIsolated` leaves them to the caller. `start_isolate_page_range`.
   */
  isolate(start: number, end: number): void {
    while (this.untouched < end) {
      this.link(this.untouched, MAX_PAGE_ORDER);
      this.untouched += 1 << MAX_PAGE_ORDER;
    }
    this.isolated = new Set();
    this.isolatedStart = start;
    this.isolatedEnd = end;
    const { flags, order } = this.frames;
    for (let pfn = start & -(1 << MAX_PAGE_ORDER); pfn < end;) {
      const isBlock = (flags[pfn] & PG_buddy) !== 0;
      const size = isBlock ? 1 << order[pfn] : 1;
      if (isBlock && pfn + size > start) this.isolateBlock(pfn, order[pfn]);
      pfn += size;
    }
  }

  /** Whether the frame is free and set apart. */
  isIsolated(pfn: number): boolean {
    return this.isolated?.has(pfn) === true;
  }

  /** Puts what is set apart back on the lists. `undo_isolate_page_range`. */
  endIsolation(): void {
    const kept = this.keepIsolated();
    for (const pfn of kept) this.give(pfn, 0);
  }

  /** Ends the isolation; the frames set apart are the caller's to use and to `give` back. */
  keepIsolated(): ReadonlySet<number> {
    const kept = this.isolated ?? new Set();
    this.isolated = null;
    return kept;
  }

  /** Takes the lowest free frame below `limit`; -ENOMEM when there is none. For compaction; O(zone). */
  takeBelow(limit: number): number {
    const { flags, order } = this.frames;
    for (let pfn = this.start; pfn < limit; pfn += 1 << order[pfn]) {
      if ((flags[pfn] & PG_buddy) === 0) continue;
      let have = order[pfn];
      this.unlink(pfn, have);
      while (have > 0) {
        have--;
        this.link(pfn + (1 << have), have);
      }
      this.framesFree--;
      return pfn;
    }
    return -ENOMEM;
  }

  private isolateBlock(pfn: number, order: number): void {
    this.unlink(pfn, order);
    this.framesFree -= 1 << order;
    for (let frame = pfn; frame < pfn + (1 << order); frame++) this.give(frame, 0);
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
    const { flags, order: orders, index: next, mapping: prev } = this.frames;
    const first = this.lists[order];
    flags[pfn] = PG_buddy;
    orders[pfn] = order;
    next[pfn] = first;
    prev[pfn] = 0;
    if (first !== 0) prev[first] = pfn;
    this.lists[order] = pfn;
  }

  private unlink(pfn: number, order: number): void {
    const { flags, order: orders, index: next, mapping: prev } = this.frames;
    const after = next[pfn];
    const before = prev[pfn];
    if (before !== 0) next[before] = after;
    else this.lists[order] = after;
    if (after !== 0) prev[after] = before;
    flags[pfn] = 0;
    orders[pfn] = 0;
    next[pfn] = 0;
    prev[pfn] = 0;
  }
}
