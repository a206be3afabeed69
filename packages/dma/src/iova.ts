/**
 * I/O virtual addresses of one domain, in pages.
 *
 * A range lies in a block of a power of two of pages, aligned to its size, that is at least one page longer than the
 * range: the page behind every range is never mapped, so a device that overruns its buffer faults. Page 0 is never
 * given, so no bus address is 0. Freed blocks wait on a stack per size (the kernel's rcaches: last in, first out);
 * fresh ones come from a watermark. When the space is used up, larger free blocks are split.
 *
 * Left out on purpose: merging of freed neighbours, the 32-bit-first search order, per-CPU magazines.
 * Source: Linux 6.18 drivers/iommu/iova.c (alloc_iova_fast, free_iova_fast).
 */
import { ENOMEM } from '@pincushion/sim';
import { PageStack } from './page-stack';

const SIZE_CLASSES = 31;
/** The order of the blocks that ranges of one page lie in. */
const SINGLE_ORDER = 1;
/** The first block starts here: low enough that addresses stay small, high enough that a nearly null address faults. */
const FIRST_PAGE = 16;

export class IovaAllocator {
  /** Free blocks by order. */
  private readonly stacks: PageStack[] = [];
  /** The one of them that I/O of a page lives on. */
  private readonly singles: PageStack;
  private watermark = FIRST_PAGE;

  /** @param limitPages first page beyond the space that the device can address */
  constructor(private readonly limitPages: number) {
    for (let order = 0; order < SIZE_CLASSES; order++) this.stacks.push(new PageStack(order < 10 ? 64 : 4));
    this.singles = this.stacks[SINGLE_ORDER];
  }

  /** First page of a range of `pages` pages, or -ENOMEM. Any context. */
  alloc(pages: number): number {
    const order = blockOrder(pages);
    const page = this.stacks[order].pop();
    return page !== 0 ? page : this.carve(order);
  }

  /** `alloc(1)`, shorter. Any context. */
  allocSingle(): number {
    const page = this.singles.pop();
    return page !== 0 ? page : this.carve(SINGLE_ORDER);
  }

  /** Gives a range back; `pages` as at alloc. Any context. */
  free(page: number, pages: number): void {
    this.stacks[blockOrder(pages)].push(page);
  }

  /** `free(page, 1)`, shorter. Any context. */
  freeSingle(page: number): void {
    this.singles.push(page);
  }

  private carve(order: number): number {
    const size = 2 ** order;
    // What alignment skips is not lost: it goes, cut into aligned blocks, to the stacks of the smaller sizes.
    while (this.watermark % size !== 0) {
      const skipped = 31 - Math.clz32(this.watermark & -this.watermark);
      if (this.watermark + 2 ** skipped > this.limitPages) break;
      this.stacks[skipped].push(this.watermark);
      this.watermark += 2 ** skipped;
    }
    if (this.watermark % size === 0 && this.watermark + size <= this.limitPages) {
      const page = this.watermark;
      this.watermark += size;
      return page;
    }
    return this.split(order);
  }

  /** Halves the smallest larger free block until one of `order` is left over. */
  private split(order: number): number {
    let from = order;
    while (from < SIZE_CLASSES && this.stacks[from].empty) from++;
    if (from === SIZE_CLASSES) return -ENOMEM;
    const page = this.stacks[from].pop();
    while (from > order) {
      from--;
      this.stacks[from].push(page + 2 ** from);
    }
    return page;
  }
}

/** Order of the smallest block that holds `pages` and a guard page: 1 -> 1, 2 and 3 -> 2, 4 to 7 -> 3. */
function blockOrder(pages: number): number {
  return 32 - Math.clz32(pages);
}
