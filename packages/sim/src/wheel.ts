/**
 * A hierarchical timing wheel of events with ticks of 1 ns, in exact (time, sequence) order.
 *
 * It covers all 2^53 ns in five levels. Times are handled in halves: `low` the lower 32 bits, `high` the rest. The level
 * of an event follows from the highest bit in which its time differs from the present time:
 *
 *     buckets    0 .. 1023   same 1024 ns as now: one bucket per nanosecond
 *     buckets 1024 .. 3071   same 2^21 ns: one bucket per 2^10 ns
 *     buckets 3072 .. 5119   same 2^32 ns: one bucket per 2^21 ns
 *     buckets 5120 .. 6143   same 2^42 ns: one bucket per 2^32 ns
 *     buckets 6144 .. 8191   all later times: one bucket per 2^42 ns
 *
 * Buckets are first-in-first-out. A bucket of a higher level is spread over the lower ones when the time enters it,
 * before anything can be added there directly, so that equal times keep the order in which they were added.
 *
 * A bucket is a chain of chunks of 256 words: word 0 is the next chunk, then come up to 63 entries (low, slot, handler,
 * argument). Taking and spreading read memory in order; a list through the slots of the events would wait for the
 * memory at each step. Only the last two levels look into the slots, for `high`.
 */
import type { EventSlots } from './event-slots';

const LEVEL_1 = 1024;
const LEVEL_2 = 3072;
const LEVEL_3 = 5120;
const LEVEL_4 = 6144;
const BUCKETS = 8192;

const HIGH_UNIT = 4_294_967_296;

const ENTRY_WORDS = 4;
const CHUNK_WORDS = 256;
const CHUNK_MASK = CHUNK_WORDS - 1;
const CHUNKS_FIRST = 128;

export class EventWheel {
  /** Handler and argument of the event taken last. */
  handlerId = 0;
  arg = 0;

  /** Events in the wheel, cancelled ones included. */
  private size = 0;
  /** Present time in halves; `low` as an int32, so that the field stays a small integer. */
  private high = 0;
  private low = 0;
  /** `high` in nanoseconds. */
  private baseNs = 0;
  /** First word of the first entry of a bucket, and the word behind its last entry; 0 when the bucket is empty. */
  private readonly head = new Int32Array(BUCKETS);
  private readonly tail = new Int32Array(BUCKETS);
  /** A bit per bucket that is not empty. */
  private readonly map = new Int32Array(BUCKETS >> 5);
  private chunks = new Int32Array(0);
  /** First word of the first free chunk. Chunk 0 is never used. */
  private freeChunk = 0;

  constructor(private readonly slots: EventSlots) {}

  /** Present time: that of the event taken last, and the earliest that can be added. */
  get nowNs(): number {
    return this.baseNs + (this.low >>> 0);
  }

  /** Moves an empty wheel to a time. */
  moveTo(timeNs: number): void {
    this.enter((timeNs / HIGH_UNIT) | 0, (timeNs % HIGH_UNIT) | 0);
  }

  /** Adds an event at or after the present time. */
  add(timeNs: number, slot: number, handler: number, arg: number): void {
    this.size++;
    const offset = timeNs - this.baseNs;
    if (offset < HIGH_UNIT) this.placeNear((offset >>> 0) | 0, slot, handler, arg);
    else this.placeFar((timeNs / HIGH_UNIT) | 0, (timeNs % HIGH_UNIT) | 0, slot, handler, arg);
  }

  /**
   * Takes the first event if it is due by `limitNs`: gives its slot, and sets `handlerId`, `arg` and `nowNs`; -1
   * otherwise. Time never moves beyond the limit.
   */
  take(limitNs: number): number {
    for (;;) {
      const low = this.low;
      const bucket = this.scan(low & 1023, LEVEL_1);
      if (bucket >= 0) {
        const now = (low & ~1023) | bucket;
        if (this.baseNs + (now >>> 0) > limitNs) return -1;
        this.low = now;
        this.size--;
        return this.takeFirst(bucket);
      }
      if (this.size === 0) return -1;
      let high = this.high;
      let start = 0;
      let upper = this.scan(LEVEL_1 + ((low >>> 10) & 2047), LEVEL_2);
      if (upper >= 0) {
        start = (low & ~0x1fffff) | ((upper - LEVEL_1) << 10);
      } else if ((upper = this.scan(LEVEL_2 + (low >>> 21), LEVEL_3)) >= 0) {
        start = (upper - LEVEL_2) << 21;
      } else if ((upper = this.scan(LEVEL_3 + (high & 1023), LEVEL_4)) >= 0) {
        high = (high & ~1023) | (upper - LEVEL_3);
      } else {
        upper = this.scan(LEVEL_4 + (high >>> 10), BUCKETS);
        high = (upper - LEVEL_4) << 10;
      }
      if (high * HIGH_UNIT + (start >>> 0) > limitNs) return -1;
      this.enter(high, start);
      this.spread(upper);
    }
  }

  /** Takes out all cancelled events and gives their slots back. Returns how many. */
  sweep(): number {
    const before = this.size;
    for (let word = 0; word < this.map.length; word++) {
      for (let bits = this.map[word]; bits !== 0; bits &= bits - 1) {
        this.sweepBucket((word << 5) + 31 - Math.clz32(bits & -bits));
      }
    }
    return before - this.size;
  }

