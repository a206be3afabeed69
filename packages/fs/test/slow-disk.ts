/** A disk that takes its time, over a store in memory, and the store as a file system sees it: for tests of direct I/O. */
import { BioOp, BlkStatus, Disk, bioEndIo } from '@pincushion/block';
import type { Bio, QueueLimits } from '@pincushion/block';
import { Context } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import type { Memory } from '@pincushion/mm';
import type { BlockStore, MemoryBlockStore } from '../src/index';

export const IO_NS = 1000;
const SECTOR_BYTES = 512;

/** Takes or gives the bytes when an I/O ends. */
export class SlowDisk extends Disk {
  /** The status with which I/Os end, by their number; ok unless given. */
  readonly endings = new Map<number, number>();
  /** I/Os so far: what, where, how many bytes. */
  readonly ios: { readonly op: number; readonly sector: number; readonly bytes: number }[] = [];

  constructor(
    private readonly memory: Memory,
    private readonly content: Uint8Array,
    limits: Partial<QueueLimits> = {},
  ) {
    super('slow0', content.length / SECTOR_BYTES, {
      logicalBlockBytes: 512,
      maxBytes: 64 * 1024,
      maxPages: 17,
      virtBoundaryBytes: 0,
      volatileCache: false,
      ...limits,
    });
  }

  override queueBio(bio: Bio): undefined {
    const { op, sector, bytes } = bio;
    const status = this.endings.get(this.ios.push({ op, sector, bytes }) - 1) ?? BlkStatus.ok;
    this.memory.world.after(IO_NS, Context.hardirq, () => {
      if (status === BlkStatus.ok) this.move(bio);
      bioEndIo(bio, status);
      return undefined;
    });
    return undefined;
  }

  private move(bio: Bio): void {
    let at = bio.sector * SECTOR_BYTES;
    for (let i = 0; i < bio.pageCount; i++) {
      const { page, offset, length } = bio.bioVec(i);
      if (bio.op === BioOp.read) this.memory.bytes.write(page, offset, this.content, at, length);
      if (bio.op === BioOp.write) this.memory.bytes.read(page, offset, this.content, at, length);
      at += length;
    }
  }
}

/** Blocks on a disk; what the file system writes and reads itself moves at once. */
export class StoreOnDisk implements BlockStore {
  readonly stableWrites = false;
  readonly blocks: number;
  readonly disk: SlowDisk;
  readonly content: Uint8Array;

  constructor(
    private readonly memory: Memory,
    inner: MemoryBlockStore,
    limits: Partial<QueueLimits> = {},
    readonly blockBytes = inner.blockBytes,
  ) {
    this.blocks = Math.floor((inner.blocks * inner.blockBytes) / blockBytes);
    this.content = new Uint8Array(this.blocks * blockBytes);
    this.disk = new SlowDisk(memory, this.content, limits);
  }

  sectorOf(block: number): number {
    return (block * this.blockBytes) / SECTOR_BYTES;
  }

  read(block: number, pfn: number, offset: number): MaySleep {
    this.memory.bytes.write(pfn, offset, this.content, block * this.blockBytes, this.blockBytes);
    return 0;
  }

  write(block: number, pfn: number, offset: number): MaySleep {
    this.memory.bytes.read(pfn, offset, this.content, block * this.blockBytes, this.blockBytes);
    return 0;
  }

  flush(): MaySleep {
    return 0;
  }
}

/** What the file system reads and writes itself takes time, too, once `isSlow`. */
export class SlowStoreOnDisk extends StoreOnDisk {
  isSlow = false;

  override read(block: number, pfn: number, offset: number): MaySleep {
    return this.isSlow ? this.later(() => super.read(block, pfn, offset)) : super.read(block, pfn, offset);
  }

  override write(block: number, pfn: number, offset: number): MaySleep {
    return this.isSlow ? this.later(() => super.write(block, pfn, offset)) : super.write(block, pfn, offset);
  }

  private *later(run: () => MaySleep) {
    yield* this.disk.world?.sleep(700) ?? [];
    return run() as number;
  }
}
