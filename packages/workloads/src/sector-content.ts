/**
 * What a written sector contains, so that a read can tell which write of which sector it sees.
 *
 * Model: every 512-byte sector describes itself.
 *
 *     word   0      1..2     3            4        5     6          7..127
 *            magic  sector   generation   writer   run   checksum   pattern drawn from words 1..5
 *
 * The checksum covers the header, so a sound header can be trusted to name its writer; the pattern fills the rest and
 * depends on the header, so a sector made of two writes (or of a write and stale memory) is seen wherever the seam lies.
 * `generation` is the number of the write within its run; `run` tells apart workloads that ran earlier on the same disk.
 *
 * Buffers for reads are poisoned first: a device that says "done" and transfers nothing leaves the poison behind.
 */

const SECTOR_BYTES = 512;
export const SECTOR_WORDS = SECTOR_BYTES / 4;
/** What a read buffer holds before the device writes into it. */
export const POISON_BYTE = 0xa5;

const MAGIC = 0x434e4950;
const POISON_WORD = 0xa5a5a5a5;
const HEADER_WORDS = 7;
const STEP = 0x9e3779b9;
const TWO_POW_32 = 4294967296;

/** What is found in 512 bytes, looked at without any expectation. */
export const SectorKind = { zeros: 0, written: 1, poison: 2, foreign: 3 } as const;
export type SectorKind = (typeof SectorKind)[keyof typeof SectorKind];

export interface SectorHeader {
  readonly sector: number;
  readonly generation: number;
  readonly writer: number;
  readonly run: number;
}

/**
 * Fills `sectors` sectors of `words` from word `at` with the content of one write.
 * `sector` is the first sector's number on the disk (below 2^44), the rest are uint32. Cost: about 1 ns per word.
 */
export function writeSectors(
  words: Uint32Array,
  at: number,
  sector: number,
  sectors: number,
  generation: number,
  writer: number,
  run: number,
): void {
  let base = at;
  for (let i = 0; i < sectors; i++) {
    const low = (sector + i) >>> 0;
    const high = Math.floor((sector + i) / TWO_POW_32);
    const sum = headerSum(low, high, generation, writer, run);
    words[base] = MAGIC;
    words[base + 1] = low;
    words[base + 2] = high;
    words[base + 3] = generation;
    words[base + 4] = writer;
    words[base + 5] = run;
    words[base + 6] = sum;
    let pattern = sum;
    const end = base + SECTOR_WORDS;
    for (let w = base + HEADER_WORDS; w < end; w++) {
      pattern = (pattern + STEP) | 0;
      words[w] = pattern ^ (pattern >>> 15);
    }
    base = end;
  }
}

/** True when the 512 bytes at `at` are, to the last byte, what `writeSectors` makes of these values. */
export function isExactly(
  words: Uint32Array,
  at: number,
  sector: number,
  generation: number,
  writer: number,
  run: number,
): boolean {
  const low = sector >>> 0;
  const high = Math.floor(sector / TWO_POW_32);
  const sum = headerSum(low, high, generation, writer, run);
  if (words[at] !== MAGIC || words[at + 1] !== low || words[at + 2] !== high) return false;
  if (words[at + 3] !== generation >>> 0 || words[at + 4] !== writer || words[at + 5] !== run) return false;
  return words[at + 6] === sum >>> 0 && firstWrongPatternWord(words, at) === SECTOR_WORDS;
}

/** True when all 512 bytes at `at` are zero. */
export function isZeros(words: Uint32Array, at: number): boolean {
  const end = at + SECTOR_WORDS;
  for (let w = at; w < end; w++) if (words[w] !== 0) return false;
  return true;
}

/** Looks at a sector's beginning: zeros and poison by the whole header, `written` when magic and checksum are sound. */
export function kindOf(words: Uint32Array, at: number): SectorKind {
  let zeros = 0;
  let poison = 0;
  for (let w = 0; w < HEADER_WORDS; w++) {
    if (words[at + w] === 0) zeros++;
    else if (words[at + w] === POISON_WORD) poison++;
  }
  if (zeros === HEADER_WORDS) return SectorKind.zeros;
  if (poison === HEADER_WORDS) return SectorKind.poison;
  if (words[at] !== MAGIC) return SectorKind.foreign;
  const sum = headerSum(words[at + 1], words[at + 2], words[at + 3], words[at + 4], words[at + 5]);
  return words[at + 6] === sum >>> 0 ? SectorKind.written : SectorKind.foreign;
}

/** The header of a sector whose kind is `written`. */
export function headerOf(words: Uint32Array, at: number): SectorHeader {
  return {
    sector: words[at + 2] * TWO_POW_32 + words[at + 1],
    generation: words[at + 3],
    writer: words[at + 4],
    run: words[at + 5],
  };
}

/** Index within the sector of the first word that breaks the pattern its own header asks for; SECTOR_WORDS when none does. */
export function firstWrongPatternWord(words: Uint32Array, at: number): number {
  let pattern = words[at + 6] | 0;
  for (let w = HEADER_WORDS; w < SECTOR_WORDS; w++) {
    pattern = (pattern + STEP) | 0;
    if (words[at + w] !== (pattern ^ (pattern >>> 15)) >>> 0) return w;
  }
  return SECTOR_WORDS;
}

/** Sixteen bytes of a sector from word `word` on, as hexadecimal text; for findings. */
export function hexOf(words: Uint32Array, at: number, word: number): string {
  const from = Math.min(word, SECTOR_WORDS - 4);
  const parts: string[] = [];
  for (let w = from; w < from + 4; w++) {
    const value = words[at + w];
    for (let byte = 0; byte < 4; byte++) parts.push(((value >>> (byte * 8)) & 0xff).toString(16).padStart(2, '0'));
  }
  return parts.join(' ');
}

function headerSum(low: number, high: number, generation: number, writer: number, run: number): number {
  let sum = Math.imul(low ^ MAGIC, 0x85ebca6b);
  sum = Math.imul((sum ^ (sum >>> 13)) + high, 0xc2b2ae35);
  sum = Math.imul((sum ^ (sum >>> 16)) + generation, 0x27d4eb2f);
  sum = Math.imul((sum ^ (sum >>> 15)) + writer, 0x165667b1);
  sum = Math.imul((sum ^ (sum >>> 13)) + run, 0x9e3779b1);
  return sum ^ (sum >>> 16);
}
