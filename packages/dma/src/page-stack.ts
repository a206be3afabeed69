/**
 * A stack of page numbers that grows: what an allocator keeps of one size of free ranges, last in, first out.
 *
 * Source: the loaded magazine of Linux 6.18 drivers/iommu/iova.c (struct iova_magazine), without its limit.
 */
export class PageStack {
  private pages: Int32Array;
  private top = 0;

  /** @param room entries to begin with, at least 1 */
  constructor(room: number) {
    this.pages = new Int32Array(room);
  }

  get empty(): boolean {
    return this.top === 0;
  }

  /** The page pushed last, or 0 when there is none. Any context. */
  pop(): number {
    const top = this.top - 1;
    if (top < 0) return 0;
    this.top = top;
    return this.pages[top];
  }

  /** @param page above 0. Any context. */
  push(page: number): void {
    const top = this.top;
    if (top === this.pages.length) this.widen();
    this.pages[top] = page;
    this.top = top + 1;
  }

  private widen(): void {
    const wider = new Int32Array(this.pages.length * 2);
    wider.set(this.pages);
    this.pages = wider;
  }
}
