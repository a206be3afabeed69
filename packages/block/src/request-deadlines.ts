/**
 * Deadlines of the bios that are with a device: one timer for all, and the driver's answer for each that is too late.
 *
 * ```
 * started ── timeout ── timedOut(bio, tag)     resetTimer: as long again
 *                                              done: the driver ends it, or has; nobody asks again
 * ```
 * Source: Linux 6.18 block/blk-timeout.c (blk_add_timer), block/blk-mq.c (blk_mq_timeout_work, blk_mq_rq_timed_out), enum
 * blk_eh_timer_return.
 */
import { Context, Timer } from '@pincushion/sim';
import type { World } from '@pincushion/sim';
import type { Bio } from './bio';
import type { HardwareQueue } from './hardware-queue';

/** What a driver answers when a bio is too late. */
export const TimeoutAnswer = { done: 0, resetTimer: 1 } as const;
export type TimeoutAnswer = (typeof TimeoutAnswer)[keyof typeof TimeoutAnswer];

export class RequestDeadlines {
  /** By tag, virtual time; Infinity while nobody waits for it. */
  private readonly deadlineNs: Float64Array;
  private readonly timer: Timer;

  constructor(
    private readonly world: World,
    name: string,
    private readonly timeoutNs: number,
    private readonly tags: HardwareQueue,
    private readonly ops: { timedOut?(bio: Bio, tag: number): TimeoutAnswer },
  ) {
    this.deadlineNs = new Float64Array(tags.depth).fill(Infinity);
    this.timer = new Timer(world, name, Context.softirq, () => {
      this.look();
      return undefined;
    });
  }

  started(tag: number): void {
    if (this.timeoutNs === Infinity) return;
    this.deadlineNs[tag] = this.world.now + this.timeoutNs;
    // The timer looks after all that follow: it is not moved for each of them.
    if (!this.timer.pending) this.timer.start(this.timeoutNs);
  }

  ended(tag: number): void {
    this.deadlineNs[tag] = Infinity;
  }

  stop(): void {
    this.timer.cancel();
  }

  /** Asks the driver about each bio that is too late, and comes back for the next one. */
  private look(): void {
    const { world, deadlineNs, tags, ops } = this;
    let nextNs = Infinity;
    for (let tag = 0; tag < deadlineNs.length; tag++) {
      const bio = deadlineNs[tag] <= world.now ? tags.bioOf(tag) : null;
      if (bio !== null) {
        const { id } = bio;
        const answer = ops.timedOut === undefined ? TimeoutAnswer.resetTimer : ops.timedOut(bio, tag);
        // The driver may have ended it, and the same object may be under the tag again.
        if (tags.bioOf(tag)?.id === id)
          deadlineNs[tag] = answer === TimeoutAnswer.done ? Infinity : world.now + this.timeoutNs;
      }
      nextNs = Math.min(nextNs, deadlineNs[tag]);
    }
    if (nextNs !== Infinity) this.timer.start(nextNs - world.now);
  }
}
