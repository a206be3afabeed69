/**
 * Extents on disk: runs of blocks of a file that lie one after the other on disk.
 *
 * ```
 *  an extent, 12 bytes                             an entry of an index, 12 bytes
 *       0  4  first block of the file                   0  4  first block of the file below it
 *       4  4  blocks; bit 31: unwritten                 4  4  0
 *       8  4  first block on disk                       8  4  the leaf or index block
 *
 *  a leaf or an index block, after the header
 *       8  4  entries
 *      12  4  0
 *      16     the entries, in the order of the file
 * ```
 * The tree is packed: each leaf but the last is full, and so is each index block. Blocks of a file that no extent names are
 * a hole; those of an unwritten extent are taken on disk and read as zeros.
 * Compare fs/ext4/ext4_extents.h `struct ext4_extent` (6.18), whose trees are not packed.
 */
import { setWord, wordAt } from './block-header';

export const EXTENT_BYTES = 12;
const ENTRIES_AT = 16;
const UNWRITTEN = 0x80000000;
/** The longest extent, blocks. */
export const EXTENT_BLOCKS_MAX = 0x7fffffff;

/** Entries of a leaf or an index block. */
export function entriesPerNode(blockBytes: number): number {
  return Math.floor((blockBytes - ENTRIES_AT) / EXTENT_BYTES);
}

export function nodeEntries(bytes: Uint8Array): number {
  return wordAt(bytes, 8);
}

export function setNodeEntries(bytes: Uint8Array, entries: number): void {
  setWord(bytes, 8, entries);
}

export function nodeEntryOffset(i: number): number {
  return ENTRIES_AT + i * EXTENT_BYTES;
}

export interface Extent {
  /** First block of the file. */
  readonly logical: number;
  /** Blocks. */
  readonly length: number;
  /** First block on disk. */
  readonly start: number;
  readonly unwritten: boolean;
}

export function readExtent(bytes: Uint8Array, at: number): Extent {
  const length = wordAt(bytes, at + 4);
  return {
    logical: wordAt(bytes, at),
    length: length % UNWRITTEN,
    start: wordAt(bytes, at + 8),
    unwritten: length >= UNWRITTEN,
  };
}

export function writeExtent(bytes: Uint8Array, at: number, extent: Extent): void {
  setWord(bytes, at, extent.logical);
  setWord(bytes, at + 4, extent.unwritten ? extent.length + UNWRITTEN : extent.length);
  setWord(bytes, at + 8, extent.start);
}
