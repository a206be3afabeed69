/**
 * Where everything lies on the disk, and the two blocks that say so.
 *
 * ```
 *  block 0      superblock: written by mkfs and never again
 *  block 1      state: what changes, by the journal
 *  …            bitmap of the blocks, bitmap of the inodes, table of the inodes, journal
 *  dataStart …  directories, extents, and the content of files
 *
 *  superblock, after the header        state, after the header
 *       8  4  version, 1                    8  4  first orphan inode, 0 for none
 *      12  4  bytes of a block
 *      16  4  blocks of the file system
 *      20  4  inodes
 *      24  4  blocks of the journal
 *      28  4  seed of all checksums
 * ```
 * All places follow from these numbers; there is one group of everything.
 * Left out: groups, backups of the superblock, features, labels. Compare fs/ext4/ext4.h `struct ext4_super_block` (6.18).
 */
import { HEADER_BYTES, Magic, isSealed, sealBlock, setWord, wordAt } from './block-header';
import { RECORD_BYTES, TABLE_HEADER_BYTES } from './inode-record';

export const SUPERBLOCK = 0;
export const STATE_BLOCK = 1;
const VERSION = 1;
/** The superblock is summed with this instead of the seed that it tells. */
const SUPERBLOCK_SEED = 0xffffffff;
/** The smallest journal: three transactions of 21 blocks. */
export const JOURNAL_BLOCKS_MIN = 64;
const BLOCK_BYTES_MIN = 1024;
const BLOCK_BYTES_MAX = 4096;

/** Sizes that mkfs was given. */
export interface Geometry {
  readonly blockBytes: number;
  readonly blocks: number;
  readonly inodes: number;
  readonly journalBlocks: number;
}

/** Where things begin, in blocks, and how long they are. */
export interface Layout extends Geometry {
  /** Bits of one block of a bitmap. */
  readonly bitsPerBlock: number;
  readonly inodesPerBlock: number;
  readonly blockBitmap: number;
  readonly blockBitmapBlocks: number;
  readonly inodeBitmap: number;
  readonly inodeBitmapBlocks: number;
  readonly inodeTable: number;
  readonly inodeTableBlocks: number;
  readonly journal: number;
  /** The first block that is not taken by all this. */
  readonly dataStart: number;
}

export function layoutOf(geometry: Geometry): Layout {
  const { blockBytes, blocks, inodes, journalBlocks } = geometry;
  const bitsPerBlock = (blockBytes - HEADER_BYTES) * 8;
  const inodesPerBlock = Math.floor((blockBytes - TABLE_HEADER_BYTES) / RECORD_BYTES);
  const blockBitmap = STATE_BLOCK + 1;
  const blockBitmapBlocks = Math.ceil(blocks / bitsPerBlock);
  const inodeBitmap = blockBitmap + blockBitmapBlocks;
  const inodeBitmapBlocks = Math.ceil(inodes / bitsPerBlock);
  const inodeTable = inodeBitmap + inodeBitmapBlocks;
  const inodeTableBlocks = Math.ceil(inodes / inodesPerBlock);
  const journal = inodeTable + inodeTableBlocks;
  return {
    blockBytes,
    blocks,
    inodes,
    journalBlocks,
    bitsPerBlock,
    inodesPerBlock,
    blockBitmap,
    blockBitmapBlocks,
    inodeBitmap,
    inodeBitmapBlocks,
    inodeTable,
    inodeTableBlocks,
    journal,
    dataStart: journal + journalBlocks,
  };
}

/** Whether blocks of this size can be used: a power of two, 1 to 4 KiB. */
export function isBlockSize(bytes: number): boolean {
  return bytes >= BLOCK_BYTES_MIN && bytes <= BLOCK_BYTES_MAX && (bytes & (bytes - 1)) === 0;
}

export function encodeSuperblock(bytes: Uint8Array, geometry: Geometry, seed: number): void {
  bytes.fill(0);
  setWord(bytes, 8, VERSION);
  setWord(bytes, 12, geometry.blockBytes);
  setWord(bytes, 16, geometry.blocks);
  setWord(bytes, 20, geometry.inodes);
  setWord(bytes, 24, geometry.journalBlocks);
  setWord(bytes, 28, seed);
  sealBlock(bytes, Magic.superblock, SUPERBLOCK_SEED, SUPERBLOCK);
}

export interface Superblock {
  readonly layout: Layout;
  readonly seed: number;
}

/** What block 0 says, or in words what is wrong with it. */
export function decodeSuperblock(bytes: Uint8Array): Superblock | string {
  if (wordAt(bytes, 0) !== Magic.superblock) return 'it has no file system of ours: the magic number is another';
  if (!isSealed(bytes, Magic.superblock, SUPERBLOCK_SEED, SUPERBLOCK)) return 'the checksum of the superblock is wrong';
  if (wordAt(bytes, 8) !== VERSION) return `version ${wordAt(bytes, 8)} of the format is not known`;
  const geometry: Geometry = {
    blockBytes: wordAt(bytes, 12),
    blocks: wordAt(bytes, 16),
    inodes: wordAt(bytes, 20),
    journalBlocks: wordAt(bytes, 24),
  };
  if (geometry.blockBytes !== bytes.length) {
    return `its blocks have ${geometry.blockBytes} bytes, those of the device ${bytes.length}`;
  }
  const layout = layoutOf(geometry);
  if (geometry.inodes < 2 || geometry.journalBlocks < JOURNAL_BLOCKS_MIN || layout.dataStart >= geometry.blocks) {
    return 'the sizes in the superblock contradict each other';
  }
  return { layout, seed: wordAt(bytes, 28) };
}

/** The first orphan inode (state block). */
export function firstOrphan(state: Uint8Array): number {
  return wordAt(state, 8);
}

export function setFirstOrphan(state: Uint8Array, ino: number): void {
  setWord(state, 8, ino);
}
