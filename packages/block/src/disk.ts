/**
 * A disk: what the block layer submits to. A driver derives its disk from this and implements `queueBio`.
 *
 * Left out on purpose: partitions, zones, request merging and schedulers, media change.
 * Source: Linux 6.18 include/linux/blkdev.h (struct gendisk, struct queue_limits), block/genhd.c.
 */
import { WaitQueue } from '@pincushion/sim';
import type { Task, World } from '@pincushion/sim';
import type { Bio } from './bio';

export interface QueueLimits {
  /** Smallest addressable unit, bytes: a power of two, 512 to 4096. */
  readonly logicalBlockBytes: number;
  /** Longest read or write bio, bytes. */
  readonly maxBytes: number;
  /** Most pages of one bio. */
  readonly maxPages: number;
  /** Alignment that the address of a buffer needs, bytes, a power of two; the logical block when absent. */
  readonly dmaAlignmentBytes?: number;
  /** Longest discard bio, bytes; without limit when absent. */
  readonly maxDiscardBytes?: number;
  /** Longest write-zeroes bio, bytes; without limit when absent. */
  readonly maxWriteZeroesBytes?: number;
}

export abstract class Disk {
  /** Set by the driver when the device is lost (GD_DEAD): what is submitted from then on ends with `offline`. */
  gone = false;
  /** Bios submitted and not ended. Kept by submitBio and bioEndIo. */
  inFlight = 0;
  /** The world of the bios seen last; null before the first. Kept by submitBio. */
  world: World | null = null;
  /** The limits that every submission looks at, where they are read fastest. */
  readonly blockMask: number;
  readonly maxBioBytes: number;
  readonly maxBioPages: number;
  private idle: WaitQueue | null = null;

  /** @param name without a path, "nvme0n1" @param capacitySectors in units of 512 bytes */
  constructor(
    readonly name: string,
    readonly capacitySectors: number,
    readonly limits: QueueLimits,
  ) {
    this.blockMask = limits.logicalBlockBytes - 1;
    this.maxBioBytes = limits.maxBytes;
    this.maxBioPages = limits.maxPages;
  }

  /**
   * Takes a bio that passed the checks of submitBio (ops->submit_bio). Any context; must not sleep. The driver owes one
   * bioEndIo for it, also when the device is reset or lost; it may come before this returns.
   */
  abstract queueBio(bio: Bio): undefined;

  /** Waits until no bio is in flight. Task context. Nobody keeps others from submitting meanwhile. */
  waitIdle(): Task {
    if (this.inFlight === 0 || this.world === null) return nothing();
    this.idle ??= new WaitQueue(this.world, `disk ${this.name} to end its bios`);
    return this.idle.waitUntil(() => this.inFlight === 0);
  }

  /** Of bioEndIo: the last bio in flight has ended. */
  becameIdle(): void {
    if (this.idle !== null) this.idle.wakeAll();
  }
}

function* nothing(): Task {
  // Nothing to wait for.
}
