/**
 * Blocks of metadata in memory: each in a frame of the kernel, so that it is written by the device as any page is.
 *
 * What was read stays until the file system is unmounted; the frames are the kernel's own, no process sees them and reclaim
 * passes them by. A block is checked when it is read (block-header.ts) and sealed when a transaction commits it.
 * Frames for what a transaction will need are set aside when it begins (`prepare`): inside of a change to the metadata
 * nothing can fail for want of memory.
 * Left out: giving blocks up under memory pressure, several blocks in one frame.
 * Source followed: fs/buffer.c `sb_bread`, `sb_getblk` (6.18).
 */
import { Gfp, eagerly, settled } from '@pincushion/mm';
import type { Memory } from '@pincushion/mm';
import { ENOMEM, EUCLEAN, PincushionError } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import type { BlockStore } from './block-store';
import { isSealed } from './disk-format/block-header';

export class MetadataBlock {
  /** It was freed in the running transaction, and is not written any more. */
  forgotten = false;

  constructor(
    readonly block: number,
    /** Kind of block (block-header.ts). */
    readonly magic: number,
    readonly pfn: number,
    /** Its content: a window on the frame. */
    readonly bytes: Uint8Array,
  ) {}
}

export class MetadataCache {
  private readonly blocks = new Map<number, MetadataBlock>();
  /** Frames that are set aside. */
  private readonly spare: number[] = [];

  /** `seed` of the checksums. */
  constructor(
    readonly memory: Memory,
    private readonly store: BlockStore,
    readonly seed: number,
  ) {}

  /** Frames it has: those of blocks and those set aside. */
  get frames(): number {
    return this.blocks.size + this.spare.length;
  }

  /** Brings a block in. 0; -EUCLEAN when it is not whole or not of this kind, -ENOMEM, or what the store says. May sleep. */
  read(block: number, magic: number): MaySleep {
    const known = this.blocks.get(block);
    if (known !== undefined) return known.magic === magic ? 0 : -EUCLEAN;
    return eagerly(this.memory.world, 'reading metadata', this.readIn(block, magic));
  }

  private *readIn(block: number, magic: number) {
    if (!(block > 0 && block < this.store.blocks)) return -EUCLEAN;
    // Not one that was set aside: a change relies on those.
    const pfn = this.memory.allocFolio(0, Gfp.kernel);
    if (pfn < 0) return -ENOMEM;
    const error = yield* settled(this.store.read(block, pfn, 0));
    const bytes = this.memory.bytes.view(pfn, this.store.blockBytes);
    const isGood = error >= 0 && isSealed(bytes, magic, this.seed, block);
    // Somebody else may have read it meanwhile, and changed it since.
    if (!isGood || this.blocks.has(block)) this.giveFrame(pfn);
    else this.blocks.set(block, new MetadataBlock(block, magic, pfn, bytes));
    if (error < 0) return error;
    return isGood ? 0 : -EUCLEAN;
  }

  /** A block that was read or made. */
  get(block: number): MetadataBlock {
    const known = this.blocks.get(block);
    if (known === undefined) throw new PincushionError('INTERNAL', `metadata block ${block} was not read`);
    return known;
  }

  /** A new block, full of zeros, in a frame that `prepare` set aside. */
  create(block: number, magic: number): MetadataBlock {
    const pfn = this.takeFrame();
    const bytes = this.memory.bytes.view(pfn, this.store.blockBytes);
    bytes.fill(0);
    const made = new MetadataBlock(block, magic, pfn, bytes);
    this.blocks.set(block, made);
    return made;
  }

  /** The block means nothing any more. */
  drop(block: number): void {
    const known = this.blocks.get(block);
    if (known === undefined) return;
    this.blocks.delete(block);
    this.giveFrame(known.pfn);
  }

  /** Sets frames aside until there are `frames` of them. 0 or -ENOMEM. */
  prepare(frames: number): number {
    while (this.spare.length < frames) {
      const pfn = this.memory.allocFolio(0, Gfp.kernel);
      if (pfn < 0) return -ENOMEM;
      this.spare.push(pfn);
    }
    return 0;
  }

  /** A frame that was set aside. */
  takeFrame(): number {
    const pfn = this.spare.pop() ?? this.memory.allocFolio(0, Gfp.kernel);
    if (pfn < 0) throw new PincushionError('OUT_OF_MEMORY', 'no frame is left for metadata of a file system');
    return pfn;
  }

  giveFrame(pfn: number): void {
    this.spare.push(pfn);
  }

  /** Everything goes: at unmount. */
  release(): void {
    for (const { pfn } of this.blocks.values()) this.memory.putFolio(pfn);
    for (const pfn of this.spare) this.memory.putFolio(pfn);
    this.blocks.clear();
    this.spare.length = 0;
  }
}
