/**
 * Where a file system keeps its blocks. The file system says which frame a block is read into or written from, as a block
 * device wants it; here is a store in memory that answers at once and takes room only for what was written.
 */
import type { Disk } from '@pincushion/block';
import { PAGE_SIZE, eagerly, settled } from '@pincushion/mm';
import type { Memory } from '@pincushion/mm';
import type { MaySleep, World } from '@pincushion/sim';

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
  /** Keeps `blockBytes` bytes of frame `pfn` from byte `offset` on. `fua`: it survives the loss of power when this ends. */
  write(block: number, pfn: number, offset: number, fua?: boolean): MaySleep;
  /** Writes the beginnings of several frames, at once where the store can: frame i to block i. 0 or the first error. */
  writeAll?(blocks: readonly number[], pfns: readonly number[]): MaySleep;
  /** What was written survives the loss of power from now on. */
  flush(): MaySleep;
  /** The disk that the blocks are on, for who gives it I/O of his own (direct I/O), and the first sector of a block there. */
  readonly disk?: Disk;
  sectorOf?(block: number): number;
}

/** `BlockStore.writeAll`, one block after the other where the store has none. 0 or the first error. May sleep. */
export function writeBlocks(
  world: World,
  store: BlockStore,
  blocks: readonly number[],
  pfns: readonly number[],
): MaySleep {
  return store.writeAll?.(blocks, pfns) ?? eagerly(world, 'writing blocks', writeEach(store, blocks, pfns));
}

function* writeEach(store: BlockStore, blocks: readonly number[], pfns: readonly number[]) {
  for (const [i, block] of blocks.entries()) {
    const error = yield* settled(store.write(block, pfns[i], 0));
    if (error < 0) return error;
  }
  return 0;
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
