/**
 * The journal: metadata is written there, transaction by transaction, before it is written to its place.
 *
 * ```
 *  start        a change joins the running transaction, or begins one; waits when it would grow too long
 *  commit       the running transaction ends: its blocks are sealed and copied, a new one may begin;
 *               content on its way to newly given blocks arrives (data=ordered); revokes, descriptors and copies are
 *               written to the ring; the device's cache is flushed; the commit block is written past it (FUA)
 *  checkpoint   the newest committed copies are written home, flushed, and the ring is free again
 *  abort        after an error of the journal itself: nothing is changed any more (errors=remount-ro)
 * ```
 * A block is on its way home only as a copy that was committed, so that changes of the next transaction never get there early.
 * Left out: checkpointing bit by bit, data=journal, fast commits, barriers that are off.
 * Source followed: fs/jbd2/transaction.c `start_this_handle`, fs/jbd2/commit.c `jbd2_journal_commit_transaction`,
 * fs/jbd2/checkpoint.c `jbd2_log_do_checkpoint`, fs/jbd2/journal.c `jbd2_journal_abort` (6.18).
 */
import { eagerly, settled } from '@pincushion/mm';
import { Context, EIO, ENOSPC, EROFS, WaitQueue } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { writeBlocks } from '../block-store';
import type { BlockStore } from '../block-store';
import { sealBlock } from '../disk-format/block-header';
import type { Layout } from '../disk-format/superblock';
import { InodeLock } from '../inode-lock';
import type { MetadataBlock, MetadataCache } from '../metadata-cache';
import { JournalRing } from './journal-ring';
import { Transaction } from './transaction';

/** What the file system does at the end of a commit. */
export interface CommitListener {
  /** Blocks [start, start + count) may be given to somebody again. */
  blocksReleased(start: number, count: number): undefined;
}

/** Where a commit has taken a copy of a block. */
interface Copy {
  readonly block: MetadataBlock;
  readonly pfn: number;
}

/** Added to the longest transaction for descriptors, revokes and the commit block. */
const LOG_OVERHEAD = 12;
const NO_EVENT = -1;

export class Journal {
  /** Errno that ended it, 0 while it works. */
  aborted = 0;
  /** The longest transaction, blocks. */
  readonly transactionMax: number;
  /** The transaction that was committed last. */
  committedTid: number;
  private running: Transaction | null = null;
  private readonly ring: JournalRing;
  /** Frames with the newest committed content of blocks that are not home yet, by block. */
  private readonly images = new Map<number, number>();
  /** Held by whoever writes to the ring or brings blocks home. */
  private readonly writing: InodeLock;
  private readonly dataArrived: WaitQueue;
  /** 1 while a transaction is being committed. */
  private inCommit = 0;
  /** The event that commits the running transaction. */
  private alarm = NO_EVENT;

  /** `nextTid`: the first transaction to come; the ring is empty. `commitIntervalNs`: the age at which one is committed; 0: none. */
  constructor(
    private readonly store: BlockStore,
    private readonly cache: MetadataCache,
    private readonly listener: CommitListener,
    layout: Layout,
    nextTid: number,
    private readonly commitIntervalNs: number,
  ) {
    const { world } = cache.memory;
    this.ring = new JournalRing(store, cache, layout);
    this.transactionMax = Math.floor(layout.journalBlocks / 3);
    this.committedTid = nextTid - 1;
    this.writing = new InodeLock(world, 'the journal');
    this.dataArrived = new WaitQueue(world, 'content that is written before a commit');
  }

  /** The transaction that a change belongs to, after `start` and before the task sleeps. */
  get transaction(): Transaction {
    if (this.running !== null) return this.running;
    this.running = new Transaction(this.committedTid + this.inCommit + 1);
    if (this.commitIntervalNs > 0) this.armCommit();
    return this.running;
  }

  /** Whether anything waits for a commit. */
  get isIdle(): boolean {
    return this.running === null && this.inCommit === 0;
  }

  /**
   * A change of at most `credits` blocks, besides what is encoded at the commit, may be made, until the task sleeps. 0, -EROFS
   * after an abort, -ENOMEM, or -ENOSPC when no transaction is long enough. Task context, may sleep.
   */
  start(credits: number): MaySleep {
    if (this.aborted !== 0) return -EROFS;
    const needed = (this.running?.cost() ?? 1) + credits;
    if (needed <= this.transactionMax) return this.cache.prepare(needed + credits);
    return eagerly(this.cache.memory.world, 'the start of a transaction', this.startAfterCommit(credits));
  }

  private *startAfterCommit(credits: number) {
    if (credits + 1 > this.transactionMax) return -ENOSPC;
    for (;;) {
      const error = yield* settled(this.commit());
      if (error < 0) return -EROFS;
      const needed = (this.running?.cost() ?? 1) + credits;
      if (needed <= this.transactionMax) return this.cache.prepare(needed + credits);
    }
  }

  /** Content is on its way to a block that the transaction gives to a file. */
  dataBegins(transaction: Transaction): void {
    transaction.dataInFlight++;
  }

  /** It has arrived, or failed: who writes it says so to whoever asks. */
  dataEnds(transaction: Transaction): void {
    if (--transaction.dataInFlight === 0) this.dataArrived.wakeAll();
  }

  // ---- commit ------------------------------------------------------------------------------------------------------------

