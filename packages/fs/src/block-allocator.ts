/**
 * Which blocks are free, and who gets them.
 *
 * Delayed allocation reserves a block when a page is first written to and takes one when the page is written out, so that
 * running out of space is noticed by the writer and not by writeback. A part of the blocks is kept from writers for what
 * writeback needs besides: the blocks of extent trees.
 * Source followed: fs/ext4/balloc.c `ext4_claim_free_clusters`, fs/ext4/mballoc.c `ext4_mb_new_blocks`,
 * fs/ext4/super.c `ext4_calculate_resv_clusters` (6.18).
 */
import { ENOSPC } from '@pincushion/sim';
import type { Bitmap } from './bitmap';
import type { Transaction } from './journal/transaction';

/** One block of 50 is kept back, and no more than these. */
const KEPT_SHARE = 50;
const KEPT_MAX = 4096;

export class BlockAllocator {
  /** Of the run that `allocate` gave. */
  runStart = 0;
  runLength = 0;
  private reserved = 0;
  private readonly kept: number;
  /** Where the last run ended. */
  private hint: number;

  /** `dataStart`: the first block that files may have. */
  constructor(
    private readonly bitmap: Bitmap,
    dataStart: number,
  ) {
    this.kept = Math.min(KEPT_MAX, Math.floor(bitmap.bits / KEPT_SHARE));
    this.hint = dataStart;
  }

  /** Blocks that writers may still have: neither taken, nor reserved, nor kept back. */
  get blocksFree(): number {
    return Math.max(0, this.bitmap.free - this.reserved - this.kept);
  }

  /** Blocks that are reserved and not taken yet. */
  get blocksReserved(): number {
    return this.reserved;
  }

  /** Blocks of the bitmap: what freeing many runs may change. */
  get bitmapBlocks(): number {
    return this.bitmap.blocks;
  }

  /** Sets a block aside. 0 or -ENOSPC. */
  reserve(): number {
    if (this.blocksFree <= 0) return -ENOSPC;
    this.reserved++;
    return 0;
  }

  /** Gives a reservation back: unused, or because the block has been taken. */
  unreserve(): void {
    this.reserved--;
  }

  /**
   * Takes up to `wanted` blocks in a row, at `goal` or behind it (0: where the last run ended): `runStart`, `runLength`. 0, or
   * -ENOSPC: nothing is free, or only what a transaction has freed that is not committed yet. `hasClaim`: the caller has
   * reserved them, or they are for metadata, which may have what is kept back. Inside of a change.
   */
  allocate(transaction: Transaction, goal: number, wanted: number, hasClaim: boolean): number {
    const most = hasClaim ? wanted : Math.min(wanted, this.blocksFree);
    const from = goal > 0 && goal < this.bitmap.bits ? goal : this.hint;
    if (most <= 0 || this.bitmap.findRun(from, most) < 0) return -ENOSPC;
    this.runStart = this.bitmap.runStart;
    this.runLength = this.bitmap.runLength;
    this.bitmap.take(transaction, this.runStart, this.runLength);
    this.hint = this.runStart + this.runLength;
    return 0;
  }

  /** Blocks are not used any more; others may have them when the transaction is committed. Inside of a change. */
  free(transaction: Transaction, start: number, count: number): void {
    this.bitmap.clear(transaction, start, count);
    transaction.freed.push(start, count);
  }

  /** A transaction that has freed blocks is committed. */
  released(start: number, count: number): void {
    this.bitmap.release(start, count);
  }
}
