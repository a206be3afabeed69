/** A store that takes its time and, when told to, fails or wants stable pages: for tests of writeback and direct I/O. */
import { EIO } from '@pincushion/sim';
import type { Memory } from '@pincushion/mm';
import type { BlockStore, MemoryBlockStore } from '../src/index';

export const WRITE_NS = 1000;

/** A write takes the bytes when it ends, as a device that reads memory late does. */
export class SlowStore implements BlockStore {
  stableWrites = false;
  /** Writes from this block on fail; none unless given. */
  failFrom = Infinity;
  /** Virtual time of each write's end, and its block. */
  readonly written: { readonly atNs: number; readonly block: number }[] = [];

  constructor(
    private readonly memory: Memory,
    private readonly inner: MemoryBlockStore,
    private readonly writeNs = WRITE_NS,
  ) {}

  get blocks(): number {
    return this.inner.blocks;
  }

  get blockBytes(): number {
    return this.inner.blockBytes;
  }

  *read(block: number, pfn: number, offset: number) {
    yield* this.memory.world.sleep(this.writeNs);
    return this.inner.read(block, pfn, offset) as number;
  }

  *write(block: number, pfn: number, offset: number) {
    yield* this.memory.world.sleep(this.writeNs);
    if (block >= this.failFrom) return -EIO;
    this.written.push({ atNs: this.memory.world.now, block });
    return this.inner.write(block, pfn, offset) as number;
  }

  flush(): number {
    return 0;
  }
}
