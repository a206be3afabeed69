/**
 * The content of memory. Real bytes, so that a wrong page shows as wrong data. Host memory is taken in chunks of 4 MiB
 * (1024 frames) when a frame in them is first written; a frame without `PG_hasBytes` reads as zeros, and freeing a frame
 * takes the flag away, so a new page is zeroed without touching a byte.
 * Context: any. No function here can fail; offsets and lengths stay inside one frame unless said otherwise.
 */
import type { FrameTable } from './frames';
import { PG_hasBytes } from './frames';

/** Frames of one chunk, as a shift. A chunk is also the largest block of the page allocator. */
const CHUNK_SHIFT = 10;
const CHUNK_FRAMES = 1 << CHUNK_SHIFT;
const SHIFT = 12;
const SIZE = 1 << SHIFT;
const HAS_BYTES = PG_hasBytes;

export class PageBytes {
  private readonly flags: Int32Array;
  /** Two levels, so that a machine of terabytes starts with an empty table: chunk number >>> 10, then the rest. */
  private readonly chunks: (Uint8Array | undefined)[][] = [];
  /** Chunks taken so far. */
  chunksUsed = 0;

  constructor(frames: FrameTable) {
    this.flags = frames.flags;
  }

  /** Copies `n` bytes out of frame `pfn` from byte `offset` on, to `into[at…]`. */
  read(pfn: number, offset: number, into: Uint8Array, at: number, n: number): void {
    if ((this.flags[pfn] & HAS_BYTES) === 0) {
      into.fill(0, at, at + n);
      return;
    }
    const chunk = this.chunkOf(pfn);
    const from = ((pfn & (CHUNK_FRAMES - 1)) << SHIFT) + offset;
    if (n <= SMALL) for (let i = 0; i < n; i++) into[at + i] = chunk[from + i];
    else into.set(chunk.subarray(from, from + n), at);
  }

  /** Copies `n` bytes of `from[at…]` into frame `pfn` from byte `offset` on. */
  write(pfn: number, offset: number, from: Uint8Array, at: number, n: number): void {
    const chunk = this.chunkOf(pfn);
    const to = ((pfn & (CHUNK_FRAMES - 1)) << SHIFT) + offset;
    if ((this.flags[pfn] & HAS_BYTES) === 0) this.materialize(pfn, chunk, n === SIZE);
    if (n <= SMALL) for (let i = 0; i < n; i++) chunk[to + i] = from[at + i];
    else chunk.set(at === 0 && n === from.length ? from : from.subarray(at, at + n), to);
  }

  /** Copies `n` bytes from one frame into another. */
  copy(dstPfn: number, dstOffset: number, srcPfn: number, srcOffset: number, n: number): void {
    if ((this.flags[srcPfn] & HAS_BYTES) === 0) {
      this.fill(dstPfn, dstOffset, 0, n);
      return;
    }
    const to = this.chunkOf(dstPfn);
    if ((this.flags[dstPfn] & HAS_BYTES) === 0) this.materialize(dstPfn, to, n === SIZE);
    const from = this.chunkOf(srcPfn);
    const at = ((dstPfn & (CHUNK_FRAMES - 1)) << SHIFT) + dstOffset;
    const start = ((srcPfn & (CHUNK_FRAMES - 1)) << SHIFT) + srcOffset;
    if (from === to) to.copyWithin(at, start, start + n);
    else to.set(from.subarray(start, start + n), at);
  }

  /** Sets `n` bytes to `byte`. Zeros into a frame without content cost nothing. */
  fill(pfn: number, offset: number, byte: number, n: number): void {
    if ((this.flags[pfn] & HAS_BYTES) === 0) {
      if (byte === 0) return;
      this.materialize(pfn, this.chunkOf(pfn), n === SIZE);
    }
    const at = ((pfn & (CHUNK_FRAMES - 1)) << SHIFT) + offset;
    this.chunkOf(pfn).fill(byte, at, at + n);
  }

  /** Whether two frames have the same content. `pages_identical`. */
  equal(a: number, b: number): boolean {
    const words = SIZE / 4;
    const left = this.words(a);
    const right = this.words(b);
    for (let i = 0; i < words; i++) if ((left?.[i] ?? 0) !== (right?.[i] ?? 0)) return false;
    return true;
  }

  /** Whether the whole frame reads as zeros. */
  isZero(pfn: number): boolean {
    const page = this.words(pfn);
    if (page !== null) for (let i = 0; i < SIZE / 4; i++) if (page[i] !== 0) return false;
    return true;
  }

  /** FNV-1a over the 32-bit words of a frame: frames of equal content have equal sums. */
  checksum(pfn: number): number {
    const page = this.words(pfn);
    let sum = 0x811c9dc5 | 0;
    for (let i = 0; i < SIZE / 4; i++) sum = Math.imul(sum ^ (page?.[i] ?? 0), 0x01000193);
    return sum;
  }

  private words(pfn: number): Int32Array | null {
    if ((this.flags[pfn] & HAS_BYTES) === 0) return null;
    return new Int32Array(this.chunkOf(pfn).buffer, (pfn & (CHUNK_FRAMES - 1)) << SHIFT, SIZE / 4);
  }

  /** Makes the whole frame read as zeros. */
  zero(pfn: number): void {
    this.flags[pfn] &= ~HAS_BYTES;
  }

  /**
   * A window of `bytes` bytes on physically contiguous frames from `pfn` on, readable and writable for as long as the
   * frames stay allocated. Must not cross a 4 MiB boundary (RangeError): a block of the page allocator never does.
   */
  view(pfn: number, bytes: number): Uint8Array {
    const from = (pfn & (CHUNK_FRAMES - 1)) << SHIFT;
    if (from + bytes > CHUNK_FRAMES << SHIFT) {
      throw new RangeError(`a view of ${bytes} bytes from frame ${pfn} on crosses a 4 MiB boundary`);
    }
    const chunk = this.chunkOf(pfn);
    const end = pfn + Math.ceil(bytes / SIZE);
    for (let p = pfn; p < end; p++) if ((this.flags[p] & HAS_BYTES) === 0) this.materialize(p, chunk, false);
    return chunk.subarray(from, from + bytes);
  }

  /** Gives a frame content of its own: zeros, unless the caller overwrites all of it at once. */
  private materialize(pfn: number, chunk: Uint8Array, overwritten: boolean): void {
    const at = (pfn & (CHUNK_FRAMES - 1)) << SHIFT;
    if (!overwritten) chunk.fill(0, at, at + SIZE);
    this.flags[pfn] |= HAS_BYTES;
  }

  private chunkOf(pfn: number): Uint8Array {
    const number = pfn >>> CHUNK_SHIFT;
    const row = this.chunks[number >>> 10];
    const chunk = (row as (Uint8Array | undefined)[] | undefined)?.[number & 1023];
    return chunk ?? this.newChunk(number);
  }

  private newChunk(number: number): Uint8Array {
    const top = number >>> 10;
    while (this.chunks.length <= top) this.chunks.push([]);
    const chunk = new Uint8Array(CHUNK_FRAMES << SHIFT);
    this.chunks[top][number & 1023] = chunk;
    this.chunksUsed++;
    return chunk;
  }
}

/** Below this many bytes a loop beats making a subarray. */
const SMALL = 64;
