/**
 * What every metadata block begins with, and how a block is known to be what it should be.
 *
 * ```
 *  offset  bytes
 *       0      4  magic: what kind of block it is
 *       4      4  crc32c over the whole block with this field zero, begun with the file system's seed and the block's number
 *       8         the block's own content
 * ```
 * All numbers on disk are little-endian. The number of the block is in the sum, so that a block written to the wrong place
 * is noticed, too.
 */
import { crc32c, crc32cWord } from './crc32c';

/** Bytes of the header. */
export const HEADER_BYTES = 8;

const CRC_AT = 4;

/** Kinds of metadata blocks; four letters each, as they lie on disk. */
export const Magic = {
  superblock: magicOf('PinS'),
  state: magicOf('PinO'),
  bitmap: magicOf('PinB'),
  inodeTable: magicOf('PinI'),
  extents: magicOf('PinE'),
  extentIndex: magicOf('PinX'),
  directory: magicOf('PinD'),
  journalSuperblock: magicOf('PinJ'),
  journalDescriptor: magicOf('JrnD'),
  journalRevoke: magicOf('JrnR'),
  journalCommit: magicOf('JrnC'),
} as const;
export type Magic = (typeof Magic)[keyof typeof Magic];

/** Writes magic and sum. `bytes`: the block, or the part of it that counts. */
export function sealBlock(bytes: Uint8Array, magic: number, seed: number, block: number): void {
  setWord(bytes, 0, magic);
  setWord(bytes, CRC_AT, 0);
  setWord(bytes, CRC_AT, sumOf(bytes, seed, block));
}

/** Whether a block is whole and of a kind. Leaves the block as it was. */
export function isSealed(bytes: Uint8Array, magic: number, seed: number, block: number): boolean {
  if (wordAt(bytes, 0) !== magic) return false;
  const kept = wordAt(bytes, CRC_AT);
  setWord(bytes, CRC_AT, 0);
  const sum = sumOf(bytes, seed, block);
  setWord(bytes, CRC_AT, kept);
  return sum === kept;
}

function sumOf(bytes: Uint8Array, seed: number, block: number): number {
  return crc32c(crc32cWord(seed, block), bytes, 0, bytes.length);
}

/** The number of four bytes, 0 to 2^32 - 1. */
export function wordAt(bytes: Uint8Array, at: number): number {
  return (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0;
}

export function setWord(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value & 0xff;
  bytes[at + 1] = (value >>> 8) & 0xff;
  bytes[at + 2] = (value >>> 16) & 0xff;
  bytes[at + 3] = (value >>> 24) & 0xff;
}

export function shortAt(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8);
}

export function setShort(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value & 0xff;
  bytes[at + 1] = (value >>> 8) & 0xff;
}

/** A number of eight bytes; beyond 2^53 not exact. */
export function longAt(bytes: Uint8Array, at: number): number {
  return wordAt(bytes, at) + wordAt(bytes, at + 4) * 2 ** 32;
}

export function setLong(bytes: Uint8Array, at: number, value: number): void {
  setWord(bytes, at, value % 2 ** 32);
  setWord(bytes, at + 4, Math.floor(value / 2 ** 32));
}

function magicOf(letters: string): number {
  let magic = 0;
  for (let i = 3; i >= 0; i--) magic = (magic << 8) | letters.charCodeAt(i);
  return magic >>> 0;
}
