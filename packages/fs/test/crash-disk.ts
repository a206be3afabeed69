/**
 * A disk with a volatile cache that remembers every write and flush, and what may be left of them when the power goes.
 *
 * What was written before the last flush is there, and so is a write with FUA. Of the writes since then each may be there or
 * not, in part too: a sector of 512 bytes is written whole or not at all.
 */
import type { Memory } from '@pincushion/mm';
import type { BlockStore } from '../src/index';

const SECTOR_BYTES = 512;

/** A write, or a flush (`bytes` is null). */
interface DiskEvent {
  readonly block: number;
  readonly bytes: Uint8Array | null;
  readonly fua: boolean;
}

export class CrashDisk implements BlockStore {
  readonly stableWrites = false;
  /** What happened since `begin`. */
  readonly events: DiskEvent[] = [];
  /** Called before each event is remembered: what the machine was doing. */
  onEvent: () => undefined = () => undefined;
  private readonly content: Uint8Array;
  private start: Uint8Array | null = null;

  constructor(
    private readonly memory: Memory,
    readonly blocks: number,
    readonly blockBytes: number,
  ) {
    this.content = new Uint8Array(blocks * blockBytes);
  }

  /** From now on it remembers. */
  begin(): void {
    this.start = this.content.slice();
  }

  read(block: number, pfn: number, offset: number): number {
    this.memory.bytes.write(pfn, offset, this.content, block * this.blockBytes, this.blockBytes);
    return 0;
  }

  write(block: number, pfn: number, offset: number, fua = false): number {
    this.memory.bytes.read(pfn, offset, this.content, block * this.blockBytes, this.blockBytes);
    const bytes = this.content.slice(block * this.blockBytes, (block + 1) * this.blockBytes);
    this.remember({ block, bytes, fua });
    return 0;
  }

  flush(): number {
    this.remember({ block: 0, bytes: null, fua: false });
    return 0;
  }

  private remember(event: DiskEvent): void {
    if (this.start === null) return;
    this.onEvent();
    this.events.push(event);
  }

  /** What is on the medium after each event, as far as it is sure, and the writes that are not. */
  *crashPoints(): Generator<CrashPoint> {
    const medium = (this.start ?? this.content).slice();
    let cached: DiskEvent[] = [];
    for (const [index, event] of this.events.entries()) {
      if (event.bytes === null) {
        for (const { block, bytes } of cached) if (bytes !== null) medium.set(bytes, block * this.blockBytes);
        cached = [];
      } else if (event.fua) {
        cached = cached.filter(({ block }) => block !== event.block);
        medium.set(event.bytes, event.block * this.blockBytes);
      } else {
        cached.push(event);
      }
      yield new CrashPoint(index, medium, cached, this.blockBytes);
    }
  }
}

export class CrashPoint {
  constructor(
    /** The event after which the power goes. */
    readonly index: number,
    private readonly medium: Uint8Array,
    private readonly cached: readonly DiskEvent[],
    private readonly blockBytes: number,
  ) {}

  /** Whether anything is left to chance. */
  get isOpen(): boolean {
    return this.cached.length > 0;
  }

  /** The disk as it is found: `keep` says for each sector of each write in the cache whether it reached the medium. */
  image(keep: (write: number, sector: number) => boolean): Map<number, Uint8Array> {
    const changed = new Map<number, Uint8Array>();
    for (const [write, { block, bytes }] of this.cached.entries()) {
      if (bytes === null) continue;
      const now = changed.get(block) ?? this.medium.slice(block * this.blockBytes, (block + 1) * this.blockBytes);
      for (let at = 0; at < this.blockBytes; at += SECTOR_BYTES) {
        if (keep(write, at / SECTOR_BYTES)) now.set(bytes.subarray(at, at + SECTOR_BYTES), at);
      }
      changed.set(block, now);
    }
    return changed;
  }

  /** A store that begins with an image, for as long as the next point is not asked for. */
  store(memory: Memory, image: Map<number, Uint8Array>): BlockStore {
    return new ImageStore(memory, this.medium, image, this.blockBytes);
  }
}

class ImageStore implements BlockStore {
  readonly stableWrites = false;
  readonly blocks: number;

  constructor(
    private readonly memory: Memory,
    private readonly medium: Uint8Array,
    private readonly changed: Map<number, Uint8Array>,
    readonly blockBytes: number,
  ) {
    this.blocks = medium.length / blockBytes;
  }

  read(block: number, pfn: number, offset: number): number {
    const changed = this.changed.get(block);
    if (changed === undefined) {
      this.memory.bytes.write(pfn, offset, this.medium, block * this.blockBytes, this.blockBytes);
    } else this.memory.bytes.write(pfn, offset, changed, 0, this.blockBytes);
    return 0;
  }

  write(block: number, pfn: number, offset: number): number {
    const bytes = new Uint8Array(this.blockBytes);
    this.memory.bytes.read(pfn, offset, bytes, 0, this.blockBytes);
    this.changed.set(block, bytes);
    return 0;
  }

  flush(): number {
    return 0;
  }
}
