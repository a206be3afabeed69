/**
 * Where a file system keeps its blocks. The file system says which frame a block is read into or written from, as a block
 * device wants it; here is a store in memory that answers at once and takes room only for what was written.
 */
import { PAGE_SIZE } from '@pincushion/mm';
import type { Memory } from '@pincushion/mm';
import type { MaySleep } from '@pincushion/sim';

/** Results are 0 or -errno; a store that has to wait gives tasks. Task context. */
export interface BlockStore {
  /** Blocks it has room for, numbered from 0. */
  readonly blocks: number;
  /** Bytes of a block: a power of two, 512 to 4096. */
  readonly blockBytes: number;
  /** Whether pages must not change while they are written (checksums, mirrors): writers wait for writeback (W-08). */
  readonly stableWrites: boolean;
  /** Fills `blockBytes` bytes of frame `pfn` from byte `offset` on. What was never written reads as zeros. */
  read(block: number, pfn: number, offset: number): MaySleep;
  /** Keeps `blockBytes` bytes of frame `pfn` from byte `offset` on. */
  write(block: number, pfn: number, offset: number): MaySleep;
  /** What was written survives the loss of power from now on. */
  flush(): MaySleep;
}

export class MemoryBlockStore implements BlockStore {
  readonly stableWrites = false;
  private readonly content = new Map<number, Uint8Array>();

  /** `memory` is that of the machine whose frames are read and written. */
  constructor(
    private readonly memory: Memory,
    readonly blocks: number,
    readonly blockBytes: number = PAGE_SIZE,
  ) {}

  /** Blocks that were ever written. */
  get blocksWritten(): number {
    return this.content.size;
  }

  read(block: number, pfn: number, offset: number): MaySleep {
    const bytes = this.content.get(block);
    if (bytes === undefined) this.memory.bytes.fill(pfn, offset, 0, this.blockBytes);
    else this.memory.bytes.write(pfn, offset, bytes, 0, this.blockBytes);
    return 0;
  }

  write(block: number, pfn: number, offset: number): MaySleep {
    let bytes = this.content.get(block);
    if (bytes === undefined) {
      bytes = new Uint8Array(this.blockBytes);
      this.content.set(block, bytes);
    }
    this.memory.bytes.read(pfn, offset, bytes, 0, this.blockBytes);
    return 0;
  }

  flush(): MaySleep {
    return 0;
  }

  /** A copy of what the store keeps of a block; for tests, and for those who look at the disk from outside. */
  peek(block: number): Uint8Array {
    return this.content.get(block)?.slice() ?? new Uint8Array(this.blockBytes);
  }
}
