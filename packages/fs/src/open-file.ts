/**
 * An open file: what processes read, write, map, truncate and sync.
 *
 * Left out: who may do it, positions, several writers at a time (the inode lock is implied where nothing sleeps).
 * Source followed: fs/ext4/file.c, fs/ext4/inode.c `ext4_setattr`, `ext4_punch_hole`, `ext4_block_truncate_page`,
 * mm/fadvise.c (6.18).
 */
import {
  PAGE_SIZE,
  eagerly,
  genericFileRead,
  genericFileWrite,
  invalidateMappingPages,
  settled,
  truncatePagecache,
  truncatePagecacheRange,
  truncatePartialFolio,
  waitWriteback,
  writeAndWaitRange,
} from '@pincushion/mm';
import type { AddressSpace, MappableFile, VmaBacking } from '@pincushion/mm';
import { EINVAL } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import type { Inode } from './inode';

export class OpenFile implements MappableFile {
  /** Whoever opens it counts as a user of the inode, until `close`. */
  constructor(private readonly inode: Inode) {}

  get name(): string {
    return this.inode.name;
  }

  get mapping(): AddressSpace {
    return this.inode.mapping;
  }

  get backing(): VmaBacking {
    return this.inode.backing;
  }

  get size(): number {
    return this.inode.size;
  }

  read(position: number, into: Uint8Array, at: number, n: number): MaySleep {
    return genericFileRead(this.mapping, position, into, at, n);
  }

  write(position: number, from: Uint8Array, at: number, n: number): MaySleep {
    if (!(position >= 0)) return -EINVAL;
    if (n > 0 && position > this.size) this.zeroBehindEnd();
    return genericFileWrite(this.mapping, position, from, at, n);
  }

  truncate(size: number): MaySleep {
    this.inode.sb.memory.world.contexts.mightSleep('truncate');
    if (!(size >= 0)) return -EINVAL;
    if (size > this.size) this.zeroBehindEnd();
    const isShorter = size < this.size;
    this.inode.size = size;
    return isShorter ? eagerly(this.inode.sb.memory.world, 'truncate', this.shorten(size)) : 0;
  }

  /** The new end has been set. `ext4_truncate`. */
  private *shorten(size: number) {
    // A page on its way to a block must have arrived before the block can be given to somebody else.
    yield* settled(waitWriteback(this.mapping, Math.floor(size / PAGE_SIZE), Infinity));
    truncatePagecache(this.mapping, size);
    this.inode.freeBlocks(Math.ceil(size / this.inode.sb.store.blockBytes), Infinity);
    const tail = size % PAGE_SIZE;
    if (tail === 0) return 0;
    return yield* settled(this.zeroPart(Math.floor(size / PAGE_SIZE), tail, PAGE_SIZE));
  }

  /** What a mapping wrote behind the end must not come to light when the file grows. `pagecache_isize_extended`. */
  private zeroBehindEnd(): void {
    const tail = this.size % PAGE_SIZE;
    if (tail !== 0) truncatePartialFolio(this.mapping, Math.floor(this.size / PAGE_SIZE), tail, PAGE_SIZE);
  }

  punchHole(start: number, length: number): MaySleep {
    this.inode.sb.memory.world.contexts.mightSleep('fallocate');
    if (!(start >= 0) || !(length > 0)) return -EINVAL;
    if (start >= this.size) return 0;
    // A hole that reaches the end takes the rest of the last page, too.
    const end = start + length < this.size ? start + length : Math.ceil(this.size / PAGE_SIZE) * PAGE_SIZE;
    return eagerly(this.inode.sb.memory.world, 'fallocate', this.punch(start, end));
  }

  /** `ext4_punch_hole`: parts of pages are written as zeros, whole pages and blocks go. */
  private *punch(start: number, end: number) {
    const first = Math.floor(start / PAGE_SIZE);
    const last = Math.floor(end / PAGE_SIZE);
    let error = 0;
    if (first === last) {
      error = yield* settled(this.zeroPart(first, start % PAGE_SIZE, end % PAGE_SIZE));
    } else {
      if (start % PAGE_SIZE !== 0) error = yield* settled(this.zeroPart(first, start % PAGE_SIZE, PAGE_SIZE));
      if (error === 0 && end % PAGE_SIZE !== 0) error = yield* settled(this.zeroPart(last, 0, end % PAGE_SIZE));
    }
    if (error !== 0) return error;
    yield* settled(waitWriteback(this.mapping, first, last));
    truncatePagecacheRange(this.mapping, start, end);
    const { blockBytes } = this.inode.sb.store;
    if (last > first) this.freePages(Math.ceil(start / PAGE_SIZE), last, blockBytes);
    return 0;
  }

  private freePages(first: number, end: number, blockBytes: number): void {
    this.inode.freeBlocks((first * PAGE_SIZE) / blockBytes, (end * PAGE_SIZE) / blockBytes);
  }

  /** Writes zeros to bytes [from, to) of a page, unless they lie in a hole. `ext4_block_zero_page_range`. */
  private zeroPart(index: number, from: number, to: number): MaySleep {
    const { blockBytes } = this.inode.sb.store;
    const first = Math.floor((index * PAGE_SIZE + from) / blockBytes);
    const end = Math.ceil((index * PAGE_SIZE + to) / blockBytes);
    if (!this.inode.hasBlocks(first, end)) return 0;
    return eagerly(this.inode.sb.memory.world, 'zeroing a part of a page', this.zero(index, from, to));
  }

  private *zero(index: number, from: number, to: number) {
    const { ops } = this.mapping;
    const head = yield* settled(ops.writeBegin?.(this.mapping, index, from, to) ?? -EINVAL);
    if (head < 0) return head;
    this.inode.sb.memory.bytes.fill(head, from, 0, to - from);
    ops.writeEnd?.(this.mapping, head, from, to);
    return 0;
  }

  fsync(start = 0, end = Infinity): MaySleep {
    return eagerly(this.inode.sb.memory.world, 'fsync', this.sync(start, end));
  }

  private *sync(start: number, end: number) {
    const error = yield* settled(this.syncFileRange(start, end));
    const flushed = yield* settled(this.inode.sb.store.flush());
    return error < 0 ? error : flushed;
  }

  syncFileRange(start = 0, end = Infinity): MaySleep {
    return writeAndWaitRange(this.mapping, Math.floor(start / PAGE_SIZE), Math.ceil(end / PAGE_SIZE));
  }

  fadviseDontneed(start = 0, end = Infinity): MaySleep {
    return eagerly(this.inode.sb.memory.world, 'fadvise', this.dontneed(start, end));
  }

  /** `generic_fadvise`: parts of pages stay, and pages whose writing it has to begin. */
  private *dontneed(start: number, end: number) {
    const begun = new Set(this.mapping.dirty);
    yield* settled(this.syncFileRange(start, end));
    const last = end >= this.size ? Infinity : Math.floor(end / PAGE_SIZE);
    invalidateMappingPages(this.mapping, Math.ceil(start / PAGE_SIZE), last, begun);
    return 0;
  }

  close(): undefined {
    this.inode.put();
    return undefined;
  }
}
