/**
 * A bitmap on disk, and in memory what may not be given out yet besides.
 *
 * What is freed is free on disk with its transaction, and may be given out again when that has been committed: else a machine
 * that stops before would find somebody else's content in it.
 * Source followed: fs/ext4/mballoc.c `ext4_mb_find_by_goal`, `ext4_process_freed_data` (6.18), without its buddies.
 */
import { eagerly, settled } from '@pincushion/mm';
import type { MaySleep } from '@pincushion/sim';
import { HEADER_BYTES, Magic } from './disk-format/block-header';
import type { Transaction } from './journal/transaction';
import type { MetadataCache } from './metadata-cache';

export class Bitmap {
  /** Bits that are not set. */
  free = 0;
  /** Of the run that `findRun` found. */
  runStart = 0;
  runLength = 0;
  /** A bit each: set, or cleared by a transaction that is not committed. */
  private readonly busy: Uint8Array;

  /** `first`: its first block; `bits`: what it is about; `perBlock`: bits of one block. */
  constructor(
    private readonly cache: MetadataCache,
    private readonly first: number,
    readonly bits: number,
    private readonly perBlock: number,
  ) {
    this.busy = new Uint8Array(Math.ceil(bits / 8));
  }

  /** Blocks of the bitmap. */
  get blocks(): number {
    return Math.ceil(this.bits / this.perBlock);
  }

  /** Reads it. 0 or -errno. Task context, may sleep. */
  load(): MaySleep {
    return eagerly(this.cache.memory.world, 'reading a bitmap', this.readAll());
  }

  private *readAll() {
    let taken = 0;
    for (let i = 0; i < this.blocks; i++) {
      const error = yield* settled(this.cache.read(this.first + i, Magic.bitmap));
      if (error < 0) return error;
      const { bytes } = this.cache.get(this.first + i);
      const end = Math.min(this.perBlock, this.bits - i * this.perBlock);
      for (let bit = 0; bit < end; bit++) {
        const byte = bytes[HEADER_BYTES + (bit >> 3)];
        if (byte === 0) bit |= 7;
        else if ((byte & (1 << (bit & 7))) !== 0) {
          taken++;
          this.mark(i * this.perBlock + bit);
        }
      }
    }
    this.free = this.bits - taken;
    return 0;
  }

  /** Whether a bit is set, if only by the running transaction. */
  has(bit: number): boolean {
    const { bytes } = this.cache.get(this.first + Math.floor(bit / this.perBlock));
    const within = bit % this.perBlock;
    return (bytes[HEADER_BYTES + (within >> 3)] & (1 << (within & 7))) !== 0;
  }

  /** The eight bits from `bit` on, which is a multiple of 8, the first one lowest. */
  byteAt(bit: number): number {
    const { bytes } = this.cache.get(this.first + Math.floor(bit / this.perBlock));
    return bytes[HEADER_BYTES + ((bit % this.perBlock) >> 3)];
  }

  /**
   * The first run of at most `wanted` bits that may be given out, from `goal` on and then from the beginning; -1 without one,
   * else its start, which is in `runStart`, and its length in `runLength`.
   */
  findRun(goal: number, wanted: number): number {
    const start = this.nextFree(goal, this.bits);
    this.runStart = start >= 0 ? start : this.nextFree(0, goal);
    if (this.runStart < 0) return -1;
    let length = 1;
    while (length < wanted && this.runStart + length < this.bits && !this.isBusy(this.runStart + length)) length++;
    this.runLength = length;
    return this.runStart;
  }

  /** Sets bits. Inside of a change. */
  take(transaction: Transaction, start: number, count: number): void {
    for (let bit = start; bit < start + count; bit++) {
      this.mark(bit);
      this.change(transaction, bit, true);
    }
    this.free -= count;
  }

  /** Clears bits; they are given out again from `release` on. Inside of a change. */
  clear(transaction: Transaction, start: number, count: number): void {
    for (let bit = start; bit < start + count; bit++) this.change(transaction, bit, false);
    this.free += count;
  }

  /** The transaction that has cleared them is committed. */
  release(start: number, count: number): void {
    for (let bit = start; bit < start + count; bit++) this.busy[bit >> 3] &= ~(1 << (bit & 7));
  }

  private mark(bit: number): void {
    this.busy[bit >> 3] |= 1 << (bit & 7);
  }

  private change(transaction: Transaction, bit: number, isTaken: boolean): void {
    const block = this.cache.get(this.first + Math.floor(bit / this.perBlock));
    const within = bit % this.perBlock;
    const at = HEADER_BYTES + (within >> 3);
    if (isTaken) block.bytes[at] |= 1 << (within & 7);
    else block.bytes[at] &= ~(1 << (within & 7));
    transaction.add(block);
  }

  private isBusy(bit: number): boolean {
    return (this.busy[bit >> 3] & (1 << (bit & 7))) !== 0;
  }

  private nextFree(from: number, end: number): number {
    for (let bit = from; bit < end; bit++) {
      if ((bit & 7) === 0 && this.busy[bit >> 3] === 0xff) bit += 7;
      else if (!this.isBusy(bit)) return bit;
    }
    return -1;
  }
}
