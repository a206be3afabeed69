/**
 * A namespace: numbered logical blocks with content.
 *
 * Without an image the content is sparse memory. With one it lies in a raw file of the host:
 *
 *   image, writable     reads and writes go to the file
 *   image, read-only    reads go to the file until a block's extent is written; writes stay in memory and are lost
 *
 * The controller copies straight between this memory and DMA: `seekRead` and `seekWrite` say where the bytes lie (`buffer`,
 * `at`) and how many lie together. Only what goes through a file needs a buffer in between.
 */
import type { HostFile } from '@pincushion/driver';
import { NvmeStatus } from '../../spec/status';
import { BlockRanges } from '../commands/block-ranges';
import { EXTENT_BYTES, ExtentStore } from './extent-store';
import { WrittenBlocks } from './written-blocks';

const SECTOR_BYTES = 512;

/** log2 of the bytes of a block, by number of the LBA format; 0: there is no such format. */
export const LBA_FORMATS: readonly number[] = [9, 0, 0, 0, 12, 0, 0, 0];

/** What a namespace takes at a time of Copy. */
export interface NamespaceLimits {
  /** Blocks of one source range, blocks in all, source ranges. */
  readonly copyRangeBlocksMax: number;
  readonly copyBlocksMax: number;
  readonly copyRangesMax: number;
}

const DEFAULT_LIMITS: NamespaceLimits = { copyRangeBlocksMax: 128, copyBlocksMax: 128, copyRangesMax: 128 };

/** Hears of content before it is overwritten. */
export interface OverwriteWatch {
  /** `n` bytes at byte `position` are about to change, to zeroes or to anything. Whole sectors of 512 bytes. May seek. */
  keep(namespace: Namespace, position: number, n: number, isZeroed: boolean): void;
}

export class Namespace {
  /** While a fault plan has a power cut. */
  watch: OverwriteWatch | null = null;
  /** Where the last seek's bytes are; null: they are all zero. */
  buffer: Uint8Array | null = null;
  /** Offset of the first of them in `buffer`. */
  at = 0;
  /** log2 of the bytes of a logical block, and how many. A format changes both. */
  blockShift: number;
  blockBytes: number;
  /** Size in logical blocks. */
  blocks: number;
  /** Nothing here can make a read or a write fail: no bad block, and no error for deallocated ones. */
  isSound = true;
  private dulbe = false;
  /** Blocks that fail as the description has it, when read or when written. */
  private readonly badReads = new BlockRanges();
  private readonly badWrites = new BlockRanges();
  /** Blocks that Write Uncorrectable has made unreadable until they are written. */
  private readonly uncorrectable = new BlockRanges();
  private readonly capacityBytes: number;
  private readonly written: WrittenBlocks;
  private readonly memory: ExtentStore;
  private readonly transit: Uint8Array | null;

  constructor(
    /** Namespace id, from 1. */
    readonly id: number,
    capacityBytes: number,
    blockBytes: number,
    private readonly image: HostFile | null,
    private readonly writable: boolean,
    readonly limits: NamespaceLimits = DEFAULT_LIMITS,
  ) {
    this.blockShift = blockBytes === 4096 ? 12 : 9;
    this.blockBytes = blockBytes;
    this.blocks = Math.floor(capacityBytes / blockBytes);
    this.capacityBytes = capacityBytes;
    this.memory = new ExtentStore(this.blocks * blockBytes);
    this.written = new WrittenBlocks(Math.ceil(capacityBytes / SECTOR_BYTES), image !== null);
    this.transit = image === null ? null : new Uint8Array(EXTENT_BYTES);
  }

  /** Number of the LBA format in use. */
  get format(): number {
    return LBA_FORMATS.indexOf(this.blockShift);
  }

  /** Whether a read of deallocated blocks is an error (feature 05h, DULBE). */
  get refusesDeallocated(): boolean {
    return this.dulbe;
  }

  set refusesDeallocated(value: boolean) {
    this.dulbe = value;
    this.assess();
  }

  /** Blocks that fail from now on, whatever is written there. */
  plantBadBlocks(first: number, blocks: number, fails: 'read' | 'write'): void {
    (fails === 'read' ? this.badReads : this.badWrites).add(first, blocks);
    this.assess();
  }

  /** Blocks that cannot be read until they are written. */
  makeUncorrectable(first: number, blocks: number): void {
    this.uncorrectable.add(first, blocks);
    this.assess();
  }

  /** Status of a read, a compare or a verify of these blocks, or of a write, as far as the media is concerned. */
  statusOfRead(first: number, blocks: number): number {
    if (this.isSound) return NvmeStatus.success;
    if (this.dulbe && this.hasDeallocated(first, blocks)) return NvmeStatus.deallocatedBlock;
    const isBad = this.badReads.touches(first, blocks) || this.uncorrectable.touches(first, blocks);
    return isBad ? NvmeStatus.unrecoveredRead : NvmeStatus.success;
  }

  statusOfWrite(first: number, blocks: number): number {
    return this.badWrites.touches(first, blocks) ? NvmeStatus.writeFault : NvmeStatus.success;
  }

  /** Blocks were written, or are about to be: they are allocated, and readable. */
  allocate(first: number, blocks: number): void {
    const scale = this.blockBytes / SECTOR_BYTES;
    this.written.set(first * scale, blocks * scale, true);
    if (!this.isSound) this.mend(first, blocks);
  }

