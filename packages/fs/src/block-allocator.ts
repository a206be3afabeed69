/**
 * Which blocks of the store are free. Trivial on purpose: the lowest block never used, then those given back, last first.
 *
 * Delayed allocation reserves a block when a page is first written to and takes one when the page is written out, so that
 * running out of space is noticed by the writer and not by writeback.
 * Source followed: fs/ext4/balloc.c `ext4_claim_free_clusters` (6.18).
 */
import { ENOSPC } from '@pincushion/sim';

export class BlockAllocator {
  private untouched = 0;
  private readonly returned: number[] = [];
  private reserved = 0;

  constructor(readonly blocks: number) {}

  /** Blocks that nobody has and nobody has reserved. */
  get blocksFree(): number {
    return this.blocks - this.untouched + this.returned.length - this.reserved;
  }

  /** Blocks that are reserved and not taken yet. */
  get blocksReserved(): number {
    return this.reserved;
  }

  /** Sets a block aside. 0 or -ENOSPC. */
  reserve(): number {
    if (this.blocksFree <= 0) return -ENOSPC;
    this.reserved++;
    return 0;
  }

  /** Gives a reservation back unused. */
  unreserve(): void {
    this.reserved--;
  }

  /** Turns a reservation into a block. */
  takeReserved(): number {
    this.reserved--;
    return this.returned.pop() ?? this.untouched++;
  }

  /** The block is not used any more. */
  free(block: number): void {
    this.returned.push(block);
  }
}
