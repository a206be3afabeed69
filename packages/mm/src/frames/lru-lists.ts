/**
 * The order in which folios came to their LRU lists, oldest first: active and inactive, of anonymous memory and of files.
 *
 * Nobody asks for the order before memory is scarce, so nobody keeps it until then. The lists begin with the folios there
 * are, in the order of their frames, which is how a machine that has not been short of memory before handed them out.
 * A list is a queue of entries (frame, stamp). An entry counts as long as its stamp is the last one of the frame and the marks
 * of the folio say that it is on this list; so whoever takes a folio off a list only clears its mark.
 * Left out: a list for each memory cgroup, batches per CPU, generations (MGLRU).
 * Any context. Source followed: include/linux/mm_inline.h `folio_lru_list`, mm/swap.c (6.18).
 */
import { PG_active, PG_lru, PG_swapbacked, PG_unevictable } from './frames';
import type { FrameTable } from './frames';

/** The lists, as in the kernel's `enum lru_list`. */
export const LruList = { inactiveAnon: 0, activeAnon: 1, inactiveFile: 2, activeFile: 3 } as const;
export type LruList = (typeof LruList)[keyof typeof LruList];

const FIRST_ROOM = 1024;
const ON_LIST = PG_lru;
const ON_LIST_MASK = PG_lru | PG_unevictable;

/** Frames and stamps in the order of their coming; a ring that grows. */
class LruQueue {
  private frames = new Int32Array(FIRST_ROOM);
  private stamps = new Int32Array(FIRST_ROOM);
  private first = 0;
  length = 0;

  push(pfn: number, stamp: number): void {
    if (this.length === this.frames.length) this.widen();
    const at = (this.first + this.length) & (this.frames.length - 1);
    this.frames[at] = pfn;
    this.stamps[at] = stamp;
    this.length++;
  }

  get oldestFrame(): number {
    return this.frames[this.first];
  }

  get oldestStamp(): number {
    return this.stamps[this.first];
  }

  drop(): void {
    this.first = (this.first + 1) & (this.frames.length - 1);
    this.length--;
  }

  *all(): Generator<readonly [number, number], void, undefined> {
    for (let i = 0; i < this.length; i++) {
      const at = (this.first + i) & (this.frames.length - 1);
      yield [this.frames[at], this.stamps[at]];
    }
  }

  private widen(): void {
    const { length } = this.frames;
    const frames = new Int32Array(2 * length);
    const stamps = new Int32Array(2 * length);
    for (let i = 0; i < length; i++) {
      frames[i] = this.frames[(this.first + i) & (length - 1)];
      stamps[i] = this.stamps[(this.first + i) & (length - 1)];
    }
    this.frames = frames;
    this.stamps = stamps;
    this.first = 0;
  }
}

export class LruLists {
  /** The order is kept. */
  on = false;
  /** Pages read from swap when reclaim last looked (`lruvec->refaults`). */
  swappedInBefore = 0;
  private readonly queues = [new LruQueue(), new LruQueue(), new LruQueue(), new LruQueue()];
  /** The last stamp of each frame; 0: never on a list since the order is kept. */
  private stamps = new Int32Array(0);
  private stamp = 0;

  constructor(private readonly frames: FrameTable) {}

  /** From now on the order is kept. `ranges`: of frames that may have folios. */
  begin(ranges: Iterable<{ readonly start: number; readonly end: number }>): void {
    if (this.on) return;
    this.on = true;
    this.stamps = new Int32Array(this.frames.count);
    const { flags, order } = this.frames;
    for (const { start, end } of ranges) {
      for (let pfn = start; pfn < end; pfn += 1 << order[pfn]) if (isListed(flags[pfn])) this.add(pfn);
    }
  }

  /** The folio, marked already, is the youngest of its list. */
  add(head: number): void {
    const list = listOf(this.frames.flags[head]);
    if (++this.stamp === 0x7fffffff) this.stamp = 1;
    this.stamps[head] = this.stamp;
    this.queues[list].push(head, this.stamp);
  }

  /** Takes the oldest entry out: the head of its folio, which is not isolated yet; 0 for an empty list. */
  takeOldest(list: LruList): number {
    const queue = this.queues[list];
    while (queue.length > 0) {
      const head = queue.oldestFrame;
      const isLast = this.stamps[head] === queue.oldestStamp;
      queue.drop();
      if (!isLast || !isListed(this.frames.flags[head])) continue;
      if (listOf(this.frames.flags[head]) === list) return head;
      this.add(head); // MADV_FREE has made it a page that may be thrown away, or a write has ended that.
    }
    return 0;
  }

  /** Entries of a list; more than it has folios, by those that left it since. */
  sizeOf(list: LruList): number {
    return this.queues[list].length;
  }

  /** Heads of all entries that count, list by list. For the check of all memory. */
  *entries(): Generator<number, void, undefined> {
    for (const queue of this.queues) {
      for (const [head, stamp] of queue.all()) {
        if (this.stamps[head] === stamp && isListed(this.frames.flags[head])) yield head;
      }
    }
  }
}

function isListed(flags: number): boolean {
  return (flags & ON_LIST_MASK) === ON_LIST;
}

/** `folio_lru_list`: shared memory counts as anonymous, anonymous pages given up by MADV_FREE as pages of files. */
function listOf(flags: number): LruList {
  const isActive = (flags & PG_active) !== 0;
  if ((flags & PG_swapbacked) !== 0) return isActive ? LruList.activeAnon : LruList.inactiveAnon;
  return isActive ? LruList.activeFile : LruList.inactiveFile;
}
