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
import { EXTENT_BYTES, ExtentStore } from './extent-store';

export class Namespace {
  /** Where the last seek's bytes are; null: they are all zero. */
  buffer: Uint8Array | null = null;
  /** Offset of the first of them in `buffer`. */
  at = 0;
  /** log2 of the bytes of a logical block. */
  readonly blockShift: number;
  /** Size in logical blocks. */
  readonly blocks: number;
  private readonly memory: ExtentStore;
  private readonly transit: Uint8Array | null;

  constructor(
    /** Namespace id, from 1. */
    readonly id: number,
    capacityBytes: number,
    readonly blockBytes: number,
    private readonly image: HostFile | null,
    private readonly writable: boolean,
  ) {
    this.blockShift = blockBytes === 4096 ? 12 : 9;
    this.blocks = Math.floor(capacityBytes / blockBytes);
    this.memory = new ExtentStore(this.blocks * blockBytes);
    this.transit = image === null ? null : new Uint8Array(EXTENT_BYTES);
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
