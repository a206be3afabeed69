/**
 * What direct I/O asks of a file: where its bytes lie, room for more, and the end of a write. An inode offers it.
 *
 * Source followed: include/linux/iomap.h `struct iomap_ops`, fs/inode.c `inode_dio_wait` (6.18).
 */
import type { Disk } from '@pincushion/block';
import type { AddressSpace } from '@pincushion/mm';
import type { MaySleep } from '@pincushion/sim';
import { WaitQueue, sleeping } from '@pincushion/sim';

/** What lies behind a range of a file (`struct iomap`); filled by `DirectFile.mapRange`. */
export interface FileMapping {
  /**
   * `hole`: nothing; `mapped`: blocks with content; `unwritten`: blocks whose content is not the file's yet, read as zeros;
   * `delayed`: content in the page cache alone.
   */
  kind: 'hole' | 'mapped' | 'unwritten' | 'delayed';
  /** Sector on the disk where the range begins; of `mapped` and `unwritten`. */
  sector: number;
  /** Bytes of the range that are alike and in a row on the disk, at least 1. */
  length: number;
}

/** All results are 0 or -errno unless said otherwise. Task context. */
export interface DirectFile {
  readonly mapping: AddressSpace;
  readonly disk: Disk;
  /** Bytes of a block of the file system. */
  readonly blockBytes: number;
  /** `i_size`. */
  readonly size: number;
  readonly inFlight: DirectIosInFlight;
  readonly isLocked: boolean;
  /** Takes the inode's lock (`inode_lock`) for those who change its blocks; `unlock` may come from another thread. */
  lock(): MaySleep;
  unlock(): undefined;
  /** Says what lies at `position`, of at most `length` bytes. */
  mapRange(position: number, length: number, into: FileMapping): undefined;
  /** Gives a hole blocks, which are `unwritten` until `written` or `writeFailed`. -ENOSPC. */
  allocate(position: number, length: number): MaySleep;
  /** Bytes [position, position + length) are written: unwritten blocks become mapped, and the file reaches there. */
  written(position: number, length: number): MaySleep;
  /** A write there has failed: what `allocate` gave it may go. */
  writeFailed(position: number, length: number): MaySleep;
  /** write(2) through the page cache: bytes or -errno. */
  writeBuffered(position: number, from: Uint8Array, at: number, n: number): MaySleep;
}

/** Direct I/O of a file that has begun and not ended (`i_dio_count`): truncation waits for it before blocks go. */
export class DirectIosInFlight {
  private count = 0;
  private idle: WaitQueue | null = null;

  constructor(
    private readonly mapping: AddressSpace,
    private readonly name: string,
  ) {}

  get busy(): boolean {
    return this.count > 0;
  }

  /** `inode_dio_begin`. Any context. */
  begin(): void {
    this.count++;
  }

  /** `inode_dio_end`. Any context. */
  end(): void {
    this.count--;
    if (this.count === 0) this.idle?.wakeAll();
  }

  /** Waits until none is in flight; new ones are kept out by the inode's lock. 0. Task context. `inode_dio_wait`. */
  wait(): MaySleep {
    if (this.count === 0) return 0;
    const { world } = this.mapping.memory;
    const idle = (this.idle ??= new WaitQueue(world, `direct I/O on ${this.name} to end`));
    return sleeping(world, 'inode_dio_wait', () => this.untilIdle(idle)[Symbol.iterator]());
  }

  private *untilIdle(idle: WaitQueue) {
    yield* idle.waitUntil(() => this.count === 0);
    return 0;
  }
}
