/**
 * A swap area in memory outside of the machine: pages are kept as they are, those full of zeros as nothing. It answers at
 * once, like zram.
 * Left out: compression, and with it running out of room before the slots do.
 * Source followed: drivers/block/zram/zram_drv.c (what it promises, 6.18).
 */
import type { Memory } from '../memory';
import { PAGE_SIZE } from '../frames/page-size';
import type { SwapStore } from './swap';

export class MemorySwapStore implements SwapStore {
  readonly name = 'swap in memory';
  readonly synchronous = true;
  private readonly pages = new Map<number, Uint8Array>();

  constructor(private readonly memory: Memory) {}

  write(slot: number, pfn: number): number {
    const { bytes } = this.memory;
    if (bytes.isZero(pfn)) {
      this.pages.delete(slot);
      return 0;
    }
    const page = this.pages.get(slot) ?? new Uint8Array(PAGE_SIZE);
    bytes.read(pfn, 0, page, 0, PAGE_SIZE);
    this.pages.set(slot, page);
    return 0;
  }

  read(slot: number, pfn: number): number {
    const page = this.pages.get(slot);
    if (page === undefined) this.memory.bytes.zero(pfn);
    else this.memory.bytes.write(pfn, 0, page, 0, PAGE_SIZE);
    return 0;
  }

  free(slot: number): undefined {
    this.pages.delete(slot);
    return undefined;
  }
}
