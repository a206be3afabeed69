/**
 * Blocks of the journal.
 *
 * The first block of the journal is its superblock, of which 512 bytes count, so that a torn write cannot hurt it. The
 * others are a ring of transactions:
 *
 * ```
 *  revoke …   descriptor  block block block …   descriptor  block …   commit
 *
 *  superblock                       descriptor, revoke and commit
 *     8  4  first transaction           8  4  transaction
 *    12  4  its place in the ring      12  4  entries of this block; in a commit: of all descriptors
 *                                      16     descriptor: 8 bytes each, the home of a block and its sum
 *                                             revoke: 4 bytes each, a block that must not be replayed
 *                                             commit: 4 bytes, the sum of the sums of all blocks
 * ```
 * Each has the header of metadata blocks with its own place in the sum, so what an earlier round of the ring left is told
 * apart by the number of its transaction. Compare include/linux/jbd2.h (6.18), whose format is another.
 */
import { setWord, wordAt } from './block-header';

/** Bytes of the journal's superblock that count. */
export const JOURNAL_SUPERBLOCK_BYTES = 512;

const ENTRIES_AT = 16;
const TAG_BYTES = 8;
const REVOKE_BYTES = 4;

export function tagsPerDescriptor(blockBytes: number): number {
  return Math.floor((blockBytes - ENTRIES_AT) / TAG_BYTES);
}

export function revokesPerBlock(blockBytes: number): number {
  return Math.floor((blockBytes - ENTRIES_AT) / REVOKE_BYTES);
}

/** Transaction and number of entries of a descriptor, revoke or commit block. */
export function setJournalHead(bytes: Uint8Array, tid: number, entries: number): void {
  setWord(bytes, 8, tid);
  setWord(bytes, 12, entries);
}

export function tidOf(bytes: Uint8Array): number {
  return wordAt(bytes, 8);
}

export function entriesOf(bytes: Uint8Array): number {
  return wordAt(bytes, 12);
}

/** Tag `i` of a descriptor: the home of a block, and its sum. */
export function setTag(bytes: Uint8Array, i: number, home: number, sum: number): void {
  setWord(bytes, ENTRIES_AT + i * TAG_BYTES, home);
  setWord(bytes, ENTRIES_AT + i * TAG_BYTES + 4, sum);
}

export function tagHome(bytes: Uint8Array, i: number): number {
  return wordAt(bytes, ENTRIES_AT + i * TAG_BYTES);
}

export function tagSum(bytes: Uint8Array, i: number): number {
  return wordAt(bytes, ENTRIES_AT + i * TAG_BYTES + 4);
}

export function setRevoked(bytes: Uint8Array, i: number, block: number): void {
  setWord(bytes, ENTRIES_AT + i * REVOKE_BYTES, block);
}

export function revokedAt(bytes: Uint8Array, i: number): number {
  return wordAt(bytes, ENTRIES_AT + i * REVOKE_BYTES);
}

/** The sum of the sums in a commit block. */
export function setCommitSum(bytes: Uint8Array, sum: number): void {
  setWord(bytes, ENTRIES_AT, sum);
}

export function commitSum(bytes: Uint8Array): number {
  return wordAt(bytes, ENTRIES_AT);
}
