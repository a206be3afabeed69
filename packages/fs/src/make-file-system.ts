/**
 * mkfs: writes an empty file system to a store.
 *
 * The superblock comes last, after a flush, so that a store on which this was not finished has no file system.
 * Source followed: mke2fs(8), for what it does; the format is ours (disk-format).
 */
import { Gfp, eagerly, settled } from '@pincushion/mm';
import type { Memory } from '@pincushion/mm';
import { EINVAL, ENOMEM, PincushionError } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import type { BlockStore } from './block-store';
import { HEADER_BYTES, Magic, sealBlock, setWord } from './disk-format/block-header';
import { TYPE_DIRECTORY, addEntry, clearDirectoryBlock } from './disk-format/directory-block';
import { MODE_DIRECTORY, ROOT_INO, recordOffset, rootEntryOffset, writeRecord } from './disk-format/inode-record';
import { writeExtent } from './disk-format/extent-node';
import { JOURNAL_SUPERBLOCK_BYTES } from './disk-format/journal-block';
import {
  JOURNAL_BLOCKS_MIN,
  STATE_BLOCK,
  SUPERBLOCK,
  encodeSuperblock,
  isBlockSize,
  layoutOf,
} from './disk-format/superblock';
import type { Layout } from './disk-format/superblock';

export interface MakeOptions {
  /** Files and directories that there may be; one for 64 blocks, 16 to 4096, unless given. */
  inodes?: number;
  /** Blocks of the journal; the 32nd part, 64 to 1024, unless given. */
  journalBlocks?: number;
  /** Of the checksums: two file systems on one disk, one after the other, should differ; 1 unless given. */
  seed?: number;
}

const BLOCKS_PER_INODE = 64;
const INODES_MAX = 4096;
const JOURNAL_SHARE = 32;
const JOURNAL_BLOCKS_MAX = 1024;
/** Blocks that must be left for content. */
const DATA_BLOCKS_MIN = 8;

/**
 * Writes the file system. 0, -ENOMEM, or what the store says. Throws FS_TOO_SMALL when there is no room for one, FS_SUPERBLOCK_INVALID for
 * a block size that cannot be. Task context, may sleep.
 */
export function makeFileSystem(memory: Memory, store: BlockStore, options: MakeOptions = {}): MaySleep {
  const { blocks, blockBytes } = store;
  if (!isBlockSize(blockBytes)) {
    throw new PincushionError('FS_SUPERBLOCK_INVALID', `a file system cannot have blocks of ${blockBytes} bytes`, {
      errno: EINVAL,
      expected: '1024, 2048 or 4096 bytes',
      actual: String(blockBytes),
    });
  }
  const share = Math.floor(blocks / JOURNAL_SHARE);
  const layout = layoutOf({
    blockBytes,
    blocks,
    inodes: options.inodes ?? Math.max(16, Math.min(INODES_MAX, Math.floor(blocks / BLOCKS_PER_INODE))),
    journalBlocks: options.journalBlocks ?? Math.max(JOURNAL_BLOCKS_MIN, Math.min(JOURNAL_BLOCKS_MAX, share)),
  });
  if (layout.journalBlocks < JOURNAL_BLOCKS_MIN || layout.dataStart + DATA_BLOCKS_MIN > blocks) {
    throw new PincushionError('FS_TOO_SMALL', `there is no room for a file system on ${blocks} blocks`, {
      errno: EINVAL,
      expected: `at least ${layout.dataStart + DATA_BLOCKS_MIN} blocks of ${blockBytes} bytes, ${JOURNAL_BLOCKS_MIN} of them journal`,
      actual: `${blocks} blocks, ${layout.journalBlocks} of them journal`,
      hint: 'a larger disk, or fewer inodes',
    });
  }
  const frame = memory.allocFolio(0, Gfp.kernel);
  if (frame < 0) return -ENOMEM;
  const maker = new Maker(memory, store, layout, options.seed ?? 1, frame);
  return eagerly(memory.world, 'mkfs', maker.run());
}

class Maker {
  private readonly bytes: Uint8Array;

