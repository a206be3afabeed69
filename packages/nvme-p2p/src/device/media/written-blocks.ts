/**
 * Which sectors of a namespace were written and not deallocated since: one bit for each 512 bytes.
 *
 *   chunk of 2^19 sectors   null: all as at the beginning       an array: bit 1 says "not as at the beginning"
 *
 * Without an image all sectors begin as never written, with one as written. What was never touched takes no memory.
 */

const CHUNK_SECTORS = 1 << 19;
const CHUNK_BYTES = CHUNK_SECTORS / 8;
/** From here on `fill` is quicker than a loop. */
const LONG_BYTES = 64;

export class WrittenBlocks {
  private readonly chunks: (Uint8Array | null)[];

  /** @param initially whether all sectors begin as written */
  constructor(
    private readonly sectors: number,
    private readonly initially: boolean,
  ) {
    this.chunks = new Array<Uint8Array | null>(Math.ceil(sectors / CHUNK_SECTORS)).fill(null);
  }

  /** Says of `n` sectors from `first` on that they are written, or deallocated. */
  set(first: number, n: number, written: boolean): void {
    const end = first + n < this.sectors ? first + n : this.sectors;
    let at = first;
    while (at < end) {
      const chunk = Math.floor(at / CHUNK_SECTORS);
      const start = chunk * CHUNK_SECTORS;
      const stop = start + CHUNK_SECTORS < end ? start + CHUNK_SECTORS : end;
      this.setIn(chunk, at - start, stop - start, written !== this.initially);
      at = stop;
    }
  }

  /** Whether all of `n` sectors from `first` on are written. */
  all(first: number, n: number): boolean {
    for (let at = first; at < first + n; at++) {
      const bits = this.chunks[Math.floor(at / CHUNK_SECTORS)];
      const within = at % CHUNK_SECTORS;
      const differs = bits !== null && ((bits[within >> 3] >> (within & 7)) & 1) === 1;
      if (differs === this.initially) return false;
    }
    return true;
  }

  private setIn(chunk: number, first: number, end: number, differs: boolean): void {
    let bits = this.chunks[chunk];
    if (!differs && (bits === null || (first === 0 && end === CHUNK_SECTORS))) {
      this.chunks[chunk] = null;
      return;
    }
    if (bits === null) this.chunks[chunk] = bits = new Uint8Array(CHUNK_BYTES);
    let at = first;
    while (at < end && (at & 7) !== 0) setBit(bits, at++, differs);
    const wholeEnd = end & ~7;
    if (wholeEnd - at > LONG_BYTES * 8) {
      bits.fill(differs ? 0xff : 0, at >> 3, wholeEnd >> 3);
      at = wholeEnd;
    }
    for (; at < wholeEnd; at += 8) bits[at >> 3] = differs ? 0xff : 0;
    while (at < end) setBit(bits, at++, differs);
  }
}

function setBit(bits: Uint8Array, at: number, on: boolean): void {
  if (on) bits[at >> 3] |= 1 << (at & 7);
  else bits[at >> 3] &= ~(1 << (at & 7));
}
