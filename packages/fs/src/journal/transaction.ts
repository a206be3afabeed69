/**
 * A transaction: changes to metadata that reach the disk together or not at all.
 *
 * A change is made between `Journal.start` and the next place where its task could sleep. Nothing sleeps inside of a change,
 * so changes never interleave, and a commit always finds whole ones.
 * Source followed: include/linux/jbd2.h `struct transaction_s` (6.18).
 */
import type { MaySleep } from '@pincushion/sim';
import type { MetadataBlock } from '../metadata-cache';

/** Something whose blocks are written from what is in memory when the transaction commits: an inode. */
export interface CommitEncoder {
  /** Brings the blocks up to date and adds them. */
  encode(transaction: Transaction): undefined;
  /** The most blocks that this will be. */
  encodeCost(): number;
}

export class Transaction {
  /** Blocks that it has changed. */
  readonly blocks = new Map<number, MetadataBlock>();
  /** Metadata blocks that it has freed: what earlier transactions say about them must not be replayed. */
  readonly revoked = new Set<number>();
  /** Runs of blocks that it has freed, as pairs (first, count): nobody may have them before the commit. */
  readonly freed: number[] = [];
  /** What is encoded at the commit. */
  readonly encoders = new Set<CommitEncoder>();
  /** Writes content that must be on disk with this transaction: what is behind the new end of a file that was cut. */
  readonly ordered: (() => MaySleep)[] = [];
  /** Writes of content to blocks that it gives to files: on their way, and to be there before the commit (data=ordered). */
  dataInFlight = 0;
  /** How many of `blocks` are not written any more. */
  private forgotten = 0;

  constructor(readonly tid: number) {}

  /** The block is changed, now. */
  add(block: MetadataBlock): void {
    this.blocks.set(block.block, block);
  }

  /** The block is not metadata any more. */
  forget(block: MetadataBlock): void {
    if (!block.forgotten) this.forgotten++;
    block.forgotten = true;
    this.blocks.set(block.block, block);
    this.revoked.add(block.block);
  }

  /** Blocks of the journal that it will need, without descriptors. */
  cost(): number {
    let cost = this.blocks.size - this.forgotten + 1;
    for (const encoder of this.encoders) cost += encoder.encodeCost();
    return cost;
  }
}