  /** Blocks are deallocated: they read as zeroes. */
  deallocate(first: number, blocks: number): void {
    const scale = this.blockBytes / SECTOR_BYTES;
    this.written.set(first * scale, blocks * scale, false);
    if (!this.isSound) this.mend(first, blocks);
  }

  /** Another size; what lies beyond the end stays out of reach. */
  resize(blocks: number): void {
    this.blocks = Math.min(blocks, Math.floor(this.capacityBytes / this.blockBytes));
  }

  private hasDeallocated(first: number, blocks: number): boolean {
    const scale = this.blockBytes / SECTOR_BYTES;
    return !this.written.all(first * scale, blocks * scale);
  }

  private mend(first: number, blocks: number): void {
    this.uncorrectable.remove(first, blocks);
    this.assess();
  }

  private assess(): void {
    const isBad = !this.badReads.isEmpty || !this.badWrites.isEmpty || !this.uncorrectable.isEmpty;
    this.isSound = !isBad && !this.dulbe;
  }

  /** Makes all blocks anew, deallocated and of another size; false when the image cannot be written. */
  reformat(blockShift: number): boolean {
    if (!this.zero(0, this.blocks * this.blockBytes)) return false;
    this.deallocate(0, this.blocks);
    this.blockShift = blockShift;
    this.blockBytes = 1 << blockShift;
    this.blocks = Math.floor(this.capacityBytes / this.blockBytes);
    return true;
  }

  /** Bytes of host memory that hold content. */
  get memoryBytes(): number {
    return this.memory.extents * EXTENT_BYTES;
  }

  /** Finds content at byte `position`: how many of `n` bytes lie at `buffer[at…]`, or -1 when the image cannot be read. */
  seekRead(position: number, n: number): number {
    const extent = Math.floor(position / EXTENT_BYTES);
    const within = position - extent * EXTENT_BYTES;
    const room = EXTENT_BYTES - within;
    const count = n < room ? n : room;
    if (this.memory.has(extent)) {
      this.buffer = this.memory.arena(extent);
      this.at = this.memory.offset(extent) + within;
    } else if (this.image === null || this.memory.zeroed(extent)) {
      this.buffer = null;
    } else {
      if (!this.load(position, count)) return -1;
      this.buffer = this.transit;
      this.at = 0;
    }
    return count;
  }

  /**
   * Finds room for `n` bytes at byte `position`: how many can be put at `buffer[at…]`, or -1 when the image cannot be
   * read. The caller puts them there and calls `commit`.
   */
  seekWrite(position: number, n: number): number {
    const extent = Math.floor(position / EXTENT_BYTES);
    const within = position - extent * EXTENT_BYTES;
    const room = EXTENT_BYTES - within;
    const count = n < room ? n : room;
    if (this.watch !== null) this.watch.keep(this, position, count, false);
    if (this.image !== null && this.writable) {
      this.buffer = this.transit;
      this.at = 0;
      return count;
    }
    if (!this.memory.has(extent) && !this.makeExtent(extent, count < EXTENT_BYTES)) return -1;
    this.buffer = this.memory.arena(extent);
    this.at = this.memory.offset(extent) + within;
    return count;
  }

  /** Makes what was put after `seekWrite` the content; false when the image cannot be written. */
  commit(position: number, n: number): boolean {
    if (this.image === null || !this.writable || this.transit === null) return true;
    try {
      this.image.write(position, this.transit.subarray(0, n));
      return true;
    } catch {
      return false;
    }
  }

  /** Makes a range read as zeroes; false when the image cannot be read or written. */
  zero(position: number, n: number): boolean {
    if (this.watch !== null) this.watch.keep(this, position, n, true);
    let from = position;
    let left = n;
    while (left > 0) {
      const extent = Math.floor(from / EXTENT_BYTES);
      const within = from - extent * EXTENT_BYTES;
      const count = left < EXTENT_BYTES - within ? left : EXTENT_BYTES - within;
      const fileBelow = this.image !== null && this.writable;
      const zeroAlready = !fileBelow && !this.memory.has(extent) && (this.image === null || this.memory.zeroed(extent));
      if (!fileBelow && count === EXTENT_BYTES) {
        this.memory.zero(extent);
      } else if (!zeroAlready) {
        if (this.seekWrite(from, count) < 0 || this.buffer === null) return false;
        this.buffer.fill(0, this.at, this.at + count);
        if (!this.commit(from, count)) return false;
      }
      from += count;
      left -= count;
    }
    return true;
  }

  /** What was written is safe on the host; false when the image cannot be written. */
  flush(): boolean {
    if (this.image === null || !this.writable) return true;
    try {
      this.image.flush();
      return true;
    } catch {
      return false;
    }
  }

  /** Lets go of the image file. */
  close(): void {
    this.image?.close();
  }

  /** Reads the image into the transit buffer; what lies past the end of the file is zero. */
  private load(position: number, n: number): boolean {
    const { image, transit } = this;
    if (image === null || transit === null) return false;
    try {
      const got = image.read(position, transit.subarray(0, n));
      if (got < n) transit.fill(0, got, n);
      return true;
    } catch {
      return false;
    }
  }

  /** Makes an extent, with the image's content in it when only a part will be written. */
  private makeExtent(extent: number, partial: boolean): boolean {
    const { image, transit } = this;
    if (image === null || transit === null || !partial || this.memory.zeroed(extent)) {
      this.memory.make(extent);
      return true;
    }
    if (!this.load(extent * EXTENT_BYTES, EXTENT_BYTES)) return false;
    this.memory.make(extent);
    this.memory.arena(extent).set(transit, this.memory.offset(extent));
    return true;
  }
}
