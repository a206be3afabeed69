/**
 * Where the blocks of a file lie: its extents, all of them, in the order of the file.
 *
 * What no extent names is a hole. Neighbours that go on from each other, in the file and on disk, are one extent.
 * Source followed: fs/ext4/extents_status.c, fs/ext4/extents.c `ext4_can_extents_be_merged`, `ext4_ext_shift_extents` (6.18).
 */
import { EXTENT_BLOCKS_MAX } from './disk-format/extent-node';
import type { Extent } from './disk-format/extent-node';

export class ExtentMap {
  /** Of what the last `seek` found, from the block it was about on: place on disk (0: a hole) and blocks in a row. */
  foundStart = 0;
  foundLength = 0;
  foundUnwritten = false;
  /** Index of the first extent that has changed since `settle`; Infinity for none. */
  changedFrom = Infinity;
  private readonly extents: Extent[] = [];

  get count(): number {
    return this.extents.length;
  }

  /** The extents, in order. */
  all(): readonly Extent[] {
    return this.extents;
  }

  /** Whether a block of the file has a place on disk; `found…` says where, or how long the hole is. */
  seek(block: number): boolean {
    const at = this.indexOf(block);
    this.foundStart = 0;
    this.foundUnwritten = false;
    if (at === this.extents.length) {
      this.foundLength = Infinity;
      return false;
    }
    const extent = this.extents[at];
    if (extent.logical > block) {
      this.foundLength = extent.logical - block;
      return false;
    }
    this.foundStart = extent.start + (block - extent.logical);
    this.foundLength = extent.length - (block - extent.logical);
    this.foundUnwritten = extent.unwritten;
    return true;
  }

  /** A good place for a block of the file: behind the extent before it, as far as it is behind it in the file. 0: anywhere. */
  goalFor(block: number): number {
    const before = this.indexOf(block) - 1;
    if (before < 0) return 0;
    const { logical, start } = this.extents[before];
    return start + (block - logical);
  }

  /** Blocks on disk. */
  blockCount(): number {
    let count = 0;
    for (const { length } of this.extents) count += length;
    return count;
  }

  /** As read from disk: behind all others. False when it is not. */
  append(extent: Extent): boolean {
    const last = this.extents.at(-1);
    if (extent.length === 0 || (last !== undefined && extent.logical < last.logical + last.length)) return false;
    this.extents.push(extent);
    return true;
  }

  /** Fills a part of a hole. */
  insert(logical: number, start: number, length: number, unwritten: boolean): void {
    let at = this.indexOf(logical);
    let extent: Extent = { logical, start, length, unwritten };
    if (at > 0 && goesOn(this.extents[at - 1], extent)) {
      at--;
      extent = joined(this.extents[at], extent);
      this.extents.splice(at, 1);
    }
    if (at < this.extents.length && goesOn(extent, this.extents[at])) {
      extent = joined(extent, this.extents[at]);
      this.extents.splice(at, 1);
    }
    this.extents.splice(at, 0, extent);
    this.changed(at);
  }

  /**
   * Makes a hole of blocks [from, end). The runs on disk that nobody has any more go to `freed`, as pairs (first, count).
   * At most `pieces` extents are taken, the last ones first. Returns where the hole begins: `from` when all of it is done.
   */
  remove(from: number, end: number, freed: number[], pieces = Infinity): number {
    let at = this.indexOf(end);
    if (at === this.extents.length || this.extents[at].logical >= end) at--;
    let begin = end;
    for (let left = pieces; at >= 0; at--) {
      const extent = this.extents[at];
      const extentEnd = extent.logical + extent.length;
      if (extentEnd <= from) break;
      if (left-- === 0) return begin;
      const cutFrom = Math.max(from, extent.logical);
      const cutEnd = Math.min(end, extentEnd);
      freed.push(extent.start + (cutFrom - extent.logical), cutEnd - cutFrom);
      const rest: Extent[] = [];
      if (cutFrom > extent.logical) rest.push(part(extent, extent.logical, cutFrom));
      if (cutEnd < extentEnd) rest.push(part(extent, cutEnd, extentEnd));
      this.extents.splice(at, 1, ...rest);
      this.changed(at);
      begin = cutFrom;
    }
    return from;
  }

  /** What is taken of blocks [from, end) is written, or unwritten, from now on. Holes stay. */
  mark(from: number, end: number, unwritten: boolean): void {
    for (let block = from; block < end;) {
      const isTaken = this.seek(block);
      const length = Math.min(this.foundLength, end - block);
      if (isTaken && this.foundUnwritten !== unwritten) {
        const start = this.foundStart;
        this.remove(block, block + length, []);
        this.insert(block, start, length, unwritten);
      }
      block += length;
    }
  }

  /** What lies at `from` and behind it moves by `by` blocks; there is room for it. */
  shift(from: number, by: number): void {
    const first = this.indexOf(from);
    const moved: Extent[] = [];
    for (const extent of this.extents.splice(first)) {
      const cut = Math.max(extent.logical, from);
      if (cut > extent.logical) moved.push(part(extent, extent.logical, cut));
      const rest = part(extent, cut, extent.logical + extent.length);
      moved.push({ ...rest, logical: rest.logical + by });
    }
    for (const { logical, start, length, unwritten } of moved) this.insert(logical, start, length, unwritten);
    this.changed(Math.max(0, first - 1));
  }

  /** What has changed is on its way to the disk. */
  settle(): void {
    this.changedFrom = Infinity;
  }

  private changed(at: number): void {
    this.changedFrom = Math.min(this.changedFrom, at);
  }

  /** Index of the first extent that ends behind a block. */
  private indexOf(block: number): number {
    let low = 0;
    let high = this.extents.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const { logical, length } = this.extents[middle];
      if (logical + length <= block) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function goesOn(before: Extent, after: Extent): boolean {
  return (
    before.unwritten === after.unwritten &&
    before.logical + before.length === after.logical &&
    before.start + before.length === after.start &&
    before.length + after.length <= EXTENT_BLOCKS_MAX
  );
}

function joined(before: Extent, after: Extent): Extent {
  return { ...before, length: before.length + after.length };
}

function part(extent: Extent, from: number, end: number): Extent {
  return { ...extent, logical: from, start: extent.start + (from - extent.logical), length: end - from };
}
