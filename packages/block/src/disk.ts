/**
 * A disk: what the block layer submits to. A driver derives its disk from this and implements `queueBio`, or from
 * `MultiQueueDisk`, where the block layer keeps the queues.
 *
 * Left out on purpose: partitions, zones, schedulers, media change.
 * Source: Linux 6.18 include/linux/blkdev.h (struct gendisk), block/genhd.c.
 */
import { PAGE_SIZE } from '@pincushion/mm';
import { PincushionError, WaitQueue } from '@pincushion/sim';
import type { Task, World } from '@pincushion/sim';
import type { Bio } from './bio';
import type { BioPool } from './bio-pool';
import type { FlushQueue } from './flush';
import type { Plug } from './plug';
import { checkLimits } from './queue-limits';
import type { QueueLimits } from './queue-limits';

/** A bio that was submitted while the disk was frozen. */
export interface HeldBio {
  readonly bio: Bio;
  readonly plug: Plug | null;
}

/** Nothing is short enough to go straight to the driver of a frozen disk. */
const FROZEN = -1;

export abstract class Disk {
  /** Set by the driver when the device is lost (GD_DEAD): what is submitted from then on ends with `offline`. */
  gone = false;
  /** Bios submitted and not ended. Kept by submitBio and bioEndIo. */
  inFlight = 0;
  /** The world of the bios seen last; null before the first. Kept by submitBio. */
  world: World | null = null;
  /** In units of 512 bytes. */
  capacitySectors = 0;
  limits!: QueueLimits;
  /** Of the limits, what every submission looks at, where it is read fastest. */
  blockMask = 0;
  maxBioBytes = 0;
  maxBioPages = 0;
  /** Masks of bits that must be 0: in addresses of buffers, and where pieces of a bio meet. */
  dmaMask = 0;
  gapMask = 0;
  /** A run of at most so many bytes and pages keeps every limit, wherever it lies; less while the disk is frozen. */
  straightBytes = 0;
  straightPages = 0;
  /** While the disk is frozen: what was submitted meanwhile, in order. */
  frozenOut: HeldBio[] | null = null;
  /** The device has refused write-zeroes once: zero pages are written from then on. */
  writeZeroesRefused = false;
  /** The disk's own bios, for parts and requests, and its flushes; made when first needed. */
  parts: BioPool | null = null;
  flushes: FlushQueue | null = null;
  private idle: WaitQueue | null = null;

  /** @param name without a path, "nvme0n1" @param capacitySectors in units of 512 bytes */
  constructor(
    readonly name: string,
    capacitySectors: number,
    limits: QueueLimits,
  ) {
    this.capacitySectors = capacitySectors;
    this.takeLimits(limits);
  }

  /**
   * The device has another size, or other limits, than when the disk was made (set_capacity, queue_limits_commit_update). Any
   * context; the disk must be frozen, so that no bio was cut to the old limits.
   */
  update(capacitySectors: number, limits: QueueLimits): void {
    if (this.frozenOut === null) {
      throw new PincushionError('DISK_LIMITS_INVALID', `disk ${this.name} was changed while bios go to it`, {
        device: this.name,
        expected: 'a frozen disk',
        actual: 'one that is not',
      });
    }
    this.capacitySectors = capacitySectors;
    this.takeLimits(limits);
    this.straightBytes = FROZEN;
    // The next part is made for the new limits.
    this.parts = null;
    this.writeZeroesRefused = false;
  }

  /** Of freeze.ts: whether bios may come in. What came while they might not is returned. */
  setFrozen(frozen: boolean): readonly HeldBio[] {
    const held = this.frozenOut ?? [];
    this.frozenOut = frozen ? [] : null;
    this.straightBytes = frozen ? FROZEN : straightBytes(this.limits);
    return held;
  }

  /** Looks for completions of a polled bio, as the interrupt would: how many there were (ops->poll_bio). Any context. */
  poll(_bio: Bio): number {
    return 0;
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

  private takeLimits(limits: QueueLimits): void {
    checkLimits(this.name, limits);
    this.limits = limits;
    this.blockMask = limits.logicalBlockBytes - 1;
    this.maxBioBytes = limits.maxBytes;
    this.maxBioPages = limits.maxPages;
    this.dmaMask = (limits.dmaAlignmentBytes ?? limits.logicalBlockBytes) - 1;
    this.gapMask = limits.virtBoundaryBytes === 0 ? 0 : (limits.virtBoundaryBytes ?? PAGE_SIZE) - 1;
    const segmented = limits.maxSegments ?? limits.maxSegmentBytes ?? limits.segmentBoundaryBytes;
    this.straightBytes = straightBytes(limits);
    // A single page is a single segment within every limit; a run over two pages may already be too many.
    this.straightPages = segmented === undefined ? limits.maxPages : 1;
  }
}

function straightBytes(limits: QueueLimits): number {
  return limits.chunkBytes === undefined ? limits.maxBytes : 0;
}

function* nothing(): Task {
  // Nothing to wait for.
}
