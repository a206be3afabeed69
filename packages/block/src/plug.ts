/**
 * A plug: bios of one submitter are held back for a moment, so that neighbours become one request.
 *
 * ```
 * const plug = new Plug(world);          once for each submitter
 * submitBio(disk, bio, plug); …          collected, merged with the one before
 * plug.finish();                         to the drivers, in the order of submission
 * ```
 * A submitter that sleeps, or ends, without `finish` holds nothing up: what its code leaves behind is sent before anything
 * else happens, as the kernel does when it schedules. A plug is also sent when it has 32 requests, or one of 128 KiB.
 * Source: Linux 6.18 block/blk-core.c (blk_start_plug, blk_finish_plug, __blk_flush_plug), block/blk-mq.c
 * (blk_add_rq_to_plug), block/blk-merge.c (blk_attempt_plug_merge).
 */
import { Context } from '@pincushion/sim';
import type { World } from '@pincushion/sim';
import type { Bio } from './bio';
import type { Disk } from './disk';
import { issue } from './issue';
import { collectPages, mergeInto } from './request';

/** BLK_MAX_REQUEST_COUNT. */
const REQUESTS_MAX = 32;
/** BLK_PLUG_FLUSH_SIZE. */
const BYTES_MAX = 128 * 1024;

export class Plug {
  private requests: Bio[] = [];
  private readonly sendHandler: number;
  private deferred = false;

  constructor(private readonly world: World) {
    this.sendHandler = world.handler('block:unplug', Context.softirq, () => {
      this.deferred = false;
      this.finish();
      return undefined;
    });
  }

  /** Requests held back. */
  get held(): number {
    return this.requests.length;
  }

  /** Holds a bio back, for `submitBio`. Any context. */
  add(disk: Disk, bio: Bio): void {
    const { requests } = this;
    const tail = requests.length - 1;
    if (tail >= 0) {
      const merged = requests[tail].disk === disk ? mergeInto(disk, requests[tail], bio) : null;
      if (merged !== null) {
        requests[tail] = merged;
        return;
      }
      if (requests.length >= REQUESTS_MAX || requests[tail].bytes >= BYTES_MAX) this.finish();
    }
    this.requests.push(bio);
    if (this.deferred) return;
    this.deferred = true;
    this.world.defer(this.sendHandler, 0);
  }

  /** Sends what is held back (blk_finish_plug). Any context. */
  finish(): void {
    const { requests } = this;
    this.requests = [];
    for (const request of requests) {
      collectPages(request);
      const { disk } = request;
      if (disk !== null) issue(disk, request, null);
    }
  }
}
