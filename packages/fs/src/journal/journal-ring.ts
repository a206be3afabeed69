/**
 * The ring of blocks that transactions are written to, one behind the other, and the superblock that says where to begin.
 *
 * A transaction is valid when its commit block is, which is written after everything else has reached the medium. The ring
 * is emptied as a whole (checkpoint); the superblock then names the next transaction and its place.
 * Source followed: fs/jbd2/commit.c, fs/jbd2/journal.c `jbd2_journal_update_sb_log_tail` (6.18).
 */
import { eagerly, settled } from '@pincushion/mm';
import type { MaySleep } from '@pincushion/sim';
import { writeBlocks } from '../block-store';
import type { BlockStore } from '../block-store';
import { Magic, sealBlock, setWord } from '../disk-format/block-header';
import { crc32c, crc32cWord } from '../disk-format/crc32c';
import {
  JOURNAL_SUPERBLOCK_BYTES,
  revokesPerBlock,
  setCommitSum,
  setJournalHead,
  setRevoked,
  setTag,
  tagsPerDescriptor,
} from '../disk-format/journal-block';
import type { Layout } from '../disk-format/superblock';
import type { MetadataBlock, MetadataCache } from '../metadata-cache';
import type { Transaction } from './transaction';

/** A block as it is written to the ring. */
interface Logged {
  readonly block: MetadataBlock;
  readonly pfn: number;
}

export class JournalRing {
  /** Blocks between the head and the oldest transaction that is needed. */
  free: number;
  /** Place of the next block, 1 to `blocks` - 1. */
  private head = 1;
  private readonly blocks: number;
  private readonly first: number;
  /** For descriptors, revokes, commits and the superblock; one is written at a time. */
  private readonly frame: number;
  private readonly bytes: Uint8Array;

  constructor(
    private readonly store: BlockStore,
    private readonly cache: MetadataCache,
    layout: Layout,
  ) {
    this.blocks = layout.journalBlocks;
    this.first = layout.journal;
    this.free = this.blocks - 1;
    this.frame = cache.takeFrame();
    this.bytes = cache.memory.bytes.view(this.frame, store.blockBytes);
  }

  /** Writes a transaction. 0 or -errno: then it does not count. Task context, may sleep. */
  write(transaction: Transaction, blocks: readonly Logged[]): MaySleep {
    return eagerly(this.cache.memory.world, 'a commit', this.writeAll(transaction, blocks));
  }

  private *writeAll({ tid, revoked }: Transaction, logged: readonly Logged[]) {
    let error = yield* settled(this.writeRevokes(tid, [...revoked]));
    if (error < 0) return error;
    const most = tagsPerDescriptor(this.store.blockBytes);
    let sum = ~0 >>> 0;
    for (let from = 0; from < logged.length; from += most) {
      const part = logged.slice(from, from + most);
      setJournalHead(this.clean(), tid, part.length);
      for (const [i, { block, pfn }] of part.entries()) {
        const own = crc32c(~0, this.cache.memory.bytes.view(pfn, this.store.blockBytes), 0, this.store.blockBytes);
        setTag(this.bytes, i, block.block, own);
        sum = crc32cWord(sum, own);
      }
      error = yield* settled(this.put(Magic.journalDescriptor, false));
      if (error < 0) return error;
      const places = part.map(() => this.next());
      const frames = part.map(({ pfn }) => pfn);
      error = yield* settled(writeBlocks(this.cache.memory.world, this.store, places, frames));
      if (error < 0) return error;
    }
    error = yield* settled(this.store.flush());
    if (error < 0) return error;
    setJournalHead(this.clean(), tid, logged.length);
    setCommitSum(this.bytes, sum);
    return yield* settled(this.put(Magic.journalCommit, true));
  }

  private writeRevokes(tid: number, revoked: readonly number[]): MaySleep {
    if (revoked.length === 0) return 0;
    return eagerly(this.cache.memory.world, 'a commit', this.writeRevoked(tid, revoked));
  }

  private *writeRevoked(tid: number, revoked: readonly number[]) {
    const most = revokesPerBlock(this.store.blockBytes);
    for (let from = 0; from < revoked.length; from += most) {
      const part = revoked.slice(from, from + most);
      setJournalHead(this.clean(), tid, part.length);
      for (const [i, block] of part.entries()) setRevoked(this.bytes, i, block);
      const error = yield* settled(this.put(Magic.journalRevoke, false));
      if (error < 0) return error;
    }
    return 0;
  }

  /** Everything is home: the next transaction, `tid`, is the first one that counts. 0 or -errno. Task context, may sleep. */
  empty(tid: number): MaySleep {
    this.free = this.blocks - 1;
    const bytes = this.clean();
    setWord(bytes, 8, tid);
    setWord(bytes, 12, this.head);
    sealBlock(bytes.subarray(0, JOURNAL_SUPERBLOCK_BYTES), Magic.journalSuperblock, this.cache.seed, this.first);
    return this.store.write(this.first, this.frame, 0, true);
  }

  /** Seals the block that was prepared for the next place and writes it. */
  private put(magic: number, isFua: boolean): MaySleep {
    const block = this.next();
    sealBlock(this.bytes, magic, this.cache.seed, block);
    return this.store.write(block, this.frame, 0, isFua);
  }

  /** The next place of the ring. */
  private next(): number {
    const block = this.first + this.head;
    this.head = this.head + 1 === this.blocks ? 1 : this.head + 1;
    this.free--;
    return block;
  }

  private clean(): Uint8Array {
    this.bytes.fill(0);
    return this.bytes;
  }

  release(): void {
    this.cache.giveFrame(this.frame);
  }
}
