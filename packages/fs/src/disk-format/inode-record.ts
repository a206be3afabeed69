/**
 * The record of an inode in the table.
 *
 * A block of the table has a header of 16 bytes (block-header.ts, then zeros) and records one after the other. Inode
 * numbers begin with 1; record n - 1 belongs to inode n. A record whose bit in the bitmap is not set means nothing.
 *
 * ```
 *  offset  bytes
 *       0      2  mode: 0x8000 a regular file, 0x4000 a directory, 0 free
 *       2      2  names that it has (links)
 *       4      4  next inode in the list of orphans, 0 for the last
 *       8      8  size in bytes
 *      16      4  blocks it has on disk, those of its extent tree included
 *      20      2  entries in the root of the extent tree
 *      22      2  depth of the tree: 0 extents in the root; 1 leaves; 2 index blocks
 *      24     12  each entry of the root (extent-node.ts)
 * ```
 * Left out: owners, permissions, times, extended attributes. Compare fs/ext4/ext4.h `struct ext4_inode` (6.18).
 */
import { longAt, setLong, setShort, setWord, shortAt, wordAt } from './block-header';
import { EXTENT_BYTES } from './extent-node';

export const RECORD_BYTES = 240;
export const TABLE_HEADER_BYTES = 16;
const ROOT_AT = 24;
/** Entries of the root. */
export const ROOT_ENTRIES = (RECORD_BYTES - ROOT_AT) / EXTENT_BYTES;

export const MODE_FILE = 0x8000;
export const MODE_DIRECTORY = 0x4000;

/** The inode of the root directory. */
export const ROOT_INO = 1;

export interface InodeRecord {
  mode: number;
  links: number;
  nextOrphan: number;
  size: number;
  blocks: number;
  entries: number;
  depth: number;
}

/** Where the record of an inode is in its block. */
export function recordOffset(ino: number, inodesPerBlock: number): number {
  return TABLE_HEADER_BYTES + ((ino - 1) % inodesPerBlock) * RECORD_BYTES;
}

export function readRecord(bytes: Uint8Array, at: number): InodeRecord {
  return {
    mode: shortAt(bytes, at),
    links: shortAt(bytes, at + 2),
    nextOrphan: wordAt(bytes, at + 4),
    size: longAt(bytes, at + 8),
    blocks: wordAt(bytes, at + 16),
    entries: shortAt(bytes, at + 20),
    depth: shortAt(bytes, at + 22),
  };
}

export function writeRecord(bytes: Uint8Array, at: number, record: InodeRecord): void {
  setShort(bytes, at, record.mode);
  setShort(bytes, at + 2, record.links);
  setWord(bytes, at + 4, record.nextOrphan);
  setLong(bytes, at + 8, record.size);
  setWord(bytes, at + 16, record.blocks);
  setShort(bytes, at + 20, record.entries);
  setShort(bytes, at + 22, record.depth);
}

/** Where entry `i` of the root is in the block of the table. */
export function rootEntryOffset(at: number, i: number): number {
  return at + ROOT_AT + i * EXTENT_BYTES;
}
