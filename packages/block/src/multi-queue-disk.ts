/**
 * A disk whose queues the block layer keeps: a bio goes to the queue of the CPU that submitted it.
 *
 * Several disks may share queues, as the namespaces of an NVMe controller do.
 * Source: Linux 6.18 block/blk-mq.c (blk_mq_map_queue, blk_mq_poll), block/blk-mq-cpumap.c.
 */
import { REQ_POLLED } from './bio';
import type { Bio } from './bio';
import { Disk } from './disk';
import type { DispatchQueue } from './dispatch-queue';
import type { QueueLimits } from './queue-limits';

/** An imported binding is a getter once compiled; the hot functions read a constant of the module. */
const POLLED = REQ_POLLED;

export class MultiQueueDisk extends Disk {
  /**
   * @param queues one for each CPU at best; with fewer, CPUs share
   * @param pollQueues for polled bios (HCTX_TYPE_POLL); without any, polled bios are refused
   */
  constructor(
    name: string,
    capacitySectors: number,
    limits: QueueLimits,
    private readonly queues: readonly DispatchQueue[],
    private readonly pollQueues: readonly DispatchQueue[] = [],
  ) {
    super(name, capacitySectors, { ...limits, poll: pollQueues.length > 0 });
  }

  override update(capacitySectors: number, limits: QueueLimits): void {
    super.update(capacitySectors, { ...limits, poll: this.pollQueues.length > 0 });
  }

  override queueBio(bio: Bio): undefined {
    this.queueOf(bio).insert(bio);
  }

  override poll(bio: Bio): number {
    return this.queueOf(bio).poll();
  }

  private queueOf(bio: Bio): DispatchQueue {
    const queues = (bio.flags & POLLED) === 0 ? this.queues : this.pollQueues;
    return bio.cpu < queues.length ? queues[bio.cpu] : queues[bio.cpu % queues.length];
  }
}