  constructor(
    private readonly memory: Memory,
    private readonly store: BlockStore,
    private readonly layout: Layout,
    private readonly seed: number,
    private readonly frame: number,
  ) {
    this.bytes = memory.bytes.view(frame, store.blockBytes);
  }

  *run() {
    const result = yield* this.writeAll();
    this.memory.putFolio(this.frame);
    return result;
  }

  private *writeAll() {
    const { layout } = this;
    // An old superblock must not be found when the machine stops in between.
    let error = yield* this.write(SUPERBLOCK, 0);
    if (error >= 0) error = yield* this.write(STATE_BLOCK, Magic.state);
    // The root directory has the first block of all.
    if (error >= 0) error = yield* this.writeBitmap(layout.blockBitmap, layout.blocks, layout.dataStart + 1);
    if (error >= 0) error = yield* this.writeBitmap(layout.inodeBitmap, layout.inodes, ROOT_INO);
    if (error >= 0) error = yield* this.writeTable();
    if (error >= 0) error = yield* this.writeJournal();
    if (error >= 0) error = yield* this.writeRoot();
    if (error >= 0) error = yield* settled(this.store.flush());
    if (error < 0) return error;
    encodeSuperblock(this.bytes, layout, this.seed);
    error = yield* settled(this.store.write(SUPERBLOCK, this.frame, 0));
    return error < 0 ? error : yield* settled(this.store.flush());
  }

  private *writeBitmap(first: number, bits: number, taken: number) {
    const perBlock = this.layout.bitsPerBlock;
    for (let from = 0; from < bits; from += perBlock) {
      for (let bit = from; bit < Math.min(taken, from + perBlock); bit++) {
        this.bytes[HEADER_BYTES + ((bit - from) >> 3)] |= 1 << ((bit - from) & 7);
      }
      const error = yield* this.write(first + from / perBlock, Magic.bitmap);
      if (error < 0) return error;
    }
    return 0;
  }

  private *writeTable() {
    const { layout } = this;
    for (let i = 0; i < layout.inodeTableBlocks; i++) {
      if (i === 0) {
        const at = recordOffset(ROOT_INO, layout.inodesPerBlock);
        const size = layout.blockBytes;
        writeRecord(this.bytes, at, {
          mode: MODE_DIRECTORY,
          links: 2,
          nextOrphan: 0,
          size,
          blocks: 1,
          entries: 1,
          depth: 0,
        });
        const extent = { logical: 0, length: 1, start: layout.dataStart, unwritten: false };
        writeExtent(this.bytes, rootEntryOffset(at, 0), extent);
      }
      const error = yield* this.write(layout.inodeTable + i, Magic.inodeTable);
      if (error < 0) return error;
    }
    return 0;
  }

  /** Zeros, so that nothing of an older journal is taken for this one's, and a superblock with transaction 1 to come. */
  private *writeJournal() {
    const { layout } = this;
    for (let i = 1; i < layout.journalBlocks; i++) {
      const error = yield* this.write(layout.journal + i, 0);
      if (error < 0) return error;
    }
    setWord(this.bytes, 8, 1);
    setWord(this.bytes, 12, 1);
    sealBlock(this.bytes.subarray(0, JOURNAL_SUPERBLOCK_BYTES), Magic.journalSuperblock, this.seed, layout.journal);
    return yield* this.write(layout.journal, 0);
  }

  private *writeRoot() {
    clearDirectoryBlock(this.bytes);
    addEntry(this.bytes, ROOT_INO, TYPE_DIRECTORY, new TextEncoder().encode('.'));
    addEntry(this.bytes, ROOT_INO, TYPE_DIRECTORY, new TextEncoder().encode('..'));
    return yield* this.write(this.layout.dataStart, Magic.directory);
  }

  /** Writes the block that was prepared, sealed unless `magic` is 0, and prepares an empty one. */
  private *write(block: number, magic: number) {
    if (magic !== 0) sealBlock(this.bytes, magic, this.seed, block);
    const error = yield* settled(this.store.write(block, this.frame, 0));
    this.bytes.fill(0);
    return error;
  }
}
