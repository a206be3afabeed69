/**
 * The tags of one hardware queue: bios get a tag while there are any and wait in line while there are none.
 *
 * ```
 * submission  tag = take(bio)      -1: it waits, nothing to do; else give it to the device under the tag
 * completion  bio = bioOf(tag)
 *             next = release(tag)  null: nobody waits; else take(next) and give that one to the device
 *             bioEndIo(bio, …)
 * ```
 * A waiting bio stays in line until `take` gives it its tag, so that nobody overtakes it.
 * For drivers that take bios as they come; `DispatchQueue` does more and uses the tags of this.
 * Left out on purpose: sharing tags between queues, reserved tags, fairness.
 * Source: Linux 6.18 block/blk-mq-tag.c (blk_mq_get_tag, blk_mq_put_tag), lib/sbitmap.c.
 */
import { PincushionError } from '@pincushion/sim';
import type { Bio } from './bio';
import { bioEndIo } from './end';

/** Room in line at first; a power of two. */
const LINE = 64;

export class HardwareQueue {
  private readonly freeTags: Int32Array;
  private freeCount: number;
  /** By tag; null while the tag is free. */
  private readonly bios: (Bio | null)[] = [];
  /** Ring of waiting bios; its length is a power of two. */
  private ring: (Bio | null)[] = [];
  private head = 0;
  private queued = 0;

  /** @param depth number of tags; tags are 0 to depth - 1 */
  constructor(readonly depth: number) {
    this.freeTags = new Int32Array(depth);
    this.freeCount = depth;
    // The lowest tag comes first, and the tag freed last is used next.
    for (let tag = 0; tag < depth; tag++) {
      this.freeTags[depth - 1 - tag] = tag;
      this.bios.push(null);
    }
    for (let i = 0; i < LINE; i++) this.ring.push(null);
  }

  /**
   * A tag for a bio, or -1: then it waits behind those that wait already, also while tags are free. The first in line,
   * as `release` and `nextWaiting` name it, leaves the line. Any context.
   */
  take(bio: Bio): number {
    if (this.queued !== 0 || this.freeCount === 0) return this.takeInLine(bio);
    const tag = this.freeTags[--this.freeCount];
    this.bios[tag] = bio;
    return tag;
  }

  /**
   * Frees the tag of a bio that the device has finished. Any context. The caller still has to end the bio, and owes `take`
   * for the one that is returned: the first in line, null when none waits. Throws BIO_INVALID for a tag that is not in use.
   */
  release(tag: number): Bio | null {
    if (this.bioOf(tag) === null) this.notInUse(tag);
    this.bios[tag] = null;
    this.freeTags[this.freeCount++] = tag;
    return this.queued === 0 ? null : this.ring[this.head];
  }

  /** The bio under a tag; null when the tag is free or out of range. */
  bioOf(tag: number): Bio | null {
    return tag >= 0 && tag < this.depth ? this.bios[tag] : null;
  }

  /** The first in line if there is a tag for it, else null: for a device that is back after `drainStarted`. Any context. */
  nextWaiting(): Bio | null {
    return this.queued === 0 || this.freeCount === 0 ? null : this.ring[this.head];
  }

  /** Ends all bios that wait, in order, with a BlkStatus; those that have a tag stay with the device. Any context. */
  drain(status: number): void {
    // Only those that wait now: an endIo may submit again.
    for (let left = this.queued; left > 0 && this.queued > 0; left--) bioEndIo(this.leaveLine(), status);
  }

  /**
   * Ends all bios that have a tag, by tag, with a BlkStatus: for a device that is reset or lost and will not answer. No
   * waiting bio takes their tags; call `drain` first, or start those of `nextWaiting` when the device is back. Any context.
   */
  drainStarted(status: number): void {
    for (let tag = 0; tag < this.depth; tag++) {
      const bio = this.bios[tag];
      if (bio === null) continue;
      this.release(tag);
      bioEndIo(bio, status);
    }
  }

  /** Bios that have a tag. */
  get inFlight(): number {
    return this.depth - this.freeCount;
  }

  /** Bios that wait for a tag. */
  get waiting(): number {
    return this.queued;
  }

  private takeInLine(bio: Bio): number {
    if (this.queued === 0 || bio !== this.ring[this.head]) {
      this.wait(bio);
      return -1;
    }
    if (this.freeCount === 0) return -1;
    const tag = this.freeTags[--this.freeCount];
    this.bios[tag] = this.leaveLine();
    return tag;
  }

  private wait(bio: Bio): void {
    if (this.queued === this.ring.length) this.widen();
    this.ring[(this.head + this.queued) & (this.ring.length - 1)] = bio;
    this.queued++;
  }

  private leaveLine(): Bio {
    const bio = this.ring[this.head];
    if (bio === null) throw new PincushionError('BIO_INVALID', 'a bio was taken from an empty line');
    this.ring[this.head] = null;
    this.head = (this.head + 1) & (this.ring.length - 1);
    this.queued--;
    return bio;
  }

  private widen(): void {
    const old = this.ring;
    const wide: (Bio | null)[] = [];
    for (let i = 0; i < old.length; i++) wide.push(old[(this.head + i) & (old.length - 1)]);
    for (let i = 0; i < old.length; i++) wide.push(null);
    this.ring = wide;
    this.head = 0;
  }

  private notInUse(tag: number): never {
    throw new PincushionError('BIO_INVALID', `tag ${tag} was completed but is not in use`, {
      expected: `the tag of a started bio, 0 to ${this.depth - 1}`,
      actual: String(tag),
    });
  }
}
