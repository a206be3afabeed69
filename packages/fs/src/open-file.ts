/**
 * An open file: what processes read, write, map, truncate and sync.
 *
 * Left out: who may do it, positions.
 * Source followed: fs/ext4/file.c `ext4_buffered_write_iter`, fs/ext4/fsync.c, fs/sync.c, mm/fadvise.c (6.18).
 */
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  PAGE_SIZE,
  eagerly,
  genericFileRead,
  genericFileWrite,
  invalidateMappingPages,
  settled,
  writeAndWaitRange,
} from '@pincushion/mm';
import type { AddressSpace, ErrSeqCursor, MappableFile, Mm, VmaBacking } from '@pincushion/mm';
import { EFBIG, EINVAL, EROFS } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { FileDirectIo } from './direct-io';
import { fallocate } from './file-allocation';
import { setSize, sizeMax, zeroBehindEnd } from './file-size';
import type { Inode } from './inode';

export class OpenFile implements MappableFile {
  /** Errors of writeback before this were told to somebody, and are none of this opener's (`f_wb_err`). */
  private readonly seen: ErrSeqCursor;

  /** Whoever opens it counts as a user of the inode, until `close`. */
  constructor(private readonly inode: Inode) {
    this.seen = inode.mapping.wbErr.sample();
  }

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
    return eagerly(this.inode.sb.memory.world, 'write', this.writeLocked(position, from, at, n));
  }

  /** Writes at the end, wherever it is when it is this writer's turn (O_APPEND). Results as `write`. */
  append(from: Uint8Array, at: number, n: number): MaySleep {
    return eagerly(this.inode.sb.memory.world, 'write', this.writeLocked(-1, from, at, n));
  }

  /** `ext4_buffered_write_iter`; `position` -1: the end. */
  private *writeLocked(position: number, from: Uint8Array, at: number, n: number) {
    const { inode } = this;
    yield* settled(inode.lock.acquire());
    const start = position < 0 ? inode.size : position;
    let result = -EROFS;
    if (!inode.sb.isReadOnly) {
      if (n > 0 && start > inode.size) zeroBehindEnd(inode);
      const most = Math.min(n, sizeMax(inode) - start);
      result = most <= 0 && n > 0 ? -EFBIG : yield* settled(genericFileWrite(this.mapping, start, from, at, most));
    }
    inode.lock.release();
    return result;
  }

  direct(mm: Mm, owner: string): FileDirectIo | null {
    return this.inode.direct === null ? null : new FileDirectIo(this.inode.direct, mm, owner);
  }

  truncate(size: number): MaySleep {
    this.inode.sb.memory.world.contexts.mightSleep('truncate');
    if (!(size >= 0)) return -EINVAL;
    return this.locked('truncate', () => setSize(this.inode, size));
  }

  punchHole(start: number, length: number): MaySleep {
    return this.fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, start, length);
  }

  /** fallocate(2), `mode`: FALLOC_FL_* (file-allocation.ts). 0 or -errno. */
  fallocate(mode: number, start: number, length: number): MaySleep {
    this.inode.sb.memory.world.contexts.mightSleep('fallocate');
    return this.locked('fallocate', () => fallocate(this.inode, mode, start, length));
  }

  /** One after the other (`inode_lock`). */
  private locked(what: string, run: () => MaySleep): MaySleep {
    return eagerly(this.inode.sb.memory.world, what, this.runLocked(run));
  }

  private *runLocked(run: () => MaySleep) {
    yield* settled(this.inode.lock.acquire());
    const result = yield* settled(run());
    this.inode.lock.release();
    return result;
  }

  fsync(start = 0, end = Infinity): MaySleep {
    return eagerly(this.inode.sb.memory.world, 'fsync', this.sync(start, end, false));
  }

  /** fdatasync(2): as `fsync`, without what a reader of the content does not need. */
  fdatasync(): MaySleep {
    return eagerly(this.inode.sb.memory.world, 'fdatasync', this.sync(0, Infinity, true));
  }

  /** `ext4_sync_file`. */
  private *sync(start: number, end: number, dataOnly: boolean) {
    const error = yield* settled(this.syncFileRange(start, end));
    const synced = yield* settled(this.inode.sb.syncInode(this.inode, dataOnly));
    return error < 0 ? error : synced;
  }

  syncFileRange(start = 0, end = Infinity): MaySleep {
    return eagerly(this.inode.sb.memory.world, 'sync_file_range', this.writeAndWait(start, end));
  }

  /** `file_write_and_wait_range`: an error of writeback, of this call or before it, is told to each opener once. */
  private *writeAndWait(start: number, end: number) {
    const first = Math.floor(start / PAGE_SIZE);
    const error = yield* settled(writeAndWaitRange(this.mapping, first, Math.ceil(end / PAGE_SIZE)));
    const known = this.mapping.wbErr.checkAndAdvance(this.seen);
    return error < 0 ? error : known;
  }

  fadviseDontneed(start = 0, end = Infinity): MaySleep {
    return eagerly(this.inode.sb.memory.world, 'fadvise', this.dontneed(start, end));
  }

  /** `generic_fadvise`: parts of pages stay, and pages whose writing it has to begin. */
  private *dontneed(start: number, end: number) {
    const begun = new Set(this.mapping.dirty);
    yield* settled(writeAndWaitRange(this.mapping, Math.floor(start / PAGE_SIZE), Math.ceil(end / PAGE_SIZE)));
    const last = end >= this.size ? Infinity : Math.floor(end / PAGE_SIZE);
    invalidateMappingPages(this.mapping, Math.ceil(start / PAGE_SIZE), last, begun);
    return 0;
  }

  close(): undefined {
    this.inode.put();
    return undefined;
  }
}
