/**
 * A set of logical blocks as ranges: few and long, such as those that cannot be read.
 * Ranges are kept sorted and apart; numbers are exact up to 2^53.
 */
export class BlockRanges {
  /** First block of each range, and one past its last. */
  private readonly firsts: number[] = [];
  private readonly ends: number[] = [];

  get isEmpty(): boolean {
    return this.firsts.length === 0;
  }

  /** Whether any of `blocks` blocks from `first` on is in the set. */
  touches(first: number, blocks: number): boolean {
    const i = this.after(first);
    return i < this.firsts.length && this.firsts[i] < first + blocks;
  }

  add(first: number, blocks: number): void {
    if (blocks === 0) return;
    this.remove(first, blocks);
    const i = this.after(first);
    this.firsts.splice(i, 0, first);
    this.ends.splice(i, 0, first + blocks);
  }

  remove(first: number, blocks: number): void {
    const end = first + blocks;
    for (let i = this.after(first); i < this.firsts.length && this.firsts[i] < end;) {
      const [from, to] = [this.firsts[i], this.ends[i]];
      this.firsts.splice(i, 1);
      this.ends.splice(i, 1);
      if (from < first) {
        this.firsts.splice(i, 0, from);
        this.ends.splice(i, 0, first);
        i++;
      }
      if (to > end) {
        this.firsts.splice(i, 0, end);
        this.ends.splice(i, 0, to);
        i++;
      }
    }
  }

  clear(): void {
    this.firsts.length = this.ends.length = 0;
  }

  /** Index of the first range that ends after a block. */
  private after(block: number): number {
    let low = 0;
    let high = this.ends.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.ends[middle] <= block) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
