/**
 * A store for a file system on a disk, with a checksum for each block: made when a block is given to the disk, compared when it
 * comes back. As file systems with checksums and disks with protection information do it, so a page that changes between
 * the two is noticed, if late.
 */
import { crc32 } from 'node:zlib';
import type { Disk } from '@pincushion/block';
import { BioOp, BioPool, REQ_PREFLUSH, bioAddPage, submitBioWait } from '@pincushion/block';
import type { BlockStore } from '@pincushion/fs';
import type { Memory } from '@pincushion/mm';
import { PAGE_SIZE } from '@pincushion/mm';
import type { Task } from '@pincushion/sim';
import { EIO } from '@pincushion/sim';

const SECTOR_BYTES = 512;

/** What was given to the disk for a block, and when. */
export interface Given {
  readonly block: number;
  readonly bytes: Uint8Array;
  readonly checksum: number;
  readonly atNs: number;
}

export class ChecksummedBlocks implements BlockStore {
  readonly blockBytes = PAGE_SIZE;
  readonly blocks: number;
  /** Writes of blocks in their order. */
  readonly given: Given[] = [];
  private readonly pool: BioPool;
  private readonly checksums = new Map<number, number>();

  /** `stableWrites`: pages may not be written to by processes while they are on their way (W-08). */
  constructor(
    private readonly memory: Memory,
    readonly disk: Disk,
    readonly stableWrites: boolean,
  ) {
    this.blocks = Math.floor((disk.capacitySectors * SECTOR_BYTES) / PAGE_SIZE);
    this.pool = new BioPool(memory, 1);
  }

  sectorOf(block: number): number {
    return (block * PAGE_SIZE) / SECTOR_BYTES;
  }

  *write(block: number, pfn: number, offset: number): Task<number> {
    const bytes = new Uint8Array(PAGE_SIZE);
    this.memory.bytes.read(pfn, offset, bytes, 0, PAGE_SIZE);
    const checksum = crc32(bytes);
    this.checksums.set(block, checksum);
    this.given.push({ block, bytes, checksum, atNs: this.memory.world.now });
    return yield* this.transfer(BioOp.write, block, pfn, offset);
  }

  /** -EIO when the block is not what was given to the disk. A block that was never written is not known, and zeros. */
  *read(block: number, pfn: number, offset: number): Task<number> {
    const error = yield* this.transfer(BioOp.read, block, pfn, offset);
    if (error !== 0) return error;
    const bytes = new Uint8Array(PAGE_SIZE);
    this.memory.bytes.read(pfn, offset, bytes, 0, PAGE_SIZE);
    const checksum = this.checksums.get(block);
    return checksum === undefined || checksum === crc32(bytes) ? 0 : -EIO;
  }

  *flush(): Task<number> {
    const bio = this.pool.alloc();
    bio.op = BioOp.flush;
    bio.flags = REQ_PREFLUSH;
    const error = yield* submitBioWait(this.disk, bio);
    this.pool.free(bio);
    return error;
  }

  private *transfer(op: BioOp, block: number, pfn: number, offset: number): Task<number> {
    const bio = this.pool.alloc();
    bio.op = op;
    bio.sector = this.sectorOf(block);
    bioAddPage(bio, pfn, PAGE_SIZE, offset);
    const error = yield* submitBioWait(this.disk, bio);
    this.pool.free(bio);
    return error;
  }
}