  /** Commits what is running, and waits for it. 0, or the errno of the abort. Task context, may sleep. */
  commit(): MaySleep {
    if (this.aborted !== 0) return this.aborted;
    if (this.isIdle) return 0;
    return eagerly(this.cache.memory.world, 'a commit', this.commitRunning());
  }

  /** As `commit`; nothing is done when transaction `tid` has been committed already. */
  commitUpTo(tid: number): MaySleep {
    return tid <= this.committedTid ? this.aborted : this.commit();
  }

  private *commitRunning() {
    yield* settled(this.writing.acquire());
    const result = yield* this.commitLocked();
    this.writing.release();
    return result;
  }

  private *commitLocked() {
    if (this.aborted !== 0) return this.aborted;
    if (this.ring.free < this.transactionMax + LOG_OVERHEAD) {
      const error = yield* this.checkpointLocked();
      if (error < 0) return error;
    }
    const transaction = this.running;
    if (transaction === null) return 0;
    // From here to the copies nothing sleeps.
    for (const encoder of transaction.encoders) encoder.encode(transaction);
    const copies = this.copy(transaction);
    this.running = null;
    this.disarmCommit();
    this.inCommit = 1;
    if (transaction.dataInFlight > 0) yield* this.dataArrived.waitUntil(() => transaction.dataInFlight === 0);
    let error = yield* this.writeOrdered(transaction);
    if (error >= 0) error = yield* settled(this.ring.write(transaction, copies));
    this.inCommit = 0;
    this.committedTid = transaction.tid;
    if (error < 0) {
      for (const { pfn } of copies) this.cache.giveFrame(pfn);
      return this.abort(error);
    }
    this.keep(transaction, copies);
    return 0;
  }

  private *writeOrdered({ ordered }: Transaction) {
    for (const write of ordered) {
      const error = yield* settled(write());
      if (error < 0) return error;
    }
    return 0;
  }

  /** The running transaction is committed when it is old enough (`journal->j_commit_timer`). */
  private armCommit(): void {
    const { world } = this.cache.memory;
    this.alarm = world.after(this.commitIntervalNs, Context.softirq, () => {
      this.alarm = NO_EVENT;
      world.spawn(this.commitOld(), { name: 'journal' });
      return undefined;
    });
  }

  private disarmCommit(): void {
    if (this.alarm !== NO_EVENT) this.cache.memory.world.cancel(this.alarm);
    this.alarm = NO_EVENT;
  }

  private *commitOld() {
    yield* settled(this.commit());
  }

  /** Seals the blocks and copies them: what follows may change them again. */
  private copy(transaction: Transaction): Copy[] {
    const { cache } = this;
    const copies: Copy[] = [];
    for (const block of transaction.blocks.values()) {
      if (block.forgotten) continue;
      sealBlock(block.bytes, block.magic, cache.seed, block.block);
      const pfn = cache.takeFrame();
      cache.memory.bytes.copy(pfn, 0, block.pfn, 0, this.store.blockBytes);
      copies.push({ block, pfn });
    }
    return copies;
  }

  /** The transaction is on disk: its copies are what goes home, and what it freed is free. */
  private keep(transaction: Transaction, copies: readonly Copy[]): void {
    for (const { block, pfn } of copies) {
      this.dropImage(block.block);
      this.images.set(block.block, pfn);
    }
    for (const block of transaction.blocks.values()) {
      if (!block.forgotten) continue;
      this.dropImage(block.block);
      this.cache.drop(block.block);
    }
    const { freed } = transaction;
    for (let i = 0; i < freed.length; i += 2) this.listener.blocksReleased(freed[i], freed[i + 1]);
  }

  private dropImage(block: number): void {
    const pfn = this.images.get(block);
    if (pfn === undefined) return;
    this.images.delete(block);
    this.cache.giveFrame(pfn);
  }

  // ---- checkpoint ----------------------------------------------------------------------------------------------------------

  /** Brings everything that was committed home. 0 or -errno. Task context, may sleep. */
  checkpoint(): MaySleep {
    return eagerly(this.cache.memory.world, 'a checkpoint', this.checkpointAll());
  }

  private *checkpointAll() {
    yield* settled(this.writing.acquire());
    const result = yield* this.checkpointLocked();
    this.writing.release();
    return result;
  }

  private *checkpointLocked() {
    if (this.aborted !== 0) return this.aborted;
    const blocks = [...this.images.keys()].sort((a, b) => a - b);
    const frames = blocks.map((block) => this.images.get(block) ?? 0);
    let error = yield* settled(writeBlocks(this.cache.memory.world, this.store, blocks, frames));
    if (error >= 0) error = yield* settled(this.store.flush());
    if (error >= 0) error = yield* settled(this.ring.empty(this.committedTid + 1));
    if (error < 0) return this.abort(error);
    for (const block of [...this.images.keys()]) this.dropImage(block);
    return 0;
  }

  /** Nothing is changed from now on: what is on disk is what was committed last. `jbd2_journal_abort`. */
  abort(errno: number): number {
    if (this.aborted === 0) this.aborted = errno === 0 ? -EIO : errno;
    return this.aborted;
  }

  /** Its frames go back, at unmount. */
  release(): void {
    this.disarmCommit();
    for (const block of [...this.images.keys()]) this.dropImage(block);
    this.ring.release();
  }
}
