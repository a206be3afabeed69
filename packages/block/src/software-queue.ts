/**
 * A software queue: what one CPU has submitted and no hardware queue has taken yet, in order.
 *
 * A new bio is merged with one of the last eight that wait, if it is adjacent to it: while the device is busy, small
 * neighbours become large requests.
 * Source: Linux 6.18 block/blk-mq.h (struct blk_mq_ctx), block/blk-merge.c (blk_bio_list_merge).
 */
import type { Bio } from './bio';
import { collectPages, mergeInto } from './request';

/** How far back blk_bio_list_merge looks. */
const LOOK_BACK = 8;
/** Room at first; a power of two. */
const LINE = 16;

export class SoftwareQueue {
  private ring: (Bio | null)[] = new Array<Bio | null>(LINE).fill(null);
  private head = 0;
  private queued = 0;

  /** Requests that wait. */
  get length(): number {
    return this.queued;
  }

  /** Adds a bio; false when it was merged into a request that waits. Any context. */
  push(bio: Bio): boolean {
    const { ring } = this;
    const mask = ring.length - 1;
    const { disk } = bio;
    for (let back = 1; back <= LOOK_BACK && back <= this.queued && disk !== null; back++) {
      const at = (this.head + this.queued - back) & mask;
      const waiting = ring[at];
      const merged = waiting === null || waiting.disk !== disk ? null : mergeInto(disk, waiting, bio);
      if (merged === null) continue;
      ring[at] = merged;
      return false;
    }
    if (this.queued === ring.length) this.widen();
    this.ring[(this.head + this.queued) & (this.ring.length - 1)] = bio;
    this.queued++;
    return true;
  }

  /** Takes the first request, with all its pages; null when none waits. Any context. */
  shift(): Bio | null {
    const bio = this.ring[this.head];
    if (bio === null) return null;
    this.ring[this.head] = null;
    this.head = (this.head + 1) & (this.ring.length - 1);
    this.queued--;
    collectPages(bio);
    return bio;
  }

  private widen(): void {
    const { ring } = this;
    const old = ring.length;
    const wide = new Array<Bio | null>(2 * old).fill(null);
    for (let i = 0; i < old; i++) wide[i] = ring[(this.head + i) & (old - 1)];
    this.ring = wide;
    this.head = 0;
  }
}
