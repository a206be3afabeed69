/**
 * The part of an inode that lies on disk: its record in the table and its extents. Files and directories have it.
 *
 * The record is written from here when a transaction commits. `changed` says that there is something to write.
 * Source followed: fs/ext4/inode.c `ext4_do_update_inode`, `ext4_mark_inode_dirty`, fs/ext4/extents.c `ext4_ext_map_blocks`,
 * `ext4_ext_remove_space` (6.18).
 */
import { eagerly, settled } from '@pincushion/mm';
import { EUCLEAN } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import { Magic } from './disk-format/block-header';
import { MODE_DIRECTORY, MODE_FILE, readRecord, recordOffset, writeRecord } from './disk-format/inode-record';
import type { Layout } from './disk-format/superblock';
import { ExtentTree } from './extent-tree';
import { ExtentMap } from './extents';
import type { CommitEncoder, Transaction } from './journal/transaction';
import type { SuperBlock } from './super-block';

/** The most extents that one change takes away. */
const PIECES_PER_CHANGE = 4;

/** Block of the table that has the record of an inode. */
export function tableBlockOf(layout: Layout, ino: number): number {
  return layout.inodeTable + Math.floor((ino - 1) / layout.inodesPerBlock);
}

export class DiskInode implements CommitEncoder {
  /** Names that it has. */
  links = 0;
  /** The size that the record says: pages that were not written yet do not count (`i_disksize`). */
  diskSize = 0;
  /** The next inode in the list of orphans. */
  nextOrphan = 0;
  readonly extents = new ExtentMap();
  readonly tree: ExtentTree;
  /** The last transactions that changed anything of it, and that changed what its content needs. */
  syncTid = 0;
  dataTid = 0;

  constructor(
    readonly sb: SuperBlock,
    readonly ino: number,
    /** `MODE_*`; 0 when the inode is free. */
    public mode: number,
  ) {
    this.tree = new ExtentTree(this.extents, sb.cache, sb.allocator, sb.layout);
  }

  /** Something of the record has changed. Inside of a change. */
  changed(): void {
    const { transaction } = this.sb.journal;
    transaction.encoders.add(this);
    this.syncTid = transaction.tid;
  }

  /** What a reader of the content needs has changed: size, extents. Inside of a change. */
  contentChanged(): void {
    this.changed();
    this.dataTid = this.syncTid;
  }

  encodeCost(): number {
    return 1 + this.tree.encodeCost();
  }

  encode(transaction: Transaction): undefined {
    const { cache, layout } = this.sb;
    const block = cache.get(tableBlockOf(layout, this.ino));
    const at = recordOffset(this.ino, layout.inodesPerBlock);
    const entries = this.tree.encode(transaction, block.bytes, at);
    writeRecord(block.bytes, at, {
      mode: this.mode,
      links: this.links,
      nextOrphan: this.nextOrphan,
      size: this.diskSize,
      blocks: this.extents.blockCount() + this.tree.blockCount,
      entries,
      depth: this.tree.depth,
    });
    transaction.add(block);
    return undefined;
  }

  /** Reads record and extents. 0, -EUCLEAN, or -errno. Task context, may sleep. */
  load(): MaySleep {
    return eagerly(this.sb.memory.world, 'reading an inode', this.readRecord());
  }

  private *readRecord() {
    const { cache, layout } = this.sb;
    const table = tableBlockOf(layout, this.ino);
    const error = yield* settled(cache.read(table, Magic.inodeTable));
    if (error < 0) return error;
    const { bytes } = cache.get(table);
    const at = recordOffset(this.ino, layout.inodesPerBlock);
    const record = readRecord(bytes, at);
    if (record.mode !== MODE_FILE && record.mode !== MODE_DIRECTORY) return -EUCLEAN;
    if (!Number.isSafeInteger(record.size)) return -EUCLEAN;
    this.mode = record.mode;
    this.links = record.links;
    this.nextOrphan = record.nextOrphan;
    this.diskSize = record.size;
    const failed = yield* settled(this.tree.load(record, bytes, at));
    if (failed < 0) return failed;
    return record.blocks === this.extents.blockCount() + this.tree.blockCount ? 0 : -EUCLEAN;
  }

  // ---- blocks ---------------------------------------------------------------------------------------------------------------

  /** Blocks that `allocate`, `mark` or `release` of a few extents may change: for `Journal.start`. */
  get credits(): number {
    const { allocator } = this.sb;
    const bitmaps = Math.min(allocator.bitmapBlocks, 2 * PIECES_PER_CHANGE + this.tree.blockCount);
    return 1 + bitmaps + this.tree.credits;
  }

  /**
   * Gives up to `wanted` blocks of a hole from `logical` on a place on disk, in a row: how many, or -ENOSPC, -EFBIG.
   * `hasClaim`: see `BlockAllocator.allocate`. Inside of a change.
   */
  allocate(logical: number, wanted: number, unwritten: boolean, hasClaim: boolean): number {
    const { allocator, journal } = this.sb;
    const { transaction } = journal;
    let error = this.prepare(1);
    if (error === 0) error = allocator.allocate(transaction, this.extents.goalFor(logical), wanted, hasClaim);
    if (error === 0) this.extents.insert(logical, allocator.runStart, allocator.runLength, unwritten);
    this.tree.finish(transaction);
    this.contentChanged();
    return error === 0 ? allocator.runLength : error;
  }

  /**
   * Blocks [from, end) of the file become a hole, a few extents at a time, the last ones first: where the hole begins (`from`
   * when it is done), or -ENOSPC, -EFBIG. Inside of a change.
   */
  release(from: number, end: number): number {
    const { allocator, journal } = this.sb;
    const { transaction } = journal;
    const error = this.prepare(1);
    let begin = error;
    if (error === 0) {
      const freed: number[] = [];
      begin = this.extents.remove(from, end, freed, PIECES_PER_CHANGE);
      for (let i = 0; i < freed.length; i += 2) allocator.free(transaction, freed[i], freed[i + 1]);
    }
    this.tree.finish(transaction);
    this.contentChanged();
    return begin;
  }

  /** What is taken of blocks [from, end) is written, or unwritten, from now on. 0, -ENOSPC, -EFBIG. Inside of a change. */
  mark(from: number, end: number, unwritten: boolean): number {
    const error = this.prepare(2);
    if (error === 0) this.extents.mark(from, end, unwritten);
    this.tree.finish(this.sb.journal.transaction);
    this.contentChanged();
    return error;
  }

  /** What lies at block `from` and behind it moves by `by` blocks. 0, -ENOSPC, -EFBIG. Inside of a change. */
  shift(from: number, by: number): number {
    const error = this.prepare(1);
    if (error === 0) this.extents.shift(from, by);
    this.tree.finish(this.sb.journal.transaction);
    this.contentChanged();
    return error;
  }

  private prepare(extra: number): number {
    const { journal } = this.sb;
    return this.tree.prepare(journal.transaction, extra, Math.floor(journal.transactionMax / 2));
  }
}
