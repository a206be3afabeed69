/**
 * An inode as direct I/O sees it.
 *
 * Blocks that a write in flight fills are unwritten extents: nobody sees their content before it has ended.
 * Source followed: fs/ext4/inode.c `ext4_iomap_begin`, `ext4_iomap_alloc`, fs/ext4/file.c `ext4_dio_write_end_io` (6.18).
 */
import type { Disk } from '@pincushion/block';
import { FALLOC_FL_KEEP_SIZE, eagerly, settled } from '@pincushion/mm';
import type { AddressSpace } from '@pincushion/mm';
import type { MaySleep } from '@pincushion/sim';
import { DirectIosInFlight } from './direct-io-file';
import type { DirectFile, FileMapping } from './direct-io-file';
import { fallocate } from './file-allocation';
import type { Inode } from './inode';
import { releaseBlocks } from './release-blocks';

const SECTOR_BYTES = 512;

export class InodeDirectFile implements DirectFile {
  readonly mapping: AddressSpace;
  readonly blockBytes: number;
  readonly inFlight: DirectIosInFlight;

  constructor(
    private readonly inode: Inode,
    readonly disk: Disk,
  ) {
    this.mapping = inode.mapping;
    this.blockBytes = inode.sb.store.blockBytes;
    this.inFlight = new DirectIosInFlight(inode.mapping, inode.name);
  }

  get size(): number {
    return this.inode.size;
  }

  get isLocked(): boolean {
    return this.inode.lock.isHeld;
  }

  lock(): MaySleep {
    return this.inode.lock.acquire();
  }

  unlock(): undefined {
    this.inode.lock.release();
    return undefined;
  }

  mapRange(position: number, length: number, into: FileMapping): undefined {
    const { blockBytes, inode } = this;
    const first = Math.floor(position / blockBytes);
    const offset = position - first * blockBytes;
    const isOnDisk = inode.extents.seek(first);
    let blocks = inode.extents.foundLength;
    if (isOnDisk) {
      into.kind = inode.extents.foundUnwritten ? 'unwritten' : 'mapped';
      into.sector = (inode.sb.store.sectorOf?.(inode.extents.foundStart) ?? 0) + offset / SECTOR_BYTES;
    } else {
      const most = Math.min(blocks, Math.ceil((offset + length) / blockBytes));
      const isDelayed = inode.isDelayed(first);
      for (blocks = 1; blocks < most && inode.isDelayed(first + blocks) === isDelayed;) blocks++;
      into.kind = isDelayed ? 'delayed' : 'hole';
      into.sector = 0;
    }
    into.length = Math.min(length, blocks * blockBytes - offset);
    return undefined;
  }

  allocate(position: number, length: number): MaySleep {
    return fallocate(this.inode, FALLOC_FL_KEEP_SIZE, position, length);
  }

  written(position: number, length: number): MaySleep {
    if (length === 0) return 0;
    return eagerly(this.inode.sb.memory.world, 'the end of a direct write', this.convert(position, position + length));
  }

  private *convert(position: number, end: number) {
    const { inode, blockBytes } = this;
    const first = Math.floor(position / blockBytes);
    const last = Math.ceil(end / blockBytes);
    if (end <= inode.diskSize && !this.hasUnwritten(first, last)) {
      inode.size = Math.max(inode.size, end);
      return 0;
    }
    const started = yield* settled(inode.sb.journal.start(inode.credits));
    if (started < 0) return started;
    const error = inode.mark(first, last, false);
    if (error < 0) return error;
    inode.size = Math.max(inode.size, end);
    inode.diskSize = Math.max(inode.diskSize, end);
    return 0;
  }

  private hasUnwritten(first: number, last: number): boolean {
    const { extents } = this.inode;
    for (let block = first; block < last; block += extents.foundLength) {
      if (extents.seek(block) && extents.foundUnwritten) return true;
    }
    return false;
  }

  /** Behind the end of the file nothing is left (`ext4_truncate_failed_write`); inside of it the blocks read as zeros. */
  writeFailed(position: number, length: number): MaySleep {
    const { inode } = this;
    if (position + length <= inode.size) return 0;
    return releaseBlocks(inode, Math.ceil(inode.size / this.blockBytes));
  }

  writeBuffered(position: number, from: Uint8Array, at: number, n: number): MaySleep {
    return this.inode.backing.file.write(position, from, at, n);
  }
}
