/**
 * A namespace as the block layer sees it: `/dev/nvme0n1`.
 * A bio goes to the queue pair of the CPU that submitted it, so CPUs do not share queues while there are enough of them.
 * Source followed: `nvme_queue_rq` (drivers/nvme/host/pci.c), `nvme_alloc_ns` (core.c).
 */
import { Disk } from '@pincushion/driver';
import type { Bio, QueueLimits } from '@pincushion/driver';
import type { QueuePair } from './queue-pair';

export class NamespaceDisk extends Disk {
  constructor(
    name: string,
    capacitySectors: number,
    limits: QueueLimits,
    /** Namespace id. */
    readonly nsid: number,
    /** log2 of the 512-byte sectors in a logical block. */
    readonly sectorShift: number,
    private readonly queues: readonly QueuePair[],
  ) {
    super(name, capacitySectors, limits);
  }

  override queueBio(bio: Bio): undefined {
    const { queues } = this;
    const queue = bio.cpu < queues.length ? queues[bio.cpu] : queues[bio.cpu % queues.length];
    queue.submit(bio);
  }
}
