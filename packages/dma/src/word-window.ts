/**
 * 32-bit access to the content of frames, for rings and descriptors: one lookup instead of a copy byte by byte.
 *
 * Memory keeps content in chunks of 4 MiB. A device's rings lie in few of them, so the view used last, and behind it a
 * small direct-mapped cache of views, serve nearly every access. A chunk lives as long as its memory, so nothing has to
 * be invalidated.
 * Words are little-endian, as devices on PCI expect; the host must be, too.
 */
import { PAGE_SIZE, PG_hasBytes } from '@pincushion/mm';
import type { Memory } from '@pincushion/mm';

/** log2 of the frames of a chunk. */
const CHUNK_SHIFT = 10;
const CHUNK_MASK = (1 << CHUNK_SHIFT) - 1;
const CACHE_ENTRIES = 16;
const CACHE_MASK = CACHE_ENTRIES - 1;
const WORDS_PER_PAGE_SHIFT = 10;
const HAS_BYTES = PG_hasBytes;

export class WordWindow {
  private readonly flags: Int32Array;
  private readonly chunks = new Int32Array(CACHE_ENTRIES).fill(-1);
  private readonly views: Int32Array[] = [];
  /** The entry of the cache that was used last. */
  private lastChunk = -1;
  private lastView: Int32Array = new Int32Array(0);

  constructor(private readonly memory: Memory) {
    this.flags = memory.frames.flags;
    for (let i = 0; i < CACHE_ENTRIES; i++) this.views.push(this.lastView);
  }

  /** Words of the chunk that frame `pfn` lies in, with the frame's content valid; index them from `firstWord(pfn)` on. */
  wordsOf(pfn: number): Int32Array {
    const same = pfn >>> CHUNK_SHIFT === this.lastChunk;
    return same && (this.flags[pfn] & HAS_BYTES) !== 0 ? this.lastView : this.look(pfn);
  }

  private look(pfn: number): Int32Array {
    const chunk = pfn >>> CHUNK_SHIFT;
    const at = chunk & CACHE_MASK;
    if (this.chunks[at] !== chunk || (this.flags[pfn] & HAS_BYTES) === 0) this.load(pfn, chunk, at);
    this.lastChunk = chunk;
    this.lastView = this.views[at];
    return this.lastView;
  }

  /** Gives the frame content of its own and makes a view on its chunk. */
  private load(pfn: number, chunk: number, at: number): void {
    const page = this.memory.bytes.view(pfn, PAGE_SIZE);
    const start = page.byteOffset - (pfn & CHUNK_MASK) * PAGE_SIZE;
    this.chunks[at] = chunk;
    this.views[at] = new Int32Array(page.buffer, start, (PAGE_SIZE / 4) << CHUNK_SHIFT);
  }
}

/** Index of the first word of frame `pfn` in the words of its chunk. */
export function firstWord(pfn: number): number {
  return (pfn & CHUNK_MASK) << WORDS_PER_PAGE_SHIFT;
}
