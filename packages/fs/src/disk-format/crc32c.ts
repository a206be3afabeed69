/**
 * CRC-32C (Castagnoli), the checksum of metadata blocks, as ext4 and jbd2 use it.
 * Source followed: lib/crc/crc32.c `crc32c` (6.18); polynomial 0x1EDC6F41, reflected 0x82F63B78.
 */

const POLYNOMIAL = 0x82f63b78;

/** What one byte does to the sum. */
const TABLE: Readonly<Uint32Array> = tableOf(POLYNOMIAL);

/** The sum of bytes [from, to), going on from `seed` (the sum of what came before; ~0 at first). No final inversion. */
export function crc32c(seed: number, bytes: Uint8Array, from: number, to: number): number {
  let sum = seed;
  for (let i = from; i < to; i++) sum = TABLE[(sum ^ bytes[i]) & 0xff] ^ (sum >>> 8);
  return sum >>> 0;
}

/** `seed` after the four bytes of a number. */
export function crc32cWord(seed: number, word: number): number {
  let sum = seed;
  for (let shift = 0; shift < 32; shift += 8) sum = TABLE[(sum ^ (word >>> shift)) & 0xff] ^ (sum >>> 8);
  return sum >>> 0;
}

function tableOf(polynomial: number): Uint32Array {
  const table = new Uint32Array(256);
  for (let i = 0; i < 256; i++) {
    let sum = i;
    for (let bit = 0; bit < 8; bit++) sum = (sum & 1) !== 0 ? (sum >>> 1) ^ polynomial : sum >>> 1;
    table[i] = sum;
  }
  return table;
}