  private sweepBucket(bucket: number): void {
    const slots = this.slots;
    const end = this.tail[bucket];
    let at = this.head[bucket];
    this.clear(bucket);
    do {
      const chunks = this.chunks;
      const slot = chunks[at + 1];
      if (slots.isCancelled(slot)) {
        slots.release(slot);
        this.size--;
      } else {
        this.append(bucket, chunks[at], slot, chunks[at + 2], chunks[at + 3]);
      }
      at = this.leaveEntry(at, end);
    } while (at !== 0);
  }

  private enter(high: number, low: number): void {
    this.high = high;
    this.low = low;
    this.baseNs = high * HIGH_UNIT;
  }

  /** Puts the events of a bucket where they belong now; the present time is its start, so that is a level lower. */
  private spread(bucket: number): void {
    const end = this.tail[bucket];
    let at = this.head[bucket];
    this.clear(bucket);
    do {
      const chunks = this.chunks;
      const slot = chunks[at + 1];
      if (bucket < LEVEL_3) this.placeNear(chunks[at], slot, chunks[at + 2], chunks[at + 3]);
      else this.placeFar(this.slots.highOf(slot), chunks[at], slot, chunks[at + 2], chunks[at + 3]);
      at = this.leaveEntry(at, end);
    } while (at !== 0);
  }

  private placeNear(low: number, slot: number, handler: number, arg: number): void {
    const differs = (low ^ this.low) >>> 0;
    let bucket: number;
    if (differs < 1024) bucket = low & 1023;
    else if (differs < 2097152) bucket = LEVEL_1 + ((low >>> 10) & 2047);
    else bucket = LEVEL_2 + (low >>> 21);
    this.append(bucket, low, slot, handler, arg);
  }

  private placeFar(high: number, low: number, slot: number, handler: number, arg: number): void {
    const differs = high ^ this.high;
    this.slots.setHigh(slot, high);
    if (differs === 0) this.placeNear(low, slot, handler, arg);
    else if (differs < 1024) this.append(LEVEL_3 + (high & 1023), low, slot, handler, arg);
    else this.append(LEVEL_4 + (high >>> 10), low, slot, handler, arg);
  }

  private append(bucket: number, low: number, slot: number, handler: number, arg: number): void {
    let at = this.tail[bucket];
    if ((at & CHUNK_MASK) === 0) {
      const chunk = this.takeChunk();
      if (at === 0) {
        this.head[bucket] = chunk + ENTRY_WORDS;
        this.map[bucket >> 5] |= 1 << (bucket & 31);
      } else {
        this.chunks[at - CHUNK_WORDS] = chunk;
      }
      at = chunk + ENTRY_WORDS;
    }
    const chunks = this.chunks;
    chunks[at] = low;
    chunks[at + 1] = slot;
    chunks[at + 2] = handler;
    chunks[at + 3] = arg;
    this.tail[bucket] = at + ENTRY_WORDS;
  }

  private takeFirst(bucket: number): number {
    const chunks = this.chunks;
    const at = this.head[bucket];
    const slot = chunks[at + 1];
    this.handlerId = chunks[at + 2];
    this.arg = chunks[at + 3];
    const next = this.leaveEntry(at, this.tail[bucket]);
    if (next === 0) this.clear(bucket);
    else this.head[bucket] = next;
    return slot;
  }

  private clear(bucket: number): void {
    this.head[bucket] = 0;
    this.tail[bucket] = 0;
    this.map[bucket >> 5] &= ~(1 << (bucket & 31));
  }

  /** The entry after the one at `at`, 0 behind the last; frees a chunk that was read to its end. */
  private leaveEntry(at: number, end: number): number {
    const next = at + ENTRY_WORDS;
    if (next !== end && (next & CHUNK_MASK) !== 0) return next;
    const chunk = at & ~CHUNK_MASK;
    const after = this.chunks[chunk];
    this.freeChunkAt(chunk);
    return next === end ? 0 : after + ENTRY_WORDS;
  }

  private freeChunkAt(chunk: number): void {
    this.chunks[chunk] = this.freeChunk;
    this.freeChunk = chunk;
  }

  private takeChunk(): number {
    if (this.freeChunk === 0) this.grow();
    const chunk = this.freeChunk;
    this.freeChunk = this.chunks[chunk];
    return chunk;
  }

  private grow(): void {
    const before = this.chunks.length;
    const chunks = new Int32Array(before === 0 ? CHUNKS_FIRST * CHUNK_WORDS : 2 * before);
    chunks.set(this.chunks);
    this.chunks = chunks;
    for (let chunk = chunks.length - CHUNK_WORDS; chunk >= before; chunk -= CHUNK_WORDS) {
      if (chunk !== 0) this.freeChunkAt(chunk);
    }
  }

  /** First bucket from `from` on, below bucket `end` (a multiple of 32), that is not empty; -1 when there is none. */
  private scan(from: number, end: number): number {
    const map = this.map;
    let word = from >> 5;
    let bits = map[word] & (-1 << (from & 31));
    for (;;) {
      if (bits !== 0) return (word << 5) + 31 - Math.clz32(bits & -bits);
      if (++word >= end >> 5) return -1;
      bits = map[word];
    }
  }
}
