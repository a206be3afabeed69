/**
 * A namespace as the block layer sees it: `/dev/nvme0n1`.
 * A bio goes to the queue pair of the CPU that submitted it, so CPUs do not share queues while there are enough of them;
 * a polled one to a queue pair without interrupts.
 * Source followed: `nvme_alloc_ns` (Linux 6.18, drivers/nvme/host/core.c).
 */
import { MultiQueueDisk } from '@pincushion/driver';
import type { QueueLimits } from '@pincushion/driver';
import type { QueuePair } from './queue-pair';

export class NamespaceDisk extends MultiQueueDisk {
  constructor(
    name: string,
    capacitySectors: number,
    limits: QueueLimits,
    /** Namespace id. */
    readonly nsid: number,
    /** log2 of the 512-byte sectors in a logical block. */
    readonly sectorShift: number,
    queues: readonly QueuePair[],
  ) {
    super(
      name,
      capacitySectors,
      limits,
      queues.filter(({ isPolled }) => !isPolled).map(({ dispatch }) => dispatch),
      queues.filter(({ isPolled }) => isPolled).map(({ dispatch }) => dispatch),
    );
  }
}
