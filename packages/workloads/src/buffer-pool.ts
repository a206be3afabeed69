/**
 * User memory for the buffers of I/Os in flight: anonymous memory of a process, handed out and taken back.
 *
 * Sizes are powers of two of pages, with a list of free buffers for each; new ones are cut from areas of 16 MiB or more,
 * whose pages are faulted in when first used. Buffers are reused newest first, so that a run touches as many pages as it
 * has in flight and no more.
 */
import { MAP_ANONYMOUS, MAP_PRIVATE, PAGE_SIZE, PROT_READ, PROT_WRITE } from '@pincushion/mm';
import type { Mm } from '@pincushion/mm';
import type { Task } from '@pincushion/sim';

const AREA_BYTES = 16 * 2 ** 20;
const CLASSES = 20;

/** From `take`: the limit is reached; wait until a buffer comes back. */
export const POOL_FULL = -1;
/** From `take`: a further area has to be mapped first, see `grow`. */
export const POOL_NEEDS_AREA = -2;

export class BufferPool {
  private readonly free: number[][] = Array.from({ length: CLASSES }, () => []);
  private readonly areas: { address: number; length: number }[] = [];
  private next = 0;
  private end = 0;
  private used = 0;

  /** @param bytesMax limit of what is handed out at a time; a single buffer is always granted */
  constructor(
    private readonly mm: Mm,
    private readonly bytesMax: number,
  ) {}

  /** Address of a buffer of at least `bytes`, page aligned; POOL_FULL or POOL_NEEDS_AREA. */
  take(bytes: number): number {
    const size = classOf(bytes);
    const length = PAGE_SIZE * 2 ** size;
    if (this.used > 0 && this.used + length > this.bytesMax) return POOL_FULL;
    const list = this.free[size];
    const reused = list.pop();
    if (reused !== undefined) {
      this.used += length;
      return reused;
    }
    if (this.next + length > this.end) return POOL_NEEDS_AREA;
    const address = this.next;
    this.next += length;
    this.used += length;
    return address;
  }

  give(address: number, bytes: number): void {
    const size = classOf(bytes);
    this.free[size].push(address);
    this.used -= PAGE_SIZE * 2 ** size;
  }

  /** Maps a further area, large enough for `bytes`. Task context. Returns 0 or a negative errno. */
  *grow(bytes: number): Task<number> {
    const length = Math.max(AREA_BYTES, PAGE_SIZE * 2 ** classOf(bytes));
    const r = this.mm.mmap(length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
    const address = typeof r === 'number' ? r : yield* r;
    if (address < 0) return address;
    this.areas.push({ address, length });
    this.next = address;
    this.end = address + length;
    return 0;
  }

  /** Unmaps everything; no buffer may be in use. Task context. */
  *release(): Task {
    for (const area of this.areas) {
      const r = this.mm.munmap(area.address, area.length);
      if (typeof r !== 'number') yield* r;
    }
    this.areas.length = 0;
    for (const list of this.free) list.length = 0;
    this.next = 0;
    this.end = 0;
  }
}

function classOf(bytes: number): number {
  const pages = Math.max(1, Math.ceil(bytes / PAGE_SIZE));
  return 32 - Math.clz32(pages - 1);
}
