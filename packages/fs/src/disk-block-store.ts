/**
 * The blocks of a file system on a disk: each read and write is a bio over pages of the kernel, and its task sleeps until the
 * disk has ended it. What is in the disk's cache survives when it was flushed, or written past the cache (FUA).
 *
 * Blocks that are written in one go, as writeback does with the pages of a file, are held back by a plug, so that neighbours
 * become one request of the device.
 * Left out: partitions, several blocks in one bio.
 * Source followed: fs/buffer.c `submit_bh_wbc`, `__sync_dirty_buffer`, block/blk-flush.c `blkdev_issue_flush`, mm/page-writeback.c
 * `blk_start_plug` around `do_writepages` (6.18).
 */
import {
  BioOp,
  BioPool,
  MultiQueueDisk,
  Plug,
  REQ_FUA,
  bioAddPage,
  bioChain,
  submitBio,
  submitBioWait,
} from '@pincushion/block';
import type { Bio, Disk } from '@pincushion/block';
import { PAGE_SIZE, eagerly } from '@pincushion/mm';
import type { Memory } from '@pincushion/mm';
import { EINVAL, EIO, ENOSPC, PincushionError } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import type { BlockStore } from './block-store';
import { isBlockSize } from './disk-format/superblock';

const SECTOR_BYTES = 512;
/** Bios of `writeAll` that are on their way at a time. */
const AT_ONCE = 64;

export class DiskBlockStore implements BlockStore {
  readonly blocks: number;
  private readonly pool: BioPool;
  /** Null: a disk without queues, which merges nothing. */
  private readonly plug: Plug | null;

  /**
   * `blockBytes`: of the file system, at least those of the disk; `stableWrites`: pages must not change on their way to it
   * (BLK_FEAT_STABLE_WRITES). Throws FS_SUPERBLOCK_INVALID for a block size that cannot be.
   */
  constructor(
    private readonly memory: Memory,
    readonly disk: Disk,
    readonly blockBytes: number = PAGE_SIZE,
    readonly stableWrites = false,
  ) {
    if (!isBlockSize(blockBytes) || blockBytes < disk.limits.logicalBlockBytes) {
      throw new PincushionError('FS_SUPERBLOCK_INVALID', `a file system on ${disk.name} cannot have such blocks`, {
        device: disk.name,
        errno: EINVAL,
        expected: `1024, 2048 or 4096 bytes, at least ${disk.limits.logicalBlockBytes}`,
        actual: `${blockBytes}`,
      });
    }
    this.blocks = Math.floor((disk.capacitySectors * SECTOR_BYTES) / blockBytes);
    this.pool = new BioPool(memory, 1);
    this.plug = disk instanceof MultiQueueDisk ? new Plug(memory.world) : null;
  }

  sectorOf(block: number): number {
    return (block * this.blockBytes) / SECTOR_BYTES;
  }

  read(block: number, pfn: number, offset: number): MaySleep {
    return this.wait(this.bio(BioOp.read, block, pfn, offset));
  }

  write(block: number, pfn: number, offset: number, fua = false): MaySleep {
    const bio = this.bio(BioOp.write, block, pfn, offset);
    if (fua) bio.flags |= REQ_FUA;
    return this.wait(bio);
  }

  /** A disk that keeps what it has ended is not asked (`submit_bio_noacct`). */
  flush(): MaySleep {
    if (this.disk.limits.volatileCache === false && !this.disk.gone) return 0;
    const bio = this.pool.alloc();
    bio.op = BioOp.flush;
    bio.sector = 0;
    return this.wait(bio);
  }

  writeAll(blocks: readonly number[], pfns: readonly number[]): MaySleep {
    return eagerly(this.memory.world, 'writing blocks', this.writeChained(blocks, pfns));
  }

  /** A few dozen at a time; the last bio of each lot ends when all have. */
  private *writeChained(blocks: readonly number[], pfns: readonly number[]) {
    let result = 0;
    for (let from = 0; from < blocks.length; from += AT_ONCE) {
      const end = Math.min(blocks.length, from + AT_ONCE);
      const last = this.bio(BioOp.write, blocks[end - 1], pfns[end - 1], 0);
      for (let i = from; i < end - 1; i++) {
        const bio = this.bio(BioOp.write, blocks[i], pfns[i], 0);
        bioChain(bio, last);
        submitBio(this.disk, bio, this.plug);
      }
      const error = yield* submitBioWait(this.disk, last, this.plug);
      this.pool.free(last);
      if (result === 0) result = seenByFileSystem(error);
    }
    return result;
  }

  private bio(op: BioOp, block: number, pfn: number, offset: number): Bio {
    const bio = this.pool.alloc();
    bio.op = op;
    bio.sector = this.sectorOf(block);
    bioAddPage(bio, pfn, this.blockBytes, offset);
    return bio;
  }

  private wait(bio: Bio): MaySleep {
    return eagerly(this.memory.world, 'a block', this.submitAndFree(bio));
  }

  private *submitAndFree(bio: Bio) {
    const error = yield* submitBioWait(this.disk, bio, bio.op === BioOp.write ? this.plug : null);
    this.pool.free(bio);
    return seenByFileSystem(error);
  }
}

/** A buffer that could not be read or written is -EIO, whatever the disk said; only -ENOSPC is told (`mapping_set_error`). */
function seenByFileSystem(error: number): number {
  return error === 0 || error === -ENOSPC ? error : -EIO;
}
