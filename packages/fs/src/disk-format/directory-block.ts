/**
 * A block of a directory: entries one after the other, over the whole block.
 *
 * ```
 *  an entry                                        after the header of the block, at 8
 *       0  4  inode, 0 for none                    the first entry begins; each begins where the one
 *       4  2  bytes to the next entry              before says; the last one ends with the block
 *       6  1  bytes of the name
 *       7  1  1 a regular file, 2 a directory
 *       8     the name, UTF-8, filled up to a multiple of four
 * ```
 * Removing an entry gives its room to the one before it, or leaves it without an inode when it is the first.
 * Compare fs/ext4/ext4.h `struct ext4_dir_entry_2` (6.18); there is no tree of hashes.
 */
import { HEADER_BYTES, setShort, setWord, shortAt, wordAt } from './block-header';

const FIXED_BYTES = 8;
export const NAME_BYTES_MAX = 255;
export const TYPE_FILE = 1;
export const TYPE_DIRECTORY = 2;

/** Bytes that an entry needs. */
function entryBytes(nameBytes: number): number {
  return (FIXED_BYTES + nameBytes + 3) & ~3;
}

/** Makes an empty block: one entry of no inode. */
export function clearDirectoryBlock(bytes: Uint8Array): void {
  bytes.fill(0);
  setShort(bytes, HEADER_BYTES + 4, bytes.length - HEADER_BYTES);
}

/** Calls `visit` for each entry in use with its place; false when the block contradicts itself. */
export function visitEntries(
  bytes: Uint8Array,
  visit: (ino: number, type: number, name: Uint8Array, at: number) => undefined,
): boolean {
  let at = HEADER_BYTES;
  while (at < bytes.length) {
    if (at + FIXED_BYTES > bytes.length) return false;
    const room = shortAt(bytes, at + 4);
    const nameBytes = bytes[at + 6];
    if (room % 4 !== 0 || room < FIXED_BYTES || at + room > bytes.length) return false;
    const ino = wordAt(bytes, at);
    if (ino !== 0) {
      if (nameBytes === 0 || entryBytes(nameBytes) > room) return false;
      visit(ino, bytes[at + 7], bytes.subarray(at + FIXED_BYTES, at + FIXED_BYTES + nameBytes), at);
    }
    at += room;
  }
  return true;
}

/** Puts an entry in where there is room for it: its place, or -1. */
export function addEntry(bytes: Uint8Array, ino: number, type: number, name: Uint8Array): number {
  const needed = entryBytes(name.length);
  for (let at = HEADER_BYTES; at < bytes.length; at += shortAt(bytes, at + 4)) {
    const room = shortAt(bytes, at + 4);
    const used = wordAt(bytes, at) === 0 ? 0 : entryBytes(bytes[at + 6]);
    if (room - used < needed) continue;
    if (used === 0) return writeEntry(bytes, at, room, ino, type, name);
    setShort(bytes, at + 4, used);
    return writeEntry(bytes, at + used, room - used, ino, type, name);
  }
  return -1;
}

function writeEntry(bytes: Uint8Array, at: number, room: number, ino: number, type: number, name: Uint8Array): number {
  setWord(bytes, at, ino);
  setShort(bytes, at + 4, room);
  bytes[at + 6] = name.length;
  bytes[at + 7] = type;
  bytes.set(name, at + FIXED_BYTES);
  return at;
}

/** Takes the entry at a place out. */
export function removeEntry(bytes: Uint8Array, place: number): void {
  let before = -1;
  for (let at = HEADER_BYTES; at < place; at += shortAt(bytes, at + 4)) before = at;
  if (before < 0) setWord(bytes, place, 0);
  else setShort(bytes, before + 4, shortAt(bytes, before + 4) + shortAt(bytes, place + 4));
}

/** The entry at a place names another inode from now on. */
export function replaceEntry(bytes: Uint8Array, place: number, ino: number, type: number): void {
  setWord(bytes, place, ino);
  bytes[place + 7] = type;
}
