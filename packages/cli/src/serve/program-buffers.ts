/**
 * The memory of an emulated program that serves requests: one buffer for each request in flight, kept for the next one.
 * Sizes are powers of two, so that buffers fit again.
 */
import type { Process } from '@pincushion/machine';
import { MAP_ANONYMOUS, MAP_PRIVATE, PAGE_SIZE, PROT_READ, PROT_WRITE } from '@pincushion/mm';
import type { MaySleep, Task } from '@pincushion/sim';

export class ProgramBuffers {
  /** Addresses of free buffers, by their bytes. */
  private readonly free = new Map<number, number[]>();

  constructor(private readonly process: Process) {}

  /** Address of a buffer for `bytes` bytes, page-aligned; or -errno. Task context. */
  *take(bytes: number): Task<number> {
    const size = sizeOf(bytes);
    const known = this.free.get(size)?.pop();
    if (known !== undefined) return known;
    return yield* settled(this.process.mmap(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS));
  }

  give(address: number, bytes: number): void {
    const size = sizeOf(bytes);
    const free = this.free.get(size);
    if (free === undefined) this.free.set(size, [address]);
    else free.push(address);
  }
}

function sizeOf(bytes: number): number {
  let size = PAGE_SIZE;
  while (size < bytes) size *= 2;
  return size;
}

/** The result of a call that may sleep. Task context. */
export function* settled(result: MaySleep): Task<number> {
  return typeof result === 'number' ? result : yield* result;
}
